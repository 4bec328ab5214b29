package main

import (
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/kubevalue/kubevalue/pipeline/identity"
	"github.com/kubevalue/kubevalue/schema"
)

// OwnersConfig says whose the things in clusters are. The first rule that has an answer decides: mappings, the catalog's component or a label
// of the object, those of its namespace, Argo CD projects and Flux parents, and who opened the namespace.
type OwnersConfig struct {
	Mappings []OwnerMappingConfig `yaml:"mappings"`
	// Labels are labels and annotations that name the team, the first that is there counts; empty: kubevalue.dev/team, then team.
	Labels []string `yaml:"labels"`
	// Projects are the teams behind Argo CD projects.
	Projects map[string]string `yaml:"projects"`
	// Groups are the teams behind groups of a cluster's users, as its authenticator names them, e.g. "oidc:payments". What a person in groups of one
	// team does counts as that team's, whatever the roster says; a namespace that such a person opens belongs to the team.
	Groups map[string]string `yaml:"groups"`
	// Backstage are files or globs of catalog files. Their groups and users join the roster, their components say who owns what carries
	// their backstage.io/kubernetes-id, and what has the annotation kubevalue.dev/events is a capability.
	Backstage []string `yaml:"backstage"`
}

// OwnerMappingConfig gives what it matches to a team. In patterns, * stands for any text; a key that is left out matches anything.
type OwnerMappingConfig struct {
	Team      string `yaml:"team"`
	Cluster   string `yaml:"cluster"`
	Namespace string `yaml:"namespace"`
	Kind      string `yaml:"kind"`
	Name      string `yaml:"name"`
	// From and To bound it, half-open: a date or a time.
	From string `yaml:"from"`
	To   string `yaml:"to"`
}

// CapabilityConfig is something that the platform offers.
type CapabilityConfig struct {
	Name  string `yaml:"name"`
	Title string `yaml:"title"`
	// Owner is the team that stands for it.
	Owner string `yaml:"owner"`
	// Events are the names of the events that mean its use.
	Events []string `yaml:"events"`
	// From and To say when it was offered, half-open: a date or a time.
	From string `yaml:"from"`
	To   string `yaml:"to"`
}

func (c *Config) checkOwners(f *yamlFile) {
	for i, m := range c.Owners.Mappings {
		at := indexed("owners.mappings", i)
		if err := c.mappingOf(m).Validate(); err != nil {
			f.At(at, "%v", err)
		}
		c.checkSpan(f, at, m.From, m.To)
	}
	for i, label := range c.Owners.Labels {
		if label == "" {
			f.At(indexed("owners.labels", i), "the name of a label or annotation is missing")
		}
	}
	for project, team := range c.Owners.Projects {
		if team == "" {
			f.At("owners.projects."+project, "which team stands behind the project?")
		}
	}
	for group, team := range c.Owners.Groups {
		if team == "" {
			f.At("owners.groups."+group, "which team stands behind the group?")
		}
	}
}

// checkSpan refuses what ends before it begins.
func (c *Config) checkSpan(f *yamlFile, path, from, to string) {
	begin, end := c.checkInstant(f, path+".from", from), c.checkInstant(f, path+".to", to)
	if !begin.IsZero() && !end.IsZero() && !begin.Before(end) {
		f.At(path+".to", "%s is not after from (%s)", to, from)
	}
}

func (c *Config) mappingOf(m OwnerMappingConfig) identity.OwnerMapping {
	from, _ := c.instant(m.From)
	to, _ := c.instant(m.To)
	return identity.OwnerMapping{Team: m.Team, Cluster: m.Cluster, Namespace: m.Namespace, Kind: m.Kind, Name: m.Name, From: from, To: to}
}

// ownerRules are the rules of a configuration that was checked.
func (c *Config) ownerRules() identity.OwnerRules {
	rules := identity.OwnerRules{Components: c.components, Projects: c.Owners.Projects, Labels: c.Owners.Labels}
	for _, m := range c.Owners.Mappings {
		rules.Mappings = append(rules.Mappings, c.mappingOf(m))
	}
	return rules
}

func (c *Config) checkCapabilities(f *yamlFile) {
	type span struct {
		path     string
		from, to time.Time
	}
	seen := map[string][]span{}
	for i, offered := range c.Capabilities {
		at := indexed("capabilities", i)
		if offered.Name == "" {
			f.At(at+".name", "a capability needs a name")
		}
		if offered.Owner == "" {
			f.At(at+".owner", "a capability needs an owner: the team that stands for it")
		}
		if len(offered.Events) == 0 || slices.Contains(offered.Events, "") {
			f.At(at+".events", "which events mean that it is used? write e.g. [deployments.create]")
		}
		c.checkSpan(f, at, offered.From, offered.To)
		from, to := c.span(offered.From, offered.To)
		for _, other := range seen[offered.Name] {
			if overlaps(from, to, other.from, other.to) {
				f.At(at+".name", "%q is offered at the same time by %s", offered.Name, other.path)
			}
		}
		seen[offered.Name] = append(seen[offered.Name], span{at, from, to})
	}
}

func (c *Config) span(from, to string) (begin, end time.Time) {
	begin, _ = c.instant(from)
	end, _ = c.instant(to)
	return begin, end
}

// capabilities are those of a configuration that was checked.
func (c *Config) capabilities() []schema.Capability {
	var out []schema.Capability
	for _, o := range c.Capabilities {
		from, to := c.span(o.From, o.To)
		title := o.Title
		if title == "" {
			title = o.Name
		}
		out = append(out, schema.Capability{Name: o.Name, Title: title, Owner: o.Owner, Events: o.Events, From: from, To: to})
	}
	return out
}

// objectPath is CLUSTER/NAMESPACE/KIND/NAME, or CLUSTER/KIND/NAME for what is in no namespace.
func objectPath(r *schema.Resource) string { return path.Join(r.Cluster, r.Namespace, r.Kind, r.Name) }

// errObjectPath says what an OBJECT looks like.
var errObjectPath = fmt.Errorf("an OBJECT is CLUSTER/NAMESPACE/KIND/NAME, or CLUSTER/KIND/NAME for what is in no namespace, e.g. prod-eu/payments/Deployment/web")
