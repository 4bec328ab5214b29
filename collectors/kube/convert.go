package kube

import (
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubevalue/kubevalue/schema"
)

func fromCronJob(o *object, j *batchv1.CronJob) {
	o.attribute("schedule", j.Spec.Schedule)
	if j.Spec.TimeZone != nil {
		o.attribute("timezone", *j.Spec.TimeZone)
	}
	if j.Spec.Suspend != nil && *j.Spec.Suspend {
		o.attribute("suspended", "true")
	}
	var of ties
	of.template(&j.Spec.JobTemplate.Spec.Template)
	o.portable(of)
	o.ready = j.Status.LastSuccessfulTime != nil
	if o.ready {
		o.readyAt = j.Status.LastSuccessfulTime.UTC()
	}
}

func fromVolume(o *object, v *corev1.PersistentVolume) {
	o.attribute("storage_class", v.Spec.StorageClassName)
	if size := v.Spec.Capacity.Storage(); !size.IsZero() {
		o.attribute("storage_bytes", strconv.FormatInt(size.Value(), 10))
	}
	o.attribute("phase", string(v.Status.Phase))
	o.attribute("reclaim", string(v.Spec.PersistentVolumeReclaimPolicy))
	if claim := v.Spec.ClaimRef; claim != nil {
		o.attribute("claim", claim.Namespace+"/"+claim.Name)
	}
	o.ready = v.Status.Phase == corev1.VolumeAvailable || v.Status.Phase == corev1.VolumeBound
}

func fromService(o *object, s *corev1.Service) {
	o.service = &service{balancer: s.Spec.Type == corev1.ServiceTypeLoadBalancer, asks: askingOf(s)}
	if !o.service.balancer {
		return
	}
	o.attribute("class", text(s.Spec.LoadBalancerClass))
	o.attribute("type", string(s.Spec.Type))
	var of ties
	of.keys(s.Annotations)
	of.key(text(s.Spec.LoadBalancerClass))
	o.portable(of)
	o.ready = len(s.Status.LoadBalancer.Ingress) > 0
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func fromEndpointSlice(o *object, e *discoveryv1.EndpointSlice) {
	b := &backends{service: spaceName{o.namespace, bounded(e.Labels[discoveryv1.LabelServiceName])}, doors: doorsOf(e)}
	for _, endpoint := range e.Endpoints {
		if r := endpoint.Conditions.Ready; r == nil || *r {
			b.ready++
		}
	}
	o.backends = b
}

// fromManagedCluster reads a Cluster of Cluster API. Version v1beta2 says Available of a cluster that can be used, those before it Ready.
func fromManagedCluster(o *object, u *unstructured.Unstructured) {
	o.attribute("phase", field(u, "status", "phase"))
	o.attribute("infrastructure", field(u, "spec", "infrastructureRef", "kind"))
	o.attribute("class", field(u, "spec", "topology", "classRef", "name"))
	o.attribute("class", field(u, "spec", "topology", "class"))
	o.release = bounded(field(u, "spec", "topology", "version"))
	for _, c := range conditions(u) {
		if (c.kind == "Available" || c.kind == "Ready") && c.status == "True" {
			o.ready, o.readyAt = true, c.since
		}
	}
}

// fromApplication reads an Application of Argo CD. It keeps some ten entries of its history, so each is recorded when it is seen.
func fromApplication(o *object, u *unstructured.Unstructured) {
	o.attribute(schema.AttributeArgoProject, field(u, "spec", "project"))
	o.attribute("sync", field(u, "status", "sync", "status"))
	o.attribute("health", field(u, "status", "health", "status"))
	o.attribute("destination", strings.Trim(field(u, "spec", "destination", "name")+field(u, "spec", "destination", "server")+"/"+field(u, "spec", "destination", "namespace"), "/"))
	o.ready = field(u, "status", "sync", "status") == "Synced" && field(u, "status", "health", "status") == "Healthy"
	o.application = bounded(field(u, "spec", "project"))
	history, _, _ := unstructured.NestedSlice(u.Object, "status", "history")
	for _, entry := range history {
		if h, ok := entry.(map[string]any); ok {
			o.syncs = append(o.syncs, deployed(h))
		}
	}
	switch phase := field(u, "status", "operationState", "phase"); phase {
	case "Failed", "Error":
		o.syncs = append(o.syncs, syncEnd{
			key: "failed/" + field(u, "status", "operationState", "startedAt"), reason: strings.ToLower(phase), failed: true,
			began: instant(u.Object, "status", "operationState", "startedAt"), at: instant(u.Object, "status", "operationState", "finishedAt"),
		})
	}
}

// deployed is an entry of the history of an Application.
func deployed(h map[string]any) syncEnd {
	id, _, _ := unstructured.NestedInt64(h, "id")
	return syncEnd{key: "sync/" + strconv.FormatInt(id, 10), began: instant(h, "deployStartedAt"), at: instant(h, "deployedAt")}
}
