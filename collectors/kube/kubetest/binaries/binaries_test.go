package binaries

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = `module example

require (
	go.etcd.io/etcd/server/v3 v3.6.8 // indirect
	k8s.io/kubernetes v1.36.3 // indirect
	sigs.k8s.io/kwok v0.8.0
)

replace k8s.io/kubernetes-other => k8s.io/kubernetes-other v9.9.9
`

func newSet(t *testing.T, mod, sum string) Set {
	t.Helper()
	s, err := New(t.TempDir(), []byte(mod), []byte(sum))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestVersionsComeFromGoMod(t *testing.T) {
	s := newSet(t, module, "")
	if s.Kubernetes != "v1.36.3" || s.Kwok != "v0.8.0" || s.Etcd != "v3.6.8" {
		t.Errorf("versions are %s, %s and %s, want v1.36.3, v0.8.0 and v3.6.8", s.Kubernetes, s.Kwok, s.Etcd)
	}
	if !strings.Contains(s.ldflags(), "-X k8s.io/component-base/version.gitMinor=36 ") {
		t.Errorf("ldflags are %q, want minor version 36", s.ldflags())
	}
	_, err := New(t.TempDir(), []byte(strings.Replace(module, "sigs.k8s.io/kwok", "sigs.k8s.io/kwok2", 1)), nil)
	if err == nil || !strings.Contains(err.Error(), "requires no release of sigs.k8s.io/kwok:") {
		t.Errorf("without kwok the error is %v", err)
	}
}

func TestWhatIsBuiltDecidesTheFolder(t *testing.T) {
	name := func(mod, sum string) string { return filepath.Base(newSet(t, mod, sum).Dir) }
	same := name(module, "a h1:x")
	if name(module, "a h1:x") != same {
		t.Error("the same requirements give two folders")
	}
	if name(module, "a h1:y") == same {
		t.Error("another go.sum gives the same folder")
	}
	if name(strings.Replace(module, "v0.8.0", "v0.8.1", 1), "a h1:x") == same {
		t.Error("another version gives the same folder")
	}
}

// fakeGo puts a go command on the PATH that notes its calls in the returned file. It
// "builds" by creating the files that the real one would.
func fakeGo(t *testing.T, build string) string {
	t.Helper()
	dir := t.TempDir()
	calls := filepath.Join(dir, "calls")
	script := `#!/bin/sh
echo "$1" >> ` + calls + `
if [ "$1" = list ]; then echo a; echo b; exit; fi
while [ "$1" != -o ]; do shift; done
out=$2; shift 2
` + build
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return calls
}

const buildAll = `
echo "go: downloading a v1" >&2
echo a >&2
sleep 0.2
for p; do n=${p##*/}; [ "$n" = v3 ] && n=server; echo "$p" > "$out/$n"; done
`

func TestTwoBuildsAtOnceBuildOnce(t *testing.T) {
	calls := fakeGo(t, buildAll)
	s := newSet(t, module, "")
	var group sync.WaitGroup
	var built [2][]string
	var errs [2]error
	for i := range built {
		group.Go(func() { built[i], errs[i] = s.Build(t.Context(), new(bytes.Buffer)) })
	}
	group.Wait()
	if errs[0] != nil || errs[1] != nil {
		t.Fatal(errs)
	}
	all := []string{Etcd, APIServer, ControllerManager, Scheduler, Kwok}
	if got := slices.Concat(built[0], built[1]); !slices.Equal(got, all) {
		t.Errorf("both together built %v, want %v once", got, all)
	}
	if text, err := os.ReadFile(calls); err != nil || string(text) != "list\nbuild\n" {
		t.Errorf("go was called for %q (%v), want one list and one build", text, err)
	}
	for program, want := range map[string]string{Etcd: "go.etcd.io/etcd/server/v3\n", Kwok: "sigs.k8s.io/kwok/cmd/kwok\n"} {
		if text, err := os.ReadFile(s.Path(program)); err != nil || string(text) != want {
			t.Errorf("%s is %q (%v), want %q", program, text, err, want)
		}
	}
}

func TestOnlyWhatIsMissingIsBuilt(t *testing.T) {
	fakeGo(t, buildAll)
	s := newSet(t, module, "")
	if _, err := s.Build(t.Context(), new(bytes.Buffer)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.Path(Scheduler)); err != nil {
		t.Fatal(err)
	}
	var progress bytes.Buffer
	built, err := s.Build(t.Context(), &progress)
	if err != nil || !slices.Equal(built, []string{Scheduler}) {
		t.Errorf("built %v, %v, want %s", built, err, Scheduler)
	}
	if want := "1 modules downloaded, 1 of at most 2 packages compiled"; !strings.Contains(progress.String(), want) {
		t.Errorf("progress is %q, want %q in it", progress.String(), want)
	}
}

func TestFailedBuildLeavesNothingAndTellsWhy(t *testing.T) {
	fakeGo(t, `
for p; do echo half > "$out/${p##*/}"; done
echo "# example" >&2
echo "main.go:1:1: what is this" >&2
exit 1
`)
	s := newSet(t, module, "")
	built, err := s.Build(t.Context(), new(bytes.Buffer))
	if err == nil || !strings.Contains(err.Error(), "main.go:1:1: what is this") || len(built) > 0 {
		t.Errorf("built %v, error is %v, want that of the compiler", built, err)
	}
	if missing, err := s.Missing(); err != nil || len(missing) != len(programs()) {
		t.Errorf("missing are %v (%v), want all", missing, err)
	}
	if left, err := filepath.Glob(filepath.Join(s.Dir, "build-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

func TestBuildEndsWithItsContext(t *testing.T) {
	fakeGo(t, "exec sleep 60\n")
	ctx, cancel := context.WithCancel(t.Context())
	progress := writerFunc(func([]byte) { cancel() }) // the first line comes when the build has begun
	if _, err := newSet(t, module, "").Build(ctx, progress); err == nil || ctx.Err() == nil {
		t.Errorf("error is %v, want that the context ended", err)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

func TestAddSelfNamesItsContent(t *testing.T) {
	s := newSet(t, module, "")
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	first, err := s.AddSelf()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(first); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("the copy is %v (%v), want an executable", info, err)
	}
	second, err := s.AddSelf()
	if err != nil || second != first {
		t.Errorf("a second copy is %s (%v), want %s again", second, err, first)
	}
	if entries, err := os.ReadDir(s.Dir); err != nil || len(entries) != 1 {
		t.Errorf("the folder has %v (%v), want one copy", entries, err)
	}
}
