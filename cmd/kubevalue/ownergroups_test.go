package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/collectors"
)

// A person's groups, as the cluster's authenticator names them, say for which team they act, and whose the namespaces are that they open.
func TestGroupsOfUsersAreTeams(t *testing.T) {
	t.Parallel()
	b := boot(t, `
owners: {groups: {"oidc:team-payments": payments, "oidc:pay-admins": payments, "oidc:team-search": search}}
roster:
  - {team: search, members: [ann]}
`)
	audit := bearer(b.token("audit", collectors.EndpointAudit))
	yesterday := time.Now().UTC().AddDate(0, 0, -1).Format("2006-01-02T15:04:05.000000Z") // what is a month old needs a token for history
	opened := func(namespace, person, groups string) {
		t.Helper()
		body := `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[{"level":"Metadata","auditID":"` + namespace + `","stage":"ResponseComplete","verb":"create",
			"requestURI":"/api/v1/namespaces","user":{"username":"` + person + `","groups":[` + groups + `]},"objectRef":{"resource":"namespaces","name":"` + namespace + `"},
			"responseStatus":{"code":201},"requestReceivedTimestamp":"` + yesterday + `","stageTimestamp":"` + yesterday + `"}]}`
		if got := b.post("/audit/c1", body, "Authorization", audit); got.status >= 300 {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	opened("shop", "ann", `"oidc:team-payments","oidc:pay-admins","system:authenticated"`)
	opened("both", "bob", `"oidc:team-payments","oidc:team-search"`)
	opened("plain", "ann", `"system:authenticated"`)
	opened("robot", "system:serviceaccount:ci:bot", `"oidc:team-payments","system:serviceaccounts"`)
	b.flush()
	want := "both  \nplain  \nrobot  \nshop payments group\n"
	if diff := cmp.Diff(want, b.query("SELECT namespace, actor_team, team_source FROM events ORDER BY namespace")); diff != "" {
		t.Errorf("teams of events (-want +got):\n%s", diff)
	}
	if err := learnCreators(t.Context(), b.db, b.owners); err != nil {
		t.Fatal(err)
	}
	agent := bearer(b.token("agent", collectors.EndpointAgent))
	for _, namespace := range []string{"shop", "both", "plain", "robot"} {
		body := `{"changes":[{"cluster":"c1","kind":"Namespace","uid":"` + namespace + `","name":"` + namespace + `","change":"observed","key":"1","time":"2026-11-01T10:00:00Z"}]}`
		if got := b.post("/v1/agent", body, "Authorization", agent); got.status != 202 {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	b.flush()
	want = "both  \nplain search creator\nrobot  \nshop payments creator\n"
	if diff := cmp.Diff(want, b.query("SELECT name, team, team_source FROM resources FINAL ORDER BY name")); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
}
