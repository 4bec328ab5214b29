package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// booted is a service that runs as `kubevalue serve` runs it, on the test binary's engine.
type booted struct {
	*service
	t testing.TB
	// config is the path of its configuration.
	config string
	// stop ends the service, as the end of the test does.
	stop func()
}

// boot runs a service with a configuration in a directory of its own; settings are further lines of it, which follow
// those of server.
func boot(t testing.TB, settings string) *booted {
	t.Helper()
	return bootOn(t, warehousetest.DSN(t), settings)
}

// bootAt is boot with a clock of the test's own.
func bootAt(t testing.TB, now func() time.Time, settings string) *booted {
	t.Helper()
	return bootWith(t, bootPlace{dir: t.TempDir(), dsn: warehousetest.DSN(t), now: now}, settings)
}

// bootOn is boot on a warehouse that may have other services.
func bootOn(t testing.TB, dsn, settings string) *booted {
	t.Helper()
	return bootWith(t, bootPlace{dir: t.TempDir(), dsn: dsn, now: time.Now}, settings)
}

// bootPlace is where and when a service runs: its directory may have been another's before.
type bootPlace struct {
	dir, dsn string
	now      func() time.Time
}

func bootWith(t testing.TB, at bootPlace, settings string) *booted {
	t.Helper()
	dir, dsn := at.dir, at.dsn
	path := filepath.Join(dir, "kubevalue.yaml")
	text := fmt.Sprintf("identity: {key_file: identity.key, ignore: [\"system:serviceaccount:kubevalue:*\"]}\nwarehouse: {dsn: %q}\nserver:\n  listen: 127.0.0.1:0\n  tokens: tokens.json\n%s",
		dsn, settings)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := loadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newService(t.Context(), cfg, at.now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	b := &booted{service: s, t: t, config: path, stop: sync.OnceFunc(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("the service ended with: %v", err)
		}
	})}
	t.Cleanup(b.stop)
	return b
}

// token makes a token that is good for the endpoints, with a source.
func (b *booted) token(source string, endpoints ...string) string {
	b.t.Helper()
	g := collectors.Grant{Name: "test-" + source, Source: source, Endpoints: endpoints, Expires: time.Now().Add(time.Hour)}
	token, err := b.tokens.Create(g)
	if err != nil {
		b.t.Fatal(err)
	}
	return token
}

// sent is what a door answered.
type sent struct {
	status int
	header http.Header
	body   string
}

// post sends a body to a path of the service; header holds names and values in turn.
func (b *booted) post(path, body string, header ...string) sent {
	b.t.Helper()
	return b.send(http.MethodPost, path, []byte(body), header...)
}

func (b *booted) send(method, path string, body []byte, header ...string) sent {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.url()+path, bytes.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	// A redirect would lose the body, so it is an answer like any other.
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	return sent{resp.StatusCode, resp.Header, string(answer)}
}

// flush waits until all that was acknowledged is in the tables.
func (b *booted) flush() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 5*time.Minute)
	defer cancel()
	if err := b.pipe.Flush(ctx); err != nil {
		b.t.Fatal(err)
	}
}

// query is the answer of the warehouse as text, a line per row.
func (b *booted) query(sql string) string {
	b.t.Helper()
	result, err := b.db.Query(b.t.Context(), sql, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return resultText(result)
}

func resultText(r schema.Result) string {
	var out bytes.Buffer
	for _, row := range r.Rows {
		for i, v := range row {
			if i > 0 {
				out.WriteByte(' ')
			}
			fmt.Fprint(&out, v)
		}
		out.WriteByte('\n')
	}
	return out.String()
}
