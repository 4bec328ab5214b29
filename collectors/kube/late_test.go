package kube

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubevalue/kubevalue/schema"
)

func TestWhatWasThereBeforeIsDatedByTheServer(t *testing.T) {
	r := newRig(t, noon.Add(time.Hour))
	available := condition(rolled(web(noon, 1), "3", 1, 1), appsv1.DeploymentAvailable, corev1.ConditionTrue, "", noon.Add(20*time.Second))
	underWay := rolled(web(noon, 1), "2", 0, 0)
	underWay.Name, underWay.UID = "next", "uid-next"
	r.sync(map[string][]any{
		schema.KindNamespace:  {namespaceAt("shop", noon.Add(-time.Minute), nil)},
		schema.KindDeployment: {available, underWay},
		kindPod:               {podOf("b", noon.Add(30*time.Second), corev1.PodRunning), podOf("a", noon.Add(10*time.Second), corev1.PodRunning)},
	})
	all := r.told()
	r.sink.changes = slices.Clone(all)
	want(t, r,
		"Namespace/shop created at -60", "Namespace/shop observed #2026-11-20 at 3600",
		"Deployment/web created at 0", "Deployment/web ready from 0 to 20", "Deployment/web observed #2026-11-20 at 3600",
		"Deployment/next created at 0", "Deployment/next rollout_started #2 (template) from 0 to 3600", "Deployment/next observed #2026-11-20 at 3600",
		"Namespace/shop ready from -60 to 10", "Namespace/shop observed #2026-11-20 at 3600",
	)
	for _, ch := range newest(all) {
		if ch.Change != schema.ChangeObserved || ch.Kind == schema.KindNamespace && ch.FirstReady.IsZero() {
			t.Errorf("the newest state of %s is %+v", ch.Name, ch)
		}
	}
}

// restart begins a second collector with what a warehouse knows after the first.
func restart(t *testing.T, first []schema.ResourceChange, clock time.Time) *rig {
	t.Helper()
	r := newRig(t, clock)
	r.adopt(newest(first))
	return r
}

func firstRun(t *testing.T) []schema.ResourceChange {
	t.Helper()
	r := newRig(t, noon)
	r.sync(map[string][]any{
		schema.KindNamespace: {namespaceAt(systemNamespace, noon.Add(-time.Hour), nil), namespaceAt("shop", noon.Add(-time.Hour), nil)},
		kindReplicaSet:       {setOf("1", "", noon)},
		schema.KindDeployment: {condition(rolled(web(noon.Add(-time.Minute), 1), "1", 1, 1),
			appsv1.DeploymentAvailable, corev1.ConditionTrue, "", noon.Add(-50*time.Second))},
	})
	r.tick()
	return r.told()
}

func TestAfterARestartOnlyWhatHappenedMeanwhileIsTold(t *testing.T) {
	first := firstRun(t)
	namespaces := []any{namespaceAt(systemNamespace, noon.Add(-time.Hour), nil), namespaceAt("shop", noon.Add(-time.Hour), nil)}
	same := rolled(web(noon.Add(-time.Minute), 1), "1", 1, 1)
	lists := func(d ...any) map[string][]any {
		return map[string][]any{
			schema.KindNamespace: namespaces, schema.KindDeployment: d,
			kindReplicaSet: {setOf("1", "", noon), setOf("2", "", noon.Add(20*time.Second)), setOf("3", "", noon.Add(40*time.Second))},
		}
	}
	later := noon.Add(100 * time.Second)

	r := restart(t, first, later)
	r.sync(lists(same))
	want(t, r)

	r = restart(t, first, later)
	r.sync(lists())
	want(t, r, "Deployment/web deleted from 0 to 100")

	// Two rollouts: both begin with their ReplicaSets, and the second has ended when the server says.
	r = restart(t, first, later)
	done := rolled(edited(edited(web(noon.Add(-time.Minute), 1), image("example:2")), image("example:3")), "3", 1, 1)
	r.sync(lists(condition(done, appsv1.DeploymentProgressing, corev1.ConditionTrue, "NewReplicaSetAvailable", noon.Add(45*time.Second))))
	want(t, r, "Deployment/web rollout_started #2 (template) at 20", "Deployment/web rollout_superseded #2 from 0 to 100",
		"Deployment/web rollout_started #3 (template) at 40", "Deployment/web rollout_succeeded #3 (template) at 45 took 5",
		"Deployment/web observed #2026-11-20 at 100")

	// One that was created meanwhile, and edited: nothing of it was rolled out before anybody watched.
	fresh := edited(web(noon.Add(10*time.Second), 1), image("example:2"))
	fresh.Name, fresh.UID = "fresh", "uid-fresh"
	r = restart(t, first, later)
	r.sync(lists(same, condition(rolled(fresh, "2", 1, 1), appsv1.DeploymentProgressing, corev1.ConditionTrue, "NewReplicaSetAvailable", noon.Add(45*time.Second))))
	want(t, r, "Deployment/fresh created at 10", "Deployment/fresh rollout_started #1 (created) at 10", "Deployment/fresh rollout_superseded #1 from 10 to 100",
		"Deployment/fresh rollout_started #2 (template) from 10 to 100", "Deployment/fresh rollout_succeeded #2 (template) at 45",
		"Deployment/fresh ready from 10 to 100", "Deployment/fresh observed #2026-11-20 at 100")

	r = restart(t, first, later)
	r.sync(lists(rolled(edited(web(noon.Add(-time.Minute), 1), func(d *appsv1.Deployment) { *d.Spec.Replicas = 5 }), "1", 5, 5)))
	want(t, r, "Deployment/web scaled #2 from 0 to 100", "Deployment/web observed #2026-11-20 at 100")
}

// TestWhatWasCreatedWhileNobodyWatchedWasRolledOutThen: whose revisions have no numbers, or whose creation the server cut off to a second in
// which somebody watched.
func TestWhatWasCreatedWhileNobodyWatchedWasRolledOutThen(t *testing.T) {
	db := &appsv1.StatefulSet{ObjectMeta: metaOf("db", noon.Add(20*time.Second))}
	db.Spec.Replicas = new(int32(1))
	db.Status = appsv1.StatefulSetStatus{ObservedGeneration: 1, Replicas: 1, UpdateRevision: "db-1", UpdatedReplicas: 1, AvailableReplicas: 1}
	r := newRig(t, noon).sync(nil)
	r.pass(20*time.Second + 700*time.Millisecond)
	r.alive()
	for _, f := range r.feeds {
		f.wentDown(r.now())
	}
	r.pass(30 * time.Second)
	r.list(schema.KindStatefulSet, db)
	want(t, r, "StatefulSet/db created at 20", "StatefulSet/db rollout_started #db-1@1 (created) at 20",
		"StatefulSet/db rollout_succeeded #db-1@1 (created) from 20.7 to 50.7", "StatefulSet/db ready from 20.7 to 50.7", "StatefulSet/db observed #2026-11-20 at 50.7")
	r.list(schema.KindDeployment, rolled(web(noon.Add(20*time.Second), 1), "1", 1, 1))
	want(t, r, "Deployment/web created at 20", "Deployment/web rollout_started #1 (created) at 20", "Deployment/web rollout_succeeded #1 (created) from 20.7 to 50.7",
		"Deployment/web ready from 20.7 to 50.7", "Deployment/web observed #2026-11-20 at 50.7")
}

// TestAStateSurvivesARecordThatSomebodyElseMadeMoreExactly: what one process recorded last was not yet known when the next one began,
// which records the same change as an interval, with a state that is newer.
func TestAStateSurvivesARecordThatSomebodyElseMadeMoreExactly(t *testing.T) {
	space := namespaceAt("shop", noon.Add(-time.Hour), nil)
	r := newRig(t, noon).sync(map[string][]any{schema.KindNamespace: {space}, schema.KindDeployment: {rolled(web(noon.Add(-time.Minute), 1), "1", 1, 1)}})
	changed := edited(web(noon.Add(-time.Minute), 1), image("example:2"))
	r.pass(20 * time.Second)
	r.put(kindReplicaSet, setOf("2", "", noon.Add(20*time.Second)))
	r.put(schema.KindDeployment, rolled(changed, "2", 0, 1))
	all := r.told()
	known := newest(all)
	r.pass(5 * time.Second)
	r.put(schema.KindDeployment, rolled(changed, "2", 1, 1))
	all = append(all, r.told()...)

	r = newRig(t, noon.Add(100*time.Second))
	r.cfg.Owner = func(schema.OwnerQuestion) (string, schema.OwnerSource) { return "green", schema.OwnerByCreator }
	r.adopt(known)
	r.sync(map[string][]any{schema.KindNamespace: {space}, schema.KindDeployment: {rolled(changed, "2", 1, 1)}})
	all = append(all, r.told()...)

	stored := map[string]schema.ResourceChange{} // as the warehouse has it
	for _, ch := range all {
		id := ch.UID + " " + string(ch.Change) + " " + ch.Key
		if was, ok := stored[id]; !ok || ch.Precedence() >= was.Precedence() {
			stored[id] = ch
		}
	}
	if ended := stored["uid-web rollout_succeeded 2"]; !ended.Exact() || !ended.Time.Equal(noon.Add(25*time.Second)) {
		t.Errorf("the rollout ended: %+v, want it at 25 s", ended)
	}
	for _, ch := range newest(slices.Collect(maps.Values(stored))) {
		if ch.Name == "web" && (ch.Team != "green" || ch.Rollout != schema.RolloutSucceeded) {
			t.Errorf("the newest state is of team %q with a rollout that is %s", ch.Team, ch.Rollout)
		}
	}
}

// TestWhatWasKnownMayComeLate: the warehouse is away at the start, so nothing is told of objects. When it answers, all is read anew, and what has
// happened since somebody watched is told once.
func TestWhatWasKnownMayComeLate(t *testing.T) {
	system, idle, shop := namespaceAt(systemNamespace, noon.Add(-time.Hour), nil), namespaceAt("idle", noon.Add(-time.Hour), nil), namespaceAt("shop", noon.Add(-time.Hour), nil)
	balancer := &corev1.Service{ObjectMeta: metaOf("lb", noon.Add(-time.Hour)), Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer}}
	lists := map[string][]any{
		schema.KindNamespace: {system, idle, shop}, schema.KindNode: {largeNode("lost")}, kindReplicaSet: {setOf("1", "", noon)}, schema.KindService: {balancer},
		schema.KindDeployment: {rolled(web(noon.Add(-time.Hour), 1), "1", 1, 1)},
	}
	r := newRig(t, noon.Add(-10*time.Minute)).sync(lists)
	passAlive(r, 10*time.Minute) // the namespaces are told to be empty
	r.tick()
	first := newest(r.told())

	r = newRig(t, noon.Add(100*time.Second))
	r.adopted = false
	delete(lists, schema.KindNode)
	lists[kindReplicaSet] = []any{setOf("1", "", noon), setOf("2", "", noon.Add(20*time.Second)), setOf("3", "", noon.Add(40*time.Second))}
	progress := edited(edited(web(noon.Add(-time.Hour), 1), image("example:2")), image("example:3"))
	lists[schema.KindDeployment] = []any{rolled(progress, "3", 0, 1)}
	r.sync(lists)
	done := condition(rolled(progress, "3", 1, 1), appsv1.DeploymentProgressing, corev1.ConditionTrue, "NewReplicaSetAvailable", noon.Add(110*time.Second))
	r.put(schema.KindDeployment, done)
	r.delete(schema.KindNamespace, shop)
	passAlive(r, 10*time.Minute)
	if want(t, r); len(r.sink.slices) == 0 || r.sink.slices[len(r.sink.slices)-1].State != schema.SliceMeasured {
		t.Errorf("slices are %+v, want availability to be measured all the time", r.sink.slices)
	}

	r.adopt(first)
	lists[schema.KindDeployment], lists[schema.KindNamespace] = []any{done}, []any{system, idle, namespaceAt("new", noon.Add(50*time.Second), nil)}
	r.sync(lists)
	want(t, r,
		"Namespace/shop deleted from -50 to 700", "Namespace/new created at 50", "Namespace/new observed #2026-11-20 at 700", "Node/lost deleted from -50 to 700",
		"Deployment/web rollout_started #2 (template) at 20", "Deployment/web rollout_superseded #2 from -50 to 700",
		"Deployment/web rollout_started #3 (template) at 40", "Deployment/web rollout_succeeded #3 (template) at 110 took 70", "Deployment/web observed #2026-11-20 at 700")
	passAlive(r, 10*time.Minute)
	told := slices.DeleteFunc(r.lines(), func(line string) bool { return strings.HasPrefix(line, "Cluster/") })
	if diff := cmp.Diff([]string{"Namespace/new emptied #1795176700000 (unused) from 50 to 700"}, told); diff != "" {
		t.Errorf("told later (-want +got):\n%s", diff)
	}
}

func TestAClusterThatWasBuiltAnewIsAnother(t *testing.T) {
	first := firstRun(t)
	r := restart(t, first, noon.Add(100*time.Second))
	anew := namespaceAt(systemNamespace, noon.Add(50*time.Second), nil)
	anew.UID = "uid-anew"
	r.list(schema.KindNamespace, anew)
	got := r.lines()
	wanted := []string{
		"Namespace/kube-system deleted from 0 to 100", "Namespace/shop deleted from 0 to 100", "Namespace/kube-system created at 50",
		"Namespace/kube-system observed #2026-11-20 at 100", "Cluster/c1 deleted (replaced) from 0 to 100", "Cluster/c1 created at 50",
	}
	sortStrings := func(s []string) map[string]bool {
		m := map[string]bool{}
		for _, line := range s {
			m[line] = true
		}
		return m
	}
	if diff := cmp.Diff(sortStrings(wanted), sortStrings(got)); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
}

func TestAfterABreakOldNewsAreAnInterval(t *testing.T) {
	r := newRig(t, noon).sync(map[string][]any{schema.KindDeployment: {rolled(web(noon.Add(-time.Hour), 1), "1", 1, 1)}})
	r.told()
	f := r.feeds[schema.KindDeployment]
	r.pass(20 * time.Second)
	r.alive()
	r.pass(5 * time.Second)
	f.wentDown(r.now()) // the connection may have been dead since the last sign of life
	r.pass(20 * time.Second)
	f.lateUpTo, f.gapFrom = 102, f.gapStart()
	f.cameUp(r.now())
	d := edited(web(noon.Add(-time.Hour), 1), func(d *appsv1.Deployment) { *d.Spec.Replicas = 2 })
	r.put(schema.KindDeployment, rolled(d, "1", 1, 1)) // 101
	d = edited(d, func(d *appsv1.Deployment) { *d.Spec.Replicas = 3 })
	r.put(schema.KindDeployment, rolled(d, "1", 1, 1)) // 102
	d = edited(d, func(d *appsv1.Deployment) { *d.Spec.Replicas = 4 })
	r.put(schema.KindDeployment, rolled(d, "1", 1, 1)) // 103
	want(t, r, "Deployment/web scaled #2 from 20 to 45", "Deployment/web observed #2026-11-20 at 45",
		"Deployment/web scaled #3 from 20 to 45", "Deployment/web observed #2026-11-20 at 45", "Deployment/web scaled #4 at 45")

	// The API server ends a watch every few minutes; what the next one brings is in time.
	if _, err := f.begin(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	r.pass(50 * time.Millisecond)
	f.cameUp(r.now())
	r.delete(schema.KindDeployment, d)
	want(t, r, "Deployment/web deleted at 45.05")
}

func TestAListAfterABreakTellsWhatIsGone(t *testing.T) {
	r := newRig(t, noon).sync(map[string][]any{
		schema.KindDeployment: {rolled(web(noon.Add(-time.Hour), 1), "1", 1, 1)},
		schema.KindNamespace:  {namespaceAt("shop", noon.Add(-time.Hour), nil)},
		kindPod:               {podOf("a", noon.Add(-time.Minute), corev1.PodRunning)},
	})
	r.told()
	r.pass(time.Minute)
	r.alive()
	for _, f := range r.feeds {
		f.wentDown(r.now())
	}
	r.pass(time.Minute)
	next := web(noon.Add(90*time.Second), 1)
	next.UID = "uid-of-another"
	r.list(schema.KindDeployment, next)
	r.list(kindPod)
	want(t, r, "Deployment/web deleted from 60 to 120", "Deployment/web created at 90", "Deployment/web observed #2026-11-20 at 120")
	r.list(schema.KindNamespace, namespaceAt("shop", noon.Add(-time.Hour), nil))
	passAlive(r, 5*time.Minute)
	want(t, r, "Namespace/shop emptied #1795176120000 (pods_gone) from 60 to 120")
}

func TestAServersClockThatIsAheadHidesNothing(t *testing.T) {
	r := newRig(t, noon).sync(nil)
	d := web(noon.Add(10*time.Minute), 0)
	r.put(schema.KindDeployment, d)
	r.pass(time.Second)
	r.delete(schema.KindDeployment, d)
	all := r.told()
	for _, ch := range all {
		if ch.Time.After(r.clock) || ch.Created.After(r.clock) {
			t.Errorf("%s at %s, created %s, in the future", ch.Change, ch.Time, ch.Created)
		}
	}
	if live := newest(all); len(all) != 2 || len(live) != 0 {
		t.Errorf("after its deletion there is still %+v (of %+v)", live, all)
	}
}

func TestEveryDayAndEveryMinuteTheStateIsRenewed(t *testing.T) {
	r := newRig(t, noon)
	r.sync(map[string][]any{
		schema.KindNamespace: {namespaceAt(systemNamespace, noon.Add(-time.Hour), nil)},
		schema.KindNode:      {node("n1", "aws", "eu-1"), node("n2", "aws", "eu-1"), node("n3", "", "us-1")},
	})
	r.pass(12 * time.Hour)
	r.alive()
	r.tick()
	r.told()
	r.pass(5 * time.Second)
	r.tick()
	want(t, r)
	r.pass(55 * time.Second)
	r.alive()
	r.tick()
	got := r.told()
	if len(got) != 1 || got[0].Kind != schema.KindCluster || got[0].Key != "2026-11-21T00" || got[0].Version != "v1.36.3" {
		t.Fatalf("after a minute: %+v", got)
	}
	if diff := cmp.Diff(map[string]string{
		"provider": "aws", "region": "eu-1", "count.Namespace": "1", "count.Node": "3", "count.Pod": "0", "count.ReplicaSet": "0", "count.Deployment": "0",
		"count.StatefulSet": "0", "count.DaemonSet": "0", "count.Job": "0", "count.PersistentVolumeClaim": "0", "count.ResourceQuota": "0",
		"count.CronJob": "0", "count.EndpointSlice": "0", "count.PersistentVolume": "0", "count.Service": "0",
		"count.Application.argoproj.io": "0", "count.Cluster.cluster.x-k8s.io": "0",
	}, got[0].Attributes); diff != "" {
		t.Errorf("the cluster (-want +got):\n%s", diff)
	}
	if got[0].Region != "eu" {
		t.Errorf("its region is %q, which the configuration says is eu", got[0].Region)
	}
	r.pass(time.Minute) // without a sign of life nobody knows
	r.tick()
	want(t, r)
}

func node(name, provider, region string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metaOf(name, noon.Add(-time.Hour))}
	n.Namespace = ""
	n.Labels = map[string]string{corev1.LabelTopologyRegion: region}
	if provider != "" {
		n.Spec.ProviderID = provider + "://" + name
	}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(noon.Add(-50 * time.Minute))}}
	return n
}
