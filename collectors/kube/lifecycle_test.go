package kube

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/kubevalue/kubevalue/schema"
)

func want(t *testing.T, r *rig, lines ...string) {
	t.Helper()
	if diff := cmp.Diff(lines, r.lines()); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
}

func TestADeploymentFromItsCreationToItsDeletion(t *testing.T) {
	r := newRig(t, noon).sync(nil)
	d := web(noon, 2)
	r.pass(100 * time.Millisecond)
	r.put(schema.KindDeployment, d)
	want(t, r, "Deployment/web created at 0")
	r.put(kindReplicaSet, setOf("1", "", noon))
	r.put(schema.KindDeployment, rolled(d, "1", 2, 0))
	want(t, r, "Deployment/web rollout_started #1 (created) at 0")
	r.pass(5 * time.Second)
	r.put(schema.KindDeployment, condition(rolled(d, "1", 2, 2), appsv1.DeploymentAvailable, corev1.ConditionTrue, "", noon.Add(4*time.Second)))
	want(t, r, "Deployment/web rollout_succeeded #1 (created) at 5.1 took 5.1", "Deployment/web ready at 4 took 4")

	// Losing pods and getting them back is no change of the Deployment.
	r.put(schema.KindDeployment, rolled(d, "1", 2, 0))
	r.put(schema.KindDeployment, rolled(d, "1", 2, 2))
	want(t, r)

	d = edited(d, func(d *appsv1.Deployment) { *d.Spec.Replicas = 3 })
	r.put(schema.KindDeployment, rolled(d, "1", 3, 3))
	want(t, r, "Deployment/web scaled #2 at 5.1")
	d.Labels = map[string]string{"team": "red"}
	r.put(schema.KindDeployment, rolled(d, "1", 3, 3))
	want(t, r, "Deployment/web updated #108 at 5.1")

	r.pass(10 * time.Second)
	gone := rolled(d, "1", 3, 3)
	gone.DeletionTimestamp = &metav1.Time{Time: noon.Add(14 * time.Second)}
	r.put(schema.KindDeployment, gone)
	r.pass(10 * time.Second)
	r.delete(schema.KindDeployment, gone)
	want(t, r, "Deployment/web terminating at 14", "Deployment/web deleted at 25.1 took 11.1")
}

func TestWhyPodsAreReplaced(t *testing.T) {
	r := newRig(t, noon)
	d := web(noon, 1)
	r.sync(map[string][]any{
		kindReplicaSet: {setOf("1", "", noon)}, schema.KindDeployment: {rolled(d, "1", 1, 1)},
	})
	r.told()
	roll := func(revision, history string, change func(*appsv1.Deployment)) {
		d = edited(d, change)
		if r.put(schema.KindDeployment, d); history == "" || history == "1" {
			r.put(kindReplicaSet, setOf(revision, history, noon.Add(time.Minute)))
		}
		r.pass(time.Second)
		r.put(schema.KindDeployment, rolled(d, revision, 0, 1))
		r.pass(time.Second)
		r.put(schema.KindDeployment, rolled(d, revision, 1, 1))
	}
	roll("2", "", image("example:2"))
	roll("3", "", func(d *appsv1.Deployment) {
		d.Spec.Template.Annotations = map[string]string{"kubectl.kubernetes.io/restartedAt": "now"}
	})
	roll("4", "1", func(d *appsv1.Deployment) {
		image("example:1")(d)
		d.Spec.Template.Annotations = nil
	})
	// The Deployment's news may come before those of its ReplicaSet.
	d = edited(d, image("example:2"))
	r.put(schema.KindDeployment, rolled(d, "7", 0, 1))
	r.pass(time.Second)
	r.put(kindReplicaSet, setOf("7", "2", noon.Add(time.Minute)))
	r.put(schema.KindDeployment, rolled(d, "7", 1, 0))
	r.pass(time.Second)
	r.put(schema.KindDeployment, rolled(d, "7", 1, 1))
	want(t, r,
		"Deployment/web rollout_started #2 (template) at 1", "Deployment/web rollout_succeeded #2 (template) at 2 took 1",
		"Deployment/web rollout_started #3 (restart) at 3", "Deployment/web rollout_succeeded #3 (restart) at 4 took 1",
		"Deployment/web rollout_started #4 (rollback) at 5", "Deployment/web rollout_succeeded #4 (rollback) at 6 took 1",
		"Deployment/web rollout_started #7 (rollback) at 6", "Deployment/web rollout_succeeded #7 (rollback) at 8 took 2",
	)
	// Before this one has ended, another begins, whose ReplicaSet is never seen: it waits for it a while.
	d = edited(d, image("example:8"))
	r.put(schema.KindDeployment, rolled(d, "8", 0, 1))
	r.pass(6 * time.Second)
	r.put(schema.KindDeployment, rolled(d, "8", 0, 1))
	r.put(kindReplicaSet, setOf("9", "", noon.Add(2*time.Minute)))
	d = edited(d, image("example:9"))
	r.put(schema.KindDeployment, rolled(d, "9", 0, 1))
	want(t, r, "Deployment/web rollout_started #8 (template) at 8",
		"Deployment/web rollout_superseded #8 at 14", "Deployment/web rollout_started #9 (template) at 14")
}

func TestAPodThatMayBeMissingIsNotReadyBeforeItIsThere(t *testing.T) {
	r := newRig(t, noon).sync(nil)
	d := web(noon, 1)
	all := intstr.FromString("100%")
	d.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxUnavailable: &all}
	now := condition(rolled(d, "", 0, 0), appsv1.DeploymentAvailable, corev1.ConditionTrue, "", noon) // so says the controller
	r.put(schema.KindDeployment, now)
	r.pass(7 * time.Second)
	now.Status.AvailableReplicas = 1
	r.put(schema.KindDeployment, now)
	want(t, r, "Deployment/web created at 0", "Deployment/web ready at 7 took 7")
}

func TestARolloutThatFailsMaySucceedLater(t *testing.T) {
	r := newRig(t, noon).sync(map[string][]any{schema.KindDeployment: {rolled(web(noon, 1), "1", 1, 1)}})
	r.told()
	d := edited(web(noon, 1), image("broken"))
	r.put(kindReplicaSet, setOf("2", "", noon))
	r.put(schema.KindDeployment, rolled(d, "2", 0, 1))
	r.pass(time.Minute)
	stuck := condition(rolled(d, "2", 1, 0), appsv1.DeploymentProgressing, corev1.ConditionFalse, "ProgressDeadlineExceeded", noon.Add(50*time.Second))
	r.put(schema.KindDeployment, stuck)
	r.put(schema.KindDeployment, stuck)
	r.pass(time.Minute)
	r.put(schema.KindDeployment, rolled(d, "2", 1, 1))
	want(t, r, "Deployment/web rollout_started #2 (template) at 0", "Deployment/web rollout_failed #2 (deadline) at 50 took 50",
		"Deployment/web rollout_succeeded #2 (template) at 120 took 120")
	// A new rollout does not inherit the failure that its Deployment still shows.
	d = edited(d, image("example:3"))
	r.put(kindReplicaSet, setOf("3", "", noon.Add(2*time.Minute)))
	next := rolled(d, "3", 0, 1)
	next.Status.Conditions = stuck.Status.Conditions
	r.pass(time.Second)
	r.put(schema.KindDeployment, next)
	want(t, r, "Deployment/web rollout_started #3 (template) at 121")
}

func TestStatefulSetsAndDaemonSetsHaveADeadlineToo(t *testing.T) {
	r := newRig(t, noon).sync(nil)
	s := &appsv1.StatefulSet{ObjectMeta: metaOf("db", noon)}
	two := int32(2)
	s.Spec.Replicas = &two
	status := func(revision string, updated, available int32) *appsv1.StatefulSet {
		s := s.DeepCopy()
		s.Status = appsv1.StatefulSetStatus{ObservedGeneration: s.Generation, Replicas: 2, UpdateRevision: revision, UpdatedReplicas: updated, AvailableReplicas: available}
		return s
	}
	r.put(schema.KindStatefulSet, status("db-1", 2, 2))
	s.Generation = 2
	r.pass(time.Second)
	r.put(schema.KindStatefulSet, status("db-2", 0, 2))
	r.pass(599 * time.Second)
	r.put(schema.KindStatefulSet, status("db-2", 1, 0)) // progress
	r.pass(300 * time.Second)
	r.put(schema.KindStatefulSet, status("db-2", 1, 1)) // progress
	r.pass(600 * time.Second)
	r.alive()
	r.tick()
	want(t, r,
		"StatefulSet/db created at 0", "StatefulSet/db rollout_started #db-1@1 (created) at 0",
		"StatefulSet/db rollout_succeeded #db-1@1 (created) at 0 took 0", "StatefulSet/db ready at 0 took 0",
		"StatefulSet/db rollout_started #db-2@2 (template) at 1")
	r.pass(5 * time.Second)
	r.tick()
	want(t, r, "StatefulSet/db rollout_failed #db-2@2 (deadline) at 1500 took 1499")
	s.Generation = 3 // back to a template that has been there before: its name does not say so
	r.put(schema.KindStatefulSet, status("db-1", 1, 1))
	r.pass(2 * time.Second)
	r.put(schema.KindStatefulSet, status("db-1", 2, 2))
	want(t, r, "StatefulSet/db rollout_started #db-1@3 (template) at 1505", "StatefulSet/db rollout_succeeded #db-1@3 (template) at 1507 took 2")
}

func TestANamespaceIsReadyWithItsFirstReadyPodAndEmptyAfterItsLast(t *testing.T) {
	r := newRig(t, noon).sync(nil)
	r.put(schema.KindNamespace, namespaceAt("shop", noon, map[string]string{"team": "red"}))
	r.pass(3 * time.Second)
	r.put(kindPod, podOf("a", time.Time{}, corev1.PodPending))
	r.pass(2 * time.Second)
	r.put(kindPod, podOf("a", noon.Add(4*time.Second), corev1.PodRunning))
	r.put(kindPod, podOf("b", noon.Add(3*time.Second), corev1.PodRunning)) // too late to be the first
	want(t, r, "Namespace/shop created at 0", "Namespace/shop ready at 4 took 4")

	r.put(kindPod, podOf("a", time.Time{}, corev1.PodSucceeded))
	r.delete(kindPod, podOf("b", noon, corev1.PodRunning))
	passAlive(r, 5*time.Minute)
	want(t, r, "Namespace/shop emptied #1795176005000 (pods_gone) at 5")
	r.put(kindPod, podOf("c", time.Time{}, corev1.PodPending))
	want(t, r, "Namespace/shop occupied #1795176305000 at 305 took 300")
	if ns := r.feeds[schema.KindNamespace].tracked[shortUID("uid-shop")]; ns.available != 1 || ns.res.Attributes[attributeEmpty] != "" {
		t.Errorf("shop has %d active pods and is %v", ns.available, ns.res.Attributes)
	}
	r.put(schema.KindNamespace, namespaceAt("unused", noon.Add(305*time.Second), nil))
	passAlive(r, 5*time.Minute)
	want(t, r, "Namespace/unused created at 305", "Namespace/unused emptied #1795176305000 (unused) at 305")
}

// passAlive lets time pass in which the cluster gives signs of life, with a tick in the end.
func passAlive(r *rig, d time.Duration) {
	for end := r.clock.Add(d); r.clock.Before(end); {
		r.pass(heartbeat)
		r.alive()
		r.tick()
	}
}

func TestAPodMayComeBeforeItsNamespace(t *testing.T) {
	r := newRig(t, noon).sync(nil)
	r.pass(2 * time.Second)
	r.put(kindPod, podOf("a", noon.Add(time.Second), corev1.PodRunning))
	r.put(schema.KindNamespace, namespaceAt("shop", noon, nil))
	want(t, r, "Namespace/shop ready at 1 took 1", "Namespace/shop created at 0")
}

func TestTheTeamOfANamespaceOwnsWhatNobodyElseDoes(t *testing.T) {
	r := newRig(t, noon)
	own := web(noon, 1)
	own.Labels = map[string]string{"team": "blue", "app.kubernetes.io/part-of": "shop", "ignored": "yes"}
	db := &appsv1.StatefulSet{ObjectMeta: metaOf("db", noon)}
	r.sync(map[string][]any{
		schema.KindNamespace:  {namespaceAt("shop", noon, map[string]string{"team": "red"})},
		schema.KindDeployment: {own}, schema.KindStatefulSet: {db},
	})
	got := map[string]string{}
	for _, ch := range newest(r.told()) {
		got[ch.Name] = ch.Team + " by " + ch.TeamSource
	}
	if diff := cmp.Diff(map[string]string{"shop": "red by label", "web": "blue by label", "db": "red by namespace"}, got); diff != "" {
		t.Errorf("teams (-want +got):\n%s", diff)
	}
}

func TestJobsClaimsAndNodes(t *testing.T) {
	r := newRig(t, noon).sync(nil)
	j := &batchv1.Job{ObjectMeta: metaOf("report", noon)}
	r.put(schema.KindJob, j)
	j.Status.StartTime = &metav1.Time{Time: noon.Add(time.Second)}
	j.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: "BackoffLimitExceeded", LastTransitionTime: metav1.NewTime(noon.Add(9 * time.Second))}}
	r.pass(10 * time.Second)
	r.put(schema.KindJob, j)
	r.put(schema.KindJob, j)
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metaOf("data", noon)}
	r.put(schema.KindClaim, claim)
	claim.Status.Phase = corev1.ClaimBound
	r.put(schema.KindClaim, claim)
	node := &corev1.Node{ObjectMeta: metaOf("n1", noon)}
	node.Status.NodeInfo.KubeletVersion = "v1.35.0"
	r.put(schema.KindNode, node)
	node.Status.NodeInfo.KubeletVersion = "v1.36.0"
	r.put(schema.KindNode, node)
	want(t, r,
		"Job/report created at 0", "Job/report failed (BackoffLimitExceeded) at 9 took 8",
		"PersistentVolumeClaim/data created at 0", "PersistentVolumeClaim/data ready at 10 took 10",
		"Node/n1 created at 0", "Node/n1 updated #107 at 10")
}
