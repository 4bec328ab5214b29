// Package remotewrite takes samples from Prometheus servers by remote write 1.0 and counts the events of indicators by the increase of
// their counters, slice by slice of the samples' own times. Samples that come late correct their slice; those that come twice, or out of
// order, change nothing. What is counted is saved every five seconds, before it is handed over: what was taken after that and is lost with a
// process that is killed is in the increase to the next sample of its series, and counts in the slice of that sample, unless it comes more
// than five minutes later.
//
// Of Prometheus servers that watch the same targets and send the same series with another label each, such as replica, the selectors of
// indicators name one: all of them would count twice.
package remotewrite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/collectors/scrape"
)

// DefaultLimits fit Prometheus' default batches of 2,000 samples many times.
var DefaultLimits = collectors.BodyLimits{Wire: 8 << 20, Decoded: 32 << 20, Timeout: 30 * time.Second}

// Config is what a Receiver needs; Limits, Memory, Now, Logger and Registerer may be left out.
type Config struct {
	Indicators   []scrape.Indicator
	Authenticate collectors.Authenticate
	Sink         collectors.Sink
	Limits       collectors.BodyLimits
	Memory       *collectors.BodyMemory
	Now          func() time.Time
	Logger       *slog.Logger
	Registerer   prometheus.Registerer
	// State is the file that keeps what was counted; empty: counting begins anew with each process, and slices under way are lost.
	State string
}

// Receiver is POST /api/v1/write, with a bearer token for the endpoint "remotewrite":
//
//	204  counted
//	400  no snappy, or no remote write 1.0: the sender should not send it again
//	401, 403  token missing, unknown, expired, or not good for the endpoint
//	413  too large               415  remote write 2.0              429, 503  come again after Retry-After
type Receiver struct {
	cfg     Config
	samples *prometheus.CounterVec
	tally   *tally
}

// New checks all indicators and names every fault of them at once.
func New(cfg Config) (*Receiver, error) {
	if cfg.Authenticate == nil || cfg.Sink == nil {
		return nil, errors.New("remotewrite: authentication and a sink are required")
	}
	cfg.Limits = cmp.Or(cfg.Limits, DefaultLimits)
	cfg.Now, cfg.Logger = collectors.Clock(cfg.Now), collectors.Logger(cfg.Logger)
	counters, err := scrape.NewCounters(cfg.Indicators)
	if err != nil {
		return nil, err
	}
	r := &Receiver{cfg: cfg, tally: newTally(counters), samples: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kubevalue_remotewrite_samples_total",
		Help: "Samples that came by remote write, by result: counted, ignored (of no indicator, repeated, out of order, or no count), too_late, too_early (from " +
			"the future) or too_many (of more series or targets than are remembered, or with labels that are too long).",
	}, []string{"result"})}
	r.restore()
	return r, collectors.Register(cfg.Registerer, "remotewrite", r.samples)
}

// errForm means that a body is no remote write 1.0.
var errForm = errors.New("the body is no remote write 1.0: want a snappy-compressed prometheus.WriteRequest")

// ServeHTTP takes one request.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	err := r.receive(w, req)
	switch {
	case errors.Is(err, errForm):
		collectors.Problem(w, http.StatusBadRequest, "bad_request", err.Error())
	case err != nil:
		collectors.Refuse(w, err)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

func (r *Receiver) receive(w http.ResponseWriter, req *http.Request) error {
	grant, err := r.cfg.Authenticate(req.Context(), collectors.BearerToken(req), collectors.EndpointRemoteWrite)
	if err != nil {
		return err
	}
	if encoding := req.Header.Get("Content-Encoding"); encoding != "snappy" || strings.Contains(req.Header.Get("Content-Type"), "write.v2") {
		return fmt.Errorf("%w: this endpoint takes remote write 1.0, compressed by snappy", collectors.ErrBodyEncoding)
	}
	plain := req.Clone(req.Context())
	plain.Header.Del("Content-Encoding") // snappy is unpacked here
	packed, release, err := collectors.ReadBody(w, plain, r.cfg.Limits, r.cfg.Memory)
	if err != nil {
		return err
	}
	defer release()
	size, err := snappy.DecodedLen(packed)
	if err != nil {
		return fmt.Errorf("%w: %w", errForm, err)
	}
	if int64(size) > r.cfg.Limits.Decoded {
		return fmt.Errorf("%w: %d bytes, at most %d after decompression", collectors.ErrBodyTooLarge, size, r.cfg.Limits.Decoded)
	}
	body, err := snappy.Decode(nil, packed)
	if err != nil {
		return fmt.Errorf("%w: %w", errForm, err)
	}
	var in prompb.WriteRequest
	if err := in.Unmarshal(body); err != nil {
		return fmt.Errorf("%w: %w", errForm, err)
	}
	if err := grant.Charge(len(in.Timeseries)); err != nil {
		return err
	}
	r.take(in.Timeseries)
	return nil
}

func (r *Receiver) take(all []prompb.TimeSeries) {
	var builder labels.ScratchBuilder
	r.tally.mu.Lock()
	defer r.tally.mu.Unlock()
	now := r.cfg.Now()
	var n results
	for i := range all { // first, so that the order of series does not matter
		all[i].Samples = n.timely(all[i].Samples, now)
		l := all[i].ToLabels(&builder, nil)
		r.tally.target(l, scraped(l, all[i].Samples))
	}
	for _, series := range all {
		r.tally.add(series.ToLabels(&builder, nil), series.Samples, now, &n)
	}
	for result, samples := range map[string]int{"counted": n.counted, "ignored": n.ignored, "too_late": n.late, "too_early": n.early, "too_many": n.many} {
		r.samples.WithLabelValues(result).Add(float64(samples))
	}
}

// Run hands slices over until the context ends. What is handed over was saved before.
func (r *Receiver) Run(ctx context.Context) error {
	ticker := time.NewTicker(scrape.HandOverEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			within, cancel := context.WithTimeout(context.WithoutCancel(ctx), scrape.HandOverEvery)
			defer cancel()
			r.handOver(within)
			r.save()
			return nil
		case <-ticker.C:
			r.handOver(ctx)
		}
	}
}

func (r *Receiver) handOver(ctx context.Context) {
	r.save()
	r.tally.sums.HandOver(ctx, r.cfg.Sink, r.cfg.Now(), r.cfg.Logger)
	r.tally.sweep(r.cfg.Now())
}
