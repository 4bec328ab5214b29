package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

func TestOwnersAreFoundAndExplained(t *testing.T) {
	t.Parallel()
	b := boot(t, `
roster:
  - {team: payments, members: [ann]}
  - {team: search, members: [bob, cy]}
  - {team: both, members: [cy]}
owners:
  mappings: [{team: platform, namespace: "infra-*"}]
  labels: [owner]
`)
	yesterday := time.Now().UTC().AddDate(0, 0, -1).Format(time.RFC3339) // what is a month old needs a token for history
	for namespace, person := range map[string]string{"shop": "ann", "find": "bob", "mixed": "cy"} {
		event := `{"id":"` + namespace + `","name":"namespaces.create","time":"` + yesterday + `","actor":"` + person + `","cluster":"c1","namespace":"` + namespace + `","outcome":"success"}`
		if got := b.post("/v1/events", event, "Authorization", bearer(b.token("a"+namespace, collectors.EndpointEvents))); got.status >= 300 {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	b.flush()
	if err := learnCreators(t.Context(), b.db, b.owners); err != nil {
		t.Fatal(err)
	}
	agent := bearer(b.token("agent", collectors.EndpointAgent))
	change := func(kind, namespace, name, more string) {
		t.Helper()
		body := `{"changes":[{"cluster":"c1","kind":"` + kind + `","uid":"` + kind + namespace + name + `","namespace":"` + namespace + `","name":"` + name + `","change":"observed",` + more + `}]}`
		if got := b.post("/v1/agent", body, "Authorization", agent); got.status != 202 {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	change("Namespace", "", "shop", `"key":"1","time":"2026-11-01T10:00:00Z"`)
	change("Deployment", "shop", "web", `"key":"1","time":"2026-11-01T10:00:00Z","team":"told"`)
	change("Deployment", "shop", "web", `"key":"2","time":"2026-11-02T10:00:00Z"`)
	change("Deployment", "shop", "web", `"key":"3","time":"2026-11-03T10:00:00Z","labels":{"owner":"checkout"}`)
	change("Deployment", "infra-1", "dns", `"key":"1","time":"2026-11-01T10:00:00Z","team":"told"`)
	change("Deployment", "mixed", "x", `"key":"1","time":"2026-11-01T10:00:00Z"`)
	b.flush()

	want := "Deployment infra-1 dns platform mapping\nDeployment mixed x  \nDeployment shop web checkout label\nNamespace  shop payments creator\n"
	if diff := cmp.Diff(want, b.query("SELECT kind, namespace, name, team, team_source FROM resources FINAL ORDER BY kind, namespace")); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
	said := b.command(0, "owner", "explain", "c1/shop/Deployment/web")
	for _, line := range []string{
		"c1/shop/Deployment/web: checkout (by label)",
		"mapping    -         no mapping of the configuration matches",
		"label      checkout  owner=checkout",
		"creator    payments  a person of the team opened the namespace shop",
		"2026-11-01 10:00  2026-11-02 10:00  told (by whoever reported it)",
		"2026-11-02 10:00  2026-11-03 10:00  payments (by creator)",
		"2026-11-03 10:00  now               checkout (by label)",
	} {
		if !strings.Contains(said, line) {
			t.Errorf("no line %q in\n%s", line, said)
		}
	}
	if said := b.command(0, "owner", "explain", "c1/infra-1/Deployment/dns"); !strings.Contains(said, "mapping    platform  the mapping */infra-*/*/*") {
		t.Errorf("a mapping is explained as\n%s", said)
	}
	if said := b.command(0, "owner", "explain", "c1/mixed/Deployment/x"); !strings.Contains(said, "c1/mixed/Deployment/x: nobody knows") {
		t.Errorf("a creator in two teams is explained as\n%s", said)
	}
	if said := b.command(1, "owner", "explain", "c1/shop/StatefulSet/web"); !strings.Contains(said, "did you mean c1/shop/Deployment/web?") {
		t.Errorf("a mistake is answered by\n%s", said)
	}
	b.command(2, "owner", "explain", "web")
}

// TestTheRosterComesFromFiles too: a table, a list and a catalog.
func TestTheRosterComesFromFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("teams.csv", "\xef\xbb\xbfTeam,member,from,to,voluntary\nred,ann,2026-01-01,,\nred,bob,2026-01-01,,no\nred,cy,2026-01-01,,\nempty,,,,true\n")
	write("more.yaml", "roster:\n  - {team: green, members: [dee]}\n")
	write("org.yaml", `apiVersion: backstage.io/v1alpha1
kind: Group
metadata: {name: blue, annotations: {kubevalue.dev/from: "2026-02-01"}}
spec: {type: team, members: [eli]}
---
apiVersion: backstage.io/v1alpha1
kind: User
metadata: {name: eli}
spec: {profile: {email: eli@example.com}}
---
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: {name: web, annotations: {backstage.io/kubernetes-id: shop, kubevalue.dev/events: deployments.create}}
spec: {owner: blue}
`)
	write("kubevalue.yaml", "roster: [{team: own}]\nroster_files: [teams.csv, more.yaml]\nowners: {backstage: [org.yaml]}\n")
	cfg, err := loadConfig(filepath.Join(dir, "kubevalue.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	yes, no := true, false
	want := []TeamConfig{
		{Team: "own"}, {Team: "red", Members: []string{"ann", "cy"}, From: "2026-01-01"},
		{Team: "red", Members: []string{"bob"}, From: "2026-01-01", Voluntary: &no}, {Team: "empty"}, {Team: "green", Members: []string{"dee"}},
		{Team: "blue", Members: []string{"eli@example.com"}, From: "2026-02-01", Voluntary: &yes},
	}
	if diff := cmp.Diff(want, cfg.Roster); diff != "" {
		t.Errorf("roster (-want +got):\n%s", diff)
	}
	if team := cfg.ownerRules().Components["shop"]; team != "blue" {
		t.Errorf("the component belongs to %q", team)
	}
	if diff := cmp.Diff([]schema.Capability{{Name: "web", Title: "web", Owner: "blue", Events: []string{"deployments.create"}}}, cfg.capabilities()); diff != "" {
		t.Errorf("capabilities (-want +got):\n%s", diff)
	}
}
