//go:build e2e

package kube_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/kubevalue/kubevalue/collectors/kube"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

func TestMain(m *testing.M) { warehousetest.Main(m) }

// store is the sink of these tests: a real warehouse, and all that came for the test to look at.
type store struct {
	db *warehouse.DB

	mu      sync.Mutex
	n       int
	changes []schema.ResourceChange
	slices  []schema.Slice
}

// Append takes the time that the warehouse needs. The service has a spool in between, which the collector's last records are in within its ten
// seconds even on a slow disk.
func (s *store) Append(ctx context.Context, b schema.Batch) error {
	ctx = context.WithoutCancel(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	token := fmt.Sprint(s.n)
	if err := s.db.InsertResourceChanges(ctx, token, b.Changes); err != nil {
		return err
	}
	if err := s.db.InsertSlices(ctx, token, b.Slices); err != nil {
		return err
	}
	s.changes = append(s.changes, b.Changes...)
	s.slices = append(s.slices, b.Slices...)
	return nil
}

// find returns what happened to the objects of a name.
func (s *store) find(kind, namespace, name string, change schema.Change) []schema.ResourceChange {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []schema.ResourceChange
	for _, ch := range s.changes {
		if ch.Kind == kind && ch.Namespace == namespace && ch.Name == name && ch.Change == change {
			found = append(found, ch)
		}
	}
	return found
}

// await waits until something has happened n times, and returns it.
func (s *store) await(t *testing.T, n int, kind, namespace, name string, change schema.Change) []schema.ResourceChange {
	t.Helper()
	var found []schema.ResourceChange
	eventually(t, fmt.Sprintf("%d x %s of %s %s/%s", n, change, kind, namespace, name), func() bool {
		found = s.find(kind, namespace, name, change)
		return len(found) >= n
	})
	if len(found) != n {
		t.Errorf("%s of %s %s/%s happened %d times, want %d: %+v", change, kind, namespace, name, len(found), n, found)
	}
	return found
}

const slice = 10 * time.Second

// labelled is the owner that a label names, or that of the namespace.
func labelled(q schema.OwnerQuestion) (string, schema.OwnerSource) {
	if team := q.Resource.Labels["team"]; team != "" {
		return team, schema.OwnerByLabel
	}
	if space := q.Space(q.Resource.Namespace); space != nil && space.Labels["team"] != "" {
		return space.Labels["team"], schema.OwnerByNamespace
	}
	return "", schema.OwnerUnknown
}

// collect runs a collector until stop is called.
func collect(t *testing.T, s *store, clusters ...kube.ClusterConfig) (*kube.Collector, func()) {
	t.Helper()
	c, err := kube.New(kube.Config{
		Clusters: clusters, Sink: s, Known: s.db.LiveResources, Slice: slice, EmptyAfter: 4 * time.Second,
		SyncTimeout: 30 * time.Second, Owner: labelled, KeepLabels: []string{"team"}, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return c, stop
}

func awaitSynced(t *testing.T, c *kube.Collector) kube.Status {
	t.Helper()
	var status kube.Status
	eventually(t, "the real cluster is synced", func() bool {
		i := slices.IndexFunc(c.Status(), func(s kube.Status) bool { return s.Name == "real" })
		status = c.Status()[i]
		return status.Synced && status.Err == nil
	})
	return status
}

func template(labels map[string]string, annotations map[string]string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: annotations},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "main", Image: "example:1",
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}},
		}}},
	}
}

func deployment(name string, replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: template(labels, map[string]string{"kubetest.kubevalue.dev/ready-after": "1s"}),
		},
	}
}

// change edits a Deployment of the namespace shop, as often as it takes.
func change(t *testing.T, p *plane, name string, edit func(*appsv1.Deployment)) time.Time {
	t.Helper()
	var edited time.Time
	eventually(t, "edit "+name, func() bool {
		d, err := p.client.AppsV1().Deployments("shop").Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return false
		}
		edit(d)
		edited = time.Now()
		_, err = p.client.AppsV1().Deployments("shop").Update(t.Context(), d, metav1.UpdateOptions{})
		return err == nil
	})
	return edited
}

// within checks that something is dated to when it happened: not before it was asked for, and not after it was seen. The API server's instants
// are cut to seconds.
func within(t *testing.T, what string, got, asked, seen time.Time) {
	t.Helper()
	if got.Before(asked.Truncate(time.Second)) || got.After(seen) {
		t.Errorf("%s at %s, want it from %s to %s", what, got.Format(time.StampMilli), asked.Format(time.StampMilli), seen.Format(time.StampMilli))
	}
}

func createNamespace(t *testing.T, p *plane, name string, labels map[string]string) {
	t.Helper()
	must[*corev1.Namespace](t)(p.client.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{}))
}

func clusterOf(p *plane) kube.ClusterConfig {
	return kube.ClusterConfig{Name: "real", Region: "lab", Kubeconfig: p.kubeconfig}
}

// grant gives somebody a role.
func grant(t *testing.T, p *plane, role string) {
	t.Helper()
	var r rbacv1.ClusterRole
	if err := yaml.NewYAMLOrJSONDecoder(strings.NewReader(role), len(role)).Decode(&r); err != nil {
		t.Fatal(err)
	}
	must[*rbacv1.ClusterRole](t)(p.client.RbacV1().ClusterRoles().Create(t.Context(), &r, metav1.CreateOptions{}))
	must[*rbacv1.ClusterRoleBinding](t)(p.client.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: r.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: r.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "viewer"}},
	}, metav1.CreateOptions{}))
}
