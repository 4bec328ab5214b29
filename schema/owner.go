package schema

import "time"

// OwnerSource is the rule by which a resource has its owner.
type OwnerSource string

// The rules in the order in which they are asked: the first that has an answer decides. An empty source with a team means that whoever
// reported the resource said so.
const (
	OwnerByMapping   OwnerSource = "mapping"   // the configuration says so
	OwnerByCatalog   OwnerSource = "catalog"   // its label backstage.io/kubernetes-id names a component, whose owner the catalog names
	OwnerByLabel     OwnerSource = "label"     // its own label or annotation, or that of its top controller
	OwnerByNamespace OwnerSource = "namespace" // what the namespace is by one of the rules above
	OwnerByGitOps    OwnerSource = "gitops"    // the project of its Argo CD application, or the namespace of its Flux parent
	OwnerByCreator   OwnerSource = "creator"   // the team of the person who opened its namespace
	OwnerUnknown     OwnerSource = ""
)

// OwnerSources lists the rules in their order.
func OwnerSources() []OwnerSource {
	return []OwnerSource{OwnerByMapping, OwnerByCatalog, OwnerByLabel, OwnerByNamespace, OwnerByGitOps, OwnerByCreator}
}

// OwnerQuestion is all that there is to know about whose a resource is. None of the resources may be changed.
type OwnerQuestion struct {
	At       time.Time
	Resource *Resource
	// Parent is its top controller where that is a resource of its own (the CronJob of a Job); nil: it has none.
	Parent *Resource
	// Space finds a namespace of the same cluster; nil: it is not known.
	Space func(name string) *Resource
}

// OwnerFunc says which team owns a resource, and by which rule; no team: nobody knows.
type OwnerFunc func(OwnerQuestion) (team string, by OwnerSource)

// AttributeArgoProject is the attribute that names the Argo CD project of a resource.
const AttributeArgoProject = "argo_project"

// AttributeTies names the providers (clouds) that a workload or a load balancer cannot do without, in order, with commas between them;
// TiesNone: none. It is missing where nobody looked.
const (
	AttributeTies = "provider_ties"
	TiesNone      = "none"
)

// AttributeField and the JSONPath of a field that is stored with a resource make the attribute of its value.
const AttributeField = "field:"

// The labels and annotations that owners are found by.
const (
	LabelComponent     = "backstage.io/kubernetes-id"
	LabelArgoTracking  = "argocd.argoproj.io/tracking-id"
	LabelArgoInstance  = "argocd.argoproj.io/instance"
	LabelFluxKustomize = "kustomize.toolkit.fluxcd.io/namespace"
	LabelFluxHelm      = "helm.toolkit.fluxcd.io/namespace"
)
