//go:build e2e

package kube_test

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kubeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubevalue/kubevalue/collectors/kube"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// definition is a CustomResourceDefinition of a kind that takes anything.
func definition(group, version, kind, plural string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{
			"name": plural + "." + group, "annotations": map[string]any{"api-approved.kubernetes.io": "unapproved, for a test"},
		},
		"spec": map[string]any{
			"group": group, "scope": "Namespaced", "names": map[string]any{"kind": kind, "plural": plural, "singular": plural[:len(plural)-1]},
			"versions": []any{map[string]any{
				"name": version, "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
			}},
		},
	}}
}

// dynamic is a client for kinds that are not built in.
func (p *plane) dynamic(t *testing.T) dynamic.Interface {
	t.Helper()
	config := must[*rest.Config](t)(clientcmd.BuildConfigFromFlags("", p.kubeconfig))
	return must[*dynamic.DynamicClient](t)(dynamic.NewForConfig(config))
}

// define makes the cluster serve a kind.
func (p *plane) define(t *testing.T, crd *unstructured.Unstructured) {
	t.Helper()
	crds := p.dynamic(t).Resource(kubeschema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	must[*unstructured.Unstructured](t)(crds.Create(t.Context(), crd, metav1.CreateOptions{}))
}

func custom(apiVersion, kind, name string, status map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": name, "namespace": "fleet"},
		"spec": map[string]any{"project": "blue"}, "status": status,
	}}
}

func TestE2EFurtherKindsAgainstARealControlPlane(t *testing.T) {
	r := &run{p: startPlane(t, 1), store: &store{db: warehousetest.Open(t)}}
	api := r.p.dynamic(t)
	report := kube.Check(t.Context(), clusterOf(r.p))
	if report.Err != nil || len(report.Missing) > 0 || len(report.NotServed) != 3 {
		t.Errorf("before the kinds are there: %+v", report)
	}
	createNamespace(t, r.p, "fleet", map[string]string{"team": "blue"})
	r.c, r.stop = collect(t, r.store, clusterOf(r.p))
	awaitSynced(t, r.c)

	r.p.define(t, definition("cluster.x-k8s.io", "v1beta2", "Cluster", "clusters"))
	r.p.define(t, definition("argoproj.io", "v1alpha1", "Application", "applications"))
	r.watchesLoadBalancers(t)
	r.watchesVolumesAndCronJobs(t)

	clusters := api.Resource(kubeschema.GroupVersionResource{Group: "cluster.x-k8s.io", Version: "v1beta2", Resource: "clusters"}).Namespace("fleet")
	applications := api.Resource(kubeschema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "applications"}).Namespace("fleet")
	eventually(t, "the new kinds take objects", func() bool {
		_, err := clusters.Create(t.Context(), custom("cluster.x-k8s.io/v1beta2", "Cluster", "c7", map[string]any{"phase": "Provisioning"}), metav1.CreateOptions{})
		return err == nil
	})
	must[*unstructured.Unstructured](t)(applications.Create(t.Context(), custom("argoproj.io/v1alpha1", "Application", "web", map[string]any{
		"sync": map[string]any{"status": "Synced"}, "health": map[string]any{"status": "Healthy"},
	}), metav1.CreateOptions{}))
	r.await(t, 1, schema.KindManagedCluster, "fleet", "c7", schema.ChangeCreated)
	app := r.await(t, 1, schema.KindApplication, "fleet", "web", schema.ChangeReady)[0]
	if app.Team != "blue" || app.TeamSource != string(schema.OwnerByNamespace) {
		t.Errorf("the application belongs to %q by %q", app.Team, app.TeamSource)
	}
	now := time.Now().UTC().Format(time.RFC3339)
	c7 := must[*unstructured.Unstructured](t)(clusters.Get(t.Context(), "c7", metav1.GetOptions{}))
	c7.Object["status"] = map[string]any{"phase": "Provisioned", "conditions": []any{map[string]any{"type": "Available", "status": "True", "lastTransitionTime": now}}}
	must[*unstructured.Unstructured](t)(clusters.Update(t.Context(), c7, metav1.UpdateOptions{}))
	if ready := r.await(t, 1, schema.KindManagedCluster, "fleet", "c7", schema.ChangeReady)[0]; ready.Attributes["phase"] != "Provisioned" || ready.DurationMS == nil {
		t.Errorf("the cluster is ready as %+v", ready)
	}
	r.stop()
}

// watchesLoadBalancers and no other services; their endpoints come and go.
func (r *run) watchesLoadBalancers(t *testing.T) {
	t.Helper()
	services := r.p.client.CoreV1().Services("fleet")
	for name, kind := range map[string]corev1.ServiceType{"lb": corev1.ServiceTypeLoadBalancer, "inner": corev1.ServiceTypeClusterIP} {
		must[*corev1.Service](t)(services.Create(t.Context(), &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{Type: kind, Ports: []corev1.ServicePort{{Port: 80}}},
		}, metav1.CreateOptions{}))
	}
	r.await(t, 1, schema.KindService, "fleet", "lb", schema.ChangeEmptied)
	must[*discoveryv1.EndpointSlice](t)(r.p.client.DiscoveryV1().EndpointSlices("fleet").Create(t.Context(), &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "lb-own", Labels: map[string]string{discoveryv1.LabelServiceName: "lb"}},
		AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.1.2.3"}}},
	}, metav1.CreateOptions{}))
	if ch := r.await(t, 1, schema.KindService, "fleet", "lb", schema.ChangeOccupied)[0]; ch.Available == nil || *ch.Available != 1 {
		t.Errorf("the load balancer has an endpoint as %+v", ch.Resource)
	}
	if n := len(r.find(schema.KindService, "fleet", "inner", schema.ChangeCreated)); n != 0 {
		t.Error("a service that is no load balancer is recorded")
	}
}

func (r *run) watchesVolumesAndCronJobs(t *testing.T) {
	t.Helper()
	must[*corev1.PersistentVolume](t)(r.p.client.CoreV1().PersistentVolumes().Create(t.Context(), &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pv-1"},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("2Gi")}, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			StorageClassName: "slow", PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/none"}},
		},
	}, metav1.CreateOptions{}))
	if ch := r.await(t, 1, schema.KindVolume, "", "pv-1", schema.ChangeReady)[0]; ch.Attributes["storage_bytes"] != "2147483648" || ch.Attributes["storage_class"] != "slow" {
		t.Errorf("the volume is recorded as %+v", ch.Attributes)
	}
	jobs := r.p.client.BatchV1()
	cron := must[*batchv1.CronJob](t)(jobs.CronJobs("fleet").Create(t.Context(), &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: "nightly", Labels: map[string]string{"team": "red"}},
		Spec:       batchv1.CronJobSpec{Schedule: "0 3 * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "a", Image: "example:1"}}}}}}},
	}, metav1.CreateOptions{}))
	if ch := r.await(t, 1, schema.KindCronJob, "fleet", "nightly", schema.ChangeCreated)[0]; ch.Team != "red" || ch.Attributes["schedule"] != cron.Spec.Schedule {
		t.Errorf("the CronJob is recorded as %+v", ch.Resource)
	}
}
