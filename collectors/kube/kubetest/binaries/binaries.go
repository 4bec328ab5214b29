// Package binaries builds the programs of a Kubernetes control plane from Go modules
// and keeps them in the user's cache directory, one folder per set of versions.
package binaries

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

// Names of the programs in a Set.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Kwok              = "kwok"
)

// buildTags are those of the official Kubernetes release.
const buildTags = "selinux,notest,grpcnotrace"

// program is one command to build.
type program struct {
	name       string
	importPath string
}

// output is the file name that the go command chooses for the program.
func (p program) output() string {
	if p.name == Etcd {
		return "server"
	}
	return p.name
}

// programs lists what a control plane consists of.
func programs() []program {
	return []program{
		{name: Etcd, importPath: "go.etcd.io/etcd/server/v3"},
		{name: APIServer, importPath: "k8s.io/kubernetes/cmd/kube-apiserver"},
		{name: ControllerManager, importPath: "k8s.io/kubernetes/cmd/kube-controller-manager"},
		{name: Scheduler, importPath: "k8s.io/kubernetes/cmd/kube-scheduler"},
		{name: Kwok, importPath: "sigs.k8s.io/kwok/cmd/kwok"},
	}
}

// Set is the programs of one combination of versions, built or not.
type Set struct {
	// Dir is the absolute folder of the programs. It need not exist yet.
	Dir string
	// Kubernetes, Kwok and Etcd are module versions with a leading v.
	Kubernetes, Kwok, Etcd string

	modFile, sumFile []byte
}

// New returns the set that modFile (a go.mod that requires k8s.io/kubernetes,
// sigs.k8s.io/kwok and go.etcd.io/etcd/server/v3) and sumFile (its go.sum) describe, in
// cacheDir.
// Anything that changes the programs changes Set.Dir: versions, the other requirements,
// the Go release, the platform, and how they are built.
func New(cacheDir string, modFile, sumFile []byte) (Set, error) {
	s := Set{modFile: modFile, sumFile: sumFile}
	for module, version := range map[string]*string{
		"k8s.io/kubernetes":         &s.Kubernetes,
		"sigs.k8s.io/kwok":          &s.Kwok,
		"go.etcd.io/etcd/server/v3": &s.Etcd,
	} {
		var err error
		if *version, err = required(modFile, module); err != nil {
			return Set{}, err
		}
	}
	h := sha256.New()
	for _, part := range [][]byte{modFile, sumFile, []byte(buildTags), []byte(s.ldflags())} {
		fmt.Fprintf(h, "%d\n", len(part))
		h.Write(part)
	}
	goVersion, _, _ := strings.Cut(runtime.Version(), " ")
	s.Dir = filepath.Join(cacheDir, fmt.Sprintf("kubernetes-%s_kwok-%s_%s_%s-%s_%.8x",
		s.Kubernetes, s.Kwok, goVersion, runtime.GOOS, runtime.GOARCH, h.Sum(nil)))
	return s, nil
}

// CacheDir is where sets are kept: kubevalue/kubetest in the user's cache directory.
func CacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the user's cache directory (set XDG_CACHE_HOME or HOME): %w", err)
	}
	return filepath.Join(dir, "kubevalue", "kubetest"), nil
}

// Path is the absolute path of the named program, whether or not it exists.
func (s Set) Path(name string) string { return filepath.Join(s.Dir, name) }

// Missing returns the names of the programs that are not built yet, in a fixed order.
func (s Set) Missing() ([]string, error) {
	var names []string
	for _, p := range programs() {
		switch _, err := os.Stat(s.Path(p.name)); {
		case errors.Is(err, os.ErrNotExist):
			names = append(names, p.name)
		case err != nil:
			return nil, fmt.Errorf("look for %s: %w", p.name, err)
		}
	}
	return names, nil
}

// ldflags strips the programs and stamps them with the versions that they report.
func (s Set) ldflags() string {
	flags := []string{"-s", "-w", "-X sigs.k8s.io/kwok/pkg/consts.Version=" + strings.TrimPrefix(s.Kwok, "v")}
	parts := strings.SplitN(strings.TrimPrefix(s.Kubernetes, "v"), ".", 3)
	// The first is what /version answers, the second what user agents say.
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags = append(flags,
			"-X "+pkg+".gitVersion="+s.Kubernetes,
			"-X "+pkg+".gitMajor="+parts[0],
			"-X "+pkg+".gitMinor="+parts[1],
			"-X "+pkg+".gitCommit=unknown",
			"-X "+pkg+".gitTreeState=clean",
		)
	}
	return strings.Join(flags, " ")
}

// required finds the release of module that modFile requires.
func required(modFile []byte, module string) (string, error) {
	line := regexp.MustCompile(`(?m)^\s*(?:require\s+)?` + regexp.QuoteMeta(module) + `\s+(v\d+\.\d+\.\d+\S*)`)
	m := line.FindSubmatch(modFile)
	if m == nil {
		return "", fmt.Errorf("go.mod requires no release of %s: add it with go get %s@version", module, module)
	}
	return string(m[1]), nil
}
