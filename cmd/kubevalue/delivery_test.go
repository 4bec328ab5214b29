package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// gate stands between a service and the engine: it lets everything through, holds everything up, or lets nobody in.
type gate struct {
	dsn      string
	upstream string

	mu    sync.Mutex
	state gateState
	moved chan struct{} // closed and replaced when state changes
	conns []net.Conn
}

type gateState int

const (
	gateOpen gateState = iota
	gateHanging
	gateClosed
)

// newGate makes a gate in front of a fresh database.
func newGate(t testing.TB) *gate {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gate.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	g := openGate(t, listener)
	g.dsn = "unix:" + path + "?database=" + g.dsn
	return g
}

// newServerGate makes a gate behind which the engine looks like a ClickHouse server.
func newServerGate(t testing.TB) *gate {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := openGate(t, listener)
	g.dsn = "http://" + listener.Addr().String() + "/" + g.dsn
	return g
}

// openGate lets in who comes to a listener; its dsn is the name of the database only.
func openGate(t testing.TB, listener net.Listener) *gate {
	t.Helper()
	socket, database, _ := strings.Cut(strings.TrimPrefix(warehousetest.DSN(t), "unix:"), "?database=")
	g := &gate{dsn: database, upstream: socket, moved: make(chan struct{})}
	t.Cleanup(func() {
		_ = listener.Close()
		g.set(gateClosed)
	})
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go g.serve(c)
		}
	}()
	return g
}

func (g *gate) set(s gateState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.state = s
	close(g.moved)
	g.moved = make(chan struct{})
	if s == gateClosed {
		for _, c := range g.conns {
			_ = c.Close()
		}
		g.conns = nil
	}
}

// enter keeps a connection in mind until the gate closes; false: it is closed.
func (g *gate) enter(c net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == gateClosed {
		_ = c.Close()
		return false
	}
	g.conns = append(g.conns, c)
	return true
}

func (g *gate) serve(client net.Conn) {
	if !g.enter(client) {
		return
	}
	server, err := net.Dial("unix", g.upstream)
	if err != nil {
		_ = client.Close()
		return
	}
	if !g.enter(server) {
		return
	}
	go g.carry(client, server)
	g.carry(server, client)
}

// carry copies as the gate allows, and closes both ends when one is at its end.
func (g *gate) carry(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		for g.hanging() {
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// hanging waits for the gate to move while it hangs.
func (g *gate) hanging() bool {
	g.mu.Lock()
	state, moved := g.state, g.moved
	g.mu.Unlock()
	if state == gateHanging {
		<-moved
	}
	return state == gateHanging
}

// ndjson is events with the ids from first, one a line.
func ndjson(first, n int) string {
	var body strings.Builder
	for i := first; i < first+n; i++ {
		fmt.Fprintf(&body, "{\"id\":\"%d\",\"name\":\"deploy\",\"actor\":\"ann-%d\",\"object\":\"%d\"}\n", i, i%7, i)
	}
	return body.String()
}

// expectOnce finds each of n events once, their ids too, and nothing in quarantine.
func (b *booted) expectOnce(n int) {
	b.t.Helper()
	want := fmt.Sprintf("%d %d\n", n, n)
	if got := b.query("SELECT count(), uniqExact(id) FROM events"); got != want {
		b.t.Errorf("events and different ones among them: %swant %s", got, want)
	}
	if got := b.query("SELECT count(), uniqExact(id_high, id_low) FROM event_ids"); got != want {
		b.t.Errorf("ids and different ones among them: %swant %s", got, want)
	}
	if got := b.query("SELECT count() FROM quarantine"); got != "0\n" {
		b.t.Errorf("in quarantine: %s", got)
	}
}

// auditEvent is an EventList of one event with that id.
func auditEvent(id string) string {
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")
	return fmt.Sprintf(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[{"level":"Metadata","auditID":%q,"stage":"ResponseComplete",
"requestURI":"/apis/apps/v1/namespaces/shop/deployments","verb":"create","user":{"username":"ann"},"objectRef":{"resource":"deployments","namespace":"shop",
"name":"web","apiGroup":"apps","apiVersion":"v1"},"responseStatus":{"code":201},"requestReceivedTimestamp":%q,"stageTimestamp":%q}]}`, id, now, now)
}

// sendAudit sends n audit events from some senders at once, and waits for all answers.
func (b *booted) sendAudit(n, senders int, token string) {
	b.t.Helper()
	var wg sync.WaitGroup
	for sender := range senders {
		wg.Go(func() {
			for i := range n / senders {
				got := b.post("/audit/prod", auditEvent(fmt.Sprintf("%d-%d", sender, i)), "Authorization", bearer(token))
				if got.status != http.StatusOK {
					b.t.Errorf("an audit event was answered by %d %s", got.status, got.body)
				}
			}
		})
	}
	wg.Wait()
}

// TestAHangingWarehouseHoldsUpNoSender: all are answered while no statement of the warehouse is. How long an answer takes depends on the disk, and
// is measured by make bench.
func TestAHangingWarehouseHoldsUpNoSender(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	b := bootOn(t, g.dsn, "")
	token := b.token("audit", collectors.EndpointAudit)
	g.set(gateHanging)
	b.sendAudit(400, 4, token)
	if s := b.pipe.Stats(); s.Inserted != 0 {
		t.Errorf("%d events went past a warehouse that hangs", s.Inserted)
	}
	g.set(gateOpen)
	b.flush()
	b.expectOnce(400)
}

// TestAnHourOfTrafficWithoutWarehouse sends what ten events a second make in an hour, some of it twice.
func TestAnHourOfTrafficWithoutWarehouse(t *testing.T) {
	t.Parallel()
	const hour, batch = 36_000, 1000
	g := newGate(t)
	b := bootOn(t, g.dsn, "")
	token := b.token("app", collectors.EndpointEvents)
	g.set(gateClosed)
	for first := 0; first < hour; first += batch {
		size := batch + batch/5 // the next batch begins with what this one ends with
		if got := b.post("/v1/events", ndjson(first, min(size, hour-first)), "Authorization", bearer(token), "Content-Type", "application/x-ndjson"); got.status != http.StatusAccepted {
			t.Fatalf("without a warehouse: %d %s", got.status, got.body)
		}
	}
	if s := b.pipe.Stats(); s.Records != hour/batch || s.Inserted != 0 {
		t.Errorf("%d batches wait and %d events are stored, want %d and 0", s.Records, s.Inserted, hour/batch)
	}
	g.set(gateOpen)
	b.flush()
	b.expectOnce(hour)
}

// TestTwoServicesOnOneWarehouse has two services beside an engine, and two that a server stands before, as on two hosts.
func TestTwoServicesOnOneWarehouse(t *testing.T) {
	t.Run("by a file", func(t *testing.T) { t.Parallel(); testTwoServices(t, newGate(t)) })
	t.Run("by a turn on the server", func(t *testing.T) { t.Parallel(); testTwoServices(t, newServerGate(t)) })
}

// testTwoServices sends the same events to both, in other batches, while the warehouse goes away and comes back.
func testTwoServices(t *testing.T, g *gate) {
	t.Helper()
	const events = 4000
	peers := []*booted{bootOn(t, g.dsn, ""), bootOn(t, g.dsn, "")}
	var wg sync.WaitGroup
	for i, b := range peers {
		token := b.token("app", collectors.EndpointEvents)
		wg.Go(func() {
			size := 100 * (i + 1)
			for first := 0; first < events; first += size {
				got := b.post("/v1/events", ndjson(first, min(size+50, events-first)), "Authorization", bearer(token), "Content-Type", "application/x-ndjson")
				if got.status != http.StatusAccepted {
					t.Errorf("%d %s", got.status, got.body)
				}
			}
		})
	}
	for range 3 {
		time.Sleep(100 * time.Millisecond)
		g.set(gateClosed)
		time.Sleep(50 * time.Millisecond)
		g.set(gateOpen)
	}
	wg.Wait()
	for _, b := range peers {
		b.flush()
	}
	peers[0].expectOnce(events)
}

// TestAFullDisk gives the spool a small file system of its own where mounting is allowed, and fills it. Without that right the
// spool's own tests fill files that are full at 64 KiB.
func TestAFullDisk(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=512k"); err != nil {
		t.Logf("no file system of its own: %v", err)
		return
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	g := newGate(t)
	b := bootOn(t, g.dsn, fmt.Sprintf("spool: {dir: %s}\n", filepath.Join(disk, "spool")))
	token := b.token("app", collectors.EndpointEvents)
	g.set(gateClosed)
	acked := 0
	send := func() sent {
		got := b.post("/v1/events", ndjson(acked, 500), "Authorization", bearer(token), "Content-Type", "application/x-ndjson")
		if got.status == http.StatusAccepted {
			acked += 500
		}
		return got
	}
	got := send()
	for ; got.status == http.StatusAccepted && acked < 500_000; got = send() {
	}
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || !strings.Contains(got.body, `"code":"full"`) {
		t.Fatalf("a full disk answers %d %s after %d events, Retry-After %q", got.status, got.body, acked, got.header.Get("Retry-After"))
	}
	g.set(gateOpen)
	b.flush()
	if got := send(); got.status != http.StatusAccepted {
		t.Errorf("with room again: %d %s", got.status, got.body)
	}
	b.flush()
	b.expectOnce(acked)
}

// TestSlowBodiesHoldUpNobody opens many requests that never end, and sends another one beside them.
func TestSlowBodiesHoldUpNobody(t *testing.T) {
	t.Parallel()
	b := boot(t, "")
	token := b.token("app", collectors.EndpointEvents)
	address := b.listener.Addr().String()
	for range 200 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		// Each announces a megabyte, and sends a byte of it.
		if _, err := io.WriteString(c, "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: "+bearer(token)+"\r\nContent-Length: 1000000\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
	}
	status := 0
	for tries := 0; tries < 500 && status != http.StatusAccepted; tries++ {
		got := b.post("/v1/events", ndjson(tries, 1), "Authorization", bearer(token))
		if status = got.status; status == http.StatusServiceUnavailable && got.header.Get("Retry-After") == "" {
			t.Error("a busy service does not say when to come back")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if status != http.StatusAccepted {
		t.Errorf("beside 200 senders that say nothing: %d", status)
	}
}
