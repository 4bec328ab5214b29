package kube

import (
	"cmp"
	"errors"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubevalue/kubevalue/schema"
)

func requests(cores, memory string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cores), corev1.ResourceMemory: resource.MustParse(memory)}}
}

func largeNode(name string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metaOf(name, noon)}
	n.Namespace, n.Labels = "", map[string]string{corev1.LabelInstanceTypeStable: "large"}
	n.Status.Allocatable = requests("4", "8Gi").Requests
	return n
}

// placed is a running pod of the ReplicaSet web-1 on a node.
func placed(name, node string) *corev1.Pod {
	p := podOf(name, noon, corev1.PodRunning)
	p.Spec.NodeName = node
	p.Spec.Containers = []corev1.Container{{Name: "a", Resources: requests("500m", "1Gi")}, {Name: "b", Resources: requests("500m", "1Gi")}}
	p.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web-1", UID: "uid-web-1", Controller: new(true)}}
	return p
}

func TestWhatAPodRequestsIsCountedAsTheSchedulerDoes(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	p := placed("a", "n1")
	p.Spec.Overhead = requests("100m", "0").Requests
	p.Spec.InitContainers = []corev1.Container{
		{Name: "first", Resources: requests("1", "3Gi")},                        // alone: 1 core, 3 GiB
		{Name: "side", RestartPolicy: &always, Resources: requests("2", "1Gi")}, // stays
		{Name: "second", Resources: requests("3", "1Gi")},                       // beside it: 5 cores, 2 GiB
	}
	// The containers and the one that stays: 3 cores, 3 GiB.
	if n := needsOf(p); n.cores != 5.1 || n.bytes != 3<<30 || n.node != "n1" || n.controllerKind != kindReplicaSet {
		t.Errorf("needs %+v, want 5.1 cores and 3 GiB", n)
	}
}

// consumed takes what was summed up, as a warehouse would have it, in an order that is always the same.
func (r *rig) consumed() []schema.Consumption {
	r.endCosts()
	r.costs.sums = map[consumer]*schema.Consumption{}
	return r.handedOver()
}

func (r *rig) handedOver() []schema.Consumption {
	r.handOver()
	var rows []schema.Consumption
	for _, c := range r.sink.consumption {
		same := func(d schema.Consumption) bool {
			return d.Start.Equal(c.Start) && d.Kind == c.Kind && d.Class == c.Class && d.Namespace == c.Namespace && d.Team == c.Team
		}
		rows = append(slices.DeleteFunc(rows, same), c)
	}
	r.sink.consumption = nil
	slices.SortFunc(rows, func(a, b schema.Consumption) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Class, b.Class), cmp.Compare(a.Team, b.Team))
	})
	return rows
}

func TestConsumptionIsTheLargerOfRequestsAndUse(t *testing.T) {
	r := newRig(t, noon.Add(30*time.Minute))
	d := web(noon, 2)
	d.Labels = map[string]string{"team": "red"}
	waiting := placed("waiting", "")
	done := placed("done", "n1")
	done.Status.Phase = corev1.PodSucceeded
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metaOf("data", noon)}
	claim.Spec.StorageClassName, claim.Status.Phase = new("fast"), corev1.ClaimBound
	claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")}
	released := &corev1.PersistentVolume{ObjectMeta: metaOf("pv", noon), Spec: corev1.PersistentVolumeSpec{StorageClassName: "slow", Capacity: claim.Spec.Resources.Requests}}
	released.Namespace, released.Status.Phase = "", corev1.VolumeReleased
	bound := released.DeepCopy()
	bound.Name, bound.UID, bound.Status.Phase = "bound", "uid-bound", corev1.VolumeBound
	lone := placed("lone", "n1")
	lone.OwnerReferences = nil
	r.sync(map[string][]any{
		schema.KindNamespace: {namespaceAt("shop", noon, map[string]string{"team": "blue"})}, schema.KindNode: {largeNode("n1"), largeNode("n2")},
		schema.KindDeployment: {d}, kindReplicaSet: {setOf("1", "", noon)}, kindPod: {placed("a", "n1"), placed("b", "n2"), waiting, done, lone},
		schema.KindClaim: {claim}, schema.KindVolume: {released, bound}, schema.KindService: {balancer()},
	})
	r.costs.use, r.costs.usedAt = map[uint64]Use{podHash("shop", "a"): {Cores: 3, Bytes: 1 << 30}}, r.now()
	passAlive(r, 10*time.Second) // the first look
	passAlive(r, time.Minute)
	start := noon.Add(30*time.Minute + 10*time.Second)
	const gib = float64(1 << 30)
	want := []schema.Consumption{
		{Cluster: "c1", Start: start, Kind: schema.ConsumedBalancer, Namespace: "shop", Team: "blue", Seconds: 60},
		{Cluster: "c1", Start: start, Kind: schema.ConsumedNode, Class: "large", Seconds: 120, CoreSeconds: 480, ByteSeconds: 960 * gib},
		{Cluster: "c1", Start: start, Kind: schema.ConsumedPod, Class: "large", Namespace: "shop", Team: "blue", Seconds: 60, CoreSeconds: 60, ByteSeconds: 120 * gib},
		// a uses 3 cores of 1 and 1 GiB of 2; what b uses is not known.
		{Cluster: "c1", Start: start, Kind: schema.ConsumedPod, Class: "large", Namespace: "shop", Team: "red", Seconds: 120, CoreSeconds: 240, ByteSeconds: 240 * gib, RequestedCoreSeconds: 60, UsedCoreSeconds: 180},
		{Cluster: "c1", Start: start, Kind: schema.ConsumedStorage, Class: "fast", Namespace: "shop", Team: "blue", Seconds: 60, ByteSeconds: 600 * gib},
		{Cluster: "c1", Start: start, Kind: schema.ConsumedStorage, Class: "slow", Seconds: 60, ByteSeconds: 600 * gib},
	}
	if diff := gocmp.Diff(want, r.consumed()); diff != "" {
		t.Errorf("consumption (-want +got):\n%s", diff)
	}
	passAlive(r, 29*time.Minute)
	rows := r.consumed()
	if len(rows) != 12 || rows[0].Start.Hour() != 12 || !rows[11].Start.Equal(noon.Add(time.Hour+10*time.Second)) {
		t.Errorf("over the end of an hour there are %d rows: %+v", len(rows), rows)
	}
	for _, row := range rows {
		if row.Team == "red" && row.RequestedCoreSeconds > 3*60 {
			t.Errorf("an old answer about use counts on: %+v", row)
		}
		if err := row.Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestAKillLosesFiveMinutesOfCostsAtMost(t *testing.T) {
	r := newRig(t, noon)
	r.sync(map[string][]any{schema.KindNode: {largeNode("n1")}})
	passAlive(r, 10*time.Second) // the first look
	passAlive(r, 50*time.Minute)
	if rows := r.handedOver(); len(rows) != 1 || rows[0].Seconds < 45*60 {
		t.Errorf("handed over are %+v, want the sums of 45 minutes or more", rows)
	}
	passAlive(r, 15*time.Minute)
	rows := r.consumed()
	var seconds float64
	for _, row := range rows {
		seconds += row.Seconds
	}
	if len(rows) != 2 || seconds != 65*60 {
		t.Errorf("in the end there are %g s: %+v; want 65 minutes in two hours", seconds, rows)
	}
}

func TestWhatWasNotWatchedCostsNothing(t *testing.T) {
	r := newRig(t, noon)
	r.sync(map[string][]any{schema.KindNode: {largeNode("n1")}})
	passAlive(r, 10*time.Second)
	r.feeds[kindPod].wentDown(r.now())
	passAlive(r, 20*time.Minute)
	r.feeds[kindPod].cameUp(r.now())
	passAlive(r, 10*time.Second)
	if rows := r.consumed(); len(rows) > 0 {
		t.Errorf("recorded %+v", rows)
	}
	passAlive(r, time.Minute)
	r.pass(time.Hour) // asleep
	passAlive(r, 70*time.Second)
	seconds := 0.0
	for _, row := range r.consumed() {
		seconds += row.Seconds
	}
	if seconds != 120 {
		t.Errorf("%g seconds of a node, want 120", seconds)
	}
}

func TestUseIsReadFromTheMetricsAPI(t *testing.T) {
	got, err := readUse([]byte(`{"kind":"PodMetricsList","items":[{"metadata":{"name":"a","namespace":"shop"},"timestamp":"x","containers":[
		{"name":"x","usage":{"cpu":"250m","memory":"64Mi"}},{"name":"y","usage":{"cpu":"1","memory":"1Gi"}}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(map[uint64]Use{podHash("shop", "a"): {1.25, (1 << 30) + (64 << 20)}}, got); diff != "" {
		t.Errorf("use (-want +got):\n%s", diff)
	}
	if _, err := readUse([]byte(`<html>`)); err == nil || errors.Is(err, ErrNoUse) {
		t.Errorf("a page in place of a list: %v", err)
	}
}
