package kube

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubevalue/kubevalue/schema"
)

// providers are the clouds whose own names an object may use: in the domains of keys of labels, annotations and resources, of drivers, and of
// classes. What follows "service.beta.kubernetes.io/" begins with a prefix; the storage classes are those that a provider makes itself.
var providers = []struct {
	name    string
	domains []string
	prefix  string
	classes []string
}{
	{"alibaba", []string{"alibabacloud.com", "aliyun.com"}, "alibaba-cloud-", []string{"alicloud-"}},
	{"aws", []string{"amazonaws.com", "aws.amazon.com", "eksctl.io", "k8s.aws"}, "aws-", []string{"gp2", "gp3", "io1", "io2", "sc1", "st1", "ebs-", "efs-"}},
	{"azure", []string{"azure.com", "azure.workload.identity"}, "azure-", []string{"azurefile", "azuredisk", "managed-csi", "managed-premium"}},
	{"digitalocean", []string{"digitalocean.com"}, "do-", []string{"do-block-storage"}},
	{"google", []string{"cloud.google.com", "gke.io"}, "gcp-", []string{"standard-rwo", "premium-rwo", "standard-rwx", "premium-rwx"}},
	{"ibm", []string{"ibm.io", "ibm.com", "ibm-cloud.kubernetes.io"}, "ibm-", []string{"ibmc-"}},
	{"openstack", []string{"openstack.org"}, "openstack-", []string{"cinder-"}},
	{"oracle", []string{"oraclecloud.com"}, "oci-", []string{"oci-bv", "oci-fss"}},
}

// ties are the providers that an object cannot do without, as far as its specification names one.
type ties []string

func (t *ties) add(provider string) {
	if provider != "" && !slices.Contains(*t, provider) {
		*t = append(*t, provider)
	}
}

// key looks at the key of a label, an annotation or a resource, or at a driver or a class that is named like one.
func (t *ties) key(key string) {
	domain, name, _ := strings.Cut(key, "/")
	for _, p := range providers {
		if slices.ContainsFunc(p.domains, func(d string) bool { return domain == d || strings.HasSuffix(domain, "."+d) }) ||
			domain == "service.beta.kubernetes.io" && strings.HasPrefix(name, p.prefix) {
			t.add(p.name)
		}
	}
}

func (t *ties) keys(of map[string]string) {
	for key := range of {
		t.key(key)
	}
}

// storageClass looks at a class by the names that providers give theirs.
func (t *ties) storageClass(name string) {
	for _, p := range providers {
		if slices.ContainsFunc(p.classes, func(c string) bool { return name == c || strings.HasSuffix(c, "-") && strings.HasPrefix(name, c) }) {
			t.add(p.name)
		}
	}
}

// placement looks at where pods are to run. An instance type is a provider's, too, though its name does not tell whose.
func (t *ties) placement(s *corev1.PodSpec) {
	look := func(key string) {
		if t.key(key); key == corev1.LabelInstanceTypeStable || key == corev1.LabelInstanceType {
			t.add("instance-type")
		}
	}
	for key := range s.NodeSelector {
		look(key)
	}
	if s.Affinity == nil || s.Affinity.NodeAffinity == nil {
		return
	}
	var terms []corev1.NodeSelectorTerm
	if required := s.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution; required != nil {
		terms = required.NodeSelectorTerms
	}
	for _, term := range terms {
		for _, e := range term.MatchExpressions {
			look(e.Key)
		}
	}
}

func (t *ties) volumes(s *corev1.PodSpec) {
	for i := range s.Volumes {
		switch v := &s.Volumes[i]; {
		case v.AWSElasticBlockStore != nil:
			t.add("aws")
		case v.GCEPersistentDisk != nil:
			t.add("google")
		case v.AzureDisk != nil || v.AzureFile != nil:
			t.add("azure")
		case v.Cinder != nil:
			t.add("openstack")
		case v.CSI != nil:
			t.key(v.CSI.Driver)
		}
	}
}

// template looks at a pod template.
func (t *ties) template(template *corev1.PodTemplateSpec) {
	t.keys(template.Labels)
	t.keys(template.Annotations)
	t.placement(&template.Spec)
	t.volumes(&template.Spec)
	for _, list := range [][]corev1.Container{template.Spec.InitContainers, template.Spec.Containers} {
		for i := range list {
			for name := range list[i].Resources.Requests {
				t.key(string(name))
			}
			for name := range list[i].Resources.Limits {
				t.key(string(name))
			}
		}
	}
}

// portable notes which providers an object is tied to.
func (o *object) portable(t ties) {
	if len(t) == 0 {
		o.attribute(schema.AttributeTies, schema.TiesNone)
		return
	}
	slices.Sort(t)
	o.attribute(schema.AttributeTies, strings.Join(t, ","))
}
