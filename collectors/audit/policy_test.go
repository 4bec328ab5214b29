package audit

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

// request is what the apiserver matches against the rules of a policy.
type request struct {
	verb, group, resource string
	userGroups            []string
}

// level is what kube-apiserver does with a request (k8s.io/apiserver/pkg/audit/policy): the first rule that matches.
func level(p auditv1.Policy, r request) (auditv1.Level, []auditv1.Stage) {
	for _, rule := range p.Rules {
		if len(rule.Verbs) > 0 && !slices.Contains(rule.Verbs, r.verb) {
			continue
		}
		if len(rule.UserGroups) > 0 && !slices.ContainsFunc(rule.UserGroups, func(g string) bool { return slices.Contains(r.userGroups, g) }) {
			continue
		}
		if len(rule.NonResourceURLs) > 0 && r.resource != "" {
			continue
		}
		if len(rule.Resources) > 0 && !slices.ContainsFunc(rule.Resources, func(g auditv1.GroupResources) bool { return covers(g, r) }) {
			continue
		}
		return rule.Level, append(slices.Clone(p.OmitStages), rule.OmitStages...)
	}
	return auditv1.LevelNone, nil
}

func covers(g auditv1.GroupResources, r request) bool {
	if r.resource == "" || g.Group != "*" && g.Group != r.group {
		return false
	}
	_, subresource, _ := strings.Cut(r.resource, "/")
	return len(g.Resources) == 0 || slices.ContainsFunc(g.Resources, func(name string) bool {
		return name == r.resource || subresource != "" && name == "*/"+subresource
	})
}

func readPolicy(t *testing.T) auditv1.Policy {
	t.Helper()
	var text bytes.Buffer
	if err := Policy(&text); err != nil {
		t.Fatal(err)
	}
	document, err := yaml.YAMLToJSON(text.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	var p auditv1.Policy
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		t.Fatal(err)
	}
	if p.Kind != "Policy" || p.APIVersion != wireAPIVersion {
		t.Fatalf("kind %q, version %q", p.Kind, p.APIVersion)
	}
	return p
}

func TestThePolicyKeepsWhatTheMetricsNeed(t *testing.T) {
	p := readPolicy(t)
	for name, c := range map[string]struct {
		request request
		want    auditv1.Level
		omitted auditv1.Stage
	}{
		"namespace":               {request{verb: "create", resource: "namespaces"}, auditv1.LevelMetadata, ""},
		"custom resource":         {request{verb: "update", group: "example.org", resource: "things"}, auditv1.LevelMetadata, ""},
		"patch, without its body": {request{verb: "patch", group: "apps", resource: "deployments"}, auditv1.LevelMetadata, ""},
		"scale":                   {request{verb: "patch", group: "apps", resource: "deployments/scale"}, auditv1.LevelMetadata, ""},
		"deletion":                {request{verb: "delete", resource: "pods"}, auditv1.LevelRequest, ""},
		"exec by WebSocket":       {request{verb: "get", resource: "pods/exec"}, auditv1.LevelMetadata, auditv1.StageResponseComplete},
		"exec by SPDY":            {request{verb: "create", resource: "pods/exec"}, auditv1.LevelMetadata, auditv1.StageResponseComplete},
		"a person's token":        {request{verb: "create", resource: "serviceaccounts/token"}, auditv1.LevelMetadata, ""},
		"a kubelet's token":       {request{verb: "create", resource: "serviceaccounts/token", userGroups: []string{"system:nodes"}}, auditv1.LevelNone, ""},
		"read":                    {request{verb: "list", resource: "pods"}, auditv1.LevelNone, ""},
		"logs":                    {request{verb: "get", resource: "pods/log"}, auditv1.LevelNone, ""},
		"health check":            {request{verb: "post"}, auditv1.LevelNone, ""},
		"event":                   {request{verb: "create", resource: "events"}, auditv1.LevelNone, ""},
		"new event":               {request{verb: "patch", group: "events.k8s.io", resource: "events"}, auditv1.LevelNone, ""},
		"lease":                   {request{verb: "update", group: "coordination.k8s.io", resource: "leases"}, auditv1.LevelNone, ""},
		"access review":           {request{verb: "create", group: "authorization.k8s.io", resource: "selfsubjectaccessreviews"}, auditv1.LevelNone, ""},
		"status":                  {request{verb: "patch", group: "apps", resource: "deployments/status"}, auditv1.LevelNone, ""},
		"node status":             {request{verb: "patch", resource: "nodes/status"}, auditv1.LevelNone, ""},
		"proxy":                   {request{verb: "create", resource: "services/proxy"}, auditv1.LevelNone, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, omitted := level(p, c.request)
			if got != c.want || c.omitted != "" && !slices.Contains(omitted, c.omitted) {
				t.Errorf("level %s without stages %s, want %s without %s", got, omitted, c.want, c.omitted)
			}
		})
	}
}

// TestThePolicyLogsNothingThatIsLeftOut ties the policy to the mapping: both must mean the same by "use".
func TestThePolicyLogsNothingThatIsLeftOut(t *testing.T) {
	p := readPolicy(t)
	m := mapper{cluster: "c", received: received}
	for _, verb := range []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"} {
		for _, place := range []struct{ group, resource, subresource string }{
			{"", "pods", ""}, {"", "pods", "exec"}, {"", "pods", "log"}, {"", "pods", "status"}, {"", "pods", "proxy"}, {"", "events", ""},
			{"events.k8s.io", "events", ""}, {"coordination.k8s.io", "leases", ""}, {"apps", "deployments", ""}, {"apps", "deployments", "scale"},
			{"apps", "deployments", "status"}, {"authentication.k8s.io", "tokenreviews", ""}, {"authorization.k8s.io", "subjectaccessreviews", ""},
			{"example.org", "things", ""}, {"", "nodes", "status"}, {"", "serviceaccounts", "token"},
		} {
			r := request{verb: verb, group: place.group, resource: place.resource}
			stage := stageComplete
			if place.subresource != "" {
				r.resource += "/" + place.subresource
			}
			if place.subresource == "exec" {
				stage = stageStarted
			}
			w := wireEvent{AuditID: "a", Stage: stage, Verb: verb, RequestReceived: "2026-11-16T09:00:00Z",
				ObjectRef: &wireObjectRef{Resource: place.resource, Subresource: place.subresource, APIGroup: place.group}}
			_, why := m.event(&w)
			logged, _ := level(p, r)
			if (why == Taken) != (logged != auditv1.LevelNone) {
				t.Errorf("%s %s: the mapping says %q, the policy %s", verb, r.resource, why, logged)
			}
		}
	}
}
