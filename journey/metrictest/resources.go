package metrictest

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/slo/yamlfile"
)

// resources are what happened in clusters, each entry in the keys of schema.ResourceChange. Where an entry leaves them out, uid is
// made of namespace and name, created is the time of the resource's own change "created", and key is what the collector of
// clusters would write. What is seen after now is not delivered.
func (r *reader) resources(list *yamlfile.Node, now time.Time) []schema.ResourceChange {
	var out []schema.ResourceChange
	born := map[string]time.Time{}
	for _, n := range r.list(list, "resources") {
		c := r.resource(n)
		if !slices.Contains(schema.Changes(), c.Change) {
			r.oneOf(n, "change", texts(schema.Changes())...)
		} else if err := c.Validate(); err != nil && n.Kind == yamlfile.Map {
			r.fail(n, "%v", err)
		}
		if c.Change == schema.ChangeCreated {
			born[c.Cluster+"/"+c.Kind+"/"+c.UID] = c.Time
		}
		if !c.StateTime().After(now) {
			out = append(out, c)
		}
	}
	for i := range out {
		if c := &out[i]; c.Created.IsZero() {
			c.Created = born[c.Cluster+"/"+c.Kind+"/"+c.UID]
		}
	}
	return out
}

func texts(changes []schema.Change) []any {
	out := make([]any, len(changes))
	for i, c := range changes {
		out[i] = c
	}
	return out
}

func (r *reader) resource(n *yamlfile.Node) schema.ResourceChange {
	r.keys(n, "cluster", "region", "kind", "uid", "namespace", "name", "created", "first_ready", "terminating", "desired", "available", "revision",
		"rollout", "rollout_started", "version", "team", "labels", "attributes", "change", "key", "time", "from", "seen", "reason", "duration_ms", "value")
	c := schema.ResourceChange{
		Resource: schema.Resource{
			Cluster: r.required(n, "cluster"), Region: r.text(n, "region"), Kind: r.required(n, "kind"), UID: r.text(n, "uid"),
			Namespace: r.text(n, "namespace"), Name: r.required(n, "name"), Created: r.time(n, "created"), FirstReady: r.time(n, "first_ready"),
			Terminating: r.time(n, "terminating"), Desired: r.whole(n, "desired"), Available: r.whole(n, "available"), Revision: r.text(n, "revision"),
			Rollout: schema.RolloutPhase(r.text(n, "rollout")), RolloutStarted: r.time(n, "rollout_started"), Version: r.text(n, "version"),
			Team: r.text(n, "team"), Labels: r.texted(n, "labels"), Attributes: r.texted(n, "attributes"),
		},
		Change: schema.Change(r.required(n, "change")), Key: r.text(n, "key"), Reason: r.text(n, "reason"),
		Time: r.time(n, "time"), From: r.time(n, "from"), Seen: r.time(n, "seen"), DurationMS: r.number(n, "duration_ms"), Value: r.number(n, "value"),
	}
	r.required(n, "time")
	c.UID = cmp.Or(c.UID, strings.Trim(c.Namespace+"/"+c.Name, "/"))
	c.Key = cmp.Or(c.Key, usualKey(&c))
	if c.Change == schema.ChangeTerminating && c.Terminating.IsZero() {
		c.Terminating = c.Time
	}
	return c
}

// usualKey tells apart the changes of one kind to one resource as the collector does.
func usualKey(c *schema.ResourceChange) string {
	switch c.Change {
	case schema.ChangeObserved:
		if c.Kind == schema.KindCluster {
			return c.Time.UTC().Format("2006-01-02T15")
		}
		return c.Time.UTC().Format(time.DateOnly)
	case schema.ChangeRolloutStarted, schema.ChangeRolloutSucceeded, schema.ChangeRolloutFailed, schema.ChangeRolloutSuperseded:
		return c.Revision
	case schema.ChangeUpdated, schema.ChangeScaled, schema.ChangeEmptied, schema.ChangeOccupied:
		return strconv.FormatInt(c.Time.UnixMilli(), 10)
	}
	return ""
}

// slices are what indicators measured; those that end after now are not delivered.
func (r *reader) slices(list *yamlfile.Node, now time.Time) []schema.Slice {
	var out []schema.Slice
	for _, n := range r.list(list, "slices") {
		r.keys(n, "indicator", "revision", "group", "start", "seconds", "good", "total", "state", "version")
		r.required(n, "start")
		r.oneOf(n, "state", schema.SliceMeasured, schema.SliceGap)
		s := schema.Slice{
			Indicator: r.required(n, "indicator"), Revision: cmp.Or(r.text(n, "revision"), "1"), Group: r.text(n, "group"), Start: r.time(n, "start"),
			Seconds: 60, State: schema.SliceState(cmp.Or(r.text(n, "state"), string(schema.SliceMeasured))), Version: 1,
		}
		for key, into := range map[string]*float64{"good": &s.Good, "total": &s.Total} {
			if v := r.number(n, key); v != nil {
				*into = *v
			}
		}
		if v := r.whole(n, "seconds"); v != nil {
			s.Seconds = uint32(*v)
		}
		if v := r.whole(n, "version"); v != nil {
			s.Version = uint64(*v)
		}
		if !s.Start.Add(time.Duration(s.Seconds) * time.Second).After(now) {
			out = append(out, s)
		}
	}
	return out
}

// whole is a whole number that is not negative; nil when absent.
func (r *reader) whole(n *yamlfile.Node, key string) *int64 {
	v := r.number(n, key)
	if v == nil {
		return nil
	}
	if *v < 0 || *v > 1<<31 || *v != float64(int64(*v)) {
		r.fail(get(n, key), "%s %v: want a whole number from 0 on", key, *v)
		return nil
	}
	return new(int64(*v))
}
