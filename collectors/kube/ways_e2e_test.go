//go:build e2e

package kube_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubevalue/kubevalue/collectors/kube"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// TestE2EEveryContextByItself watches the contexts of one kubeconfig: by a certificate, by the token that an allowed program prints, by a
// program that nobody allowed, and at an address where nobody listens. Those that work are measured; the others say what is wrong.
func TestE2EEveryContextByItself(t *testing.T) {
	p := startPlane(t, 1)
	s := &store{db: warehousetest.Open(t)}
	allowed, refused := credentialProgram(t), credentialProgram(t)
	path := p.contexts(t, map[string]string{"allowed": allowed, "refused": refused})
	of := func(name, context string) kube.ClusterConfig {
		return kube.ClusterConfig{Name: name, Kubeconfig: path, Context: context}
	}
	byProgram := of("by-program", "allowed")
	byProgram.AllowExec = []string{allowed}
	another := of("another-program", "refused")
	another.AllowExec = []string{allowed}
	grant(t, p, kube.Check(t.Context(), of("real", "")).ClusterRole)
	eventually(t, "the program's user to have the role", func() bool {
		report := kube.Check(t.Context(), byProgram)
		return report.Err == nil && len(report.Missing)+len(report.Unreadable) == 0
	})

	began := time.Now()
	c, _ := collect(t, s, of("real", ""), byProgram, another, of("deserted", "deserted"), of("unknown", "unknown"))
	awaitSynced(t, c)
	createNamespace(t, p, "shop", nil)
	must[*appsv1.Deployment](t)(p.client.AppsV1().Deployments("shop").Create(t.Context(), deployment("web", 1), metav1.CreateOptions{}))
	eventually(t, "both ways measure", func() bool {
		for _, status := range c.Status()[:2] {
			if !status.Synced || status.Err != nil || status.Coverage == 0 || status.LastContact.Before(began) || !strings.HasPrefix(status.Version, "v1.") {
				return false
			}
		}
		return true
	})
	for _, cluster := range []string{"real", "by-program"} {
		group := schema.WorkloadGroup(cluster, "shop", schema.KindDeployment, "web")
		eventually(t, "slices of "+cluster, func() bool { return len(s.measured(group)) > 0 })
	}
	for i, want := range map[int]string{
		2: fmt.Sprintf("wants to run the program %q for its credentials: allow it", refused), 3: "connect: connection refused", 4: `context "unknown" does not exist`,
	} {
		eventually(t, "an error with "+want, func() bool { return c.Status()[i].Err != nil })
		if status := c.Status()[i]; status.Synced || !status.LastContact.IsZero() || status.Coverage != 0 || status.Err == nil || !strings.Contains(status.Err.Error(), want) || status.Fault() != "cannot be watched" {
			t.Errorf("%s: %q, %+v, want an error with %q", status.Name, status.Fault(), status, want)
		}
	}
	if _, err := os.Stat(refused + ".ran"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the program that nobody allowed has run: %v", err)
	}
	if _, err := os.Stat(allowed + ".ran"); err != nil {
		t.Errorf("the allowed program has not run: %v", err)
	}
}

// credentialProgram prints the credentials of the user viewer, and leaves a trace that it ran.
func credentialProgram(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "credentials")
	text := `#!/bin/sh
touch "$0.ran"
echo '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "viewer-token"}}'
`
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil { //nolint:gosec // it is a program
		t.Fatal(err)
	}
	return path
}

// contexts is a kubeconfig with the administrator's context, one for each program, and one at an address where nobody listens.
func (p *plane) contexts(t *testing.T, programs map[string]string) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(p.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	real := config.Contexts[config.CurrentContext]
	for name, program := range programs {
		config.AuthInfos[name] = &api.AuthInfo{Exec: &api.ExecConfig{
			APIVersion: "client.authentication.k8s.io/v1", Command: program, InteractiveMode: api.NeverExecInteractiveMode,
		}}
		config.Contexts[name] = &api.Context{Cluster: real.Cluster, AuthInfo: name}
	}
	config.Clusters["deserted"] = &api.Cluster{Server: "https://127.0.0.1:1"}
	config.Contexts["deserted"] = &api.Context{Cluster: "deserted", AuthInfo: real.AuthInfo}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}
