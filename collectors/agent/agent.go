// Package agent takes what other programs measured: slices of indicators, incidents with their follow-ups, what happened to
// resources in clusters, and what people said elsewhere (surveys, tickets, requests, hours), in kubevalue's own record form. It is the door for agents in clusters that this service cannot reach, for backfills and for the simulated
// organisation of `kubevalue demo`.
package agent

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// DefaultLimits fit about 100,000 slices or 50,000 changes a request; the pipeline takes 100,000 records at most.
var DefaultLimits = collectors.BodyLimits{Wire: 16 << 20, Decoded: 32 << 20, Timeout: 30 * time.Second}

// Config is what a Handler needs; all of it but Limits, which are DefaultLimits when zero, Memory and Owner.
type Config struct {
	Authenticate collectors.Authenticate
	Sink         collectors.Sink
	Limits       collectors.BodyLimits
	Memory       *collectors.BodyMemory
	// Owner says whose a resource is for which the agent names no team, or which the configuration maps to one.
	Owner schema.OwnerFunc
	// SliceSeconds is how long the slices of an indicator's revision must be, 0 for any; nil: for any. A slice counts as one, however long it
	// says that it is.
	SliceSeconds func(indicator, revision string) uint32
}

// Handler is POST /v1/agent. The body is one JSON object with any of the lists "slices", "incidents", "changes", "consumption" and "feedback", whose
// entries are schema.Slice, schema.Incident, schema.ResourceChange, schema.Consumption and schema.Feedback (testdata/example.json has one of each); it
// is taken as a whole or not at all:
//
//	202  on disk; the body counts the records
//	400  not that form, or a record that can never be stored: the body names list, index and reason
//	401, 403  token missing, unknown, expired, or not good for the endpoint "agent", or for a change's cluster or team
//	413  too large               429, 503  come again after Retry-After: nothing was taken
//
// Sending a record again changes nothing: slices are keyed by indicator, revision, group and start, incidents by id, changes by
// cluster, kind, uid, change and key, feedback by kind and id. Each change carries the resource's whole state after it, and is dated by when it happened. An
// agent that watches a cluster renews the cluster's own record (kind Cluster, change "observed", key the hour, 2026-11-20T14) at least
// every hour, for that says that the cluster is being watched; and each other resource's (key the day, 2026-11-20) every day.
type Handler struct{ cfg Config }

// New makes a Handler.
func New(cfg Config) *Handler {
	cfg.Limits = cmp.Or(cfg.Limits, DefaultLimits)
	return &Handler{cfg: cfg}
}

// records is the part of schema.Batch that agents may fill.
type records struct {
	Slices    []slice                 `json:"slices"`
	Incidents []schema.Incident       `json:"incidents"`
	Changes   []schema.ResourceChange `json:"changes"`

	Consumption []schema.Consumption `json:"consumption"`
	Feedback    []schema.Feedback    `json:"feedback"`
}

// slice tells a count of 0 from one that is not there: without its good events a slice would be all bad.
type slice struct {
	schema.Slice
	Good  *float64 `json:"good"`
	Total *float64 `json:"total"`
}

// slices refuses measurements without both counts.
func (in records) slices() ([]schema.Slice, error) {
	var bad []collectors.RecordError
	out := make([]schema.Slice, len(in.Slices))
	for i, s := range in.Slices {
		out[i] = s.Slice
		switch {
		case s.Good != nil && s.Total != nil:
			out[i].Good, out[i].Total = *s.Good, *s.Total
		case s.State != schema.SliceGap:
			bad = append(bad, collectors.RecordError{Kind: "slice", Index: i, Err: errCounts})
		case s.Total != nil:
			out[i].Total = *s.Total
		}
	}
	if len(bad) > 0 {
		return nil, &collectors.BatchError{Records: bad}
	}
	return out, nil
}

var errCounts = errors.New("good or total is missing: write both, or the state gap for what was not measured")

// ErrForm means that the body is not what the door takes.
var ErrForm = errors.New(`the body is not an object with any of the lists "slices", "incidents", "changes", "consumption" and "feedback"`)

// ServeHTTP takes one body.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n, err := h.take(w, r)
	switch {
	case errors.Is(err, ErrForm):
		collectors.Problem(w, http.StatusBadRequest, "bad_request", err.Error())
	case err != nil:
		collectors.Refuse(w, err)
	default:
		collectors.Answer(w, http.StatusAccepted, map[string]int{"taken": n})
	}
}

func (h *Handler) take(w http.ResponseWriter, r *http.Request) (int, error) {
	grant, err := h.cfg.Authenticate(r.Context(), collectors.BearerToken(r), collectors.EndpointAgent)
	if err != nil {
		return 0, err
	}
	body, release, err := collectors.ReadBody(w, r, h.cfg.Limits, h.cfg.Memory)
	if err != nil {
		return 0, err
	}
	defer release()
	in, err := Decode(body)
	if err != nil {
		return 0, err
	}
	in.Backfill = grant.Backfill
	for i := range in.Slices {
		if in.Slices[i].State == "" {
			in.Slices[i].State = schema.SliceMeasured
		}
	}
	for i := range in.Incidents {
		if in.Incidents[i].Origin == "" {
			in.Incidents[i].Origin = schema.OriginUnknown
		}
	}
	for i := range in.Changes {
		if c := &in.Changes[i]; !grant.AllowsCluster(c.Cluster) || !grant.AllowsTeam(c.Team) {
			return 0, fmt.Errorf("%w: change %d is of cluster %q and team %q, for which the token is not good", collectors.ErrForbidden, i, c.Cluster, c.Team)
		}
	}
	for i := range in.Consumption {
		if c := &in.Consumption[i]; !grant.AllowsCluster(c.Cluster) || !grant.AllowsTeam(c.Team) {
			return 0, fmt.Errorf("%w: consumption %d is of cluster %q and team %q, for which the token is not good", collectors.ErrForbidden, i, c.Cluster, c.Team)
		}
	}
	for i := range in.Feedback {
		if f := &in.Feedback[i]; !grant.AllowsTeam(f.Team) {
			return 0, fmt.Errorf("%w: feedback %d is of team %q, for which the token is not good", collectors.ErrForbidden, i, f.Team)
		}
	}
	if err := h.checkLengths(in.Slices); err != nil {
		return 0, err
	}
	h.own(in.Changes)
	if err := grant.Charge(in.Len()); err != nil {
		return 0, err
	}
	return in.Len(), h.cfg.Sink.Append(r.Context(), in)
}

// checkLengths refuses slices that are longer or shorter than what is computed from them takes them to be.
func (h *Handler) checkLengths(in []schema.Slice) error {
	if h.cfg.SliceSeconds == nil {
		return nil
	}
	var bad []collectors.RecordError
	for i, s := range in {
		if want := h.cfg.SliceSeconds(s.Indicator, s.Revision); want != 0 && want != s.Seconds {
			bad = append(bad, collectors.RecordError{Kind: "slice", Index: i, Err: fmt.Errorf(
				"%d seconds: objectives take the slices of %s, revision %s, to be of %d; send such, or another revision", s.Seconds, s.Indicator, s.Revision, want)})
		}
	}
	if len(bad) > 0 {
		return &collectors.BatchError{Records: bad}
	}
	return nil
}

// own fills in owners. What an agent says counts, unless the configuration maps the resource.
func (h *Handler) own(changes []schema.ResourceChange) {
	if h.cfg.Owner == nil {
		return
	}
	for i := range changes {
		c := &changes[i]
		team, by := h.cfg.Owner(schema.OwnerQuestion{At: c.StateTime(), Resource: &c.Resource})
		if team != "" && (c.Team == "" || by == schema.OwnerByMapping) {
			c.Team, c.TeamSource = team, string(by)
		}
	}
}

// Decode reads a body strictly: a key that is not known is a mistake that would otherwise go unnoticed. Its errors wrap [ErrForm], or are
// a [collectors.BatchError] of slices without counts.
func Decode(body []byte) (schema.Batch, error) {
	var in records
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return schema.Batch{}, fmt.Errorf("%w: %w", ErrForm, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return schema.Batch{}, fmt.Errorf("%w: there is more behind it", ErrForm)
	}
	slices, err := in.slices()
	if err != nil {
		return schema.Batch{}, err
	}
	b := schema.Batch{Slices: slices, Incidents: in.Incidents, Changes: in.Changes, Consumption: in.Consumption, Feedback: in.Feedback}
	if b.Len() == 0 {
		return schema.Batch{}, fmt.Errorf("%w: it holds nothing", ErrForm)
	}
	return b, nil
}
