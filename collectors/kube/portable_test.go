package kube

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubevalue/kubevalue/schema"
)

func TestWhatNamesOneProviderIsTiedToIt(t *testing.T) {
	for name, test := range map[string]struct {
		edit func(*corev1.PodTemplateSpec)
		want string
	}{
		"nothing": {func(*corev1.PodTemplateSpec) {}, "none"},
		"a label of one's own": {func(p *corev1.PodTemplateSpec) {
			p.Labels = map[string]string{"example.com/notk8s.aws": "x", "aws-": "y"}
		}, "none"},
		"a label of a cloud": {func(p *corev1.PodTemplateSpec) { p.Labels = map[string]string{"azure.workload.identity/use": "true"} }, "azure"},
		"an annotation":      {func(p *corev1.PodTemplateSpec) { p.Annotations = map[string]string{"iam.gke.io/x": ""} }, "google"},
		"a node pool": {func(p *corev1.PodTemplateSpec) {
			p.Spec.NodeSelector = map[string]string{"eks.amazonaws.com/nodegroup": "a"}
		}, "aws"},
		"a type of nodes": {func(p *corev1.PodTemplateSpec) {
			p.Spec.NodeSelector = map[string]string{"node.kubernetes.io/instance-type": "m5"}
		}, "instance-type"},
		"a zone, as all clouds": {func(p *corev1.PodTemplateSpec) {
			p.Spec.NodeSelector = map[string]string{"topology.kubernetes.io/zone": "a"}
		}, "none"},
		"a disk of a cloud": {func(p *corev1.PodTemplateSpec) {
			p.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{AWSElasticBlockStore: &corev1.AWSElasticBlockStoreVolumeSource{}}}}
		}, "aws"},
		"a driver of a cloud":   {func(p *corev1.PodTemplateSpec) { p.Spec.Volumes = csiVolume("disk.csi.azure.com") }, "azure"},
		"a driver of any cloud": {func(p *corev1.PodTemplateSpec) { p.Spec.Volumes = csiVolume("secrets-store.csi.k8s.io") }, "none"},
		"a resource of a cloud": {func(p *corev1.PodTemplateSpec) { p.Spec.Containers = limited("vpc.amazonaws.com/pod-eni") }, "aws"},
		"a resource of anybody": {func(p *corev1.PodTemplateSpec) { p.Spec.Containers = limited("nvidia.com/gpu") }, "none"},
		"a required affinity":   {func(p *corev1.PodTemplateSpec) { p.Spec.Affinity = affinity("cloud.google.com/gke-nodepool", true) }, "google"},
		"a preference":          {func(p *corev1.PodTemplateSpec) { p.Spec.Affinity = affinity("cloud.google.com/gke-nodepool", false) }, "none"},
		"several, in their order": {func(p *corev1.PodTemplateSpec) {
			p.Annotations = map[string]string{"cloud.google.com/x": "", "k8s.aws/y": "", "iam.gke.io/z": ""}
		}, "aws,google"},
	} {
		d := web(noon, 1)
		test.edit(&d.Spec.Template)
		o := &object{}
		if fromDeployment(o, d); o.attributes[schema.AttributeTies] != test.want {
			t.Errorf("%s: tied to %q, want %q", name, o.attributes[schema.AttributeTies], test.want)
		}
		j := &batchv1.CronJob{}
		test.edit(&j.Spec.JobTemplate.Spec.Template)
		o = &object{}
		if fromCronJob(o, j); o.attributes[schema.AttributeTies] != test.want {
			t.Errorf("%s: the job is tied to %q, want %q", name, o.attributes[schema.AttributeTies], test.want)
		}
	}
}

func TestClassesOfOneProviderTie(t *testing.T) {
	for class, want := range map[string]string{"": "none", "gp3": "aws", "gp3-fast": "none", "ebs-fast": "aws", "managed-csi": "azure", "standard": "none", "premium-rwo": "google"} {
		s := &appsv1.StatefulSet{}
		s.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{{Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: new(class)}}}
		o := &object{}
		if fromStatefulSet(o, s); o.attributes[schema.AttributeTies] != want {
			t.Errorf("a claim of class %q is tied to %q, want %q", class, o.attributes[schema.AttributeTies], want)
		}
	}
	for _, test := range []struct{ class, annotation, want string }{
		{"", "example.com/x", "none"}, {"service.k8s.aws/nlb", "", "aws"}, {"metallb", "service.beta.kubernetes.io/azure-load-balancer-internal", "azure"},
		{"", "networking.gke.io/load-balancer-type", "google"}, {"", "service.beta.kubernetes.io/do-loadbalancer-name", "digitalocean"},
	} {
		s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{test.annotation: ""}}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, LoadBalancerClass: &test.class}}
		o := &object{}
		if fromService(o, s); o.attributes[schema.AttributeTies] != test.want {
			t.Errorf("a load balancer of class %q with %q is tied to %q, want %q", test.class, test.annotation, o.attributes[schema.AttributeTies], test.want)
		}
	}
}

func csiVolume(driver string) []corev1.Volume {
	return []corev1.Volume{{VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: driver}}}}
}

func limited(name corev1.ResourceName) []corev1.Container {
	return []corev1.Container{{Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{name: resource.MustParse("1")}}}}
}

func affinity(key string, required bool) *corev1.Affinity {
	term := corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: key, Operator: corev1.NodeSelectorOpExists}}}
	a := &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{{Preference: term}}}
	if required {
		a = &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{term}}}
	}
	return &corev1.Affinity{NodeAffinity: a}
}
