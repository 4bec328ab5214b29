// Package probe measures from outside whether targets answer: HTTP(S) pages, TCP ports and the readiness of kube-apiservers.
// Each target is tried at fixed instants; the tries of one slice of time become one schema.Slice: good of total.
package probe

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
)

// Kind says how a target is tried.
type Kind string

// The kinds of targets.
const (
	// KindHTTP asks for a page and wants one of the expected statuses and the whole answer in time.
	KindHTTP Kind = "http"
	// KindTCP wants a connection in time.
	KindTCP Kind = "tcp"
	// KindAPIServer asks a kube-apiserver for /readyz and wants 200.
	KindAPIServer Kind = "apiserver"
)

// Defaults of a target.
const (
	DefaultInterval = 10 * time.Second
	DefaultTimeout  = 5 * time.Second
	DefaultMaxBody  = 1 << 20
)

// Target is what is tried, and how. Zero fields have the defaults of WithDefaults.
type Target struct {
	// Name is the indicator's name: schema.Slice.Indicator.
	Name string
	// Group is the member of an objective per group (a cluster, say); empty: none.
	Group string
	Kind  Kind
	// Address is a URL for KindHTTP, the base URL of KindAPIServer, and host:port for KindTCP.
	Address string
	// Interval lies between the starts of two tries; it divides Slice.
	Interval time.Duration
	// Timeout bounds a try; it is at most Interval.
	Timeout time.Duration
	// Slice is the length of a slice, in whole seconds.
	Slice time.Duration
	// Method and Status are those of the request and of the answers that are good; none: GET, and any of 2xx. A redirect is
	// an answer, and is not followed.
	Method string
	Status []int
	// MaxBody is how many bytes of the answer's body are read; a longer one is cut off, which is no failure.
	MaxBody int64
	// BearerTokenFile, CAFile, CertFile and KeyFile are read at each try, so that rotated ones are picked up.
	BearerTokenFile string
	CAFile          string
	CertFile        string
	KeyFile         string
	// ServerName is the name that the server's certificate must be good for; empty: the address's.
	ServerName string
	// InsecureSkipVerify accepts any certificate.
	InsecureSkipVerify bool
}

// WithDefaults fills what is not set.
func (t Target) WithDefaults() Target {
	if t.Interval == 0 {
		t.Interval = DefaultInterval
	}
	if t.Timeout == 0 {
		t.Timeout = min(DefaultTimeout, t.Interval)
	}
	if t.Slice == 0 {
		t.Slice = collectors.DefaultSlice
	}
	if t.MaxBody == 0 {
		t.MaxBody = DefaultMaxBody
	}
	if t.Method == "" {
		t.Method = http.MethodGet
	}
	return t
}

// Validate names everything that is wrong with a target that has its defaults, joined into one error.
func (t Target) Validate() error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("probe %q: "+format, append([]any{t.Name}, args...)...))
	}
	if t.Name == "" {
		fault("name: want one: it names the indicator")
	}
	t.validateAddress(fault)
	switch {
	case t.Slice < time.Second || t.Slice%time.Second != 0 || t.Slice > 24*time.Hour:
		fault("slice %s: want whole seconds, 1s to 24h", t.Slice)
	case t.Interval <= 0 || t.Slice%t.Interval != 0:
		fault("interval %s: want one that divides the slice of %s", t.Interval, t.Slice)
	}
	if t.Timeout <= 0 || t.Timeout > t.Interval {
		fault("timeout %s: want more than 0 and at most the interval of %s", t.Timeout, t.Interval)
	}
	for _, status := range t.Status {
		if status < 100 || status > 599 {
			fault("status %d: want 100 to 599", status)
		}
	}
	if t.MaxBody < 0 {
		fault("max body %d: want 0 bytes or more", t.MaxBody)
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		fault("client certificate: want both the certificate's file and the key's, or neither")
	}
	return errors.Join(faults...)
}

func (t Target) validateAddress(fault func(string, ...any)) {
	switch t.Kind {
	case KindTCP:
		if _, port, err := net.SplitHostPort(t.Address); err != nil || port == "" {
			fault("address %q: want host:port", t.Address)
		}
	case KindHTTP, KindAPIServer:
		u, err := url.Parse(t.Address)
		switch {
		case err != nil, u.Host == "", u.Scheme != "http" && u.Scheme != "https":
			fault("address %q: want a URL that begins with http:// or https://", redact(t.Address))
		case u.User != nil:
			fault("address %q: want no password in it: use a bearer token's file", u.Redacted())
		}
	default:
		fault("kind %q: want one of http, tcp, apiserver", t.Kind)
	}
}

// redact keeps what may be a password in a broken URL out of messages.
func redact(address string) string {
	if at := strings.LastIndex(address, "@"); at >= 0 {
		return "..." + address[at:]
	}
	return address
}

// Revision is the hash of what a target measures: two targets with the same revision give comparable slices. Where its
// credentials are kept does not belong to it.
func Revision(t Target) string {
	t = t.WithDefaults()
	status := slices.Clone(t.Status)
	slices.Sort(status)
	return collectors.Revision(struct {
		Kind     Kind          `json:"kind"`
		Address  string        `json:"address"`
		Interval time.Duration `json:"interval"`
		Timeout  time.Duration `json:"timeout"`
		Slice    time.Duration `json:"slice"`
		Method   string        `json:"method"`
		Status   []int         `json:"status"`
		Server   string        `json:"server"`
		Insecure bool          `json:"insecure"`
	}{t.Kind, t.Address, t.Interval, t.Timeout, t.Slice, t.Method, slices.Compact(status), t.ServerName, t.InsecureSkipVerify})
}
