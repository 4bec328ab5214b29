package mail

import (
	"errors"
	"fmt"
	"log/slog"
	netmail "net/mail"
	"net/url"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/kubevalue/kubevalue/schema"
)

// TLSPolicy says how a conversation is encrypted.
type TLSPolicy string

// The policies. Mandatory is the default.
const (
	TLSMandatory     TLSPolicy = "mandatory"     // STARTTLS or no mail
	TLSOpportunistic TLSPolicy = "opportunistic" // STARTTLS when offered, else in the clear
	TLSImplicit      TLSPolicy = "implicit"      // TLS from the first byte
	TLSNone          TLSPolicy = "none"          // in the clear; a password is then refused
)

// DKIM signs outgoing mail.
type DKIM struct {
	// Domain and Selector name the DNS record SELECTOR._domainkey.DOMAIN with the public key.
	Domain, Selector string
	// KeyFile holds the private key: PEM, RSA or Ed25519.
	KeyFile string
}

// Config says how mail leaves.
type Config struct {
	// Host and Port are the SMTP server; port 0 means 587, or 465 with TLS "implicit".
	Host string
	Port int
	TLS  TLSPolicy
	// CAFile holds the certificates that the server's is checked against, PEM; empty: the system's.
	CAFile string
	// Username and Password authenticate; an empty Username: no authentication.
	Username, Password string
	// Timeout bounds connecting, and then each message; 0 means 30 s.
	Timeout time.Duration
	// From is the sender: an address, or "Name <address>". ReplyTo, if set, is where answers go.
	From, ReplyTo string
	// DKIM, if set, signs the mail.
	DKIM *DKIM
	// Unsubscribe, if set, lets recipients leave with one click at our own address.
	Unsubscribe *Unsubscribe
	// UnsubscribeAt is another way to leave: a mailto: address, or an https: address of somebody else's one-click service.
	UnsubscribeAt string
	// MaxAttempts is how often the schedule tries one delivery; 0 means 8, which are spread over about 18 hours.
	MaxAttempts uint32
	Log         DeliveryLog
	// Now is the clock; nil: time.Now.
	Now    func() time.Time
	Logger *slog.Logger

	dial gomail.DialContextFunc // nil: TCP
}

func (c Config) defaults() Config {
	if c.TLS == "" {
		c.TLS = TLSMandatory
	}
	if c.Port == 0 {
		c.Port = 587
		if c.TLS == TLSImplicit {
			c.Port = 465
		}
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.MaxAttempts == 0 {
		c.MaxAttempts = 8
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// check names every fault at once and returns the sender's address.
func (c Config) check() (*netmail.Address, error) {
	var errs []error
	if c.Host == "" {
		errs = append(errs, errors.New("smtp host is empty: name the server, e.g. smtp.example.com"))
	}
	if c.Port < 1 || c.Port > 65535 {
		errs = append(errs, fmt.Errorf("smtp port %d is out of range: use 1 to 65535", c.Port))
	}
	switch c.TLS {
	case TLSMandatory, TLSOpportunistic, TLSImplicit:
	case TLSNone:
		if c.Username != "" {
			errs = append(errs, errors.New(`smtp tls is "none" but a username is set: the password would travel in the clear; use "mandatory" or "implicit"`))
		}
	default:
		errs = append(errs, fmt.Errorf("smtp tls %q is unknown: use mandatory, opportunistic, implicit or none", c.TLS))
	}
	from, err := netmail.ParseAddress(c.From)
	if err != nil {
		errs = append(errs, fmt.Errorf(`smtp from %q is no address: %w; write e.g. "kubevalue <kubevalue@example.com>"`, c.From, err))
	}
	if c.ReplyTo != "" {
		if _, err := netmail.ParseAddress(c.ReplyTo); err != nil {
			errs = append(errs, fmt.Errorf("smtp reply_to %q is no address: %w", c.ReplyTo, err))
		}
	}
	if c.Timeout < 0 {
		errs = append(errs, fmt.Errorf("smtp timeout %s is negative", c.Timeout))
	}
	if c.Unsubscribe != nil {
		errs = append(errs, c.Unsubscribe.check())
	}
	if at, err := url.Parse(c.UnsubscribeAt); c.UnsubscribeAt != "" && (err != nil || at.Scheme != "mailto" && at.Scheme != "https") {
		errs = append(errs, fmt.Errorf("unsubscribe %q: write mailto:ADDRESS or an https address that takes one-click requests (RFC 8058)", c.UnsubscribeAt))
	}
	if c.Log == nil {
		errs = append(errs, errors.New("a delivery log is needed, else a restart would send twice"))
	}
	return from, errors.Join(errs...)
}

// retryAt is when a failed delivery is due again: 1, 4, 16, 64 minutes and so on up to 6 hours after the last attempt.
// again is false when the server refused for good (a reply of 500 or above), or after MaxAttempts.
func (c Config) retryAt(d schema.Delivery) (at time.Time, again bool) {
	if refusedForGood.MatchString(d.Error) || d.Attempts >= c.MaxAttempts {
		return time.Time{}, false
	}
	return d.At.Add(backoff(d.Attempts)), true
}

// backoff is the wait after the n-th failed attempt.
func backoff(n uint32) time.Duration {
	wait := time.Minute
	for ; n > 1 && wait < 6*time.Hour; n-- {
		wait *= 4
	}
	return min(wait, 6*time.Hour)
}
