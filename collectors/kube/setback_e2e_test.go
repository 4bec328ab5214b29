//go:build e2e

package kube_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// TestE2ESetBack restores an etcd from a backup under a collector: what happened after the backup has not happened, what is there again is
// there, and what happens next is seen, although its versions were used before.
func TestE2ESetBack(t *testing.T) {
	p := startPlane(t, 3)
	s := &store{db: warehousetest.Open(t)}
	createNamespace(t, p, "kept", nil)
	createNamespace(t, p, "again", nil)
	c, _ := collect(t, s, clusterOf(p))
	awaitSynced(t, c)

	data, backup := filepath.Join(p.dir, "etcd"), filepath.Join(t.TempDir(), "etcd")
	withoutEtcd(t, p, func() error { return os.CopyFS(backup, os.DirFS(data)) })
	awaitSynced(t, c)
	createNamespace(t, p, "lost", nil)
	if err := p.client.CoreV1().Namespaces().Delete(t.Context(), "again", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		must[*corev1.ConfigMap](t)(p.client.CoreV1().ConfigMaps("kept").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("c", i)}}, metav1.CreateOptions{}))
	}
	s.await(t, 1, schema.KindNamespace, "", "lost", schema.ChangeCreated)
	s.await(t, 1, schema.KindNamespace, "", "again", schema.ChangeDeleted)

	withoutEtcd(t, p, func() error {
		if err := os.RemoveAll(data); err != nil {
			return err
		}
		return os.CopyFS(data, os.DirFS(backup))
	})
	if gone := s.await(t, 1, schema.KindNamespace, "", "lost", schema.ChangeDeleted); gone[0].Exact() {
		t.Errorf("nobody saw the namespace go, but it is dated exactly: %+v", gone[0])
	}
	awaitSynced(t, c)
	createNamespace(t, p, "next", nil)
	s.await(t, 1, schema.KindNamespace, "", "next", schema.ChangeCreated)

	live, err := s.db.LiveResources(t.Context(), "real")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]int{}
	for _, r := range live {
		if r.Kind == schema.KindNamespace {
			there[r.Name]++
		}
	}
	for name, want := range map[string]int{"kept": 1, "again": 1, "next": 1, "lost": 0} {
		if there[name] != want {
			t.Errorf("namespace %s is known %d times, want %d", name, there[name], want)
		}
	}
}

// withoutEtcd does something while neither etcd nor the API server runs.
func withoutEtcd(t *testing.T, p *plane, do func() error) {
	t.Helper()
	p.command(t, "stop apiserver")
	p.command(t, "stop etcd")
	if err := do(); err != nil {
		t.Fatal(err)
	}
	p.command(t, "start etcd")
	p.command(t, "start apiserver")
}
