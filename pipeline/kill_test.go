package pipeline_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/pipeline"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/chdb/chdbtest"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

// serviceEnv holds the serviceConfig of a process that is the service under test.
const serviceEnv = "KUBEVALUE_PIPELINETEST_SERVICE"

// soakEnv is how many times the service or its engine are killed; `make soak` sets it.
const soakEnv = "KUBEVALUE_SOAK_ROUNDS"

type serviceConfig struct {
	Spool, DSN, Library string
	Command, Env        []string // of the engine
}

// serve is the service: a pipeline on an embedded warehouse. It reads commands from its standard input, one in a line, and
// answers each: a JSON batch with "ack N" once it is on disk, N being the line's number; "flush" when all is stored; "count" with
// the number of rows of each event.
func serve(text string) int {
	os.Unsetenv(serviceEnv) // the engine is this program too
	var sc serviceConfig
	if err := json.Unmarshal([]byte(text), &sc); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if err := sc.run(); err != nil {
		fmt.Fprintln(os.Stderr, "service:", err)
		return 1
	}
	return 0
}

func (sc serviceConfig) run() error {
	ctx := context.Background()
	db, err := warehouse.Open(ctx, warehouse.Options{DSN: sc.DSN, EngineCommand: sc.Command, EngineEnv: sc.Env, Library: sc.Library})
	if err != nil {
		return err
	}
	if _, err := db.Migrate(ctx); err != nil {
		return err
	}
	cfg := config(nopTB{}, db, sc.Spool)
	cfg.Interval, cfg.MaxRows = 20*time.Millisecond, 200
	cfg.Lease, cfg.Exclusive = db.LocalLease(), true
	p, err := pipeline.New(cfg)
	if err != nil {
		return err
	}
	go func() { _ = p.Run(ctx) }()
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf(format+"\n", args...)
	}
	say("ready")
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		number, command, _ := strings.Cut(lines.Text(), " ")
		switch command {
		case "flush":
			err = flushLoudly(ctx, p, say)
		case "count":
			err = sayCounts(ctx, db, say)
		default:
			var b schema.Batch
			if err = json.Unmarshal([]byte(command), &b); err == nil {
				go func() {
					if err := p.Append(ctx, b); err == nil {
						say("ack %s", number)
					} else {
						say("refused %s: %v", number, err)
					}
				}()
			}
		}
		if err != nil {
			return err
		}
	}
	return lines.Err()
}

// flushLoudly says "flushed" in the end, and "waiting N" every second until then, N being the batches that are left.
func flushLoudly(ctx context.Context, p *pipeline.Pipeline, say func(string, ...any)) error {
	done := make(chan error, 1)
	go func() { done <- p.Flush(ctx) }()
	for {
		select {
		case err := <-done:
			say("flushed")
			return err
		case <-time.After(time.Second):
			say("waiting %d", p.Stats().Records)
		}
	}
}

func sayCounts(ctx context.Context, db *warehouse.DB, say func(string, ...any)) error {
	for _, sql := range []string{
		"SELECT object, count(), uniqExact(id) FROM events GROUP BY object",
		"SELECT '/ids', count(), uniqExact(id_high, id_low) FROM event_ids", "SELECT '/quarantine', kind, base64Encode(reason) FROM quarantine",
	} {
		result, err := db.Query(ctx, sql, nil)
		if err != nil {
			return err
		}
		for _, row := range result.Rows {
			say("count %v %v %v", row...)
		}
	}
	say("counted")
	return nil
}

// soak is the sender of events, who kills what it sends to.
type soak struct {
	t    *testing.T
	cfg  serviceConfig
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  chan string
	next int

	mu      sync.Mutex
	sent    map[string]bool
	acked   map[string]bool
	waiting map[int][]string // objects by line
}

func (s *soak) start() {
	s.t.Helper()
	text, err := json.Marshal(s.cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command(program)
	s.cmd.Env = append(os.Environ(), serviceEnv+"="+string(text))
	s.cmd.Stderr = os.Stderr
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		s.t.Fatal(err)
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.waiting = map[int][]string{}
	out := make(chan string, 100_000)
	s.out = out
	go func() {
		defer close(out)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			s.hear(lines.Text(), out)
		}
	}()
	s.expect("ready")
}

// hear notes acknowledgements, and passes the other lines on.
func (s *soak) hear(line string, out chan<- string) {
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
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, object := range s.waiting[n] {
		s.acked[object] = s.acked[object] || verdict == "ack"
	}
	delete(s.waiting, n)
}

func (s *soak) expect(want string) (before []string) {
	s.t.Helper()
	deadline, waiting := time.After(2*time.Minute), ""
	for {
		select {
		case line, ok := <-s.out:
			if !ok {
				s.t.Fatalf("the service ended before it said %q", want)
			}
			if strings.HasPrefix(line, "waiting ") {
				if line != waiting { // it goes on, however slow the machine is
					deadline, waiting = time.After(2*time.Minute), line
				}
				continue
			}
			if line == want {
				return before
			}
			before = append(before, line)
		case <-deadline:
			s.t.Fatalf("the service does not say %q; last: %q", want, waiting)
		}
	}
}

// send sends a batch: new events, some without an id, and copies of old ones, whatever became of those.
func (s *soak) send(rnd *rand.Rand) {
	var b schema.Batch
	var objects []string
	now := time.Now()
	for range 1 + rnd.IntN(30) {
		object := strconv.Itoa(s.next)
		if rnd.IntN(4) == 0 && s.next > 0 {
			object = strconv.Itoa(rnd.IntN(s.next))
		} else {
			s.next++
		}
		e := schema.Event{ID: object, Source: "soak", Name: "n", Object: object, Actor: fmt.Sprint("user", rnd.IntN(50)), Time: now.AddDate(0, 0, -rnd.IntN(29))}
		if n, _ := strconv.Atoi(object); n%10 == 0 {
			if s.sent[object] {
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
	line := rnd.IntN(1 << 40)
	for _, o := range objects {
		s.sent[o] = true
	}
	s.mu.Lock()
	s.waiting[line] = objects
	s.mu.Unlock()
	fmt.Fprintf(s.in, "%d %s\n", line, text) // may fail: the service may be dead
}

func (s *soak) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	for range s.out { //nolint:revive // hear what it said before
	}
}

// killEngine kills the service's child, which the service is to start again.
func (s *soak) killEngine() {
	dirs, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range dirs {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		if len(fields) < 2 || fields[1] != strconv.Itoa(s.cmd.Process.Pid) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// answered waits until the service has answered each batch: what it acknowledges after the flush has begun need not be stored when that ends.
func (s *soak) answered() {
	s.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		s.mu.Lock()
		left := len(s.waiting)
		s.mu.Unlock()
		if left == 0 {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%d batches are not answered", left)
		}
	}
}

// check counts: every acknowledged event once, and nothing that was not sent.
func (s *soak) check() {
	s.t.Helper()
	s.answered()
	fmt.Fprintln(s.in, "0 flush")
	s.expect("flushed")
	fmt.Fprintln(s.in, "0 count")
	stored, ids := 0, ""
	faults := 0
	fault := func(format string, args ...any) {
		if faults++; faults <= 10 {
			s.t.Errorf(format, args...)
		}
	}
	seen := map[string]bool{}
	for _, line := range s.expect("counted") {
		fields := strings.Fields(strings.TrimPrefix(line, "count "))
		if len(fields) != 3 {
			continue
		}
		switch object := fields[0]; object {
		case "/ids":
			ids = fields[1] + " " + fields[2]
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
	if want := fmt.Sprint(stored, " ", stored); ids != want {
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

// TestKillAtAnyMoment kills the service or its engine again and again while events come in.
func TestKillAtAnyMoment(t *testing.T) {
	rounds := 6
	if text := os.Getenv(soakEnv); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("%s=%q: want a number of rounds", soakEnv, text)
		}
		rounds = n
	}
	dir := t.TempDir()
	engine := chdbtest.Config(t, filepath.Join(dir, "data"))
	s := &soak{
		t: t, sent: map[string]bool{}, acked: map[string]bool{},
		cfg: serviceConfig{
			Spool: filepath.Join(dir, "spool"), DSN: "embedded:" + engine.DataDir, Command: engine.Command, Env: engine.Env, Library: engine.Library,
		},
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	s.start()
	for round := range rounds {
		end := time.Now().Add(time.Duration(20+rnd.IntN(400)) * time.Millisecond)
		for time.Now().Before(end) {
			s.send(rnd)
			time.Sleep(time.Duration(rnd.IntN(8)) * time.Millisecond)
		}
		if rnd.IntN(4) == 0 {
			s.killEngine()
			continue
		}
		s.kill()
		s.start()
		if round%100 == 99 {
			s.check()
		}
		if t.Failed() {
			break
		}
	}
	s.check()
	if len(s.acked) == 0 {
		t.Error("nothing was ever acknowledged")
	}
	s.kill()
}
