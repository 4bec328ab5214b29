package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Result is what one try found.
type Result struct {
	// Good says whether the target answered as expected.
	Good bool
	// Err says why it is not good; it wraps ErrNotTried when that is our own fault, and the try counts nowhere then.
	Err error
	// Status is the answer's HTTP status; 0: there was none.
	Status int
	// TLSExpiry is when the first of the server's certificates ends; zero: no TLS.
	TLSExpiry time.Time
	// Took is the duration of the try.
	Took time.Duration
}

// ErrNotTried means that the try could not be made: it says nothing about the target.
var ErrNotTried = errors.New("the target could not be tried")

// Try tries a target once. The timeout is the target's own.
func Try(ctx context.Context, t Target) Result {
	t = t.WithDefaults()
	began := time.Now()
	within, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	var result Result
	switch t.Kind {
	case KindTCP:
		result = tryTCP(within, t)
	default:
		result = tryHTTP(within, t)
	}
	result.Took = time.Since(began)
	if result.Err != nil && (ctx.Err() != nil || isOurFault(result.Err)) {
		result.Err = fmt.Errorf("%w: %w", ErrNotTried, result.Err)
	}
	result.Good = result.Err == nil
	return result
}

// isOurFault knows the errors of a machine that has run out of something. A network that cannot be reached stays the
// target's failure: nobody can tell whose it is, and an outage must not hide.
func isOurFault(err error) bool {
	if errors.Is(err, ErrNotTried) {
		return false // is marked already
	}
	return slices.ContainsFunc([]error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL},
		func(fault error) bool { return errors.Is(err, fault) })
}

func tryTCP(ctx context.Context, t Target) Result {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", t.Address)
	if err != nil {
		return Result{Err: fmt.Errorf("connect to %s: %w", t.Address, err)}
	}
	_ = conn.Close() // the connection was all that was asked for
	return Result{}
}

func tryHTTP(ctx context.Context, t Target) Result {
	transport, err := newTransport(t)
	if err != nil {
		return Result{Err: fmt.Errorf("%w: %w", ErrNotTried, err)}
	}
	defer transport.CloseIdleConnections()
	request, err := newRequest(ctx, t)
	if err != nil {
		return Result{Err: fmt.Errorf("%w: %w", ErrNotTried, err)}
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return Result{Err: fmt.Errorf("request: %w", err)}
	}
	defer func() { _ = response.Body.Close() }()
	result := Result{Status: response.StatusCode, TLSExpiry: expiry(response.TLS)}
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, t.MaxBody)); err != nil {
		result.Err = fmt.Errorf("read the answer: %w", err)
		return result
	}
	if !t.expects(response.StatusCode) {
		result.Err = fmt.Errorf("status %d: want %s", response.StatusCode, t.expected())
	}
	return result
}

// newTransport makes a connection of its own for every try: an old one would hide that new ones fail.
func newTransport(t Target) (*http.Transport, error) {
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: t.ServerName,
		InsecureSkipVerify: t.InsecureSkipVerify, //nolint:gosec // asked for in the target's definition
	}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read CA file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CA file %s: want certificates as PEM", t.CAFile)
		}
	}
	if t.CertFile != "" {
		certificate, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return &http.Transport{
		TLSClientConfig: config, DisableKeepAlives: true, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10,
	}, nil
}

func newRequest(ctx context.Context, t Target) (*http.Request, error) {
	address := t.Address
	if t.Kind == KindAPIServer {
		address = strings.TrimSuffix(address, "/") + "/readyz"
	}
	request, err := http.NewRequestWithContext(ctx, t.Method, address, nil)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	request.Header.Set("User-Agent", "kubevalue-probe")
	if t.BearerTokenFile != "" {
		token, err := os.ReadFile(t.BearerTokenFile)
		if err != nil {
			return nil, fmt.Errorf("read bearer token file: %w", err)
		}
		request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	return request, nil
}

func (t Target) expects(status int) bool {
	switch {
	case t.Kind == KindAPIServer && len(t.Status) == 0:
		return status == http.StatusOK
	case len(t.Status) == 0:
		return status >= 200 && status <= 299
	}
	return slices.Contains(t.Status, status)
}

func (t Target) expected() string {
	switch {
	case t.Kind == KindAPIServer && len(t.Status) == 0:
		return "200"
	case len(t.Status) == 0:
		return "200 to 299"
	}
	return strings.Trim(fmt.Sprint(t.Status), "[]")
}

// expiry is the end of the certificate that ends first.
func expiry(state *tls.ConnectionState) time.Time {
	var first time.Time
	if state == nil {
		return first
	}
	for _, certificate := range state.PeerCertificates {
		if first.IsZero() || certificate.NotAfter.Before(first) {
			first = certificate.NotAfter
		}
	}
	return first
}
