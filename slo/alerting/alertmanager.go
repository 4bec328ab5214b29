package alerting

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Alertmanager sends to the v2 API of one or more replicas of a Prometheus Alertmanager: every alert to each of them,
// in batches, at every tick, so that it is known to one that was away.
type Alertmanager struct {
	// URLs are the replicas' base addresses, such as http://alertmanager:9093.
	URLs []string
	// Client is http.DefaultClient when nil; its transport may add credentials.
	Client *http.Client
	// Interval is how often the manager ticks. An alert that is not resent for four intervals, or four minutes when
	// those are longer, resolves by itself: so does everything when kubevalue dies.
	Interval time.Duration
	// Timeout bounds each request; 10 s when 0.
	Timeout time.Duration
	// Attempts is how often a request is tried when the replica cannot be reached or answers 429 or 5xx; 3 when 0. Other
	// answers are final: a batch with one bad alert is answered 400 although the good ones are taken.
	Attempts int
	// Wait is the pause before the next attempt, doubled each time; 500 ms when 0.
	Wait time.Duration
}

const (
	batchSize   = 256
	resendDelay = time.Minute
)

// expiry is how long an alert fires on without being resent, of a manager that ticks at an interval.
func expiry(interval time.Duration) time.Duration { return 4 * max(interval, resendDelay) }

// postable is the wire form of an alert.
type postable struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

// Send posts all alerts to all replicas at once. The error names each replica and answer that failed.
func (a *Alertmanager) Send(ctx context.Context, now time.Time, alerts []Alert) error {
	if len(alerts) == 0 {
		return nil
	}
	bodies, err := a.batches(now, alerts)
	if err != nil {
		return err
	}
	faults := make([]error, len(a.URLs))
	var wait sync.WaitGroup
	for i, address := range a.URLs {
		wait.Go(func() {
			for _, body := range bodies {
				if err := a.post(ctx, address, body); err != nil {
					faults[i] = errors.Join(faults[i], fmt.Errorf("alertmanager %s: %w", withoutPassword(address), err))
				}
			}
		})
	}
	wait.Wait()
	return errors.Join(faults...)
}

func (a *Alertmanager) batches(now time.Time, alerts []Alert) ([][]byte, error) {
	expires := now.Add(expiry(a.Interval))
	var out [][]byte
	for from := 0; from < len(alerts); from += batchSize {
		var batch []postable
		for _, one := range alerts[from:min(from+batchSize, len(alerts))] {
			p := postable{one.Labels, one.Annotations, one.StartsAt, one.EndsAt, one.Link}
			if one.Firing() {
				p.EndsAt = expires
			}
			batch = append(batch, p)
		}
		body, err := json.Marshal(batch)
		if err != nil {
			return nil, fmt.Errorf("encode alerts: %w", err)
		}
		out = append(out, body)
	}
	return out, nil
}

func (a *Alertmanager) post(ctx context.Context, base string, body []byte) error {
	wait := a.Wait
	if wait == 0 {
		wait = 500 * time.Millisecond
	}
	attempts := a.Attempts
	if attempts == 0 {
		attempts = 3
	}
	for attempt := 1; ; attempt++ {
		again, err := deliver(ctx, request{a.Client, strings.TrimRight(base, "/") + "/api/v2/alerts", a.Timeout, nil}, body)
		if err == nil || !again || attempt == attempts {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(wait):
		}
		wait *= 2
	}
}

// request is where to post.
type request struct {
	client  *http.Client
	url     string
	timeout time.Duration
	headers map[string]string
}

// withoutPassword is an address as it may be logged.
func withoutPassword(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "(its address cannot be read)"
	}
	return u.Redacted()
}

// withoutAddress is an error of a request without the address in it, which may hold a secret.
func withoutAddress(err error) error {
	if x, ok := errors.AsType[*url.Error](err); ok {
		return x.Err
	}
	return err
}

// deliver posts JSON once; again says whether the failure may pass. Errors do not say to where.
func deliver(ctx context.Context, to request, body []byte) (again bool, err error) {
	if to.timeout == 0 {
		to.timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, to.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.url, bytes.NewReader(body))
	if err != nil {
		return false, fmt.Errorf("make a request: %w", withoutAddress(err))
	}
	req.Header.Set("Content-Type", "application/json")
	for name, v := range to.headers {
		req.Header.Set(name, v)
	}
	client := to.client
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return true, withoutAddress(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		return false, nil
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1024))
	again = resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500
	return again, fmt.Errorf("answered %s: %s", resp.Status, strings.TrimSpace(string(text)))
}
