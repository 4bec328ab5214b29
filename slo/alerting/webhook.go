package alerting

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Claims keeps replicas, and a restarted service, from notifying twice.
type Claims interface {
	// Claim reserves a delivery until a time; false when it was delivered already, or another replica has reserved it.
	Claim(ctx context.Context, id string, until time.Time) (bool, error)
	// Delivered makes a claim permanent; Release gives it back after a failure.
	Delivered(ctx context.Context, id string) error
	Release(ctx context.Context, id string) error
}

// Webhook posts each change of an alert once, unless it is an end that nobody wants to hear of, as JSON: {version, id, status (firing, resolved), alert, objective, group,
// severity, labels, annotations, starts_at, ends_at, link}. The id, also in the header Idempotency-Key, is the same for
// the same change. A failed delivery is tried again at the next ticks, for a resolved alert fifteen minutes long; an
// answer of 4xx other than 408 and 429 is final.
type Webhook struct {
	// Name keeps several webhooks apart in Claims; it must not change.
	Name    string
	URL     string
	Headers map[string]string
	Client  *http.Client
	Timeout time.Duration
	Claims  Claims
}

// notification is the wire form.
type notification struct {
	Version     string            `json:"version"`
	ID          string            `json:"id"`
	Status      string            `json:"status"`
	Alert       string            `json:"alert"`
	Objective   string            `json:"objective"`
	Group       string            `json:"group,omitempty"`
	Severity    string            `json:"severity"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations,omitempty"`
	StartsAt    time.Time         `json:"starts_at"`
	EndsAt      time.Time         `json:"ends_at,omitzero"`
	Link        string            `json:"link,omitempty"`
}

const (
	// claimFor is how long a replica that dies while it delivers keeps the others from it.
	claimFor = time.Minute
	// noteTimeout is how long it may take to note what has become of a delivery, also when the time to deliver is over.
	noteTimeout = 5 * time.Second
)

// Send posts what has not been posted. One failure does not stop the rest; the errors are joined.
func (w *Webhook) Send(ctx context.Context, now time.Time, alerts []Alert) error {
	var faults []error
	for i, a := range alerts {
		if ctx.Err() != nil {
			faults = append(faults, fmt.Errorf("webhook %s: %d alerts were not looked at: %w", w.host(), len(alerts)-i, ctx.Err()))
			break
		}
		if !a.Firing() && a.Labels[labelSendResolved] == "false" {
			continue
		}
		if err := w.send(ctx, now, a); err != nil {
			faults = append(faults, fmt.Errorf("webhook %s: %s: %w", w.host(), a.Key, err))
		}
	}
	return errors.Join(faults...)
}

func (w *Webhook) send(ctx context.Context, now time.Time, a Alert) error {
	n := notification{
		Version: "1", Status: "firing", Alert: a.Key.Name, Objective: a.Key.Objective, Group: a.Key.Group, Severity: a.Key.Severity,
		Labels: a.Labels, Annotations: a.Annotations, StartsAt: a.StartsAt, EndsAt: a.EndsAt, Link: a.Link,
	}
	if !a.Firing() {
		n.Status = "resolved"
	}
	n.ID = w.id(a, n.Status)
	mine, err := w.Claims.Claim(ctx, n.ID, now.Add(claimFor))
	if err != nil || !mine {
		return err
	}
	body, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	headers := map[string]string{"Idempotency-Key": n.ID}
	for name, v := range w.Headers {
		headers[name] = v
	}
	again, err := deliver(ctx, request{w.Client, w.URL, w.Timeout, headers}, body)
	noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	if again {
		return errors.Join(err, w.Claims.Release(noting, n.ID))
	}
	return errors.Join(err, w.Claims.Delivered(noting, n.ID))
}

// host is what may be logged of a webhook's address: the rest of many is a secret.
func (w *Webhook) host() string {
	u, err := url.Parse(w.URL)
	if err != nil || u.Host == "" {
		return "(its address cannot be read)"
	}
	return u.Scheme + "://" + u.Host
}

// id is the same for the same change on every replica, which agree on when an alert began to fire.
func (w *Webhook) id(a Alert, status string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q %q %q %s", w.Name, a.Key.Name, a.Key.Objective, a.Key.Group, a.Key.Severity, status, a.StartsAt.UTC().Format(time.RFC3339)))
	return hex.EncodeToString(sum[:16])
}
