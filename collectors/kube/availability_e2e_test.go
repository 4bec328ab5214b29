//go:build e2e

package kube_test

import (
	"context"
	"errors"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubevalue/kubevalue/collectors/kube"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// turn is a moment at which a workload became available, or ceased to be.
type turn struct {
	at        time.Time
	available bool
}

// watchTurns notes, by a watch of the test's own, when a Deployment has at least enough available pods.
func watchTurns(t *testing.T, p *plane, namespace, name string, enough int32) func() []turn {
	t.Helper()
	w, err := p.client.AppsV1().Deployments(namespace).Watch(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var turns []turn
	go func() {
		for event := range w.ResultChan() {
			if d, ok := event.Object.(*appsv1.Deployment); ok {
				mu.Lock()
				turns = append(turns, turn{time.Now(), d.Status.AvailableReplicas >= enough})
				mu.Unlock()
			}
		}
	}()
	return func() []turn {
		mu.Lock()
		defer mu.Unlock()
		return append([]turn(nil), turns...)
	}
}

// secondsIn adds up for how long it was available in an interval.
func secondsIn(turns []turn, from, to time.Time) (good float64) {
	for i, one := range turns {
		end := to
		if i+1 < len(turns) && turns[i+1].at.Before(to) {
			end = turns[i+1].at
		}
		start := one.at
		if start.Before(from) {
			start = from
		}
		if one.available && end.After(start) {
			good += end.Sub(start).Seconds()
		}
	}
	return good
}

// The pods of web are away for so long when they go; and the test's own watch and the collector's, which say when, may be apart by no more
// than this, in which a busy machine may hold either of them up.
const (
	away  = 12 * time.Second
	apart = 3 * time.Second
)

func TestE2EAvailabilityAgainstARealControlPlane(t *testing.T) {
	p := startPlane(t, 3)
	s := &store{db: warehousetest.Open(t)}
	hanging := hangingCluster(t)
	c, stop := collect(t, s, hanging, clusterOf(p))
	awaitSynced(t, c)
	createNamespace(t, p, "shop", nil)
	deployments := p.client.AppsV1().Deployments("shop")
	web := deployment("web", 4)
	web.Spec.Template.Annotations["kubetest.kubevalue.dev/ready-after"] = away.String()
	must[*appsv1.Deployment](t)(deployments.Create(t.Context(), web, metav1.CreateOptions{}))
	turns := watchTurns(t, p, "shop", "web", 3) // 25% of 4 may be away
	otherWorkloads(t, p)
	s.await(t, 1, schema.KindDeployment, "shop", "web", schema.ChangeRolloutSucceeded)

	group := schema.WorkloadGroup("real", "shop", schema.KindDeployment, "web")
	eventually(t, "a measured slice", func() bool { return len(s.measured(group)) > 0 })

	// All pods go, twice; their successors are ready some seconds later.
	for range 2 {
		time.Sleep(3 * time.Second)
		before := len(turns())
		err := p.client.CoreV1().Pods("shop").DeleteCollection(t.Context(), metav1.DeleteOptions{GracePeriodSeconds: ptr(int64(0))}, metav1.ListOptions{LabelSelector: "app=web"})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "web is away and back", func() bool {
			now := turns()
			away := false
			for _, one := range now[before:] {
				away = away || !one.available
			}
			return away && now[len(now)-1].available
		})
	}
	change(t, p, "web", func(d *appsv1.Deployment) { d.Spec.Replicas = ptr(int32(0)) })
	scaled := time.Now()
	after := scaled.Add(2 * slice).Truncate(slice)
	var measured []schema.Slice
	eventually(t, "the slices", func() bool {
		measured = s.measured(group)
		return slices.ContainsFunc(measured, func(one schema.Slice) bool { return !one.Start.Before(after) })
	})
	compare(t, measured, turns(), scaled, after)
	checkOthers(t, s)
	checkHanging(t, c)
	checkPermissions(t, p)
	stop()
}

// measured are the measured slices of a workload.
func (s *store) measured(group string) []schema.Slice {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []schema.Slice
	for _, one := range s.slices {
		if one.Group == group && one.State == schema.SliceMeasured {
			found = append(found, one)
		}
	}
	return found
}

// compare compares slices with what the test's own watch saw.
func compare(t *testing.T, measured []schema.Slice, turns []turn, scaled, after time.Time) {
	t.Helper()
	var bad, wantBad float64
	for _, one := range measured {
		end := one.Start.Add(slice)
		bad += one.Total - one.Good
		if !one.Start.Before(after) {
			if one.Good != 0 || one.Total != 0 {
				t.Errorf("scaled to none at %s, but the slice at %s is %g of %g", scaled, one.Start, one.Good, one.Total)
			}
			continue
		}
		begin, until := one.Start, end
		if turns[0].at.After(begin) {
			begin = turns[0].at
		}
		if scaled.Before(until) {
			until = scaled
		}
		want, total := secondsIn(turns, begin, until), max(0, until.Sub(begin).Seconds())
		wantBad += total - want
		if math.Abs(one.Good-want) > apart.Seconds() || math.Abs(one.Total-total) > apart.Seconds() {
			t.Errorf("slice at %s is %g of %g, the test saw %g of %g", one.Start, one.Good, one.Total, want, total)
		}
	}
	t.Logf("%d slices, %.3f s unavailable, the test saw %.3f s", len(measured), bad, wantBad)
	if wantBad < 1.5*away.Seconds() || len(measured) < 3 || math.Abs(bad-wantBad) > 2*apart.Seconds() {
		t.Errorf("the test saw %g s of unavailability in %d slices, which have %g s: too little to prove anything, or too different", wantBad, len(measured), bad)
	}
}

// otherWorkloads makes one of each kind besides Deployments.
func otherWorkloads(t *testing.T, p *plane) {
	t.Helper()
	labels := map[string]string{"app": "db"}
	must[*appsv1.StatefulSet](t)(p.client.AppsV1().StatefulSets("shop").Create(t.Context(), &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "db"},
		Spec: appsv1.StatefulSetSpec{
			Replicas: ptr(int32(2)), ServiceName: "db", Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template(labels, nil),
			VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{
				ObjectMeta: metav1.ObjectMeta{Name: "data"},
				Spec: corev1.PersistentVolumeClaimSpec{
					AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
					Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
				},
			}},
		},
	}, metav1.CreateOptions{}))
	labels = map[string]string{"app": "agent"}
	must[*appsv1.DaemonSet](t)(p.client.AppsV1().DaemonSets("shop").Create(t.Context(), &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "agent"},
		Spec:       appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template(labels, nil)},
	}, metav1.CreateOptions{}))
	for name, code := range map[string]string{"good": "0", "bad": "1"} {
		pods := template(nil, map[string]string{"kubetest.kubevalue.dev/complete-after": "1s", "kubetest.kubevalue.dev/exit-code": code})
		pods.Spec.RestartPolicy = corev1.RestartPolicyNever
		must[*batchv1.Job](t)(p.client.BatchV1().Jobs("shop").Create(t.Context(), &batchv1.Job{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: batchv1.JobSpec{Template: pods, BackoffLimit: ptr(int32(0))},
		}, metav1.CreateOptions{}))
	}
	must[*corev1.ResourceQuota](t)(p.client.CoreV1().ResourceQuotas("shop").Create(t.Context(), &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "limits"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("100")}},
	}, metav1.CreateOptions{}))
}

func checkOthers(t *testing.T, s *store) {
	t.Helper()
	for _, one := range []struct {
		kind, name string
		change     schema.Change
	}{
		{schema.KindStatefulSet, "db", schema.ChangeRolloutSucceeded}, {schema.KindStatefulSet, "db", schema.ChangeReady},
		{schema.KindDaemonSet, "agent", schema.ChangeRolloutSucceeded}, {schema.KindDaemonSet, "agent", schema.ChangeReady},
		{schema.KindJob, "good", schema.ChangeCompleted}, {schema.KindJob, "bad", schema.ChangeFailed},
		{schema.KindClaim, "data-db-0", schema.ChangeReady}, {schema.KindQuota, "limits", schema.ChangeCreated},
	} {
		found := s.await(t, 1, one.kind, "shop", one.name, one.change)[0]
		if !found.Exact() {
			t.Errorf("%s of %s %s is not exact: %+v", one.change, one.kind, one.name, found)
		}
		switch one.kind {
		case schema.KindClaim:
			if found.Attributes["storage_bytes"] != "1073741824" {
				t.Errorf("a claim has %v", found.Attributes)
			}
		case schema.KindQuota:
			if found.Attributes["hard.pods"] != "100" {
				t.Errorf("a quota has %v", found.Attributes)
			}
		case schema.KindDaemonSet:
			if *found.Desired != 3 {
				t.Errorf("a DaemonSet on 3 nodes wants %d pods", *found.Desired)
			}
		}
	}
}

// hangingCluster is one that takes connections and says nothing.
func hangingCluster(t *testing.T) kube.ClusterConfig {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			if _, err := listener.Accept(); errors.Is(err, net.ErrClosed) {
				return
			}
		}
	}()
	path := filepath.Join(t.TempDir(), "config")
	text := `{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: a}}], clusters: [{name: a, cluster: {server: "http://` + listener.Addr().String() + `"}}]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return kube.ClusterConfig{Name: "hanging", Kubeconfig: path}
}

func checkHanging(t *testing.T, c *kube.Collector) {
	t.Helper()
	eventually(t, "an error of the cluster that says nothing", func() bool { return c.Status()[0].Err != nil })
	if status := c.Status()[0]; status.Name != "hanging" || status.Synced {
		t.Errorf("status of the cluster that says nothing: %+v", status)
	}
}

// checkPermissions asks about an administrator, and about somebody who may do nothing until the role is granted that the
// report prints.
func checkPermissions(t *testing.T, p *plane) {
	t.Helper()
	if report := kube.Check(t.Context(), clusterOf(p)); report.Err != nil || len(report.Missing) != 0 || !strings.HasPrefix(report.Version, "v1.") {
		t.Errorf("check as an administrator: %+v", report)
	}
	viewer := clusterOf(p)
	viewer.Kubeconfig = p.viewer
	report := kube.Check(t.Context(), viewer)
	const notServed = 2 // neither Argo CD nor Cluster API is there, and no permission for them is needed
	if report.Err != nil || len(report.Missing) != 2*(len(kube.Kinds())-notServed) {
		t.Fatalf("check as somebody without rights: %d missing, %v", len(report.Missing), report.Err)
	}
	grant(t, p, report.ClusterRole)
	eventually(t, "the role to be enough", func() bool {
		report = kube.Check(context.WithoutCancel(t.Context()), viewer)
		return report.Err == nil && len(report.Missing) == 0
	})
}
