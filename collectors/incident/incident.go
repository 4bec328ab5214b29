// Package incident takes incidents: from Alertmanager's webhook, one for each alert, and from people and their tools, who say what
// Alertmanager cannot know: cause, origin and follow-ups. Whatever somebody has said about an incident stays when its alert is sent
// again; the alert only says when it ended.
package incident

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// DefaultLimits fit some thousand alerts a request.
var DefaultLimits = collectors.BodyLimits{Wire: 4 << 20, Decoded: 16 << 20, Timeout: 30 * time.Second}

// Known returns the newest version of each incident that shares an instant with [from, to).
type Known func(ctx context.Context, from, to time.Time) ([]schema.Incident, error)

// Config is what a Receiver needs; Mapping, Limits, Memory, Now, Logger and Registerer may be left out.
type Config struct {
	Authenticate collectors.Authenticate
	Sink         collectors.Sink
	Known        Known
	Mapping      Mapping
	Limits       collectors.BodyLimits
	Memory       *collectors.BodyMemory
	Now          func() time.Time
	Logger       *slog.Logger
	Registerer   prometheus.Registerer
}

// Receiver takes incidents over HTTP.
type Receiver struct {
	cfg    Config
	alerts *prometheus.CounterVec

	mu sync.Mutex
	// recent are incidents on their way to the warehouse, which does not know them yet, by id.
	recent map[string]recent
}

type recent struct {
	schema.Incident
	at time.Time
}

// onTheWay is how long an incident is remembered that was handed over; the warehouse has it by then.
const onTheWay = 24 * time.Hour

// New makes a Receiver.
func New(cfg Config) (*Receiver, error) {
	if cfg.Authenticate == nil || cfg.Sink == nil || cfg.Known == nil {
		return nil, errors.New("incident: authentication, a sink and the known incidents are required")
	}
	cfg.Limits = cmp.Or(cfg.Limits, DefaultLimits)
	cfg.Now, cfg.Logger = collectors.Clock(cfg.Now), collectors.Logger(cfg.Logger)
	cfg.Mapping = cfg.Mapping.withDefaults()
	r := &Receiver{cfg: cfg, recent: map[string]recent{}, alerts: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kubevalue_incident_alerts_total",
		Help: "Alerts that Alertmanagers told of, by result: taken, unchanged or refused.",
	}, []string{"result"})}
	return r, collectors.Register(cfg.Registerer, "incident", r.alerts)
}

// errForm means that a body is not what the door takes.
var errForm = errors.New("the body is not what this endpoint takes")

// refusal is one record that was not taken.
type refusal struct {
	Index int    `json:"index"`
	Error string `json:"error"`
}

// answer says what became of a body.
type answer struct {
	Taken     int       `json:"taken"`
	Unchanged int       `json:"unchanged"`
	Refused   []refusal `json:"refused,omitempty"`
}

// door is a handler for bodies that one function understands.
func (r *Receiver) door(take func(ctx context.Context, body []byte) (answer, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		a, err := r.receive(w, req, take)
		switch {
		case errors.Is(err, errForm):
			collectors.Problem(w, http.StatusBadRequest, "bad_request", err.Error())
		case err != nil:
			r.cfg.Logger.WarnContext(req.Context(), "incidents were not taken", "error", err)
			collectors.Refuse(w, err)
		case len(a.Refused) > 0:
			r.cfg.Logger.WarnContext(req.Context(), "some incidents can never be stored", "refused", len(a.Refused), "first", a.Refused[0].Error)
			collectors.Answer(w, http.StatusBadRequest, a)
		default:
			collectors.Answer(w, http.StatusOK, a)
		}
	})
}

func (r *Receiver) receive(w http.ResponseWriter, req *http.Request, take func(ctx context.Context, body []byte) (answer, error)) (answer, error) {
	grant, err := r.cfg.Authenticate(req.Context(), collectors.BearerToken(req), collectors.EndpointIncidents)
	if err != nil {
		return answer{}, err
	}
	body, release, err := collectors.ReadBody(w, req, r.cfg.Limits, r.cfg.Memory)
	if err != nil {
		return answer{}, err
	}
	defer release()
	if err := grant.Charge(1); err != nil {
		return answer{}, err
	}
	// One body at a time: what one changes, the next has to see.
	r.mu.Lock()
	defer r.mu.Unlock()
	return take(req.Context(), body)
}

// known are the incidents of a period with those that are on their way, by id.
func (r *Receiver) known(ctx context.Context, from, to time.Time) (map[string]schema.Incident, error) {
	rows, err := r.cfg.Known(ctx, from, to)
	if err != nil {
		return nil, fmt.Errorf("which incidents are known: %w", err)
	}
	out := make(map[string]schema.Incident, len(rows))
	for _, in := range rows {
		out[in.ID] = in
	}
	now := r.cfg.Now()
	for id, in := range r.recent {
		switch stored, ok := out[id]; {
		case now.Sub(in.at) > onTheWay:
			delete(r.recent, id)
		case !ok || stored.Version < in.Version:
			out[id] = in.Incident
		}
	}
	return out, nil
}

// put hands incidents over; those that can never be stored are named by their place in it.
func (r *Receiver) put(ctx context.Context, all []schema.Incident) (map[int]error, error) {
	if len(all) == 0 {
		return nil, nil
	}
	err := r.cfg.Sink.Append(ctx, schema.Batch{Incidents: all})
	refused := map[int]error{}
	var batch *collectors.BatchError
	if errors.As(err, &batch) {
		var good []schema.Incident
		for _, record := range batch.Records {
			refused[record.Index] = record.Err
		}
		for i, in := range all {
			if refused[i] == nil {
				good = append(good, in)
			}
		}
		err = nil
		if len(good) > 0 {
			err = r.cfg.Sink.Append(ctx, schema.Batch{Incidents: good})
		}
	}
	if err != nil {
		return nil, err
	}
	for i, in := range all {
		if refused[i] == nil {
			r.recent[in.ID] = recent{in, r.cfg.Now()}
		}
	}
	return refused, nil
}

// next is the version that replaces one.
func (r *Receiver) next(old uint64) uint64 { return max(old+1, uint64(r.cfg.Now().UnixMilli())) }

// cloned shares no list with what it was made from.
func cloned(in schema.Incident) schema.Incident {
	in.Objectives, in.Links, in.Followups = slices.Clone(in.Objectives), slices.Clone(in.Links), slices.Clone(in.Followups)
	return in
}
