package identity_test

import (
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/pipeline/identity"
	"github.com/kubevalue/kubevalue/schema"
)

var ownerDay = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func ownerRules() identity.OwnerRules {
	return identity.OwnerRules{
		Mappings: []identity.OwnerMapping{
			{Team: "old", Namespace: "legacy-*", To: ownerDay},
			{Team: "new", Namespace: "legacy-*", From: ownerDay},
			{Team: "dba", Kind: schema.KindStatefulSet, Name: "db"},
		},
		Components: map[string]string{"checkout": "shopping"},
		Projects:   map[string]string{"blue-project": "blue"},
	}
}

func TestTheFirstRuleThatHasAnAnswerNamesTheOwner(t *testing.T) {
	owners := identity.NewOwners(ownerRules())
	owners.SetCreators(map[identity.Space]string{{Cluster: "c1", Namespace: "bare"}: "opener", {Cluster: "c1", Namespace: "shop"}: "opener"})
	spaces := map[string]*schema.Resource{
		"shop":      {Cluster: "c1", Kind: schema.KindNamespace, Name: "shop", Labels: map[string]string{"team": "red"}},
		"bare":      {Cluster: "c1", Kind: schema.KindNamespace, Name: "bare"},
		"by-flux":   {Cluster: "c1", Kind: schema.KindNamespace, Name: "by-flux", Labels: map[string]string{schema.LabelFluxKustomize: "shop"}},
		"component": {Cluster: "c1", Kind: schema.KindNamespace, Name: "component", Labels: map[string]string{schema.LabelComponent: "checkout"}},
	}
	in := func(namespace, kind, name string, labels ...string) *schema.Resource {
		r := &schema.Resource{Cluster: "c1", Namespace: namespace, Kind: kind, Name: name, Labels: map[string]string{}, Attributes: map[string]string{}}
		for i := 0; i < len(labels); i += 2 {
			r.Labels[labels[i]] = labels[i+1]
		}
		return r
	}
	argo := in("bare", "Deployment", "web")
	argo.Attributes[schema.AttributeArgoProject] = "blue-project"
	unlisted := in("bare", "Deployment", "web")
	unlisted.Attributes[schema.AttributeArgoProject] = "other"
	said := in("bare", "Deployment", "web")
	said.Team = "agents"
	for _, c := range []struct {
		name     string
		resource *schema.Resource
		parent   *schema.Resource
		at       time.Time
		want     string
	}{
		{"a mapping wins over labels", in("shop", "StatefulSet", "db", "team", "green"), nil, ownerDay, "dba by mapping"},
		{"a mapping holds from its first instant", in("legacy-1", "Deployment", "web"), nil, ownerDay, "new by mapping"},
		{"and up to its end", in("legacy-1", "Deployment", "web"), nil, ownerDay.Add(-time.Millisecond), "old by mapping"},
		{"a mapping of namespaces holds for the namespace itself", in("", "Namespace", "legacy-1"), nil, ownerDay, "new by mapping"},
		{"the catalog's component before the team label", in("shop", "Deployment", "web", schema.LabelComponent, "checkout", "team", "green"), nil, ownerDay, "shopping by catalog"},
		{"a component that the catalog doesn't know says nothing", in("shop", "Deployment", "web", schema.LabelComponent, "none", "team", "green"), nil, ownerDay, "green by label"},
		{"the first of the labels", in("shop", "Deployment", "web", "team", "green", "kubevalue.dev/team", "lime"), nil, ownerDay, "lime by label"},
		{"the label of the top controller", in("bare", "Job", "web-1"), in("bare", "CronJob", "web", "team", "green"), ownerDay, "green by label"},
		{"what the sender said", said, nil, ownerDay, "agents by "},
		{"the namespace's label", in("shop", "Deployment", "web"), nil, ownerDay, "red by namespace"},
		{"the namespace's component", in("component", "Deployment", "web"), nil, ownerDay, "shopping by namespace"},
		{"the Argo CD project before the creator", argo, nil, ownerDay, "blue by gitops"},
		{"a project without a team says nothing", unlisted, nil, ownerDay, "opener by creator"},
		{"the namespace of the Flux parent", in("bare", "Deployment", "web", schema.LabelFluxHelm, "shop"), nil, ownerDay, "red by gitops"},
		{"the Flux parent of the namespace", in("by-flux", "Deployment", "web"), nil, ownerDay, "red by gitops"},
		{"who opened the namespace", in("bare", "Deployment", "web"), nil, ownerDay, "opener by creator"},
		{"the namespace itself", in("", "Namespace", "bare"), nil, ownerDay, "opener by creator"},
		{"nobody knows", in("unseen", "Deployment", "web"), nil, ownerDay, " by "},
		{"a node is in no namespace", in("", "Node", "n1"), nil, ownerDay, " by "},
	} {
		q := schema.OwnerQuestion{At: c.at, Resource: c.resource, Parent: c.parent, Space: func(name string) *schema.Resource { return spaces[name] }}
		team, by := owners.Owner(q)
		if got := team + " by " + string(by); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		answers, first := owners.Explain(q), " by "
		for i, a := range answers {
			if a.Why == "" {
				t.Errorf("%s: the rule %s does not say why", c.name, a.By)
			}
			if a.By != schema.OwnerSources()[i] && a.By != schema.OwnerUnknown {
				t.Errorf("%s: the rule %d is %s, want %s", c.name, i, a.By, schema.OwnerSources()[i])
			}
			if first == " by " && a.Team != "" {
				first = a.Team + " by " + string(a.By)
			}
		}
		if first != c.want {
			t.Errorf("%s: the explanation says %q, want %q", c.name, first, c.want)
		}
	}
}

func TestMappingsThatCannotBeMeantAreRefused(t *testing.T) {
	for want, m := range map[string]identity.OwnerMapping{
		"needs a team":       {Namespace: "x"},
		"matches everything": {Team: "a"},
		"is no pattern":      {Team: "a", Name: "["},
	} {
		if err := m.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want an error with %q", m, err, want)
		}
	}
	if err := (identity.OwnerMapping{Team: "a", Cluster: "prod-*"}).Validate(); err != nil {
		t.Error(err)
	}
}
