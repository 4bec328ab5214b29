package incident

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// Mapping says which labels, or else annotations, of an alert name what about an incident: the first that the alert has counts.
type Mapping struct {
	Service, Objective, Class, Title, Cause, Origin []string
	// DefaultService is that of alerts without a label of Service; empty: they are refused.
	DefaultService string
}

func (m Mapping) withDefaults() Mapping {
	for _, f := range []struct {
		names *[]string
		usual []string
	}{
		{&m.Service, []string{"service"}}, {&m.Objective, []string{"objective"}}, {&m.Class, []string{"class", "alertname"}},
		{&m.Title, []string{"summary", "description"}}, {&m.Cause, []string{"cause"}}, {&m.Origin, []string{"origin"}},
	} {
		if len(*f.names) == 0 {
			*f.names = f.usual
		}
	}
	return m
}

// notification is the body of Alertmanager's webhook, version 4; fields that it gains are no mistake, and kept.
type notification struct {
	Version     string  `json:"version"`
	ExternalURL string  `json:"externalURL"`
	Alerts      []alert `json:"alerts"`
	// raw is all of it.
	raw map[string]json.RawMessage
}

// UnmarshalJSON keeps the fields that nobody here knows.
func (n *notification) UnmarshalJSON(data []byte) error {
	type known notification
	if err := json.Unmarshal(data, (*known)(n)); err != nil {
		return err
	}
	return json.Unmarshal(data, &n.raw)
}

type alert struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
	raw          map[string]json.RawMessage
}

// UnmarshalJSON keeps the fields that nobody here knows.
func (al *alert) UnmarshalJSON(data []byte) error {
	type known alert
	if err := json.Unmarshal(data, (*known)(al)); err != nil {
		return err
	}
	return json.Unmarshal(data, &al.raw)
}

// idPrefix begins the ids of incidents that alerts are, followed by fingerprint and start.
const idPrefix = "alertmanager/"

// Alertmanager is POST /v1/alertmanager, the receiver of webhook_configs with a bearer token for the endpoint "incidents". Each alert is
// an incident from its startsAt until its endsAt; an alert that is sent again, by the same Alertmanager or by another, is the same one.
//
//	200  on disk; the body counts what was taken and what was known already
//	400  not that form, or alerts that are no incident; the others are taken
//	401, 403  token missing, unknown, expired, or not good for the endpoint
//	413  too large               429, 503  come again after Retry-After: nothing was taken
func (r *Receiver) Alertmanager() http.Handler {
	return r.door(func(ctx context.Context, body []byte) (answer, error) {
		var n notification
		if err := json.Unmarshal(body, &n); err != nil {
			return answer{}, fmt.Errorf("%w: want Alertmanager's webhook, version 4: %w", errForm, err)
		}
		if n.Version != "4" {
			return answer{}, fmt.Errorf("%w: version %q: want Alertmanager's webhook, version 4", errForm, n.Version)
		}
		return r.takeAlerts(ctx, n)
	})
}

func (r *Receiver) takeAlerts(ctx context.Context, n notification) (answer, error) {
	var a answer
	now := r.cfg.Now()
	earliest := now
	for _, al := range n.Alerts {
		if !al.StartsAt.IsZero() && al.StartsAt.Before(earliest) {
			earliest = al.StartsAt
		}
	}
	known, err := r.known(ctx, earliest, now.Add(time.Minute))
	if err != nil {
		return a, err
	}
	var changed []schema.Incident
	var places []int
	for i, al := range n.Alerts {
		in, news, err := r.incident(al, n, known)
		switch {
		case err != nil:
			a.Refused = append(a.Refused, refusal{i, err.Error()})
		case !news:
			a.Unchanged++
		default:
			known[in.ID] = in
			changed, places = append(changed, in), append(places, i)
		}
	}
	refused, err := r.put(ctx, changed)
	if err != nil {
		return a, err
	}
	for i, err := range refused {
		a.Refused = append(a.Refused, refusal{places[i], err.Error()})
	}
	a.Taken = len(changed) - len(refused)
	r.alerts.WithLabelValues("taken").Add(float64(a.Taken))
	r.alerts.WithLabelValues("unchanged").Add(float64(a.Unchanged))
	r.alerts.WithLabelValues("refused").Add(float64(len(a.Refused)))
	return a, nil
}

// incident is what an alert says; false: nothing new.
func (r *Receiver) incident(al alert, n notification, known map[string]schema.Incident) (schema.Incident, bool, error) {
	if al.Fingerprint == "" || al.StartsAt.IsZero() {
		return schema.Incident{}, false, errors.New("an alert needs fingerprint and startsAt")
	}
	if al.Status != "firing" && al.Status != "resolved" {
		return schema.Incident{}, false, fmt.Errorf("status %q must be firing or resolved", al.Status)
	}
	in, found := sameAlert(al, known)
	if !found {
		var err error
		if in, err = r.newIncident(al, n); err != nil {
			return in, false, err
		}
	}
	if al.Status == "resolved" && in.Resolved.IsZero() {
		in.Resolved = al.EndsAt.UTC().Truncate(time.Millisecond)
		if !in.Resolved.After(in.Start) { // a clock that was set, or a start that somebody corrected
			in.Resolved = r.cfg.Now().UTC().Truncate(time.Millisecond)
		}
	} else if found {
		return in, false, nil
	}
	in.Version = r.next(in.Version)
	return in, true, nil
}

// sameAlert is the incident that an alert is already: of the same labels, and with a start that is the same or lies within it. Two
// Prometheus servers that see an alert at different times are one Alertmanager's earliest start, which may move.
func sameAlert(al alert, known map[string]schema.Incident) (schema.Incident, bool) {
	prefix := idPrefix + al.Fingerprint + "/"
	if in, ok := known[prefix+strconv.FormatInt(al.StartsAt.Unix(), 10)]; ok {
		return cloned(in), true
	}
	for id, in := range known {
		overlaps := in.Resolved.IsZero() || al.StartsAt.Before(in.Resolved)
		ended := al.Status == "resolved" && !al.EndsAt.After(in.Start)
		if strings.HasPrefix(id, prefix) && overlaps && !ended {
			return cloned(in), true
		}
	}
	return schema.Incident{}, false
}

func (r *Receiver) newIncident(al alert, n notification) (schema.Incident, error) {
	m := r.cfg.Mapping
	start := al.StartsAt.UTC().Truncate(time.Millisecond)
	in := schema.Incident{
		ID:      idPrefix + al.Fingerprint + "/" + strconv.FormatInt(al.StartsAt.Unix(), 10),
		Service: al.first(m.Service), Title: al.first(m.Title), Class: al.first(m.Class), Cause: al.first(m.Cause),
		Origin: schema.Origin(al.first(m.Origin)), Start: start, Detected: start,
	}
	if in.Service == "" {
		in.Service = m.DefaultService
	}
	if in.Service == "" {
		return in, fmt.Errorf("no service: the alert %q has none of the labels or annotations %s", al.Labels["alertname"], strings.Join(m.Service, ", "))
	}
	if in.Origin == "" {
		in.Origin = schema.OriginUnknown
	}
	if o := al.first(m.Objective); o != "" {
		in.Objectives = []string{o}
	}
	for _, link := range []string{al.GeneratorURL, al.Annotations["runbook_url"], n.ExternalURL} {
		if link != "" {
			in.Links = append(in.Links, link)
		}
	}
	var err error
	in.Details, err = details(al.raw, n.raw)
	return in, err
}

// first is the value of the first label, or else annotation, of some that the alert has.
func (al alert) first(names []string) string {
	for _, name := range names {
		if v := al.Labels[name]; v != "" {
			return v
		}
		if v := al.Annotations[name]; v != "" {
			return v
		}
	}
	return ""
}
