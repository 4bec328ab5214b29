package controlplane

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/collectors/kube/kubetest/binaries"
)

// builtSet is a set of programs that look as if they were built.
func builtSet(t *testing.T) binaries.Set {
	t.Helper()
	set := binaries.Set{Dir: t.TempDir(), Kubernetes: "v1.36.3", Kwok: "v0.8.0", Etcd: "v3.6.8"}
	missing, err := set.Missing()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range missing {
		if err := os.WriteFile(set.Path(name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return set
}

func goodConfig(t *testing.T) Config {
	t.Helper()
	return Config{
		Dir:      filepath.Join(t.TempDir(), "plane"),
		Programs: builtSet(t),
		Audit:    Audit{BatchMaxWait: time.Second, BatchMaxSize: 1, RetryBackoff: time.Second},
		Progress: io.Discard,
		Now:      time.Now,
	}
}

func TestEveryFaultOfTheConfigurationIsReported(t *testing.T) {
	c := goodConfig(t)
	if err := c.check(); err != nil {
		t.Fatalf("a good configuration is refused: %v", err)
	}
	c.Dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(c.Dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(c.Programs.Path(binaries.Kwok)); err != nil {
		t.Fatal(err)
	}
	c.Nodes = -1
	c.Audit = Audit{PolicyFile: "/nowhere/policy", WebhookURL: "http://127.0.0.1:1/audit", WebhookTokenFile: "/nowhere/token", WebhookConfigFile: "/nowhere/config"}
	err := c.check()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"is not empty: name a folder that is empty or absent",
		"[kwok] are not built in",
		"-1 nodes: want 0 or more",
		"has both an address and a configuration file",
		"kube-apiserver sends no token over http",
		"stat /nowhere/policy:",
		"stat /nowhere/token:",
		"stat /nowhere/config:",
		"audit batch wait 0s and retry backoff 0s",
		"audit batch size 0",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%s", want, err)
		}
	}
}

func TestLayoutWritesWhatTheComponentsRead(t *testing.T) {
	c := goodConfig(t)
	c.UsersFile = filepath.Join(t.TempDir(), "users.csv")
	if err := os.WriteFile(c.UsersFile, []byte("t1,oidc:ann/x,u1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Audit.WebhookURL = "http://127.0.0.1:1/audit/one"
	l, users, err := newLayout(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if len(users) != 2 || users[0].name != AdminUser || users[1].name != "oidc:ann/x" {
		t.Errorf("users are %+v, want the administrator and ann", users)
	}
	for path, want := range map[string]string{
		l.file("tokens.csv"):              "t1,oidc:ann/x,u1\n",
		l.userKubeconfig("oidc:ann/x"):    `"token": "t1"`,
		l.kubeconfig("admin"):             `"server": "` + l.url(APIServer) + `"`,
		l.auditWebhook():                  `"server": "http://127.0.0.1:1/audit/one"`,
		l.auditPolicy():                   "kind: Policy",
		l.file("stages.yaml"):             "kubeletVersion: v1.36.3",
		l.pki.keyFile("service-accounts"): "EC PRIVATE KEY",
	} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if !strings.Contains(string(text), want) {
			t.Errorf("%s lacks %q:\n%s", path, want, text)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s is readable to others: %v (%v)", path, info.Mode(), err)
		}
	}
	args := strings.Join(l.args(APIServer), "\n")
	if !strings.Contains(args, "--audit-webhook-batch-max-wait=1s\n") {
		t.Errorf("kube-apiserver's arguments lack the batches' wait:\n%s", args)
	}
}

func TestPortsAreFreeAndOutOfTheWayOfConnections(t *testing.T) {
	ports, err := freePorts(t.Context(), 6)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, port := range ports {
		if seen[port] || port < lowestPort || port >= ephemeralStart() {
			t.Errorf("ports are %v, want different ones from %d to %d", ports, lowestPort, ephemeralStart()-1)
		}
		seen[port] = true
		l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err != nil {
			t.Errorf("port %d is not free: %v", port, err)
			continue
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}
