package identity_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/pipeline/identity"
)

const catalogOrg = `
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: {name: engineering}
spec: {type: organization, children: [payments]}
---
apiVersion: backstage.io/v1alpha1
kind: Group
metadata:
  name: Payments
  annotations: {kubevalue.dev/from: "2026-01-01", kubevalue.dev/voluntary: "false", kubevalue.dev/persona: application_developer}
spec:
  type: team
  parent: engineering
  children: []
  members:
    - bob
    - user:default/ann
---
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: {name: search}
spec: {type: squad, children: []}
---
apiVersion: backstage.io/v1alpha1
kind: User
metadata: {name: ann}
spec: {profile: {displayName: Ann, email: ann@example.com}, memberOf: [payments, search]}
---
apiVersion: backstage.io/v1alpha1
kind: User
metadata: {name: bob, annotations: {kubevalue.dev/user: "oidc:bob"}}
spec: {profile: {email: bob@example.com}, memberOf: []}
---
apiVersion: backstage.io/v1alpha1
kind: User
metadata: {name: cy}
spec: {memberOf: ["group:default/search"]}
`

const catalogThings = `
apiVersion: backstage.io/v1alpha1
kind: System
metadata: {name: shop}
spec: {owner: group:payments}
---
apiVersion: backstage.io/v1beta1
kind: Component
metadata: {name: web, annotations: {backstage.io/kubernetes-id: shop-web}, links: [{url: "https://example.com"}]}
spec: {type: service, lifecycle: production, owner: "", system: shop}
---
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: {name: index, annotations: {backstage.io/kubernetes-id: index}}
spec: {type: service, owner: user:cy}
---
apiVersion: backstage.io/v1alpha1
kind: API
metadata: {name: deploys, title: Deployments, annotations: {kubevalue.dev/events: "deployments.create, deployments.update,", kubevalue.dev/to: "2027-01-01"}}
spec: {type: openapi, owner: search}
---
apiVersion: backstage.io/v1alpha1
kind: Location
metadata: {name: elsewhere}
spec: {targets: [./a.yaml]}
`

func TestACatalogNamesTeamsOwnersAndCapabilities(t *testing.T) {
	got, err := identity.ReadCatalog([]identity.CatalogFile{{Name: "things.yaml", Data: []byte(catalogThings)}, {Name: "org.yaml", Data: []byte(catalogOrg)}})
	if err != nil {
		t.Fatal(err)
	}
	want := identity.Catalog{
		Teams: []identity.CatalogTeam{
			{Name: "Payments", Members: []string{"ann@example.com", "oidc:bob"}, From: "2026-01-01", Persona: "application_developer"},
			{Name: "search", Members: []string{"ann@example.com", "cy"}, Voluntary: true},
		},
		Components: map[string]string{"shop-web": "Payments", "index": "search"},
		Capabilities: []identity.CatalogCapability{
			{Name: "deploys", Title: "Deployments", Owner: "search", To: "2027-01-01", Events: []string{"deployments.create", "deployments.update"}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("catalog (-want +got):\n%s", diff)
	}
	if !identity.IsCatalog([]byte(catalogOrg)) || identity.IsCatalog([]byte("- {team: a}")) || identity.IsCatalog([]byte("apiVersion: v1\nkind: Pod")) {
		t.Error("what is a catalog was not told from what is none")
	}
}

func TestEveryFaultOfACatalogIsNamed(t *testing.T) {
	const broken = `
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: {name: a, annotations: {kubevalue.dev/voluntary: perhaps}}
spec: {type: team, members: [ghost]}
---
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: {name: A}
spec: {type: team}
---
apiVersion: backstage.io/v1alpha1
kind: User
metadata: {name: ann}
spec: {memberOf: [nowhere]}
---
apiVersion: v1
kind: Pod
metadata: {name: x}
---
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: {name: unowned, annotations: {backstage.io/kubernetes-id: u}}
---
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: {name: stray, annotations: {backstage.io/kubernetes-id: s}}
spec: {owner: b}
---
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: {name: personal, annotations: {backstage.io/kubernetes-id: p}}
spec: {owner: user:ann}
`
	_, err := identity.ReadCatalog([]identity.CatalogFile{{Name: "b.yaml", Data: []byte(broken)}})
	if err == nil {
		t.Fatal("it was accepted")
	}
	for _, want := range []string{
		`b.yaml: Group a: its member user:default/ghost is not in the catalog`, `b.yaml: Group A: it is in b.yaml, too`,
		`User ann: group:default/nowhere is not in the catalog`, `kubevalue.dev/voluntary is "perhaps", must be true or false`,
		`Pod x: want an apiVersion that begins with backstage.io/`, `Component unowned: it has neither an owner nor a system with one`,
		`Component stray: its owner group:default/b is not in the catalog, whose groups are [group:default/a]`,
		`Component personal: its owner user:default/ann is a person in 0 groups; name the group`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no fault %q in:\n%v", want, err)
		}
	}
}
