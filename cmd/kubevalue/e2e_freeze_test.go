//go:build e2e

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/kubevalue/kubevalue/slo/freeport"
)

// lateNetwork stands between a service and its server. When the service has sent its first block of events, it freezes the service, and
// carries the block on when it is told to.
type lateNetwork struct {
	server  *url.URL
	freeze  func()
	frozen  chan struct{} // closed when the service is
	deliver chan struct{}
	answer  chan string // the server's
}

// newLateNetwork returns the DSN for the service.
func newLateNetwork(t *testing.T, dsn string) (n *lateNetwork, behind string) {
	t.Helper()
	server, err := url.Parse(dsn)
	must(t, "read the DSN", err)
	n = &lateNetwork{server: server, frozen: make(chan struct{}), deliver: make(chan struct{}), answer: make(chan string, 1)}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: server.Scheme, Host: server.Host})
	var once sync.Once
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		held := false
		if strings.HasPrefix(r.URL.Query().Get("query"), "INSERT INTO events ") {
			once.Do(func() { held = true })
		}
		if held {
			n.answer <- n.hold(r)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return n, s.URL + server.Path
}

// hold freezes the sender and sends the request on when its time has come, whether the sender still wants it or not.
func (n *lateNetwork) hold(r *http.Request) string {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err.Error()
	}
	n.freeze()
	close(n.frozen)
	<-n.deliver
	to := *r.URL
	to.Scheme, to.Host = n.server.Scheme, n.server.Host
	late, err := http.NewRequestWithContext(context.Background(), r.Method, to.String(), bytes.NewReader(body))
	if err != nil {
		return err.Error()
	}
	late.Header = r.Header.Clone()
	resp, err := http.DefaultClient.Do(late)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return resp.Status + " " + string(text)
}

// TestE2EAFrozenServiceStoresNothingLate stops a service with SIGSTOP when its events are on their way, until another one has taken it for dead
// and has stored the same events and others; then its block arrives, and it goes on.
func TestE2EAFrozenServiceStoresNothingLate(t *testing.T) {
	t.Parallel()
	dir, dsn := t.TempDir(), newServerGate(t).dsn
	late, lateDSN := newLateNetwork(t, dsn)
	type peer struct {
		*process
		config, address, token string
	}
	serve := func(name, dsn string) peer {
		p := peer{config: filepath.Join(dir, name+".yaml"), address: fmt.Sprintf("127.0.0.1:%d", freeport.Get(t))}
		writeFile(t, p.config, fmt.Sprintf("identity: {key_file: identity.key}\nspool: {dir: %s}\nserver: {listen: %q, tokens: tokens.json}\nwarehouse: {dsn: %q}\n", name, p.address, dsn))
		p.token = strings.TrimSpace(kubevalue(t, "token", "create", name, "--source", "app", "--endpoint", "events", "-c", p.config))
		p.process = start(t, kubevalueBinary(t), "serve", "-c", p.config)
		eventually(t, name+" is ready", func() error {
			_, err := getBody(t.Context(), http.DefaultClient, "http://"+p.address+"/readyz")
			return err
		})
		return p
	}
	send := func(p peer, first, n int) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.address+"/v1/events", strings.NewReader(ndjson(first, n)))
		must(t, "make a request", err)
		req.Header.Set("Authorization", bearer(p.token))
		resp, err := http.DefaultClient.Do(req)
		must(t, "send events", err)
		if resp.Body.Close(); resp.StatusCode != http.StatusAccepted {
			t.Fatalf("events were answered by %s", resp.Status)
		}
	}
	drained := func(p peer) {
		t.Helper()
		eventually(t, "all is stored", func() error {
			body, err := getBody(t.Context(), http.DefaultClient, "http://"+p.address+"/metrics")
			if err == nil && !strings.Contains(string(body), "\nkubevalue_pipeline_spool_batches 0\n") {
				err = fmt.Errorf("some batches wait")
			}
			return err
		})
	}
	stalls := serve("stalls", lateDSN)
	late.freeze = func() { _ = stalls.cmd.Process.Signal(syscall.SIGSTOP) }
	t.Cleanup(func() { _ = stalls.cmd.Process.Signal(syscall.SIGCONT) })
	other := serve("other", dsn)

	send(stalls, 0, 10)
	<-late.frozen
	send(other, 0, 15)
	drained(other)
	close(late.deliver)
	if answer := <-late.answer; !strings.HasPrefix(answer, "500 ") || !strings.Contains(answer, "the turn to store of who sent these rows is over") {
		t.Errorf("the server answered the late block with %q", answer)
	}
	must(t, "let it go on", stalls.cmd.Process.Signal(syscall.SIGCONT))
	send(stalls, 10, 10)
	drained(stalls)

	cfg, err := loadConfig(other.config)
	must(t, "read the configuration", err)
	db, err := openWarehouse(t.Context(), cfg, slog.New(slog.DiscardHandler), true)
	must(t, "open the warehouse", err)
	defer db.Close()
	for sql, want := range map[string]string{
		"SELECT count(), uniqExact(id) FROM events":         "20 20\n",
		"SELECT uniqExact(id_high, id_low) FROM event_ids":  "20\n",
		"SELECT count() FROM quarantine":                    "0\n",
		"SELECT uniqExact(actor) FROM events WHERE actor>0": "7\n",
	} {
		result, err := db.Query(t.Context(), sql, nil)
		must(t, "count", err)
		if got := resultText(result); got != want {
			t.Errorf("%s: %swant %s", sql, got, want)
		}
	}
}
