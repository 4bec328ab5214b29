package controlplane

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// probeTimeout bounds one look at a component's health.
const probeTimeout = 2 * time.Second

// api talks to the components as system:kubetest, a member of system:masters.
type api struct {
	client *http.Client // keeps connections
	prober *http.Client // opens a new one each time, as somebody outside would
	server string
}

func newAPI(p *pki, server string) (*api, error) {
	ca, err := os.ReadFile(p.certFile("ca"))
	if err != nil {
		return nil, fmt.Errorf("read the authority: %w", err)
	}
	cert, err := tls.LoadX509KeyPair(p.certFile("kubetest"), p.keyFile("kubetest"))
	if err != nil {
		return nil, fmt.Errorf("read the certificate of kubetest: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	config := &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}}
	return &api{
		client: &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: 30 * time.Second},
		prober: &http.Client{
			Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true},
			Timeout:   probeTimeout,
		},
		server: server,
	}, nil
}

// probe is nil when url answers 200 to somebody unknown.
func (a *api) probe(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := a.prober.Do(req)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %s", url, resp.Status, body)
	}
	return nil
}

// do sends in (unless nil) as JSON to the kube-apiserver and decodes the answer into out (unless nil).
func (a *api) do(ctx context.Context, r request, out any) error {
	var body io.Reader
	if r.in != nil {
		text, err := json.Marshal(r.in)
		if err != nil {
			return fmt.Errorf("encode the body of %s %s: %w", r.method, r.path, err)
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, a.server+r.path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("read the answer to %s %s: %w", r.method, r.path, err)
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", r.method, r.path, resp.Status, text)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

type request struct {
	method, path string
	in           any
}

// waitFor repeats try every interval until it is nil, ctx ends, or stop is closed; the
// error then tells the last failure.
func waitFor(ctx context.Context, interval time.Duration, try func(context.Context) error) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w, last: %w", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}
