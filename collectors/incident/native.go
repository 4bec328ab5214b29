package incident

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// Native is POST /v1/incidents, with a bearer token for the endpoint "incidents". The body is an incident, or a list of them, in the form
// of schema.Incident; of one that is known already, the fields that the body has replace what is known, and the others stay. The
// answers are those of Alertmanager.
func (r *Receiver) Native() http.Handler {
	return r.door(func(ctx context.Context, body []byte) (answer, error) {
		var list []json.RawMessage
		if trimmed := bytes.TrimSpace(body); len(trimmed) > 0 && trimmed[0] == '[' {
			if err := json.Unmarshal(trimmed, &list); err != nil {
				return answer{}, fmt.Errorf("%w: want an incident or a list of incidents: %w", errForm, err)
			}
		} else {
			list = []json.RawMessage{trimmed}
		}
		return r.takeIncidents(ctx, list)
	})
}

// ever are the times that incidents may have.
var ever = [2]time.Time{time.Unix(0, 0).UTC(), time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)}

func (r *Receiver) takeIncidents(ctx context.Context, list []json.RawMessage) (answer, error) {
	var a answer
	known, err := r.known(ctx, ever[0], ever[1])
	if err != nil {
		return a, err
	}
	var changed []schema.Incident
	var places []int
	for i, raw := range list {
		in, err := Amend(raw, known)
		if err != nil {
			a.Refused = append(a.Refused, refusal{i, err.Error()})
			continue
		}
		in.Version = r.next(in.Version)
		known[in.ID] = in
		changed, places = append(changed, in), append(places, i)
	}
	refused, err := r.put(ctx, changed)
	if err != nil {
		return a, err
	}
	for i, err := range refused {
		a.Refused = append(a.Refused, refusal{places[i], err.Error()})
	}
	a.Taken = len(changed) - len(refused)
	return a, nil
}

// Amend lays the fields of a JSON object over the incident of the same id, if there is one. The version stays.
func Amend(raw []byte, known map[string]schema.Incident) (schema.Incident, error) {
	var of struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(raw, &of); err != nil {
		return schema.Incident{}, fmt.Errorf("no incident: %w", err)
	}
	if of.ID == "" {
		return schema.Incident{}, errors.New("id is missing")
	}
	in := cloned(known[of.ID])
	version := in.Version
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields() // a mistyped field would be lost without a word
	if err := dec.Decode(&in); err != nil {
		return in, fmt.Errorf("no incident: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return in, errors.New("no incident: there is more behind it")
	}
	in.Version = version
	if in.Origin == "" {
		in.Origin = schema.OriginUnknown
	}
	return in, nil
}
