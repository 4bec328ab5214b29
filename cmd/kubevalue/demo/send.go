package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/kubevalue/kubevalue/schema"
)

// Doors is where a service takes what the simulation sends, and the token that it wants. The grant behind the token needs the
// endpoints audit, events and agent, and backfill: the simulation tells of months gone by. Secret is what GitHub's webhook signs with.
type Doors struct {
	BaseURL, Token string
	Secret         []byte
	Client         *http.Client
	// Revision says which definition a cluster's slices were measured with.
	Revision func(cluster string) string
}

// Sent counts what was sent.
type Sent struct{ Events, Slices, Incidents, Changes int }

const (
	auditBatch  = 400 // the API server's own default
	sliceBatch  = 20_000
	changeBatch = 4_000
)

// Send simulates all days and sends them; progress hears of every day. Sent again, the same world changes nothing.
func (w *World) Send(ctx context.Context, doors Doors, progress func(day, days int, sent Sent)) (Sent, error) {
	var sent Sent
	var slices []schema.Slice
	days := int(w.End.Sub(w.Start).Hours() / 24)
	var changes []schema.ResourceChange
	flush := func() error {
		if len(slices)+len(changes) == 0 {
			return nil
		}
		err := doors.post(ctx, "/v1/agent", schema.Batch{Slices: slices, Changes: changes})
		sent.Slices += len(slices)
		sent.Changes += len(changes)
		slices, changes = slices[:0], changes[:0]
		return err
	}
	for i := range days {
		midnight := w.Start.AddDate(0, 0, i)
		day := w.Day(midnight)
		n, err := w.sendDay(ctx, doors, day)
		if err != nil {
			return sent, err
		}
		sent.Events += n
		for _, s := range w.Slices(midnight) {
			slices = append(slices, w.slice(s, doors.Revision))
		}
		slices = append(slices, w.Uptime(midnight)...)
		changes = append(append(changes, w.Changes(midnight)...), day.Rollouts...)
		if len(slices) >= sliceBatch || len(changes) >= changeBatch {
			if err := flush(); err != nil {
				return sent, err
			}
		}
		progress(i+1, days, sent)
	}
	if err := flush(); err != nil {
		return sent, err
	}
	if err := w.sendVoices(ctx, doors, w.Start.Add(-time.Millisecond)); err != nil {
		return sent, err
	}
	incidents := w.records()
	sent.Incidents = len(incidents)
	return sent, doors.post(ctx, "/v1/agent", schema.Batch{Incidents: incidents})
}

func (w *World) slice(s Slice, revision func(string) string) schema.Slice {
	name := w.Clusters[s.Cluster].Name
	return schema.Slice{
		Indicator: name, Revision: revision(name), Start: s.Start, Seconds: uint32(SliceLength.Seconds()),
		Good: s.Good, Total: s.Total, State: schema.SliceMeasured, Version: 1,
	}
}

func (w *World) sendDay(ctx context.Context, doors Doors, d Day) (int, error) {
	byCluster := make([][]Action, len(w.Clusters))
	for _, a := range d.Actions {
		byCluster[a.Cluster] = append(byCluster[a.Cluster], a)
	}
	for c, actions := range byCluster {
		for len(actions) > 0 {
			n := min(len(actions), auditBatch)
			if err := doors.post(ctx, "/audit/"+w.Clusters[c].Name, eventList(actions[:n])); err != nil {
				return 0, err
			}
			actions = actions[n:]
		}
	}
	if len(d.Events) > 0 {
		if err := doors.post(ctx, "/v1/events", d.Events); err != nil {
			return 0, err
		}
	}
	return len(d.Actions) + len(d.Events), nil
}

// eventList is what an API server posts to its audit webhook: an EventList of audit.k8s.io/v1.
func eventList(actions []Action) map[string]any {
	items := make([]map[string]any, len(actions))
	for i, a := range actions {
		items[i] = a.auditEvent()
	}
	return map[string]any{"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": items}
}

func (a Action) auditEvent() map[string]any {
	id := uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "%d %s %s %s/%s %s %s", a.At.UnixNano(), a.User, a.Verb, a.Resource, a.Sub, a.Namespace, a.Name))
	ref := map[string]any{"resource": a.Resource, "apiGroup": a.Group, "apiVersion": "v1", "name": a.Name}
	if a.Namespace != "" {
		ref["namespace"] = a.Namespace
	}
	if a.Sub != "" {
		ref["subresource"] = a.Sub
	}
	e := map[string]any{
		"level": "Metadata", "auditID": id.String(), "stage": "ResponseComplete", "verb": a.Verb,
		"requestURI":               "/simulated",
		"user":                     map[string]any{"username": a.User, "groups": a.Groups},
		"sourceIPs":                []string{"192.0.2.1"},
		"objectRef":                ref,
		"responseStatus":           map[string]any{"code": a.Code, "message": a.Message},
		"requestReceivedTimestamp": a.At.UTC().Format(time.RFC3339Nano),
		"stageTimestamp":           a.At.Add(a.Latency).UTC().Format(time.RFC3339Nano),
	}
	if a.Sub == "exec" {
		e["stage"] = "ResponseStarted"
	}
	if a.Code == http.StatusForbidden && a.Resource == "secrets" {
		e["annotations"] = map[string]string{"authorization.k8s.io/decision": "forbid"}
	}
	if a.Removed != "" {
		e["annotations"] = map[string]string{"k8s.io/deprecated": "true", "k8s.io/removed-release": a.Removed}
	}
	return e
}

// records are all incidents that somebody has noticed, as the agent endpoint takes them.
func (w *World) records() []schema.Incident {
	var out []schema.Incident
	for i := range w.Incidents {
		out = append(out, w.told(&w.Incidents[i])...)
	}
	return out
}

// told is an incident as it is known: nothing until it is noticed, and again when it is over.
func (w *World) told(in *Incident) []schema.Incident {
	if in.detected().After(w.Until) {
		return nil
	}
	rec := schema.Incident{
		ID: in.ID, Service: "clusters", Title: in.Title, Class: in.Class, Origin: schema.Origin(in.Origin), Start: in.Start, Detected: in.detected(), Version: 1,
	}
	if !in.End.After(w.Until) {
		rec.Resolved, rec.Version = in.End, 2
	}
	for _, c := range in.Clusters {
		rec.Objectives = append(rec.Objectives, w.Clusters[c].Name)
	}
	for _, of := range w.Composites() {
		if slices.ContainsFunc(of.Clusters, func(c int) bool { return slices.Contains(in.Clusters, c) }) {
			rec.Objectives = append(rec.Objectives, of.Name)
		}
	}
	if !in.FollowupDone.IsZero() {
		rec.Followups = []schema.Followup{{ID: in.ID + "-1", Title: in.Followup, Owner: "platform", Due: in.FollowupDone, Done: in.FollowupDone}}
	}
	return []schema.Incident{rec}
}

// post sends JSON to a door and reads the answer; a refusal is an error with the service's own words.
func (d Doors) post(ctx context.Context, path string, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode for %s: %w", path, err)
	}
	return d.send(ctx, path, data, http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + d.Token}})
}

// send sends a body until it is taken or refused.
func (d Doors) send(ctx context.Context, path string, data []byte, header http.Header) error {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.BaseURL+path, bytes.NewReader(data))
		if err != nil {
			return fmt.Errorf("request to %s: %w", path, err)
		}
		req.Header = header.Clone()
		resp, err := d.Client.Do(req)
		if err != nil {
			return fmt.Errorf("send to %s: %w", path, err)
		}
		answer, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<12))
		resp.Body.Close()
		switch {
		case resp.StatusCode < 300:
			return nil
		case resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusTooManyRequests:
			if err := wait(ctx, time.Second); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s answered %s: %s", path, resp.Status, bytes.TrimSpace(answer))
		}
	}
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
