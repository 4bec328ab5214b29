package audit

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/schema"
)

var received = time.Date(2026, 11, 16, 9, 0, 5, 0, time.UTC)

// list wraps items into an EventList.
func list(items ...string) []byte {
	return []byte(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + strings.Join(items, ",") + `]}`)
}

// item is an audit event, with fields that replace the usual ones: the last of two equal keys counts, objects are merged.
func item(fields string) string {
	if fields != "" {
		fields = "," + fields
	}
	return `{"level":"Metadata","auditID":"a1","stage":"ResponseComplete","requestURI":"/apis/apps/v1/namespaces/shop/deployments",` +
		`"verb":"create","user":{"username":"ann","groups":["developers"]},"sourceIPs":["10.0.0.1"],"userAgent":"kubectl",` +
		`"objectRef":{"resource":"deployments","namespace":"shop","name":"web","apiGroup":"apps","apiVersion":"v1"},` +
		`"responseStatus":{"metadata":{},"code":201},"requestReceivedTimestamp":"2026-11-16T09:00:00.100000Z",` +
		`"stageTimestamp":"2026-11-16T09:00:00.112500Z","annotations":{"authorization.k8s.io/decision":"allow"}` + fields + `}`
}

func one(t *testing.T, fields string) schema.Event {
	t.Helper()
	events, tally, err := Decode("prod-1", received, list(item(fields)))
	if err != nil || len(events) != 1 {
		t.Fatalf("decode: %d events, tally %v, error %v, want one event", len(events), tally, err)
	}
	return events[0]
}

func TestAnAuditEventBecomesAUsageEvent(t *testing.T) {
	ms := 12.5
	want := schema.Event{
		ID: "a1/ResponseComplete", Source: "audit/prod-1",
		Time: time.Date(2026, 11, 16, 9, 0, 0, 100e6, time.UTC), Received: received,
		Name: "deployments.create", Actor: "ann", Groups: []string{"developers"},
		Cluster: "prod-1", Namespace: "shop", Resource: "deployments", Object: "web",
		Outcome: schema.OutcomeSuccess, DurationMS: &ms,
	}
	if diff := cmp.Diff(want, one(t, "")); diff != "" {
		t.Errorf("event differs (-want +got):\n%s", diff)
	}
}

func TestTheActorIsWhoseBehalfItWas(t *testing.T) {
	for name, c := range map[string]struct {
		fields, actor string
		groups        []string
	}{
		"the user": {``, "ann", []string{"developers"}},
		"the impersonated user": {
			`"impersonatedUser":{"username":"bob","groups":["sre"]}`, "bob", []string{"sre"},
		},
		"an empty impersonation counts as none": {`"impersonatedUser":{}`, "ann", []string{"developers"}},
		"the Rancher principal of the user": {
			`"user":{"username":"u-abc12","groups":["g"],"extra":{"principalid":["github_user://4711"],"username":["bob"]}}`,
			"github_user://4711", []string{"g"},
		},
		"the Rancher principal of the impersonated user": {
			`"impersonatedUser":{"username":"u-abc12","extra":{"principalid":["local://u-abc12"]}}`, "local://u-abc12", nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := one(t, c.fields)
			if e.Actor != c.actor || !cmp.Equal(e.Groups, c.groups) {
				t.Errorf("actor %q of groups %q, want %q of %q", e.Actor, e.Groups, c.actor, c.groups)
			}
		})
	}
}

func TestNamesAndPlaces(t *testing.T) {
	const session = `"stage":"ResponseStarted","responseStatus":{"code":101},`
	for name, c := range map[string]struct {
		fields                             string
		event, resource, namespace, object string
	}{
		"a namespace is its own namespace": {
			`"objectRef":{"resource":"namespaces","namespace":"","name":"shop"}`, "namespaces.create", "namespaces", "shop", "shop",
		},
		"a generated name is not known yet": {
			`"objectRef":{"resource":"pods","namespace":"shop","name":""}`, "pods.create", "pods", "shop", "",
		},
		"a scale": {
			`"verb":"patch","objectRef":{"resource":"deployments","subresource":"scale","namespace":"shop","name":"web","apiGroup":"apps"},"responseStatus":{"code":200}`,
			"deployments/scale.patch", "deployments/scale", "shop", "web",
		},
		"exec over WebSocket is a GET": {
			session + `"verb":"get","objectRef":{"resource":"pods","subresource":"exec","namespace":"shop","name":"web-0"}`,
			"pods/exec.create", "pods/exec", "shop", "web-0",
		},
		"exec over SPDY is a POST": {
			session + `"verb":"create","objectRef":{"resource":"pods","subresource":"exec","namespace":"shop","name":"web-0"}`,
			"pods/exec.create", "pods/exec", "shop", "web-0",
		},
		"port-forward": {
			session + `"verb":"get","objectRef":{"resource":"pods","subresource":"portforward","namespace":"shop","name":"web-0"}`,
			"pods/portforward.create", "pods/portforward", "shop", "web-0",
		},
		"an apply that creates": {`"verb":"patch"`, "deployments.create", "deployments", "shop", "web"},
		"an apply that changes": {`"verb":"patch","responseStatus":{"code":200}`, "deployments.patch", "deployments", "shop", "web"},
		"many at once": {
			`"verb":"deletecollection","objectRef":{"resource":"pods","namespace":"shop","name":""}`, "pods.deletecollection", "pods", "shop", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := one(t, c.fields)
			got := [4]string{e.Name, e.Resource, e.Namespace, e.Object}
			if want := [4]string{c.event, c.resource, c.namespace, c.object}; got != want {
				t.Errorf("name, resource, namespace, object = %q, want %q", got, want)
			}
		})
	}
}

func TestOutcomeSaysWhoRefusedAndWhy(t *testing.T) {
	for name, c := range map[string]struct {
		fields  string
		outcome schema.Outcome
		reason  string
	}{
		"created":                 {`"responseStatus":{"code":201}`, schema.OutcomeSuccess, ""},
		"a status without a code": {`"responseStatus":null`, schema.OutcomeSuccess, ""},
		"quota": {
			`"responseStatus":{"code":403,"reason":"Forbidden","message":"pods \"web\" is forbidden: exceeded quota: team, requested: pods=1, used: pods=10, limited: pods=10"}`,
			schema.OutcomeDenied, schema.ReasonQuota,
		},
		"quota that needs a limit": {
			`"responseStatus":{"code":403,"reason":"Forbidden","message":"pods \"web\" is forbidden: failed quota: team: must specify limits.cpu for: web"}`,
			schema.OutcomeDenied, schema.ReasonQuota,
		},
		"limit range": {
			`"responseStatus":{"code":403,"reason":"Forbidden","message":"pods \"web\" is forbidden: maximum cpu usage per Container is 1, but limit is 2"}`,
			schema.OutcomeDenied, schema.ReasonQuota,
		},
		"authorizer by annotation": {
			`"responseStatus":{"code":403,"reason":"Forbidden"},"annotations":{"authorization.k8s.io/decision":"forbid"}`,
			schema.OutcomeDenied, schema.ReasonRBAC,
		},
		"authorizer by text": {
			`"responseStatus":{"code":403,"reason":"Forbidden","message":"deployments.apps is forbidden: User \"ann\" cannot create resource \"deployments\" in API group \"apps\" in the namespace \"shop\""}`,
			schema.OutcomeDenied, schema.ReasonRBAC,
		},
		"escalation": {
			`"responseStatus":{"code":403,"message":"roles is forbidden: user \"ann\" (groups=[]) is attempting to grant RBAC permissions not currently held:"}`,
			schema.OutcomeDenied, schema.ReasonRBAC,
		},
		"pod security": {
			`"responseStatus":{"code":403,"message":"pods \"web\" is forbidden: violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false"}`,
			schema.OutcomeDenied, schema.ReasonAdmission,
		},
		"webhook with its usual code": {
			`"responseStatus":{"code":400,"message":"admission webhook \"policy.example\" denied the request: no latest tags"}`,
			schema.OutcomeDenied, schema.ReasonAdmission,
		},
		"admission policy": {
			`"responseStatus":{"code":422,"reason":"Invalid","message":"deployments.apps \"web\" is forbidden: ValidatingAdmissionPolicy 'replicas' with binding 'all' denied request: failed expression"}`,
			schema.OutcomeDenied, schema.ReasonAdmission,
		},
		"webhook that is away": {
			`"responseStatus":{"code":500,"reason":"InternalError","message":"Internal error occurred: failed calling webhook \"policy.example\": context deadline exceeded"}`,
			schema.OutcomeFailure, "webhook",
		},
		"conflict":                          {`"responseStatus":{"code":409,"reason":"Conflict"}`, schema.OutcomeFailure, "conflict"},
		"exists already":                    {`"responseStatus":{"code":409,"reason":"AlreadyExists"}`, schema.OutcomeFailure, "alreadyexists"},
		"not found":                         {`"responseStatus":{"code":404,"reason":"NotFound"}`, schema.OutcomeFailure, "notfound"},
		"invalid":                           {`"responseStatus":{"code":422,"reason":"Invalid"}`, schema.OutcomeFailure, "invalid"},
		"timeout":                           {`"responseStatus":{"code":504,"reason":"Timeout"}`, schema.OutcomeFailure, "timeout"},
		"too many":                          {`"responseStatus":{"code":429,"reason":"TooManyRequests"}`, schema.OutcomeFailure, "too_many_requests"},
		"by code alone":                     {`"responseStatus":{"code":404}`, schema.OutcomeFailure, "notfound"},
		"a code that nobody knows":          {`"responseStatus":{"code":418}`, schema.OutcomeFailure, "client_error"},
		"a server's code that nobody knows": {`"responseStatus":{"code":599}`, schema.OutcomeFailure, "server_error"},
		"panic":                             {`"stage":"Panic","responseStatus":{"code":500}`, schema.OutcomeFailure, "panic"},
	} {
		t.Run(name, func(t *testing.T) {
			e := one(t, c.fields)
			if e.Outcome != c.outcome || e.Reason != c.reason {
				t.Errorf("outcome %s/%s, want %s/%s", e.Outcome, e.Reason, c.outcome, c.reason)
			}
		})
	}
}

func TestWhatIsNoUseIsLeftOutWithItsReason(t *testing.T) {
	const review = `"objectRef":{"resource":"selfsubjectaccessreviews","apiGroup":"authorization.k8s.io"}`
	for name, c := range map[string]struct {
		fields string
		want   LeftOut
	}{
		"received stage":            {`"stage":"RequestReceived"`, LeftOutStage},
		"start of a common request": {`"stage":"ResponseStarted"`, LeftOutStage},
		"end of a session": {
			`"verb":"get","objectRef":{"resource":"pods","subresource":"exec","namespace":"shop","name":"web-0"}`, LeftOutStage,
		},
		"get":   {`"verb":"get"`, LeftOutRead},
		"list":  {`"verb":"list"`, LeftOutRead},
		"watch": {`"verb":"watch"`, LeftOutRead},
		"logs": {
			`"verb":"get","objectRef":{"resource":"pods","subresource":"log","namespace":"shop","name":"web-0"}`, LeftOutRead,
		},
		"health checks":    {`"verb":"get","objectRef":null`, LeftOutNonResource},
		"dry run by query": {`"requestURI":"/apis/apps/v1/namespaces/shop/deployments?dryRun=All&fieldManager=kubectl"`, LeftOutDryRun},
		"dry run by options": {
			`"verb":"delete","requestObject":{"kind":"DeleteOptions","apiVersion":"v1","dryRun":["All"]}`, LeftOutDryRun,
		},
		"access review": {review, LeftOutReview},
		"token review":  {`"objectRef":{"resource":"tokenreviews","apiGroup":"authentication.k8s.io"}`, LeftOutReview},
		"lease":         {`"verb":"update","objectRef":{"resource":"leases","namespace":"kube-node-lease","name":"n1","apiGroup":"coordination.k8s.io"}`, LeftOutLease},
		"event":         {`"objectRef":{"resource":"events","namespace":"shop","apiGroup":""}`, LeftOutEvent},
		"new event":     {`"objectRef":{"resource":"events","namespace":"shop","apiGroup":"events.k8s.io"}`, LeftOutEvent},
		"node status":   {`"verb":"patch","objectRef":{"resource":"nodes","subresource":"status","name":"n1"}`, LeftOutStatus},
		"proxy":         {`"objectRef":{"resource":"services","subresource":"proxy","namespace":"shop","name":"web"}`, LeftOutProxy},
		"a kubelet's token": {
			`"user":{"username":"system:node:n1","groups":["system:nodes"]},"objectRef":{"resource":"serviceaccounts","subresource":"token","namespace":"shop","name":"default"}`,
			LeftOutNodeToken,
		},
		"own account":      {`"user":{"username":"system:serviceaccount:kubevalue:collector"}`, LeftOutIgnoredUser},
		"configured user":  {`"user":{"username":"loadtest"}`, LeftOutIgnoredUser},
		"no id":            {`"auditID":""`, LeftOutMalformed},
		"no time":          {`"requestReceivedTimestamp":"yesterday"`, LeftOutMalformed},
		"verb of no verbs": {`"verb":5`, LeftOutMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			m := mapper{cluster: "prod-1", received: received, ignored: []string{"system:serviceaccount:kubevalue:*", "loadtest"}}
			// A good event behind it: what is left out must not harm others.
			events, tally, err := m.list(list(item(c.fields), item("")), func(*schema.Event) error { return nil })
			if err != nil || len(events) != 1 {
				t.Fatalf("%d events, error %v, want the one good event", len(events), err)
			}
			if diff := cmp.Diff(map[LeftOut]int{c.want: 1, Taken: 1}, tally); diff != "" {
				t.Errorf("tally differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPersonsTokenIsAWrite(t *testing.T) {
	e := one(t, `"objectRef":{"resource":"serviceaccounts","subresource":"token","namespace":"shop","name":"ci"}`)
	if e.Name != "serviceaccounts/token.create" {
		t.Errorf("name %q", e.Name)
	}
}

func TestPatchesSayWhatTheyChange(t *testing.T) {
	const template = `{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:2"}]}}}}`
	for name, c := range map[string]struct{ body, kind string }{
		"restart":            {`{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"2026-11-16T09:00:00Z"}}}}}`, KindRestart},
		"new image":          {template, KindTemplate},
		"removed annotation": {`{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":null}}}}}`, KindTemplate},
		"restart with a new image": {
			`{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"x"}},"spec":{"containers":[]}}}}`, KindTemplate,
		},
		"replicas":                   {`{"spec":{"replicas":3}}`, KindScale},
		"labels":                     {`{"metadata":{"labels":{"a":"b"}}}`, KindOther},
		"server-side apply":          {`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":2,"template":{"spec":{}}}}`, KindApply},
		"JSON patch of the image":    {`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"web:2"}]`, KindTemplate},
		"JSON patch of the replicas": {`[{"op":"test","path":"/spec/template"},{"op":"replace","path":"/spec/replicas","value":2}]`, KindScale},
		"JSON patch that restarts": {
			`[{"op":"add","path":"/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt","value":"x"}]`, KindRestart,
		},
		"JSON patch of labels": {`[{"op":"add","path":"/metadata/labels/a","value":"b"}]`, KindOther},
		"nothing":              {`{}`, ""},
		"not a patch":          {`"text"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := one(t, `"verb":"patch","responseStatus":{"code":200},"requestObject":`+c.body)
			if e.Attributes[AttributeKind] != c.kind {
				t.Errorf("kind %q, want %q", e.Attributes[AttributeKind], c.kind)
			}
		})
	}
}

func TestTheGroupsOfAUserAreBounded(t *testing.T) {
	groups := `"g"` + strings.Repeat(`,"g"`, 2*maxGroups)
	if e := one(t, `"user":{"username":"ann","groups":[`+groups+`]}`); len(e.Groups) != maxGroups {
		t.Errorf("%d groups, want %d", len(e.Groups), maxGroups)
	}
}

func TestForeignResourcesCarryTheirGroup(t *testing.T) {
	e := one(t, `"objectRef":{"resource":"services","namespace":"shop","name":"web","apiGroup":"serving.knative.dev"}`)
	if e.Name != "services.create" || e.Attributes[AttributeAPIGroup] != "serving.knative.dev" {
		t.Errorf("name %q, attributes %v", e.Name, e.Attributes)
	}
}

func TestOddDocuments(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 1_000_000)
	for name, body := range map[string]string{
		"empty":               ``,
		"an array":            `[]`,
		"another kind":        `{"kind":"PodList","apiVersion":"v1","items":[]}`,
		"another version":     `{"kind":"EventList","apiVersion":"audit.k8s.io/v1beta1","items":[]}`,
		"no items":            `{"kind":"EventList","apiVersion":"audit.k8s.io/v1"}`,
		"items of no list":    `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":{}}`,
		"cut short":           string(list(item("")))[:300],
		"something behind it": string(list(item(""))) + "x",
		"very deep":           `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[` + deep,
		"deep in an item":     string(list(item(`"requestObject":` + deep))),
		"trailing comma":      `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[` + item("") + `,]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := Decode("c", received, []byte(body)); err == nil {
				t.Error("no error")
			} else if len(err.Error()) > 200 || strings.Contains(err.Error(), "ann") {
				t.Errorf("the error tells of the body: %v", err)
			}
		})
	}
}

func TestBrokenTextIsMended(t *testing.T) {
	e := one(t, "\"user\":{\"username\":\"a\xffnn\"}")
	if e.Actor != "a\ufffdnn" {
		t.Errorf("actor %q", e.Actor)
	}
}

func TestHostileListsCostNoMoreThanTheirBodies(t *testing.T) {
	const size = 8 << 20
	for name, filling := range map[string]string{
		"empty items": "{},", "numbers": "1,", "strings": `"x",`, "deep lists": strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + ",",
		"items of many members": `{"a":1,"verb":"x","stage":"y","user":{},"objectRef":{}},`,
	} {
		items := strings.TrimSuffix(strings.Repeat(filling, size/len(filling)), ",")
		body := list(items)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, tally, err := Decode("c", received, body)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, errNotEventList) {
			t.Errorf("%s: tally %v, error %v", name, tally, err)
		}
		if cost := after.TotalAlloc - before.TotalAlloc; cost > 8*size {
			t.Errorf("%s: %d bytes were allocated for a body of %d", name, cost, len(body))
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(list(item("")))
	f.Add(list(item(`"verb":"patch","requestObject":{"spec":{"replicas":1}}`), item(`"stage":"Panic"`)))
	f.Add(list(item(`"verb":"delete","requestObject":{"dryRun":["All"]}`)))
	f.Add([]byte(`{"items":[null,5,{}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		events, tally, err := Decode("c", received, body)
		if err == nil && tally[Taken] != len(events) {
			t.Errorf("%d events, tally %v", len(events), tally)
		}
		for i := range events {
			if e := &events[i]; e.ID == "/" || e.Source != "audit/c" || e.Name == "." || e.Time.IsZero() || e.Outcome == "" {
				t.Errorf("incomplete event %+v", e)
			}
		}
	})
}

func TestADeprecatedAPIIsNoted(t *testing.T) {
	for annotations, want := range map[string]string{
		`{}`: "", `{"k8s.io/deprecated":"false"}`: "", `{"k8s.io/deprecated":"true"}`: "true",
		`{"k8s.io/deprecated":"true","k8s.io/removed-release":"1.32"}`:            "1.32",
		`{"k8s.io/deprecated":"true","k8s.io/removed-release":"ask ann@example"}`: "true",
	} {
		if e := one(t, `"annotations":`+annotations); e.Attributes[AttributeDeprecated] != want {
			t.Errorf("with %s the attribute is %q, want %q", annotations, e.Attributes[AttributeDeprecated], want)
		}
	}
	for agent, want := range map[string]string{
		"": "true", "kubectl/v1.36.3 (linux/amd64) kubernetes/3f1d2a0": "true", "kubelet-operator/v2": "true",
		"kube-controller-manager/v1.36.3 (linux/amd64) kubernetes/3f1d2a0/system:serviceaccount:kube-system:endpoint-controller": "",
	} {
		if e := one(t, `"annotations":{"k8s.io/deprecated":"true"},"userAgent":"`+agent+`"`); e.Attributes[AttributeDeprecated] != want {
			t.Errorf("of %q the attribute is %q, want %q", agent, e.Attributes[AttributeDeprecated], want)
		}
	}
}
