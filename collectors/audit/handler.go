package audit

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// PathPrefix is in front of the cluster's name in the webhook's path.
const PathPrefix = "/audit/"

// DefaultLimits fit the apiserver's own: a batch is 400 events, or 10 MiB when it truncates.
var DefaultLimits = collectors.BodyLimits{Wire: 16 << 20, Decoded: 32 << 20, Timeout: 30 * time.Second}

// maxClusterName is the longest name of a cluster, in bytes.
const maxClusterName = 253

// Config is what a Handler needs.
type Config struct {
	Authenticate collectors.Authenticate
	Sink         collectors.Sink
	// Validate is the pipeline's own; what it refuses is left out and counted.
	Validate collectors.Validate
	// Limits are DefaultLimits when zero.
	Limits collectors.BodyLimits
	// Memory is shared by all who receive bodies; nil: no bound.
	Memory *collectors.BodyMemory
	// IgnoreUsers are users whose events are left out: names, or the beginning of names in front of a final "*". kubevalue's
	// own service account belongs here.
	IgnoreUsers []string
	// Now is time.Now when nil.
	Now    func() time.Time
	Logger *slog.Logger
	// Registerer takes the metrics; nil: nobody reads them.
	Registerer prometheus.Registerer
}

// Handler is the webhook POST /audit/CLUSTER, which answers once the usage events are on disk:
//
//	200  taken; the body says how many, and how many were left out for which reason
//	400  no EventList            401, 403  token missing, unknown, expired, or not for this cluster
//	413  too large               429, 503  come again after Retry-After: nothing was taken
//
// kube-apiserver sends the token of its webhook configuration over https alone: behind http every request is a 401.
type Handler struct {
	cfg    Config
	events *prometheus.CounterVec
	bodies *prometheus.CounterVec
	heard  heard
}

// New makes a Handler; Authenticate, Sink and Validate must be there.
func New(cfg Config) (*Handler, error) {
	if cfg.Authenticate == nil || cfg.Sink == nil || cfg.Validate == nil {
		return nil, errors.New("audit webhook: Authenticate, Sink and Validate are required")
	}
	cfg.Limits = cmp.Or(cfg.Limits, DefaultLimits)
	cfg.Now, cfg.Logger = collectors.Clock(cfg.Now), collectors.Logger(cfg.Logger)
	h := &Handler{
		cfg: cfg,
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubevalue_audit_events_total",
			Help: "Audit events received by webhook, by result: taken, or the reason for leaving them out.",
		}, []string{"result"}),
		bodies: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kubevalue_audit_requests_total",
			Help: "Requests to the audit webhook, by the code of the answer.",
		}, []string{"code"}),
		heard: heard{last: map[string]time.Time{}, gauges: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "kubevalue_audit_last_request_timestamp_seconds",
			Help: "When the audit webhook of a cluster last sent something that was taken.",
		}, []string{"cluster"})},
	}
	return h, collectors.Register(cfg.Registerer, "audit webhook", h.events, h.bodies, h.heard.gauges)
}

// maxHeard bounds the clusters whose newest request is told: a token may be good for any name.
const maxHeard = 1000

// heard tells when clusters last sent something.
type heard struct {
	gauges *prometheus.GaugeVec
	mu     sync.Mutex
	last   map[string]time.Time
}

// forgottenAfter is when a cluster that sends nothing makes room for others.
const forgottenAfter = 48 * time.Hour

func (h *heard) note(cluster string, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known := h.last[cluster]; !known && len(h.last) >= maxHeard {
		maps.DeleteFunc(h.last, func(other string, last time.Time) bool {
			return at.Sub(last) > forgottenAfter && h.gauges.DeleteLabelValues(other)
		})
		if len(h.last) >= maxHeard {
			return
		}
	}
	h.last[cluster] = at
	h.gauges.WithLabelValues(cluster).Set(float64(at.Unix()))
}

// ServeHTTP takes one EventList.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		collectors.Problem(w, http.StatusMethodNotAllowed, "method_not_allowed", "send EventLists by POST")
		return
	}
	tally, err := h.receive(w, r)
	if err != nil {
		h.refuse(w, err)
		return
	}
	for result, n := range tally {
		h.events.WithLabelValues(label(result)).Add(float64(n))
	}
	h.bodies.WithLabelValues("ok").Inc()
	collectors.Answer(w, http.StatusOK, answer(tally))
}

// answer says what became of the events.
func answer(tally map[LeftOut]int) any {
	body := struct {
		Taken   int             `json:"taken"`
		LeftOut map[LeftOut]int `json:"left_out,omitempty"`
	}{Taken: tally[Taken]}
	delete(tally, Taken)
	body.LeftOut = tally
	return body
}

func label(result LeftOut) string {
	if result == Taken {
		return "taken"
	}
	return string(result)
}

func (h *Handler) receive(w http.ResponseWriter, r *http.Request) (map[LeftOut]int, error) {
	cluster := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, PathPrefix), "/")
	grant, err := h.cfg.Authenticate(r.Context(), collectors.BearerToken(r), collectors.EndpointAudit)
	if err != nil {
		return nil, err
	}
	if err := checkCluster(cluster); err != nil {
		return nil, err
	}
	if !grant.AllowsCluster(cluster) {
		return nil, fmt.Errorf("%w: cluster %q is not among the clusters of token %q", collectors.ErrForbidden, cluster, grant.Name)
	}
	body, release, err := collectors.ReadBody(w, r, h.cfg.Limits, h.cfg.Memory)
	if err != nil {
		return nil, err
	}
	defer release()
	m := mapper{cluster: cluster, received: h.cfg.Now().UTC(), ignored: h.cfg.IgnoreUsers}
	events, tally, err := m.list(body, h.cfg.Validate)
	if err != nil {
		return nil, err
	}
	if len(events) > 0 {
		if err := grant.Charge(len(events)); err != nil {
			return nil, err
		}
		if err := h.cfg.Sink.Append(r.Context(), schema.Batch{Events: events, Backfill: grant.Backfill}); err != nil {
			return nil, err
		}
	}
	h.heard.note(cluster, m.received)
	return tally, nil
}

// checkCluster accepts the names that Kubernetes objects may have, and colons, slashes and upper case as cloud accounts do.
func checkCluster(cluster string) error {
	if cluster == "" || len(cluster) > maxClusterName {
		return fmt.Errorf("%w: cluster %.40q: want a path %sCLUSTER with 1 to %d bytes", errBadRequest, cluster, PathPrefix, maxClusterName)
	}
	for i := range len(cluster) {
		switch c := cluster[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case i > 0 && (c == '-' || c == '_' || c == '.' || c == ':' || c == '/'):
		default:
			return fmt.Errorf("%w: cluster %.40q: want letters, digits and - _ . : / after the first", errBadRequest, cluster)
		}
	}
	return nil
}

// errBadRequest marks a request that no retry can mend.
var errBadRequest = errors.New("bad request")

func (h *Handler) refuse(w http.ResponseWriter, err error) {
	var syntax *collectors.SyntaxError
	if errors.Is(err, errBadRequest) || errors.Is(err, errNotEventList) || errors.As(err, &syntax) {
		h.bodies.WithLabelValues("bad_request").Inc()
		collectors.Problem(w, http.StatusBadRequest, "bad_request", err.Error())
		return
	}
	status, code := collectors.HTTPStatus(err)
	h.bodies.WithLabelValues(code).Inc()
	if status >= http.StatusInternalServerError {
		h.cfg.Logger.Warn("audit events refused", "code", code, "error", err)
	}
	collectors.Refuse(w, err)
}
