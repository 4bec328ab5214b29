package binaries

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// progressEvery is how often Build says how far it is.
const progressEvery = 10 * time.Second

// Build compiles the programs that are missing and returns their names; it does nothing
// when there are none. Processes that build at the same time wait for each other, and a
// program appears under its name only when it is complete. One line about every ten
// seconds goes to progress. An interrupted build goes on where it was, since the compiled
// packages stay in Go's build cache.
func (s Set) Build(ctx context.Context, progress io.Writer) (built []string, err error) {
	missing, err := s.Missing()
	if err != nil || len(missing) == 0 {
		return nil, err
	}
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("create the cache folder: %w", err)
	}
	unlock, err := lock(filepath.Join(s.Dir, "lock"), progress)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if missing, err = s.Missing(); err != nil || len(missing) == 0 {
		return nil, err
	}

	work, err := os.MkdirTemp(s.Dir, "build-")
	if err != nil {
		return nil, fmt.Errorf("create the build folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if err := s.compile(ctx, missing, work, progress); err != nil {
		return nil, err
	}
	for _, p := range programs() {
		if !slices.Contains(missing, p.name) {
			continue
		}
		if err := os.Rename(filepath.Join(work, p.output()), s.Path(p.name)); err != nil {
			return built, fmt.Errorf("put %s into the cache: %w", p.name, err)
		}
		built = append(built, p.name)
	}
	return built, nil
}

// compile builds the named programs into the folder work, from a module there that
// consists of nothing but requirements.
func (s Set) compile(ctx context.Context, names []string, work string, progress io.Writer) error {
	for file, content := range map[string][]byte{"go.mod": s.modFile, "go.sum": s.sumFile} {
		if err := os.WriteFile(filepath.Join(work, file), content, 0o644); err != nil {
			return fmt.Errorf("write the module to build from: %w", err)
		}
	}
	var paths []string
	for _, p := range programs() {
		if slices.Contains(names, p.name) {
			paths = append(paths, p.importPath)
		}
	}
	m := newMeter(strings.Join(names, ", "), progress)
	defer m.stop()

	list := append([]string{"list", "-deps", "-tags", buildTags, "-f", "{{.ImportPath}}"}, paths...)
	deps, err := runGo(ctx, work, list, m)
	if err != nil {
		return fmt.Errorf("resolve the packages of %s: %w", strings.Join(names, ", "), err)
	}
	m.setTotal(strings.Count(deps, "\n"))

	build := append([]string{"build", "-v", "-tags", buildTags, "-ldflags", s.ldflags(), "-o", work + string(filepath.Separator)}, paths...)
	if _, err := runGo(ctx, work, build, m); err != nil {
		return fmt.Errorf("build %s: %w", strings.Join(names, ", "), err)
	}
	return nil
}

// runGo runs the go command in dir and returns what it printed. Its diagnostics go to m.
func runGo(ctx context.Context, dir string, args []string, m *meter) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-buildvcs=false")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var out strings.Builder
	cmd.Stdout = &out
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return "", fmt.Errorf("start go: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start go (is it on the PATH?): %w", err)
	}
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		m.line(lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return "", fmt.Errorf("go %s: %w\n%s", args[0], err, m.complaints())
	}
	return out.String(), nil
}

// lock takes the lock file for this process, waiting for others, and returns how to give it back.
func lock(path string, progress io.Writer) (func() error, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the build lock: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		fmt.Fprintln(progress, "kubetest: another process is building, waiting for it")
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f.Close, nil
}

// meter turns the diagnostics of the go command into lines about its progress.
type meter struct {
	what    string
	out     io.Writer
	started time.Time
	done    chan struct{}

	mu         sync.Mutex
	downloaded int
	compiled   int
	total      int
	rest       []string
}

func newMeter(what string, out io.Writer) *meter {
	m := &meter{what: what, out: out, started: time.Now(), done: make(chan struct{})}
	fmt.Fprintf(out, "kubetest: building %s (minutes the first time)\n", what)
	go func() {
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				m.report()
			case <-m.done:
				return
			}
		}
	}()
	return m
}

func (m *meter) stop() {
	close(m.done)
	m.report()
}

func (m *meter) report() {
	m.mu.Lock()
	defer m.mu.Unlock()
	fmt.Fprintf(m.out, "kubetest: %s: %d modules downloaded, %d of at most %d packages compiled\n",
		time.Since(m.started).Round(time.Second), m.downloaded, m.compiled, m.total)
}

func (m *meter) setTotal(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total = n
}

// line sorts one line of the go command: a download, a compiled package (a bare import
// path), or something to tell when the command fails.
func (m *meter) line(text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case strings.HasPrefix(text, "go: downloading "):
		m.downloaded++
	case !strings.ContainsAny(text, " \t"):
		m.compiled++
	default:
		m.rest = append(m.rest, text)
	}
}

// complaints is the end of what the go command said beside its progress.
func (m *meter) complaints() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(m.rest[max(0, len(m.rest)-30):], "\n")
}
