//go:build bench

package kube_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubevalue/kubevalue/collectors/kube"
	"github.com/kubevalue/kubevalue/schema"
)

// watcherEnv makes a process of this test binary one that watches as the order in it says, so that its memory and time are its own.
const watcherEnv = "KUBEVALUE_BENCH_WATCHER"

func init() {
	if text := os.Getenv(watcherEnv); text != "" {
		if err := watchAsTold(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// order tells a process what to watch.
type order struct {
	// Typed: by plain informers of client-go in place of a collector.
	Typed bool
	// Lists: by lists in pages, as from servers that cannot stream what is there.
	Lists    bool
	Clusters []kube.ClusterConfig
	// Changes is a file that the collector's changes are appended to, Known one that tells what is known at the start; empty: none.
	Changes, Known string
}

// report is what a process that watches says of itself.
type report struct {
	// Synced counts the clusters that were read, of which the last one took so many seconds.
	Synced  int
	Seconds float64
	Objects int
	// Heap is what lives on the heap, in bytes, Idle what did before anything was watched.
	Heap, Idle uint64
	// Changes counts the records of the collector, Measured is the measured share of slices of the clusters that were read.
	Changes  int
	Measured float64
}

// watchAsTold watches until standard input ends, and reports for each line of it.
func watchAsTold(text string) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	idle, begin := liveHeap(), time.Now()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	watch := watchByCollector
	if o.Typed {
		watch = watchByInformers
	}
	look, err := watch(ctx, o)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	synced, seconds := 0, 0.0
	go func() {
		for range time.Tick(20 * time.Millisecond) {
			r := look()
			mu.Lock()
			if r.Synced > synced {
				synced, seconds = r.Synced, time.Since(begin).Seconds()
			}
			mu.Unlock()
		}
	}()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		r := look()
		mu.Lock()
		r.Synced, r.Seconds, r.Idle = synced, seconds, idle
		mu.Unlock()
		if lines.Text() == "heap" {
			r.Heap = liveHeap()
		}
		if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
			return err
		}
	}
	return nil
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// watchByCollector is what this package is for.
func watchByCollector(ctx context.Context, o order) (func() report, error) {
	sink := &file{}
	if o.Changes != "" {
		f, err := os.Create(o.Changes)
		if err != nil {
			return nil, err
		}
		sink.out = bufio.NewWriter(f)
	}
	debug.SetGCPercent(50) // as the service does
	cfg := kube.Config{Clusters: o.Clusters, Sink: sink, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	if o.Known != "" {
		cfg.Known = func(context.Context, string) ([]schema.ResourceChange, error) { return newestStates(o.Known) }
	}
	c, err := kube.New(cfg)
	if err != nil {
		return nil, err
	}
	go func() { _ = c.Run(ctx) }()
	return func() report {
		r := report{Changes: sink.count()}
		for _, s := range c.Status() {
			if s.Synced {
				r.Synced++
				r.Measured += s.Coverage
			}
			for _, k := range s.Kinds {
				r.Objects += k.Objects
			}
		}
		r.Measured /= max(1, float64(r.Synced))
		return r
	}, nil
}

// file is a sink that counts what it is given, and writes it to a file if it has one.
type file struct {
	mu  sync.Mutex
	n   int
	out *bufio.Writer
}

func (f *file) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

func (f *file) Append(_ context.Context, b schema.Batch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n += len(b.Changes)
	if f.out == nil {
		return nil
	}
	encoder := json.NewEncoder(f.out)
	for i := range b.Changes {
		if err := encoder.Encode(b.Changes[i]); err != nil {
			return err
		}
	}
	return f.out.Flush()
}

// newestStates reads what a warehouse would say is there.
func newestStates(path string) ([]schema.ResourceChange, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	newest := map[string]schema.ResourceChange{}
	for decoder := json.NewDecoder(f); ; {
		var ch schema.ResourceChange
		if err := decoder.Decode(&ch); err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
		if was, ok := newest[ch.Kind+ch.UID]; !ok || ch.StatePrecedence() > was.StatePrecedence() {
			newest[ch.Kind+ch.UID] = ch
		}
	}
	var live []schema.ResourceChange
	for _, ch := range newest {
		if ch.Change != schema.ChangeDeleted {
			ch.Time = ch.StateTime()
			ch.Seen, ch.From, ch.Reason, ch.DurationMS, ch.Value = time.Time{}, time.Time{}, "", nil, nil
			live = append(live, ch)
		}
	}
	return live, nil
}

// watchByInformers is what one would do without this package: an informer for each kind, with the clients set up as ours are.
func watchByInformers(ctx context.Context, o order) (func() report, error) {
	cluster := o.Clusters[0]
	config, err := clientcmd.BuildConfigFromFlags("", cluster.Kubeconfig)
	if err != nil {
		return nil, err
	}
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.QPS, config.Burst = 20, 40
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	all := informersOf(factory)
	var started []cache.SharedIndexInformer
	for _, kind := range cluster.Kinds {
		started = append(started, all[kind]())
	}
	factory.Start(ctx.Done())
	return func() report {
		r := report{Synced: 1}
		for _, i := range started {
			if !i.HasSynced() {
				r.Synced = 0
			}
			r.Objects += len(i.GetStore().ListKeys())
		}
		return r
	}, nil
}

// process is a process that watches.
type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
	said  bytes.Buffer
}

// watching starts a process that watches, which ends with the test or by stop.
func watching(t *testing.T, o order) *process {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), watcherEnv+"="+string(text))
	if o.Lists {
		p.cmd.Env = append(p.cmd.Env, "KUBE_FEATURE_WatchListClient=false")
	}
	p.cmd.Stderr = &p.said
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.stop(t)
		if t.Failed() {
			t.Logf("a process said:\n%.2000s", p.said.String())
		}
	})
	return p
}

func (p *process) stop(t *testing.T) {
	t.Helper()
	if p.cmd.ProcessState != nil {
		return
	}
	_ = p.stdin.Close()
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("a process that watches ended with: %v", err)
	}
}

// ask gets a report; by "heap" with what lives on its heap, for which it collects its garbage.
func (p *process) ask(t *testing.T, what string) report {
	t.Helper()
	var r report
	if _, err := fmt.Fprintln(p.stdin, what); err != nil {
		t.Fatal(err)
	}
	line, err := p.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	if err != nil {
		t.Fatalf("the process said %q: %v", line, err)
	}
	return r
}

// awaitSynced waits until so many clusters were read.
func (p *process) awaitSynced(t *testing.T, clusters int) report {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		r := p.ask(t, "report")
		if r.Synced >= clusters {
			return r
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d clusters were read: %+v", r.Synced, clusters, r)
		}
	}
}

// memory is a line of /proc/PID/status, in bytes: VmRSS is what the process has in memory, VmHWM the most that it ever had.
func (p *process) memory(t *testing.T, line string) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for one := range strings.Lines(string(text)) {
		if name, rest, _ := strings.Cut(one, ":"); name == line {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib * 1024
		}
	}
	t.Fatalf("no line %s", line)
	return 0
}

// cpu is the time that the process has used so far.
func (p *process) cpu(t *testing.T) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	var ticks int64
	for _, field := range fields[11:13] { // utime and stime, in hundredths of a second
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// measure prints one line of `make bench`.
func measure(name, unit string, value, baseline float64) {
	fmt.Printf("bench %s value=%.3g unit=%s baseline=%.3g ratio=%.3f\n", name, value, unit, baseline, value/baseline)
}
