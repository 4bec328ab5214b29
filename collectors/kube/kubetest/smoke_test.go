//go:build e2e

package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	deployments = "/apis/apps/v1/namespaces/shop/deployments"
	pods        = "/api/v1/namespaces/shop/pods"
	quotas      = "/api/v1/namespaces/shop/resourcequotas"
)

// TestPeopleAtWork lets people use a cluster, refuses them, takes the apiserver away for
// three seconds, and compares what the audit webhook was told with what they did.
func TestPeopleAtWork(t *testing.T) {
	const secret = "webhook-secret"
	audit := newReceiver(t, secret)
	dir := t.TempDir()
	users := filepath.Join(dir, "users.csv")
	token := filepath.Join(dir, "token")
	for path, text := range map[string]string{
		users: "tok-ann,ann,u1,\"team-shop,engineers\"\ntok-bob,bob,u2\n",
		token: secret,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := boot(t, "--users", users, "--audit-webhook", audit.server.URL+"/audit/one",
		"--audit-webhook-ca", audit.caFile(t, dir), "--audit-webhook-token-file", token)
	admin := account{r: r, token: r.ready.Admin.Token}
	ann := account{r: r, token: r.ready.Users["ann"].Token}
	bob := account{r: r, token: r.ready.Users["bob"].Token}

	expectLoopback(t, r)
	if got := admin.get(t, "/version")["gitVersion"]; got != r.ready.Versions["kubernetes"] {
		t.Errorf("the apiserver is %v, want %s", got, r.ready.Versions["kubernetes"])
	}
	admin.create(t, "/api/v1/namespaces", "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}")
	admin.create(t, "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings", `
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: team}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: team-shop}]`)

	t.Run("workloads", func(t *testing.T) { checkWorkloads(t, ann) })
	t.Run("volumes", func(t *testing.T) { checkVolume(t, ann) })
	t.Run("quota", func(t *testing.T) { checkQuota(t, admin, ann) })
	t.Run("denial", func(t *testing.T) { checkDenial(t, bob) })
	t.Run("impersonation", func(t *testing.T) {
		as := account{r: r, token: admin.token, as: "bob"}
		checkDenial(t, as)
	})
	t.Run("deletion", func(t *testing.T) {
		if code, got := admin.do(t, http.MethodDelete, "/api/v1/namespaces/shop", ""); code != http.StatusOK {
			t.Fatalf("delete the namespace: %d: %v", code, got["message"])
		}
		eventually(t, "the namespace is gone", func() bool {
			code, _ := admin.do(t, http.MethodGet, "/api/v1/namespaces/shop", "")
			return code == http.StatusNotFound
		})
	})
	t.Run("audit", func(t *testing.T) { checkAudit(t, r, audit) })
	t.Run("outage", func(t *testing.T) { checkOutage(t, r, admin) })

	if err := r.stdin.Close(); err != nil {
		t.Error(err)
	}
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("kubetest ended with %v, want no error", err)
	}
	expectGone(t, r)
}

// checkWorkloads rolls out what works, what is slow, what fails, and a job.
func checkWorkloads(t *testing.T, ann account) {
	deploy := func(name, replicas, annotations string) {
		ann.create(t, deployments, `
apiVersion: apps/v1
kind: Deployment
metadata: {name: `+name+`}
spec:
  replicas: `+replicas+`
  progressDeadlineSeconds: 3
  selector: {matchLabels: {app: `+name+`}}
  template:
    metadata: {labels: {app: `+name+`}, annotations: {`+annotations+`}}
    spec: {containers: [{name: main, image: example/`+name+`}]}`)
	}
	deploy("web", "3", "")
	deploy("broken", "1", `kubetest.kubevalue.dev/image-error: "true"`)
	deploy("slow", "1", `kubetest.kubevalue.dev/ready-after: 2s`)
	ann.create(t, "/apis/batch/v1/namespaces/shop/jobs", `
apiVersion: batch/v1
kind: Job
metadata: {name: import}
spec:
  template: {spec: {restartPolicy: Never, containers: [{name: main, image: example/import}]}}`)
	ann.create(t, "/apis/batch/v1/namespaces/shop/jobs", `
apiVersion: batch/v1
kind: Job
metadata: {name: failing}
spec:
  backoffLimit: 0
  template:
    metadata: {annotations: {kubetest.kubevalue.dev/exit-code: "3"}}
    spec: {restartPolicy: Never, containers: [{name: main, image: example/import}]}`)

	eventually(t, "web has 3 ready replicas", func() bool {
		return field(ann.get(t, deployments+"/web"), "status", "readyReplicas") == 3.0
	})
	items, _ := ann.get(t, pods+"?labelSelector=app%3Dweb")["items"].([]any)
	for _, pod := range items {
		node, _ := field(pod, "spec", "nodeName").(string)
		if field(pod, "status", "phase") != "Running" || !strings.HasPrefix(node, "node-") {
			t.Errorf("pod is %v on %q, want Running on a node of kwok", field(pod, "status", "phase"), node)
		}
	}
	eventually(t, "slow is ready", func() bool {
		return field(ann.get(t, deployments+"/slow"), "status", "readyReplicas") == 1.0
	})
	expectSlow(t, ann)
	eventually(t, "broken has failed to progress", func() bool {
		conditions, _ := field(ann.get(t, deployments+"/broken"), "status", "conditions").([]any)
		return slices.ContainsFunc(conditions, func(c any) bool {
			return field(c, "reason") == "ProgressDeadlineExceeded"
		})
	})
	eventually(t, "the job has succeeded and the other one failed", func() bool {
		return field(ann.get(t, "/apis/batch/v1/namespaces/shop/jobs/import"), "status", "succeeded") == 1.0 &&
			field(ann.get(t, "/apis/batch/v1/namespaces/shop/jobs/failing"), "status", "failed") == 1.0
	})
}

// expectSlow checks that the annotated pod took its 2 s (in whole seconds, as conditions are).
func expectSlow(t *testing.T, ann account) {
	items, _ := ann.get(t, pods+"?labelSelector=app%3Dslow")["items"].([]any)
	if len(items) != 1 {
		t.Fatalf("%d pods are slow, want 1", len(items))
	}
	transition := map[string]time.Time{}
	conditions, _ := field(items[0], "status", "conditions").([]any)
	for _, c := range conditions {
		kind, _ := field(c, "type").(string)
		text, _ := field(c, "lastTransitionTime").(string)
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		transition[kind] = at
	}
	if took := transition["Ready"].Sub(transition["PodScheduled"]); took < time.Second || took > 10*time.Second {
		t.Errorf("the slow pod was ready %s after it was scheduled, want 2s or little more", took)
	}
}

// checkVolume claims a volume, which gets bound, and returns it, which deletes it.
func checkVolume(t *testing.T, ann account) {
	const claims = "/api/v1/namespaces/shop/persistentvolumeclaims"
	ann.create(t, claims, `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Gi}}}`)
	eventually(t, "the claim is bound", func() bool {
		return field(ann.get(t, claims+"/data"), "status", "phase") == "Bound"
	})
	volume, _ := field(ann.get(t, claims+"/data"), "spec", "volumeName").(string)
	if code, got := ann.do(t, http.MethodDelete, claims+"/data", ""); code != http.StatusOK {
		t.Fatalf("delete the claim: %d: %v", code, got["message"])
	}
	admin := account{r: ann.r, token: ann.r.ready.Admin.Token}
	eventually(t, "the volume is deleted", func() bool {
		code, _ := admin.do(t, http.MethodGet, "/api/v1/persistentvolumes/"+volume, "")
		return code == http.StatusNotFound
	})
}

// checkQuota sets a limit that is used up already, and runs into it.
func checkQuota(t *testing.T, admin, ann account) {
	admin.create(t, quotas, "{apiVersion: v1, kind: ResourceQuota, metadata: {name: small}, spec: {hard: {pods: 3}}}")
	eventually(t, "the quota is known", func() bool {
		used, _ := field(admin.get(t, quotas+"/small"), "status", "used", "pods").(string)
		return used != ""
	})
	code, got := ann.do(t, http.MethodPost, pods, `
{apiVersion: v1, kind: Pod, metadata: {name: extra}, spec: {containers: [{name: main, image: example/extra}]}}`)
	message, _ := got["message"].(string)
	if code != http.StatusForbidden || !strings.Contains(message, "exceeded quota") {
		t.Errorf("a pod too many: %d: %s, want 403: exceeded quota", code, message)
	}
}

// checkDenial looks where bob, or whoever plays him, may not.
func checkDenial(t *testing.T, who account) {
	code, got := who.do(t, http.MethodGet, pods, "")
	message, _ := got["message"].(string)
	if code != http.StatusForbidden || !strings.Contains(message, `User "bob" cannot list resource "pods"`) {
		t.Errorf("list pods: %d: %s, want 403 for bob", code, message)
	}
}

// checkAudit compares the webhook's events with the log and with what the test did.
func checkAudit(t *testing.T, r *running, audit *receiver) {
	denied := func(user, as string) func(auditEvent) bool {
		return func(e auditEvent) bool {
			impersonated := ""
			if e.ImpersonatedUser != nil {
				impersonated = e.ImpersonatedUser.Username
			}
			return e.Verb == "list" && e.RequestURI == pods && e.ResponseStatus.Code == http.StatusForbidden &&
				e.User.Username == user && impersonated == as
		}
	}
	for what, ok := range map[string]func(auditEvent) bool{
		"bob's denial":         denied("bob", ""),
		"the impersonated one": denied("kubetest-admin", "bob"),
		"ann's pod over quota": func(e auditEvent) bool {
			return e.User.Username == "ann" && e.RequestURI == pods && e.Verb == "create" && e.ResponseStatus.Code == 403
		},
		"the deleted namespace": func(e auditEvent) bool {
			return e.User.Username == "kubetest-admin" && e.RequestURI == "/api/v1/namespaces/shop" && e.Verb == "delete"
		},
	} {
		eventually(t, "the webhook gets "+what, func() bool { return audit.find(ok) == 1 })
	}
	const controller = "system:serviceaccount:kube-system:replicaset-controller"
	if n := audit.find(func(e auditEvent) bool {
		return e.User.Username == controller && e.RequestURI == pods && e.Verb == "create"
	}); n < 5 {
		t.Errorf("%s made %d requests to create pods, want 5 or more", controller, n)
	}

	key := func(e auditEvent) string { return e.AuditID + e.Stage }
	logged := auditLog(t, r.ready.AuditLog)
	eventually(t, "the webhook has all that the log has", func() bool {
		sent := map[string]bool{}
		audit.find(func(e auditEvent) bool { sent[key(e)] = true; return true })
		return !slices.ContainsFunc(logged, func(e auditEvent) bool { return !sent[key(e)] })
	})
	audit.mu.Lock()
	defer audit.mu.Unlock()
	if len(audit.paths) != 1 || audit.paths["POST /audit/one"] == 0 {
		t.Errorf("the webhook was sent %v, want POST /audit/one only", audit.paths)
	}
}

func auditLog(t *testing.T, path string) []auditEvent {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var events []auditEvent
	for line := range strings.Lines(string(text)) {
		if !strings.HasSuffix(line, "\n") {
			break // being written
		}
		var e auditEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("audit log has %q: %v", line, err)
		}
		events = append(events, e)
	}
	return events
}

// checkOutage takes the apiserver away for 3 s and watches from outside, unauthenticated.
func checkOutage(t *testing.T, r *running, admin account) {
	up := func() bool {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.ready.Server+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := r.client.Do(req)
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	}
	if !up() {
		t.Fatal("the apiserver is not ready before the outage")
	}
	var stopped stoppedLine
	r.command(t, "stop apiserver", &stopped)
	if stopped.Event != "stopped" || stopped.Component != "apiserver" {
		t.Fatalf("answer is %+v, want stopped apiserver", stopped)
	}
	if took := stopped.UnreadyAt.Sub(stopped.SignalledAt); took < 0 || took > time.Second {
		t.Errorf("unready %s after the signal, want 0s to 1s", took)
	}
	for time.Since(stopped.UnreadyAt) < 3*time.Second {
		if up() {
			t.Fatalf("ready %s into the outage", time.Since(stopped.UnreadyAt))
		}
		time.Sleep(50 * time.Millisecond)
	}
	var started startedLine
	r.command(t, "start apiserver", &started)
	if !up() {
		t.Error("the apiserver is not ready after the outage")
	}
	if lasted := started.ReadyAt.Sub(stopped.UnreadyAt); lasted < 3*time.Second || lasted > time.Minute {
		t.Errorf("the outage lasted %s by kubetest's account, want 3s and the time to start", lasted)
	}
	admin.create(t, "/api/v1/namespaces", "{apiVersion: v1, kind: Namespace, metadata: {name: after}}")
	eventually(t, "the controllers work again", func() bool {
		code, _ := admin.do(t, http.MethodGet, "/api/v1/namespaces/after/serviceaccounts/default", "")
		return code == http.StatusOK
	})

	var refused errorLine
	r.command(t, "start apiserver", &refused)
	if refused.Event != "error" || !strings.Contains(refused.Error, "runs already") {
		t.Errorf("starting it twice answers %+v, want an error", refused)
	}
	r.command(t, "pause apiserver", &refused)
	if refused.Event != "error" || !strings.Contains(refused.Error, "is no command") {
		t.Errorf("an unknown command answers %+v, want an error", refused)
	}
}

// TestNothingIsLeftBehind kills kubetest as the kernel would, and the components go with it.
func TestNothingIsLeftBehind(t *testing.T) {
	r := boot(t, "--nodes", "0")
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	expectGone(t, r)
}

// TestComponentDies kills a component behind kubetest's back, which ends it all, loudly.
func TestComponentDies(t *testing.T) {
	r := boot(t, "--nodes", "0")
	if err := syscall.Kill(r.ready.PIDs["scheduler"], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var died diedLine
	r.read(t, &died)
	if died.Event != "died" || died.Component != "scheduler" || died.LogTail == "" {
		t.Errorf("kubetest said %+v, want that the scheduler died", died)
	}
	if err := r.cmd.Wait(); err == nil {
		t.Error("kubetest ended without an error although a component died")
	}
	expectGone(t, r)
}
