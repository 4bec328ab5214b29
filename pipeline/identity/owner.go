package identity

import (
	"cmp"
	"fmt"
	"path"
	"sync/atomic"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// DefaultTeamLabels name the owning team unless the configuration says otherwise; the first one that is there wins.
func DefaultTeamLabels() []string { return []string{"kubevalue.dev/team", "team"} }

// OwnerMapping says that what it matches belongs to a team in [From, To). A pattern is that of path.Match, where * matches what has no
// slash; empty: anything. Namespace also matches the namespace itself.
type OwnerMapping struct {
	Team                           string
	Cluster, Namespace, Kind, Name string
	// From and To bound it; the zero time means open.
	From, To time.Time
}

// Validate says what is wrong with a mapping; nil: nothing.
func (m OwnerMapping) Validate() error {
	if m.Team == "" {
		return fmt.Errorf("a mapping needs a team")
	}
	if m.Cluster+m.Namespace+m.Kind+m.Name == "" {
		return fmt.Errorf("the mapping for team %q matches everything: give a cluster, namespace, kind or name", m.Team)
	}
	for _, pattern := range []string{m.Cluster, m.Namespace, m.Kind, m.Name} {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("the mapping for team %q: %q is no pattern: %w", m.Team, pattern, err)
		}
	}
	return nil
}

func (m OwnerMapping) matches(r *schema.Resource, at time.Time) bool {
	namespace := r.Namespace
	if r.Kind == schema.KindNamespace {
		namespace = r.Name
	}
	if !m.From.IsZero() && at.Before(m.From) || !m.To.IsZero() && !at.Before(m.To) {
		return false
	}
	for _, f := range []struct{ pattern, value string }{{m.Cluster, r.Cluster}, {m.Namespace, namespace}, {m.Kind, r.Kind}, {m.Name, r.Name}} {
		if f.pattern == "" {
			continue
		}
		if ok, err := path.Match(f.pattern, f.value); err != nil || !ok {
			return false
		}
	}
	return true
}

// text is the mapping as an explanation names it.
func (m OwnerMapping) text() string {
	return fmt.Sprintf("%s/%s/%s/%s", cmp.Or(m.Cluster, "*"), cmp.Or(m.Namespace, "*"), cmp.Or(m.Kind, "*"), cmp.Or(m.Name, "*"))
}

// OwnerRules are what the configuration and the catalog say of owners.
type OwnerRules struct {
	// Mappings are asked in their order.
	Mappings []OwnerMapping
	// Components are the owning teams by the value of schema.LabelComponent.
	Components map[string]string
	// Labels are labels and annotations that name the team; nil: DefaultTeamLabels.
	Labels []string
	// Projects are the owning teams by the name of an Argo CD project. One that is not listed says nothing.
	Projects map[string]string
}

// Space is a namespace of a cluster.
type Space struct{ Cluster, Namespace string }

// Owners finds the owners of resources. It may be asked by many at once.
type Owners struct {
	rules    OwnerRules
	creators atomic.Pointer[map[Space]string]
}

// NewOwners makes an Owners of rules that were validated.
func NewOwners(rules OwnerRules) *Owners {
	if rules.Labels == nil {
		rules.Labels = DefaultTeamLabels()
	}
	o := &Owners{rules: rules}
	o.SetCreators(nil)
	return o
}

// Labels are the labels and annotations that name the team.
func (o *Owners) Labels() []string { return o.rules.Labels }

// SetCreators replaces what is known of who opened namespaces: the team of that person.
func (o *Owners) SetCreators(teams map[Space]string) { o.creators.Store(&teams) }

// OwnerAnswer is what one rule says.
type OwnerAnswer struct {
	By schema.OwnerSource
	// Team is empty when the rule has no answer; Why says on which fact it stands, or what is missing.
	Team, Why string
}

// Owner is the answer of the first rule that has one; it is a schema.OwnerFunc.
func (o *Owners) Owner(q schema.OwnerQuestion) (string, schema.OwnerSource) {
	for _, ask := range o.order() {
		if a := ask(q); a.Team != "" {
			return a.Team, a.By
		}
	}
	return "", schema.OwnerUnknown
}

// Explain is what each rule says, in their order.
func (o *Owners) Explain(q schema.OwnerQuestion) []OwnerAnswer {
	var all []OwnerAnswer
	for _, ask := range o.order() {
		all = append(all, ask(q))
	}
	return all
}

func (o *Owners) order() []func(schema.OwnerQuestion) OwnerAnswer {
	return []func(schema.OwnerQuestion) OwnerAnswer{o.mapping, o.catalog, o.label, o.namespace, o.gitops, o.creator}
}

func (o *Owners) mapping(q schema.OwnerQuestion) OwnerAnswer {
	a := OwnerAnswer{By: schema.OwnerByMapping, Why: "no mapping of the configuration matches"}
	for _, r := range []*schema.Resource{q.Resource, q.Parent} {
		for _, m := range o.rules.Mappings {
			if r != nil && m.matches(r, q.At) {
				a.Team, a.Why = m.Team, "the mapping "+m.text()
				return a
			}
		}
	}
	return a
}

func (o *Owners) catalog(q schema.OwnerQuestion) OwnerAnswer {
	a := OwnerAnswer{By: schema.OwnerByCatalog, Why: "no " + schema.LabelComponent}
	for _, r := range []*schema.Resource{q.Resource, q.Parent} {
		if r == nil || r.Labels[schema.LabelComponent] == "" {
			continue
		}
		id := r.Labels[schema.LabelComponent]
		a.Why = fmt.Sprintf("the catalog has no component with %s %q", schema.LabelComponent, id)
		if team := o.rules.Components[id]; team != "" {
			a.Team, a.Why = team, fmt.Sprintf("the catalog's component with %s %q", schema.LabelComponent, id)
			return a
		}
	}
	return a
}

func (o *Owners) label(q schema.OwnerQuestion) OwnerAnswer {
	a := OwnerAnswer{By: schema.OwnerByLabel, Why: fmt.Sprintf("none of the labels and annotations %v", o.rules.Labels)}
	for _, r := range []*schema.Resource{q.Resource, q.Parent} {
		if r == nil {
			continue
		}
		for _, key := range o.rules.Labels {
			if team := r.Labels[key]; team != "" {
				a.Team, a.Why = team, key+"="+team
				return a
			}
		}
		if r.Team != "" && r.TeamSource == string(schema.OwnerUnknown) {
			a.Team, a.By, a.Why = r.Team, schema.OwnerUnknown, "whoever reported it said so"
			return a
		}
	}
	return a
}

// namespace is what the first three rules say of the namespace.
func (o *Owners) namespace(q schema.OwnerQuestion) OwnerAnswer {
	a := OwnerAnswer{By: schema.OwnerByNamespace, Why: "it is in no namespace"}
	if q.Resource.Namespace == "" {
		return a
	}
	a.Team, a.Why = o.spaceOwner(q, q.Resource.Namespace)
	return a
}

func (o *Owners) spaceOwner(q schema.OwnerQuestion, name string) (team, why string) {
	space := find(q, name)
	if space == nil {
		return "", fmt.Sprintf("the namespace %s is not known", name)
	}
	of := schema.OwnerQuestion{At: q.At, Resource: space}
	for _, ask := range []func(schema.OwnerQuestion) OwnerAnswer{o.mapping, o.catalog, o.label} {
		if a := ask(of); a.Team != "" {
			return a.Team, fmt.Sprintf("of the namespace %s: %s", name, a.Why)
		}
	}
	return "", fmt.Sprintf("neither mapping, catalog nor labels know the namespace %s", name)
}

func find(q schema.OwnerQuestion, name string) *schema.Resource {
	if q.Space == nil || name == "" {
		return nil
	}
	return q.Space(name)
}

func (o *Owners) gitops(q schema.OwnerQuestion) OwnerAnswer {
	a := OwnerAnswer{By: schema.OwnerByGitOps, Why: "neither Argo CD nor Flux manage it, as far as its labels tell"}
	for _, r := range []*schema.Resource{q.Resource, q.Parent, find(q, q.Resource.Namespace)} {
		if r == nil {
			continue
		}
		if project := r.Attributes[schema.AttributeArgoProject]; project != "" {
			a.Team, a.Why = o.rules.Projects[project], fmt.Sprintf("the Argo CD project %s", project)
			if a.Team == "" {
				a.Why += " stands for no team in owners.projects"
			}
			return a
		}
		if parent := cmp.Or(r.Labels[schema.LabelFluxKustomize], r.Labels[schema.LabelFluxHelm]); parent != "" && parent != r.Namespace {
			a.Team, a.Why = o.spaceOwner(q, parent)
			a.Why = "Flux applies it from the namespace " + parent + "; " + a.Why
			return a
		}
	}
	return a
}

func (o *Owners) creator(q schema.OwnerQuestion) OwnerAnswer {
	a := OwnerAnswer{By: schema.OwnerByCreator, Why: "it is in no namespace"}
	space := Space{q.Resource.Cluster, q.Resource.Namespace}
	if q.Resource.Kind == schema.KindNamespace {
		space.Namespace = q.Resource.Name
	}
	if space.Namespace == "" {
		return a
	}
	a.Why = "no audit event says which team's person opened the namespace " + space.Namespace
	if a.Team = (*o.creators.Load())[space]; a.Team != "" {
		a.Why = "a person of the team opened the namespace " + space.Namespace
	}
	return a
}
