//go:build e2e

package kube_test

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	appsclient "k8s.io/client-go/kubernetes/typed/apps/v1"

	"github.com/kubevalue/kubevalue/collectors/kube"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

func TestE2ELifecycleAgainstARealControlPlane(t *testing.T) {
	r := &run{p: startPlane(t, 3), store: &store{db: warehousetest.Open(t)}}
	r.web = r.p.client.AppsV1().Deployments("before")
	before := time.Now()
	createNamespace(t, r.p, "before", map[string]string{"team": "blue"})
	must[*appsv1.Deployment](t)(r.web.Create(t.Context(), deployment("old", 2), metav1.CreateOptions{}))
	made := time.Now()
	eventually(t, "old is available", func() bool {
		d, err := r.web.Get(t.Context(), "old", metav1.GetOptions{})
		return err == nil && d.Status.AvailableReplicas == 2
	})
	r.c, r.stop = collect(t, r.store, clusterOf(r.p))
	awaitSynced(t, r.c)

	r.findsWhatWasThere(t, before, made)
	r.followsACreation(t)
	r.followsRollouts(t)
	r.seesAnOutage(t)
	r.comesBack(t)
	r.seesANamespaceGo(t)
	r.stop()
	r.checkInventory(t)
}

// run is a test under way.
type run struct {
	*store
	p    *plane
	c    *kube.Collector
	stop func()
	web  appsclient.DeploymentInterface // of the namespace before
}

// findsWhatWasThere: what was there before is found, dated by the server, with the owner of its namespace.
func (r *run) findsWhatWasThere(t *testing.T, before, made time.Time) {
	t.Helper()
	created := r.await(t, 1, schema.KindDeployment, "before", "old", schema.ChangeCreated)[0]
	within(t, "creation of old", created.Time, before, made)
	observed := r.await(t, 1, schema.KindDeployment, "before", "old", schema.ChangeObserved)[0]
	if observed.Team != "blue" || observed.TeamSource != "namespace" || *observed.Desired != 2 || *observed.Available != 2 || observed.Revision != "1" {
		t.Errorf("old is observed as %+v", observed.Resource)
	}
	if n := len(r.find(schema.KindDeployment, "before", "old", schema.ChangeRolloutStarted)); n != 0 {
		t.Errorf("a rollout that nobody watched is recorded %d times", n)
	}
}

// followsACreation: a new namespace and a Deployment in it, from creation to first ready.
func (r *run) followsACreation(t *testing.T) {
	t.Helper()
	namespaceAt := time.Now()
	createNamespace(t, r.p, "shop", map[string]string{"team": "red"})
	shop := r.p.client.AppsV1().Deployments("shop")
	must[*appsv1.Deployment](t)(shop.Create(t.Context(), deployment("web", 3), metav1.CreateOptions{}))
	webAt := time.Now()
	ready := r.await(t, 1, schema.KindDeployment, "shop", "web", schema.ChangeReady)[0]
	readySeen := time.Now()
	if !ready.Exact() || ready.DurationMS == nil || *ready.DurationMS < 0 || *ready.DurationMS > float64(readySeen.Sub(webAt).Milliseconds())+1000 {
		t.Errorf("web became ready: %+v", ready)
	}
	namespaceReady := r.await(t, 1, schema.KindNamespace, "", "shop", schema.ChangeReady)[0]
	within(t, "first ready pod of shop", namespaceReady.Time, namespaceAt.Add(time.Second), time.Now()) // a pod takes a second
	succeeded := r.await(t, 1, schema.KindDeployment, "shop", "web", schema.ChangeRolloutSucceeded)[0]
	if succeeded.Key != "1" || succeeded.Reason != schema.RolloutCreated {
		t.Errorf("first rollout: %+v", succeeded)
	}
}

// followsRollouts: a new template, a restart, a scaling, a failure, and the way back.
func (r *run) followsRollouts(t *testing.T) {
	t.Helper()
	edited := change(t, r.p, "web", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "example:2" })
	started := r.await(t, 2, schema.KindDeployment, "shop", "web", schema.ChangeRolloutStarted)[1]
	within(t, "rollout of example:2", started.Time, edited, time.Now())
	r.await(t, 2, schema.KindDeployment, "shop", "web", schema.ChangeRolloutSucceeded)
	change(t, r.p, "web", func(d *appsv1.Deployment) {
		d.Spec.Template.Annotations["kubectl.kubernetes.io/restartedAt"] = time.Now().Format(time.RFC3339)
	})
	r.await(t, 3, schema.KindDeployment, "shop", "web", schema.ChangeRolloutSucceeded)
	change(t, r.p, "web", func(d *appsv1.Deployment) { d.Spec.Replicas = ptr(int32(4)) })
	scaled := r.await(t, 1, schema.KindDeployment, "shop", "web", schema.ChangeScaled)[0]
	if *scaled.Value != 3 || *scaled.Desired != 4 {
		t.Errorf("scaled from %v to %v, want from 3 to 4", *scaled.Value, *scaled.Desired)
	}
	change(t, r.p, "web", func(d *appsv1.Deployment) {
		d.Spec.ProgressDeadlineSeconds = ptr(int32(5)) // of what cannot make progress; what can may take as long as it likes
		d.Spec.Template.Spec.Containers[0].Image = "example:broken"
		d.Spec.Template.Annotations["kubetest.kubevalue.dev/image-error"] = "true"
	})
	failed := r.await(t, 1, schema.KindDeployment, "shop", "web", schema.ChangeRolloutFailed)[0]
	if failed.Key != "4" || failed.Reason != schema.RolloutDeadline || failed.Attributes["rollout_reason"] != schema.RolloutTemplate {
		t.Errorf("failed rollout: %+v", failed)
	}
	change(t, r.p, "web", func(d *appsv1.Deployment) {
		d.Spec.ProgressDeadlineSeconds = nil
		d.Spec.Template.Spec.Containers[0].Image = "example:2"
		delete(d.Spec.Template.Annotations, "kubetest.kubevalue.dev/image-error")
	})
	r.await(t, 4, schema.KindDeployment, "shop", "web", schema.ChangeRolloutSucceeded)
	var reasons []string
	for _, ch := range r.find(schema.KindDeployment, "shop", "web", schema.ChangeRolloutStarted) {
		reasons = append(reasons, ch.Key+" "+ch.Reason)
	}
	wantEqual(t, "rollouts", reasons, []string{"1 created", "2 template", "3 restart", "4 template", "5 rollback"})
}

// seesAnOutage: what happens while the apiserver is away cannot be seen, and is not counted as up.
func (r *run) seesAnOutage(t *testing.T) {
	t.Helper()
	down := r.p.command(t, "stop apiserver")
	time.Sleep(4 * time.Second)
	up := r.p.command(t, "start apiserver")
	awaitSynced(t, r.c)
	r.checkOutage(t, schema.WorkloadGroup("real", "shop", schema.KindDeployment, "web"), down, up)
}

// comesBack: while the collector is away, a deletion and a rollout. What was missed lies in the interval.
func (r *run) comesBack(t *testing.T) {
	t.Helper()
	eventually(t, "the cluster itself was observed", func() bool { return len(r.find(schema.KindCluster, "", "real", schema.ChangeObserved)) > 0 })
	r.stop()
	left, last := time.Now(), r.find(schema.KindCluster, "", "real", schema.ChangeObserved)
	if err := r.web.Delete(t.Context(), "old", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	change(t, r.p, "web", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "example:3" })
	rolledOut := r.p.setOf(t, "example:3")
	time.Sleep(4 * time.Second)
	back := time.Now()
	r.c, r.stop = collect(t, r.store, clusterOf(r.p))
	awaitSynced(t, r.c)
	gone := r.await(t, 1, schema.KindDeployment, "before", "old", schema.ChangeDeleted)[0]
	if gone.Exact() || gone.From.After(left) || gone.Time.Before(back) || gone.From.Before(last[len(last)-1].Time.Truncate(time.Millisecond)) {
		t.Errorf("a deletion between %s and %s is recorded in [%s, %s]", left, back, gone.From, gone.Time)
	}
	started := r.await(t, 6, schema.KindDeployment, "shop", "web", schema.ChangeRolloutStarted)[5]
	wantEqual(t, "rollout of example:3, by its ReplicaSet", started.Time.UTC(), rolledOut.UTC())
	r.await(t, 5, schema.KindDeployment, "shop", "web", schema.ChangeRolloutSucceeded)
	if n := len(r.find(schema.KindDeployment, "shop", "web", schema.ChangeCreated)); n != 1 {
		t.Errorf("after a restart web was created %d times", n)
	}
}

// setOf waits for the ReplicaSet of the namespace shop that has an image, and says when it was created.
func (p *plane) setOf(t *testing.T, image string) (created time.Time) {
	t.Helper()
	eventually(t, "a ReplicaSet of "+image, func() bool {
		sets, err := p.client.AppsV1().ReplicaSets("shop").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return false
		}
		for i := range sets.Items {
			if sets.Items[i].Spec.Template.Spec.Containers[0].Image == image {
				created = sets.Items[i].CreationTimestamp.Time
			}
		}
		return !created.IsZero()
	})
	return created
}

// seesANamespaceGo: the namespace goes, and with it all that is in it.
func (r *run) seesANamespaceGo(t *testing.T) {
	t.Helper()
	asked := time.Now()
	if err := r.p.client.CoreV1().Namespaces().Delete(t.Context(), "shop", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	answered := time.Now()
	r.await(t, 1, schema.KindDeployment, "shop", "web", schema.ChangeDeleted)
	terminating := r.await(t, 1, schema.KindNamespace, "", "shop", schema.ChangeTerminating)[0]
	within(t, "shop terminating", terminating.Time, asked, answered)
	deleted := r.await(t, 1, schema.KindNamespace, "", "shop", schema.ChangeDeleted)[0]
	if !deleted.Exact() || deleted.DurationMS == nil || *deleted.DurationMS < 100 {
		t.Errorf("shop was deleted: %+v", deleted)
	}
	r.await(t, 1, schema.KindNamespace, "", "before", schema.ChangeEmptied)
}

func ptr[T any](v T) *T { return &v }
