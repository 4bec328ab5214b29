package mail

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// unsubscribedPeriod is the period under which the delivery log remembers who does not want a report. No report has it.
const unsubscribedPeriod = "unsubscribed"

// minKey is the shortest key of unsubscribe links, in bytes.
const minKey = 16

// Unsubscribe makes and serves the links by which a recipient leaves a report's list (RFC 8058). It is an http.Handler
// for the path of Endpoint: GET shows a page with one button, since programs follow links, and POST leaves.
type Unsubscribe struct {
	// Endpoint is the handler's public address: https, as RFC 8058 demands.
	Endpoint string
	// Key signs the links, so that nobody can unsubscribe others; at least 16 bytes.
	Key []byte
	Log DeliveryLog
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

func (u *Unsubscribe) check() error {
	var errs []error
	at, err := url.Parse(u.Endpoint)
	if err != nil || at.Scheme != "https" || at.Host == "" {
		errs = append(errs, fmt.Errorf("unsubscribe endpoint %q must be an https address: mail programs refuse others (RFC 8058)", u.Endpoint))
	}
	if len(u.Key) < minKey {
		errs = append(errs, fmt.Errorf("unsubscribe key has %d bytes: use at least %d", len(u.Key), minKey))
	}
	if u.Log == nil {
		errs = append(errs, errors.New("unsubscribe needs the delivery log"))
	}
	return errors.Join(errs...)
}

// URL is the recipient's link.
func (u *Unsubscribe) URL(report, rcpt string) string {
	q := url.Values{"report": {report}, "to": {rcpt}, "mac": {u.mac(report, rcpt)}}
	return u.Endpoint + "?" + q.Encode()
}

func (u *Unsubscribe) mac(report, rcpt string) string {
	h := hmac.New(sha256.New, u.Key)
	h.Write([]byte(deliveryKey(report, unsubscribedPeriod, rcpt)))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// ServeHTTP answers 404 to links that were not signed with the key, 503 when the log cannot be written.
func (u *Unsubscribe) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	report, rcpt := q.Get("report"), strings.ToLower(q.Get("to"))
	if !hmac.Equal([]byte(q.Get("mac")), []byte(u.mac(report, rcpt))) {
		http.Error(w, "This link is not valid. Copy it whole from the mail.", http.StatusNotFound)
		return
	}
	now := time.Now
	if u.Now != nil {
		now = u.Now
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		fmt.Fprint(w, unsubscribePage(`<h1>Stop this report?</h1><form method="post"><button>Unsubscribe</button></form>`))
	case http.MethodPost:
		err := u.Log.PutDelivery(r.Context(), schema.Delivery{
			Report: report, Period: unsubscribedPeriod, Recipient: rcpt, Status: schema.DeliverySent, At: now(),
		})
		if err != nil {
			w.Header().Set("Retry-After", "60")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, unsubscribePage(`<h1>That did not work</h1><p>Please try again in a minute.</p>`))
			return
		}
		fmt.Fprint(w, unsubscribePage(`<h1>Unsubscribed</h1><p>You will not get this report again.</p>`))
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func unsubscribePage(body string) string {
	return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">` +
		`<title>Unsubscribe</title><style>:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem}` +
		`button{font:inherit;padding:.5rem 1rem}</style><main>` + body + `</main></html>`
}
