package kube

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	kubeschema "k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"

	"github.com/kubevalue/kubevalue/schema"
)

// last is the newest state of an object among what was recorded.
func last(t *testing.T, changes []schema.ResourceChange, name string) schema.Resource {
	t.Helper()
	for _, ch := range newest(changes) {
		if ch.Name == name {
			return ch.Resource
		}
	}
	t.Fatalf("nothing is recorded of %s in %+v", name, changes)
	return schema.Resource{}
}

func TestAJobBelongsToTheTeamOfItsCronJob(t *testing.T) {
	r := newRig(t, noon).sync(nil)
	cron := &batchv1.CronJob{ObjectMeta: metaOf("nightly", noon), Spec: batchv1.CronJobSpec{Schedule: "0 3 * * *", TimeZone: new("Europe/Berlin"), Suspend: new(true)}}
	cron.Labels = map[string]string{"team": "red"}
	r.put(schema.KindCronJob, cron)
	job := &batchv1.Job{ObjectMeta: metaOf("nightly-1", noon)}
	job.OwnerReferences = []metav1.OwnerReference{{Kind: "CronJob", Name: "nightly", UID: "uid-nightly", Controller: new(true)}}
	r.put(schema.KindJob, job)
	changes := r.told()
	if got := last(t, changes, "nightly-1"); got.Team != "red" || got.Attributes["owner"] != "CronJob/nightly" {
		t.Errorf("the job is recorded as %+v", got)
	}
	want := map[string]string{"schedule": "0 3 * * *", "timezone": "Europe/Berlin", "suspended": "true", schema.AttributeTies: schema.TiesNone}
	if diff := cmp.Diff(want, last(t, changes, "nightly").Attributes); diff != "" {
		t.Errorf("attributes of the CronJob (-want +got):\n%s", diff)
	}
}

func TestAVolumeSaysWhenItIsReleased(t *testing.T) {
	r := newRig(t, noon).sync(nil)
	v := &corev1.PersistentVolume{ObjectMeta: metaOf("pv-1", noon)}
	v.Namespace = ""
	v.Spec = corev1.PersistentVolumeSpec{
		StorageClassName: "fast", PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
		Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")}, ClaimRef: &corev1.ObjectReference{Namespace: "shop", Name: "data"},
	}
	v.Status.Phase = corev1.VolumeBound
	r.put(schema.KindVolume, v)
	r.pass(time.Hour)
	v.Status.Phase = corev1.VolumeReleased
	r.put(schema.KindVolume, v)
	changes := r.told()
	wantAttributes := map[string]string{"storage_class": "fast", "storage_bytes": "10737418240", "phase": "Released", "reclaim": "Retain", "claim": "shop/data"}
	if diff := cmp.Diff(wantAttributes, last(t, changes, "pv-1").Attributes); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	if n := len(changes); n != 3 || changes[2].Change != schema.ChangeUpdated || !changes[2].Time.Equal(noon.Add(time.Hour)) {
		t.Errorf("changes %+v, want created, ready and the release an hour later", changes)
	}
}

// endpoints is an EndpointSlice of the service lb.
func endpoints(name string, ready ...bool) *discoveryv1.EndpointSlice {
	e := &discoveryv1.EndpointSlice{ObjectMeta: metaOf(name, noon)}
	e.Labels = map[string]string{discoveryv1.LabelServiceName: "lb"}
	for _, yes := range ready {
		e.Endpoints = append(e.Endpoints, discoveryv1.Endpoint{Conditions: discoveryv1.EndpointConditions{Ready: &yes}})
	}
	return e
}

func balancer() *corev1.Service {
	s := &corev1.Service{ObjectMeta: metaOf("lb", noon), Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer}}
	s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "10.0.0.1"}}
	return s
}

func TestALoadBalancerIsEmptyWithoutReadyEndpoints(t *testing.T) {
	r := newRig(t, noon.Add(time.Second))
	one := endpoints("lb-1", true, false)
	one.Endpoints = append(one.Endpoints, discoveryv1.Endpoint{}) // without a word it is ready
	r.sync(map[string][]any{schema.KindService: {balancer()}, kindEndpointSlice: {one, endpoints("lb-2", true)}})
	if got := last(t, r.told(), "lb"); got.Available == nil || *got.Available != 3 || got.Attributes[attributeEmpty] != "" {
		t.Errorf("in the beginning %+v", got)
	}
	r.pass(time.Minute)
	r.delete(kindEndpointSlice, endpoints("lb-2", true))
	want(t, r)
	r.put(kindEndpointSlice, endpoints("lb-1", false))
	r.pass(time.Minute)
	r.put(kindEndpointSlice, endpoints("lb-1", false, true))
	r.pass(time.Minute)
	r.delete(kindEndpointSlice, endpoints("lb-1"))
	r.delete(schema.KindService, balancer())
	want(t, r,
		"Service/lb emptied #1795176061000 (no_endpoints) at 61",
		"Service/lb occupied #1795176121000 at 121 took 60",
		"Service/lb emptied #1795176181000 (no_endpoints) at 181",
		"Service/lb deleted at 181")
	if len(r.endpoints)+len(r.serving)+len(r.balancers) > 0 {
		t.Errorf("it is not forgotten: %v %v %v", r.endpoints, r.serving, r.balancers)
	}
}

func TestALoadBalancerThatWasEmptyBeforeARestartIsNotToldAgain(t *testing.T) {
	r := newRig(t, noon)
	r.sync(map[string][]any{schema.KindService: {balancer()}})
	known := newest(r.told())
	again := newRig(t, noon.Add(time.Hour))
	again.adopt(known)
	again.sync(map[string][]any{schema.KindService: {balancer()}})
	want(t, again)
	again.put(kindEndpointSlice, endpoints("lb-1", true))
	if got := again.told(); len(got) != 1 || got[0].Change != schema.ChangeOccupied || got[0].DurationMS == nil || *got[0].DurationMS != 3600e3 {
		t.Errorf("recorded %+v, want that it has an endpoint again after an hour", got)
	}
}

// thing is a custom resource of a kind.
func thing(apiVersion, kind, name string, content map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: content}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	u.SetName(name)
	u.SetNamespace("fleet")
	u.SetUID(metaOf(name, noon).UID)
	u.SetCreationTimestamp(metav1.NewTime(noon))
	return u
}

func TestAManagedClusterIsReadyWhenItSaysSo(t *testing.T) {
	r := newRig(t, noon).sync(nil)
	content := func(phase, status string) map[string]any {
		return map[string]any{
			"spec": map[string]any{"infrastructureRef": map[string]any{"kind": "AWSCluster"}, "topology": map[string]any{"version": "v1.36.1", "classRef": map[string]any{"name": "small"}}},
			"status": map[string]any{"phase": phase, "conditions": []any{
				map[string]any{"type": "ControlPlaneInitialized", "status": "True", "lastTransitionTime": "2026-11-20T12:01:00Z"},
				map[string]any{"type": "Available", "status": status, "lastTransitionTime": "2026-11-20T12:05:00Z"},
			}},
		}
	}
	r.put(schema.KindManagedCluster, thing("cluster.x-k8s.io/v1beta2", "Cluster", "c7", content("Provisioning", "False")))
	r.pass(5*time.Minute + time.Second)
	r.put(schema.KindManagedCluster, thing("cluster.x-k8s.io/v1beta2", "Cluster", "c7", content("Provisioned", "True")))
	changes := r.told()
	got := last(t, changes, "c7")
	if diff := cmp.Diff(map[string]string{"phase": "Provisioned", "infrastructure": "AWSCluster", "class": "small"}, got.Attributes); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	if ready := changes[len(changes)-1]; ready.Change != schema.ChangeReady || *ready.DurationMS != 300e3 || got.Version != "v1.36.1" {
		t.Errorf("changes %+v, want that it is ready after five minutes", changes)
	}
}

// application is an Application with a history of two, and perhaps a failure after that.
func application(sync, failedAt string) *unstructured.Unstructured {
	entry := func(id int64, began, ended string) map[string]any {
		return map[string]any{"id": id, "revision": "abc", "deployStartedAt": began, "deployedAt": ended}
	}
	content := map[string]any{
		"spec": map[string]any{"project": "blue-project", "destination": map[string]any{"name": "prod", "namespace": "shop"}},
		"status": map[string]any{
			"sync": map[string]any{"status": sync}, "health": map[string]any{"status": "Healthy"},
			"history": []any{entry(1, "2026-11-20T11:00:00Z", "2026-11-20T11:00:30Z"), entry(2, "2026-11-20T11:30:00Z", "2026-11-20T11:30:10Z")},
		},
	}
	if failedAt != "" {
		content["status"].(map[string]any)["operationState"] = map[string]any{"phase": "Failed", "startedAt": "2026-11-20T12:00:01Z", "finishedAt": failedAt}
	}
	return thing("argoproj.io/v1alpha1", "Application", "web", content)
}

func TestAnApplicationsTransitionsAreRecordedOnce(t *testing.T) {
	r := newRig(t, noon)
	asked := map[string]string{}
	owner := r.cfg.Owner
	r.cfg.Owner = func(q schema.OwnerQuestion) (string, schema.OwnerSource) {
		asked[q.Resource.Name] = q.Resource.Attributes[schema.AttributeArgoProject]
		return owner(q)
	}
	managed := web(noon, 1)
	managed.Name, managed.UID = "managed", "uid-managed"
	managed.Annotations = map[string]string{schema.LabelArgoTracking: "argocd_web:apps/Deployment:shop/managed"}
	r.sync(map[string][]any{schema.KindApplication: {application("Synced", "")}, schema.KindDeployment: {managed}})
	if asked["managed"] != "blue-project" || asked["web"] != "blue-project" {
		t.Errorf("the owner was asked with the projects %v", asked)
	}
	first := r.told()
	var ends []string
	for _, ch := range first {
		if ch.Change == schema.ChangeCompleted {
			ends = append(ends, ch.Key+" at "+since(ch.Time))
		}
	}
	if diff := cmp.Diff([]string{"sync/1 at -3570", "sync/2 at -1790"}, ends); diff != "" {
		t.Errorf("what it did before (-want +got):\n%s", diff)
	}
	r.pass(10 * time.Second)
	r.put(schema.KindApplication, application("OutOfSync", "2026-11-20T12:00:09Z"))
	r.put(schema.KindApplication, application("OutOfSync", "2026-11-20T12:00:09Z"))
	want(t, r, "Application.argoproj.io/web failed #failed/2026-11-20T12:00:01Z (failed) at 9 took 8")

	again := newRig(t, noon.Add(time.Minute))
	again.adopt(newest(first))
	again.sync(map[string][]any{schema.KindApplication: {application("Synced", "")}, schema.KindDeployment: {managed}})
	want(t, again)
}

// TestAKindThatComesLaterIsWatchedThen with the version that the server prefers.
func TestAKindThatComesLaterIsWatchedThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		applications := kubeschema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "applications"}
		var served atomic.Bool
		clients := fakeClients(func() (string, error) { return "v1.36.3", nil })
		clients.Dynamic = dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
			map[kubeschema.GroupVersionResource]string{applications: "ApplicationList"}, application("Synced", ""))
		clients.Serves = func(_ context.Context, of kubeschema.GroupResource) (string, error) {
			if of == applications.GroupResource() && served.Load() {
				return "v1alpha1", nil
			}
			return "", nil
		}
		kept := &sink{}
		running(t, Config{Clusters: configs("c1"), Sink: kept, Connect: func(ClusterConfig) (*Clients, error) { return clients, nil }}, func(c *Collector) {
			time.Sleep(20 * time.Second)
			if s := c.Status()[0]; !s.Synced || s.Err != nil {
				t.Errorf("a kind that is not served holds up the others: %+v", s)
			}
			served.Store(true)
			time.Sleep(40 * time.Second)
		})
		found := false
		for _, ch := range kept.changes {
			found = found || ch.Kind == schema.KindApplication && ch.Name == "web" && ch.Change == schema.ChangeObserved
		}
		if !found {
			t.Errorf("the application was not seen: %+v", kept.changes)
		}
	})
}

func TestWorkloadsSayWhetherTheirImagesArePinned(t *testing.T) {
	const digest = "shop@sha256:1111111111111111111111111111111111111111111111111111111111111111"
	for name, test := range map[string]struct {
		first, main []string
		want        string
	}{
		"by digest":             {nil, []string{digest, digest}, "pinned"},
		"one by tag":            {nil, []string{digest, "shop:1"}, ""},
		"one by tag runs first": {[]string{"setup:1"}, []string{digest}, ""},
	} {
		d := web(noon, 1)
		d.Spec.Template.Spec.InitContainers, d.Spec.Template.Spec.Containers = nil, nil
		for _, image := range test.first {
			d.Spec.Template.Spec.InitContainers = append(d.Spec.Template.Spec.InitContainers, corev1.Container{Image: image})
		}
		for _, image := range test.main {
			d.Spec.Template.Spec.Containers = append(d.Spec.Template.Spec.Containers, corev1.Container{Image: image})
		}
		o := &object{}
		fromDeployment(o, d)
		if o.attributes["images"] != test.want {
			t.Errorf("%s: images are %q, want %q", name, o.attributes["images"], test.want)
		}
	}
}
