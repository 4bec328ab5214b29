package pipeline_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/chdb"
	"github.com/kubevalue/kubevalue/schema/chdb/chdbtest"
)

// soakEnv is how many times the service or its engine are killed; `make soak` sets it.
const soakEnv = "KUBEVALUE_SOAK_ROUNDS"

// patience is how long a service may say nothing new.
const patience = 5 * time.Minute

// soak is the sender of events, who kills what it sends to.
type soak struct {
	t    *testing.T
	rnd  *rand.Rand
	next int
	// services are those that store into one warehouse.
	services []*victim
	// killEngine kills what they store into, which starts again by itself.
	killEngine func()

	mu    sync.Mutex
	sent  map[string]bool
	acked map[string]bool
}

// victim is a service, a process of its own.
type victim struct {
	s   *soak
	cfg serviceConfig
	cmd *exec.Cmd
	in  io.WriteCloser
	out chan string
	// waiting are the objects of each line that is not answered; soak.mu guards it.
	waiting map[int][]string
}

func (v *victim) start() {
	t := v.s.t
	t.Helper()
	text, err := json.Marshal(v.cfg)
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	v.cmd = exec.Command(program)
	v.cmd.Env = append(os.Environ(), serviceEnv+"="+string(text))
	v.cmd.Stderr = os.Stderr
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if v.in, err = v.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := v.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	v.waiting = map[int][]string{}
	out := make(chan string, 100_000)
	v.out = out
	go func() {
		defer close(out)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			v.hear(lines.Text(), out)
		}
	}()
	v.expect("ready")
}

// hear notes acknowledgements, and passes the other lines on.
func (v *victim) hear(line string, out chan<- string) {
	verdict, rest, _ := strings.Cut(line, " ")
	if verdict != "ack" && verdict != "refused" {
		out <- line
		return
	}
	number, _, _ := strings.Cut(rest, ":")
	n, err := strconv.Atoi(number)
	if err != nil {
		return // cut short by the kill: nobody was told
	}
	v.s.mu.Lock()
	defer v.s.mu.Unlock()
	for _, object := range v.waiting[n] {
		v.s.acked[object] = v.s.acked[object] || verdict == "ack"
	}
	delete(v.waiting, n)
}

func (v *victim) expect(want string) (before []string) {
	v.s.t.Helper()
	deadline, waiting := time.After(patience), ""
	for {
		select {
		case line, ok := <-v.out:
			if !ok {
				v.s.t.Fatalf("the service ended before it said %q", want)
			}
			if strings.HasPrefix(line, "waiting ") {
				if line != waiting { // it goes on, however slow the machine is
					deadline, waiting = time.After(patience), line
				}
				continue
			}
			if line == want {
				return before
			}
			before = append(before, line)
		case <-deadline:
			v.s.t.Fatalf("the service does not say %q; last: %q", want, waiting)
		}
	}
}

// send sends a batch to one service, or to several at once: new events, some without an id, and copies of old ones, whatever became of those.
func (s *soak) send() {
	to := s.services
	if len(to) > 1 && s.rnd.IntN(3) > 0 {
		to = to[s.rnd.IntN(len(to)):][:1]
	}
	var b schema.Batch
	var objects []string
	now := time.Now()
	for range 1 + s.rnd.IntN(30) {
		object := strconv.Itoa(s.next)
		if s.rnd.IntN(4) == 0 && s.next > 0 {
			object = strconv.Itoa(s.rnd.IntN(s.next))
		} else {
			s.next++
		}
		e := schema.Event{ID: object, Source: "soak", Name: "n", Object: object, Actor: fmt.Sprint("user", s.rnd.IntN(50)), Time: now.AddDate(0, 0, -s.rnd.IntN(29))}
		if n, _ := strconv.Atoi(object); n%10 == 0 {
			if s.sent[object] || len(to) > 1 {
				continue // a copy of an event without id is another event
			}
			s.sent[object], e.ID = true, ""
		}
		b.Events = append(b.Events, e)
		objects = append(objects, object)
	}
	if len(b.Events) == 0 {
		return
	}
	text, err := json.Marshal(b)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, o := range objects {
		s.sent[o] = true
	}
	for _, v := range to {
		line := s.rnd.IntN(1 << 40)
		s.mu.Lock()
		v.waiting[line] = objects
		s.mu.Unlock()
		fmt.Fprintf(v.in, "%d %s\n", line, text) // may fail: the service may be dead
	}
}

func (v *victim) kill() {
	_ = v.cmd.Process.Kill()
	_ = v.cmd.Wait()
	for range v.out { //nolint:revive // hear what it said before
	}
}

// killChild kills the service's engine.
func (v *victim) killChild() {
	dirs, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range dirs {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		if len(fields) < 2 || fields[1] != strconv.Itoa(v.cmd.Process.Pid) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// answered waits until the service has answered each batch: what it acknowledges after the flush has begun need not be stored when that ends.
func (v *victim) answered() {
	v.s.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		v.s.mu.Lock()
		left := len(v.waiting)
		v.s.mu.Unlock()
		if left == 0 {
			return
		}
		if time.Now().After(deadline) {
			v.s.t.Fatalf("%d batches are not answered", left)
		}
	}
}

// check counts: every acknowledged event once, and nothing that was not sent.
func (s *soak) check() {
	s.t.Helper()
	for _, v := range s.services {
		v.answered()
		fmt.Fprintln(v.in, "0 flush")
		v.expect("flushed")
	}
	counts := s.services[0]
	fmt.Fprintln(counts.in, "0 count")
	stored, ids := 0, ""
	faults := 0
	fault := func(format string, args ...any) {
		if faults++; faults <= 10 {
			s.t.Errorf(format, args...)
		}
	}
	seen := map[string]bool{}
	for _, line := range counts.expect("counted") {
		fields := strings.Fields(strings.TrimPrefix(line, "count "))
		if len(fields) != 3 {
			continue
		}
		switch object := fields[0]; object {
		case "/ids":
			if ids = fields[2]; len(s.services) == 1 {
				ids = fields[1] + " " + ids // one that was frozen may repeat what another has completed
			}
		case "/quarantine":
			// What was cut off was being written when the service was killed, and so was not acknowledged.
			reason, err := base64.StdEncoding.DecodeString(fields[2])
			if err != nil || !strings.HasPrefix(string(reason), "cut off at the end of the spool") {
				fault("%s in quarantine: %s", fields[1], reason)
			}
			s.t.Logf("%s in quarantine: %s", fields[1], reason)
		default:
			stored++
			seen[object] = true
			if fields[1] != "1" || !s.sent[object] {
				fault("event %s is stored %s times with %s ids (sent: %v)", object, fields[1], fields[2], s.sent[object])
			}
		}
	}
	want := strconv.Itoa(stored)
	if len(s.services) == 1 {
		want += " " + want
	}
	if ids != want {
		fault("ids %s, want %s", ids, want)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for object, acked := range s.acked {
		if acked && !seen[object] {
			fault("event %s was acknowledged and is lost", object)
		}
	}
	s.t.Logf("%d events sent, %d acknowledged, %d stored; %d faults", len(s.sent), len(s.acked), stored, faults)
}

// feed sends for a moment.
func (s *soak) feed() {
	for end := time.Now().Add(time.Duration(20+s.rnd.IntN(400)) * time.Millisecond); time.Now().Before(end); {
		s.send()
		time.Sleep(time.Duration(s.rnd.IntN(8)) * time.Millisecond)
	}
}

// newSoak has no services yet. rounds is what soakEnv says, else usual.
func newSoak(t *testing.T, usual int) (s *soak, rounds int) {
	t.Helper()
	rounds = usual
	if text := os.Getenv(soakEnv); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("%s=%q: want a number of rounds", soakEnv, text)
		}
		rounds = n
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return &soak{t: t, rnd: rand.New(rand.NewPCG(seed, 0)), sent: map[string]bool{}, acked: map[string]bool{}}, rounds
}

// end checks for the last time.
func (s *soak) end() {
	s.t.Helper()
	s.check()
	if len(s.acked) == 0 {
		s.t.Error("nothing was ever acknowledged")
	}
	for _, v := range s.services {
		v.kill()
	}
}

// TestKillAtAnyMoment kills the service or its engine again and again while events come in.
func TestKillAtAnyMoment(t *testing.T) {
	s, rounds := newSoak(t, 6)
	dir := t.TempDir()
	engine := chdbtest.Config(t, filepath.Join(dir, "data"))
	v := &victim{s: s, cfg: serviceConfig{
		Spool: filepath.Join(dir, "spool"), DSN: "embedded:" + engine.DataDir, Command: engine.Command, Env: engine.Env, Library: engine.Library,
	}}
	s.services, s.killEngine = []*victim{v}, v.killChild
	v.start()
	for round := range rounds {
		s.feed()
		if s.rnd.IntN(4) == 0 {
			s.killEngine()
			continue
		}
		v.kill()
		v.start()
		if round%100 == 99 {
			s.check()
		}
		if t.Failed() {
			break
		}
	}
	s.end()
}

// soakRest is how many rounds of the other soak make one of TestKillOneOfTwoHosts, which has to wait for the ends of dead ones' turns.
const soakRest = 5

// TestKillOneOfTwoHosts kills or freezes services that take turns by a lease in their server, or that server, while the same and other events
// come in to both, and counts after each round.
func TestKillOneOfTwoHosts(t *testing.T) {
	t.Parallel()
	s, rounds := newSoak(t, soakRest)
	rounds = max(rounds/soakRest, 1)
	dsn := s.startServer()
	for range 2 {
		v := &victim{s: s, cfg: serviceConfig{Spool: t.TempDir(), DSN: dsn}}
		s.services = append(s.services, v)
		v.start()
	}
	for range rounds {
		s.feed()
		v := s.services[s.rnd.IntN(2)]
		switch s.rnd.IntN(8) {
		case 0:
			s.killEngine()
		case 1:
			_ = v.cmd.Process.Signal(syscall.SIGSTOP)
			time.Sleep(soakTurn + time.Duration(s.rnd.IntN(3000))*time.Millisecond)
			_ = v.cmd.Process.Signal(syscall.SIGCONT)
		case 2:
			for _, v := range s.services {
				v.kill()
			}
			for _, v := range s.services {
				v.start()
			}
		default:
			v.kill()
			v.start()
		}
		if s.check(); t.Failed() {
			break
		}
	}
	s.end()
}

// startServer starts an engine that looks like a server on another host, and returns its DSN.
func (s *soak) startServer() string {
	t := s.t
	t.Helper()
	cfg := chdbtest.Config(t, t.TempDir())
	cfg.Backoff = func(int) time.Duration { return 100 * time.Millisecond }
	engine, err := chdb.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = listener.Close()
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go carry(c, engine.Socket())
		}
	}()
	s.killEngine = func() { _ = syscall.Kill(engine.PID(), syscall.SIGKILL) }
	return "http://" + listener.Addr().String() + "/soak"
}

// carry connects a client with a socket until either is at its end.
func carry(client net.Conn, socket string) {
	defer client.Close()
	server, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer server.Close()
	done := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{server, client}, {client, server}} {
		go func() {
			_, _ = io.Copy(pair[0], pair[1])
			done <- struct{}{}
		}()
	}
	<-done
}
