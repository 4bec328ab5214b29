// Package usage takes usage events over HTTP: kubevalue's own form (Native), and those of Segment, PostHog and CloudEvents,
// so that their clients work unchanged. Whatever the protocol, an event's identity is (the token's source, the sender's id).
package usage

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// Limits of what one request may hold, whatever the protocol.
const (
	DefaultMaxEvents  = 10_000
	DefaultMaxLate    = 30 * 24 * time.Hour
	DefaultEventBytes = 32 << 10
)

// DefaultLimits bound the bodies of all protocols; PostHog's clients send up to 20 MB.
var DefaultLimits = collectors.BodyLimits{Wire: 20 << 20, Decoded: 32 << 20, Timeout: 30 * time.Second}

// Config is what a Receiver needs.
type Config struct {
	Authenticate collectors.Authenticate
	Sink         collectors.Sink
	// Validate is the pipeline's own.
	Validate collectors.Validate
	// Quarantine keeps what a foreign client sent and can never be stored; when it fails the client is asked to come again. Nil:
	// it is counted and dropped.
	Quarantine func(ctx context.Context, rows []schema.Quarantined) error
	// Limits are DefaultLimits when zero.
	Limits collectors.BodyLimits
	// Memory is shared by all who receive bodies; nil: no bound.
	Memory *collectors.BodyMemory
	// MaxEvents bounds the events of one request, EventBytes the bytes of one of them; the defaults when 0.
	MaxEvents, EventBytes int
	// MaxLate is how far back an event may lie without the grant's Backfill; DefaultMaxLate when 0.
	MaxLate time.Duration
	// Now is time.Now when nil.
	Now    func() time.Time
	Logger *slog.Logger
	// Registerer takes the metrics; nil: nobody reads them.
	Registerer prometheus.Registerer
}

// Receiver takes events by several protocols; its methods make the handlers.
type Receiver struct {
	cfg    Config
	events *prometheus.CounterVec
	bodies *prometheus.CounterVec
	// quarantined counts what foreign clients sent and can never be stored.
	quarantined *prometheus.CounterVec
	// room holds *nativeRoom.
	room sync.Pool
}

// New makes a Receiver; Authenticate, Sink and Validate must be there.
func New(cfg Config) (*Receiver, error) {
	if cfg.Authenticate == nil || cfg.Sink == nil || cfg.Validate == nil {
		return nil, errors.New("usage events: Authenticate, Sink and Validate are required")
	}
	cfg = cfg.withDefaults()
	r := &Receiver{
		cfg:  cfg,
		room: sync.Pool{New: func() any { return &nativeRoom{attributes: map[string]map[string]string{}} }},
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubevalue_usage_events_total",
			Help: "Usage events received, by protocol and result: accepted, or why not.",
		}, []string{"protocol", "result"}),
		bodies: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubevalue_usage_requests_total",
			Help: "Requests with usage events, by protocol and the code of the answer.",
		}, []string{"protocol", "code"}),
		quarantined: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubevalue_usage_quarantined_records_total",
			Help: "Records of foreign clients that went to the quarantine, since they can never be stored, by protocol.",
		}, []string{"protocol"}),
	}
	for _, protocol := range []string{protocolSegment, protocolPostHog} {
		r.quarantined.WithLabelValues(protocol)
	}
	return r, collectors.Register(cfg.Registerer, "usage events", r.events, r.bodies, r.quarantined)
}

func (cfg Config) withDefaults() Config {
	cfg.Limits, cfg.MaxEvents = cmp.Or(cfg.Limits, DefaultLimits), cmp.Or(cfg.MaxEvents, DefaultMaxEvents)
	cfg.EventBytes, cfg.MaxLate = cmp.Or(cfg.EventBytes, DefaultEventBytes), cmp.Or(cfg.MaxLate, DefaultMaxLate)
	cfg.Now, cfg.Logger = collectors.Clock(cfg.Now), collectors.Logger(cfg.Logger)
	return cfg
}

// The values of the label result. What Validate refuses is "invalid".
const (
	resultAccepted = "accepted"
	resultInvalid  = "invalid"
	resultLate     = "late"
	resultGrant    = "not_granted"
)

// refusal is why one event is not taken: a word for the metrics and a text for the sender, with nothing of a person in it.
type refusal struct {
	result string
	reason string
}

func (r *refusal) Error() string { return r.reason }

func invalid(format string, args ...any) error {
	return &refusal{resultInvalid, fmt.Sprintf(format, args...)}
}

// check says why an event cannot be taken from the holder of a grant; nil: it can.
func (r *Receiver) check(grant collectors.Grant, e *schema.Event) error {
	switch {
	case !grant.AllowsTeam(e.Team):
		return &refusal{resultGrant, "team: the token is not good for this team"}
	case !grant.AllowsTeam(e.OwnerTeam):
		return &refusal{resultGrant, "owner_team: the token is not good for this team"}
	case e.Cluster != "" && !grant.AllowsCluster(e.Cluster):
		return &refusal{resultGrant, "cluster: the token is not good for this cluster"}
	case !grant.Backfill && e.Received.Sub(e.Time) > r.cfg.MaxLate:
		return &refusal{resultLate, fmt.Sprintf("time: more than %s ago: older events need a token with backfill", days(r.cfg.MaxLate))}
	}
	if err := r.cfg.Validate(e); err != nil {
		return invalid("%v", err)
	}
	return nil
}

func days(d time.Duration) string {
	const day = 24 * time.Hour
	if d%day == 0 {
		return fmt.Sprintf("%d days", d/day)
	}
	return d.String()
}

// request is what every protocol knows of a request once it may be read.
type request struct {
	grant    collectors.Grant
	received time.Time
	body     []byte
	release  func()
}

// open authenticates a request and reads its body. On success the caller calls release.
func (r *Receiver) open(w http.ResponseWriter, hr *http.Request, token, endpoint string) (request, error) {
	grant, err := r.cfg.Authenticate(hr.Context(), token, endpoint)
	if err != nil {
		return request{}, err
	}
	body, release, err := r.read(w, hr)
	if err != nil {
		return request{}, err
	}
	return request{grant: grant, received: r.cfg.Now().UTC(), body: body, release: release}, nil
}

// read reads a body and mends what is no UTF-8 in it.
func (r *Receiver) read(w http.ResponseWriter, hr *http.Request) ([]byte, func(), error) {
	body, release, err := collectors.ReadBody(w, hr, r.cfg.Limits, r.cfg.Memory)
	if err == nil && !utf8.Valid(body) {
		body = bytes.ToValidUTF8(body, []byte("\ufffd"))
		body = append(body, make([]byte, collectors.BodySpare)...)[:len(body)]
	}
	return body, release, err
}

// store charges the grant and appends; nothing is stored when it fails.
func (r *Receiver) store(ctx context.Context, grant collectors.Grant, batch schema.Batch) error {
	if err := grant.Charge(batch.Len()); err != nil {
		return err
	}
	return r.append(ctx, grant, batch)
}

func (r *Receiver) append(ctx context.Context, grant collectors.Grant, batch schema.Batch) error {
	if batch.Len() == 0 {
		return nil
	}
	batch.Backfill = grant.Backfill
	return r.cfg.Sink.Append(ctx, batch)
}

// errBadRequest marks a body that is none of the protocol's: no retry mends it, and nothing of it is stored.
var errBadRequest = errors.New("bad request")

// errTooMany means more events than a request may hold.
func (r *Receiver) errTooMany() error {
	return fmt.Errorf("%w: more than %d events", collectors.ErrBodyTooLarge, r.cfg.MaxEvents)
}

// refuse answers a request of which nothing was stored.
func (r *Receiver) refuse(w http.ResponseWriter, protocol string, err error) {
	var syntax *collectors.SyntaxError
	if errors.Is(err, errBadRequest) || errors.As(err, &syntax) {
		r.bodies.WithLabelValues(protocol, "bad_request").Inc()
		collectors.Problem(w, http.StatusBadRequest, "bad_request", strings.TrimPrefix(err.Error(), errBadRequest.Error()+": "))
		return
	}
	status, code := collectors.HTTPStatus(err)
	r.bodies.WithLabelValues(protocol, code).Inc()
	if status >= http.StatusInternalServerError {
		r.cfg.Logger.Warn("usage events refused", "protocol", protocol, "code", code, "error", err)
	}
	collectors.Refuse(w, err)
}

// only answers requests of another method; true: the method is the wanted one.
func only(w http.ResponseWriter, hr *http.Request, method string) bool {
	if hr.Method == method {
		return true
	}
	w.Header().Set("Allow", method)
	collectors.Problem(w, http.StatusMethodNotAllowed, "method_not_allowed", "use "+method)
	return false
}

// tally counts what became of events.
type tally map[string]int

func (t tally) add(err error) {
	var why *refusal
	switch {
	case err == nil:
		t[resultAccepted]++
	case errors.As(err, &why):
		t[why.result]++
	default:
		t[resultInvalid]++
	}
}

func (r *Receiver) count(protocol string, t tally) {
	for result, n := range t {
		r.events.WithLabelValues(protocol, result).Add(float64(n))
	}
}
