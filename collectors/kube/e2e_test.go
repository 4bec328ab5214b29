//go:build e2e

package kube_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
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
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubevalue/kubevalue/collectors/kube"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

func TestMain(m *testing.M) { warehousetest.Main(m) }

// plane is a real control plane that runs as a program of its own.
type plane struct {
	stdin      io.WriteCloser
	lines      *bufio.Reader
	kubeconfig string
	viewer     string // the kubeconfig of somebody without rights
	dir        string
	client     kubernetes.Interface
}

func startPlane(t *testing.T) *plane {
	t.Helper()
	build := exec.CommandContext(t.Context(), "go", "run", ".", "build")
	build.Dir, build.Stderr = "kubetest", os.Stderr
	out, err := build.Output()
	if err != nil {
		t.Fatalf("build kubetest: %v", err)
	}
	var built struct {
		Kubetest string `json:"kubetest"`
	}
	if err := json.Unmarshal(out, &built); err != nil {
		t.Fatalf("kubetest build printed %q: %v", out, err)
	}
	p := &plane{dir: t.TempDir()}
	users := filepath.Join(t.TempDir(), "users.csv")
	if err := os.WriteFile(users, []byte("viewer-token,viewer,1,viewers\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), built.Kubetest, "up", "--dir", p.dir, "--nodes", "3", "--users", users)
	cmd.Stderr = os.Stderr
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.stdin.Close()
		_ = cmd.Wait()
	})
	p.lines = bufio.NewReader(stdout)
	var ready struct {
		Event string `json:"event"`
		Admin struct {
			Kubeconfig string `json:"kubeconfig"`
		} `json:"admin"`
		Users map[string]struct {
			Kubeconfig string `json:"kubeconfig"`
		} `json:"users"`
	}
	p.answer(t, &ready)
	if ready.Event != "ready" {
		t.Fatalf("kubetest said %q, want ready", ready.Event)
	}
	p.kubeconfig, p.viewer = ready.Admin.Kubeconfig, ready.Users["viewer"].Kubeconfig
	config, err := clientcmd.BuildConfigFromFlags("", p.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.Burst = 100, 200
	if p.client, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *plane) answer(t *testing.T, into any) {
	t.Helper()
	line, err := p.lines.ReadBytes('\n')
	if err != nil {
		t.Fatalf("kubetest said nothing more: %v", err)
	}
	if err := json.Unmarshal(line, into); err != nil {
		t.Fatalf("kubetest said %q: %v", line, err)
	}
}

// command stops or starts a component and returns when the apiserver went away or came back.
func (p *plane) command(t *testing.T, line string) time.Time {
	t.Helper()
	if _, err := fmt.Fprintln(p.stdin, line); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Event     string    `json:"event"`
		Error     string    `json:"error"`
		UnreadyAt time.Time `json:"unready_at"`
		ReadyAt   time.Time `json:"ready_at"`
	}
	p.answer(t, &got)
	switch got.Event {
	case "stopped":
		return got.UnreadyAt
	case "started":
		return got.ReadyAt
	}
	t.Fatalf("%s: %+v", line, got)
	return time.Time{}
}

// store is the sink of these tests: a real warehouse, and all that came for the test to look at.
type store struct {
	db *warehouse.DB

	mu      sync.Mutex
	n       int
	changes []schema.ResourceChange
	slices  []schema.Slice
}

func (s *store) Append(ctx context.Context, b schema.Batch) error {
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

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(90 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
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
		Clusters: clusters, Sink: s, Known: s.db.LiveResources, Slice: slice, EmptyAfter: 4 * time.Second, RolloutDeadline: 6 * time.Second,
		SyncTimeout: 10 * time.Second, Owner: labelled, KeepLabels: []string{"team"}, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
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

// must fails the test unless what it was asked for worked.
func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
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
	deadline := int32(5)
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, ProgressDeadlineSeconds: &deadline, Selector: &metav1.LabelSelector{MatchLabels: labels},
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

func near(t *testing.T, what string, got, want time.Time, tolerance time.Duration) {
	t.Helper()
	if d := got.Sub(want).Abs(); d > tolerance {
		t.Errorf("%s at %s, want %s (%s off)", what, got.Format(time.StampMilli), want.Format(time.StampMilli), d)
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
