//go:build e2e

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/http"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubevalue/kubevalue/slo/freeport"
)

// The objective of the end-to-end test: slices of five seconds, one attempt a second, and an alert that notices within a minute.
const e2eObjective = `apiVersion: openslo/v1
kind: SLO
metadata: {name: e2e-api}
spec:
  service: clusters
  budgetingMethod: Occurrences
  timeWindow: [{duration: 60m, isRolling: true}]
  indicator:
    metadata: {name: e2e-api}
    spec: {ratioMetric: {counter: false, rawType: success, raw: {metricSource: {type: kubevalue, spec: {probe: e2e-api}}}}}
  objectives: [{target: 0.9}]
  alertPolicies:
    - kind: AlertPolicy
      metadata: {name: burning}
      spec:
        alertWhenBreaching: true
        alertWhenResolved: true
        conditions:
          - kind: AlertCondition
            metadata: {name: fast, annotations: {kubevalue.io/short-window: 10s}}
            spec: {severity: page, condition: {kind: burnrate, op: gt, threshold: 2, lookbackWindow: 1m, alertAfter: 0m}}
        notificationTargets: []
`

// e2e is the whole set-up: a cluster whose audit events go to a kubevalue that mails and alerts.
type e2e struct {
	dir, url, config string
	client           *http.Client
	cluster          *controlPlane
	alertmanager     string
	box              *mailbox
	service          *process
	apiToken         string
	// born is when the cluster was made.
	born span
	// before is what the probe had tried when the service was restarted, which took from then to then.
	before    tries
	restarted span
}

// TestE2E lets people of three teams work on a real control plane, breaks its API server for a known time, and checks what comes
// out at the other end: API, report, mail and alert.
func TestE2E(t *testing.T) {
	t.Parallel()
	e := setUp(t)
	e.work(t)
	e.restart(t)
	e.workMore(t)
	e.workTimed(t)
	e.checkFigures(t)
	e.checkFor(t, "payments", map[string]bounds{"O16": between{1, 1, 2}.always()}) // ann, twice
	ahead := e.lookAhead(t)
	e.outage(t)
	e.checkObjective(t)
	e.checkReport(t)
	e.checkFigures(t) // nothing changed
	e.checkFor(t, "", map[string]bounds{"O22": e.age(0)})
	e.checkAhead(t, ahead)
}

func setUp(t *testing.T) *e2e {
	t.Helper()
	e := &e2e{dir: t.TempDir()}
	cert, key, client := testCA(t, e.dir)
	e.client = client
	port := freeport.Get(t)
	e.url = fmt.Sprintf("https://127.0.0.1:%d", port)
	e.alertmanager = startAlertmanager(t, e.dir)
	box, smtpPort := startMailbox(t)
	e.box = box
	e.config = filepath.Join(e.dir, "kubevalue.yaml")
	// The token store must exist before the cluster's webhook can be configured, and the cluster before its probe.
	base := fmt.Sprintf(`
organisation: {name: Example Corp, timezone: %s, small_group: 1}
server: {listen: "127.0.0.1:%d", tls_cert: %q, tls_key: %q, tokens: tokens.json, base_url: %q}
warehouse: {dsn: "embedded:warehouse"}
spool: {dir: spool}
identity: {key_file: identity.key, shared: ["^kubetest-admin$"]}
roster:
  - {team: payments, members: [ann@example.com, bob@example.com], from: 2026-01-01}
  - {team: search, members: [cy@example.com], from: 2026-01-01}
  - {team: legacy, members: [dee@example.com], from: 2026-01-01, voluntary: false}
clusters: [{name: e2e, region: here, kubeconfig: controlplane/admin.kubeconfig}]
reports:
  from: kubevalue <kubevalue@example.com>
  smtp: {host: 127.0.0.1, port: %d, tls: none}
  schedules: [{audience: managers, cron: "0 7 * * 1", to: [manager@example.com]}]
alerts: {alertmanagers: [%q], interval: 1s}
`, calmZone(time.Now()), port, cert, key, e.url, smtpPort, e.alertmanager)
	writeFile(t, e.config, base)
	auditToken := strings.TrimSpace(kubevalue(t, "token", "create", "audit", "--endpoint", "audit", "--cluster", "e2e", "-c", e.config))
	e.apiToken = strings.TrimSpace(kubevalue(t, "token", "create", "app", "--endpoint", "events,api", "-c", e.config))
	hook := auditWebhookConfig(t, filepath.Join(e.dir, "webhook.yaml"), e.url+"/audit/e2e", cert, auditToken)
	policy := filepath.Join(e.dir, "audit-policy.yaml")
	writeFile(t, policy, kubevalue(t, "audit-policy"))
	e.born = during(func() {
		e.cluster = startControlPlane(t, e.dir, "--users", usersFile(t, filepath.Join(e.dir, "users.csv")), "--audit-policy", policy, "--audit-webhook-config", hook,
			"--audit-retry-backoff", "10s") // what comes while the service is restarted is sent again for more than a minute
	})
	writeFile(t, filepath.Join(e.dir, "api.yaml"), e2eObjective)
	writeFile(t, e.config, base+fmt.Sprintf(`
probes: [{name: e2e-api, url: %q, interval: 1s, timeout: 1s, slice: 5s, ca_file: %q}]
objectives: {openslo: [api.yaml], max_lag: 15s}
`, e.cluster.Server+"/readyz", e.cluster.CAFile))
	e.serve(t)
	awaitWatched(t, e.client, e.url) // what is rolled out before counts only when that takes longer
	return e
}

// calmZone is a time zone in which no week begins soon: figures of the current week are those of the whole test.
func calmZone(now time.Time) string {
	const name = "Europe/Berlin"
	zone, err := time.LoadLocation(name)
	if err == nil && now.In(zone).Weekday() != now.Add(time.Hour).In(zone).Weekday() {
		return "Asia/Tokyo" // seven or eight hours ahead
	}
	return name
}

// serve starts the service and waits until it is ready.
func (e *e2e) serve(t *testing.T) {
	t.Helper()
	e.service = start(t, kubevalueBinary(t), "serve", "-c", e.config)
	eventually(t, "kubevalue is ready", func() error {
		_, err := getBody(t.Context(), e.client, e.url+"/readyz")
		return err
	})
}

// work is the first half of what people do: two teams create namespaces and deploy, one hits its quota.
func (e *e2e) work(t *testing.T) {
	admin := e.cluster.as(t, e.cluster.Admin.Token)
	grant(t, admin)
	ann, bob := e.cluster.as(t, userToken("ann")), e.cluster.as(t, userToken("bob"))
	createNamespace(t, ann, "payments")
	limitDeployments(t, admin, "payments", 2)
	web := newDeployment("web", 2)
	web.Labels = map[string]string{"app.kubernetes.io/managed-by": "Helm"}
	must(t, "ann deploys web", second(ann.AppsV1().Deployments("payments").Create(t.Context(), web, metav1.CreateOptions{})))
	waitReady(t, ann, "payments", "web")
	must(t, "bob rolls web out", rollOut(t.Context(), bob, "payments", "web", "registry.k8s.io/pause:3.9"))
	must(t, "ann deploys worker", createDeployment(t.Context(), ann, "payments", "worker", 1))
	waitReady(t, ann, "payments", "worker")
	refused(t, "a deployment above the quota", createDeployment(t.Context(), ann, "payments", "third", 1))
	robot := e.cluster.serviceAccount(t, admin, "payments", "deployer")
	must(t, "the service account rolls worker out", rollOut(t.Context(), robot, "payments", "worker", "registry.k8s.io/pause:3.9"))
}

// restart ends the service in order, and kills its engine afterwards: neither may change a figure.
func (e *e2e) restart(t *testing.T) {
	e.before = e.tries(t)
	e.restarted = during(func() {
		e.service.stop(t, syscall.SIGTERM)
		e.serve(t)
	})
	pid, err := childOf(e.service.cmd.Process.Pid)
	if err != nil {
		t.Fatalf("find the engine: %v", err)
	}
	must(t, "kill the engine", syscall.Kill(pid, syscall.SIGKILL))
}

// childOf finds the only child of a process.
func childOf(pid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err == nil && strings.TrimSpace(string(text)) == "" {
		// Children belong to the thread that started them.
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
		for _, task := range tasks {
			if text, err = os.ReadFile(task); err == nil && strings.TrimSpace(string(text)) != "" {
				break
			}
		}
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// workMore is the second half, while the engine comes back: another team deploys, is refused, and cleans up; a manager looks at the report.
func (e *e2e) workMore(t *testing.T) {
	ann, cy := e.cluster.as(t, userToken("ann")), e.cluster.as(t, userToken("cy"))
	createNamespace(t, cy, "search")
	must(t, "cy deploys index", createDeployment(t.Context(), cy, "search", "index", 1))
	waitReady(t, cy, "search", "index")
	awaitWatched(t, e.client, e.url) // what is gone before, the restarted service never sees
	refused(t, "deleting secrets elsewhere", cy.CoreV1().Secrets("kube-system").Delete(t.Context(), "any", metav1.DeleteOptions{}))
	must(t, "cy deletes index", cy.AppsV1().Deployments("search").Delete(t.Context(), "index", metav1.DeleteOptions{}))
	for _, name := range []string{"old", "older"} { // by a version of the API that the server calls deprecated
		endpoints := &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: name}} //nolint:staticcheck // it is meant to be deprecated
		must(t, "ann creates endpoints", second(ann.CoreV1().Endpoints("payments").Create(t.Context(), endpoints, metav1.CreateOptions{})))
	}
	createNamespace(t, ann, "payments-try")
	must(t, "ann deletes a namespace", ann.CoreV1().Namespaces().Delete(t.Context(), "payments-try", metav1.DeleteOptions{}))

	body := `{"id":"visit-1","time":%q,"name":"report.visit","actor":"mia@example.com","persona":"management"}`
	for range 2 { // the same event twice
		e.post(t, "/v1/events", fmt.Sprintf(body, time.Now().UTC().Format(time.RFC3339)), http.StatusOK, http.StatusAccepted)
	}
	e.post(t, "/v1/events", `{"id":"bad","name":""}`, http.StatusBadRequest)
}

func (e *e2e) post(t *testing.T, path, body string, codes ...int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.url+path, strings.NewReader(body))
	must(t, "make a request", err)
	req.Header.Set("Authorization", "Bearer "+e.apiToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := e.client.Do(req)
	must(t, "POST "+path, err)
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	for _, code := range codes {
		if resp.StatusCode == code {
			return
		}
	}
	t.Fatalf("POST %s answered %s: %s", path, resp.Status, answer)
}

// get reads the data of an API answer.
func (e *e2e) get(t *testing.T, path string, into any) error {
	t.Helper()
	body, err := getBody(t.Context(), e.client, e.url+path)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, &struct {
		Data any `json:"data"`
	}{into})
}

// apiJourney is the part of GET /api/v1/journey that the test looks at.
type apiJourney struct {
	Cells []struct {
		Figures []struct {
			Metric struct {
				ID string `json:"id"`
			} `json:"metric"`
			Value struct {
				Value *float64 `json:"value"`
				N     int      `json:"n"`
			} `json:"value"`
			Error string `json:"error"`
		} `json:"figures"`
	} `json:"cells"`
}

// checkFigures compares the metrics of the current week with what was done: ann, bob and cy of two of three eligible teams acted,
// one quota and one permission said no. The cluster itself is watched: one version, everything in one place, nothing stuck; four of ten
// namespaces and workloads, which an administrator made, have no owner, Helm is to keep one of four workloads, which bob changed by hand,
// one of two namespaces that are not for production says when it ends, and one rollout failed.
func (e *e2e) checkFigures(t *testing.T) {
	t.Helper()
	want := map[string]float64{"A1": 3, "A2": 2, "C15": 2.0 / 3, "C11": 1, "C12": 1.0 / 3, "C16": 1,
		"O13": 1, "O38": 0, "O14": 0, "O19": 1, "O20": 1, "O40": 0.4, "O11": 1, "O18": 0.75, "X2": 0, "X7": 0.5}
	atLeast := map[string]int{"C17": 4, "C18": 8, "C7": 7} // workloads, rollouts, those that came to an end
	eventually(t, "the figures of the current week", func() error {
		var shown apiJourney
		if err := e.get(t, "/api/v1/journey?period=current", &shown); err != nil {
			return err
		}
		got, samples := map[string]float64{}, map[string]int{}
		for _, cell := range shown.Cells {
			for _, f := range cell.Figures {
				if f.Error != "" {
					return fmt.Errorf("%s: %s", f.Metric.ID, f.Error)
				}
				samples[f.Metric.ID] = f.Value.N
				if f.Value.Value != nil {
					got[f.Metric.ID] = *f.Value.Value
				}
			}
		}
		want["C7"] = 1 - 1/float64(samples["C7"])
		for id, w := range want {
			g, ok := got[id]
			if !ok || math.Abs(g-w) > 1e-9 {
				return fmt.Errorf("%s is %v, want %v; all: %v", id, g, w, got)
			}
		}
		for id, n := range atLeast {
			if v, ok := got[id]; !ok || samples[id] < n || v < 0 {
				return fmt.Errorf("%s is %v of %d, want a value of at least %d; all: %v", id, v, samples[id], n, got)
			}
		}
		return nil
	})
}

// tries counts what a probe did, as the service that runs it says.
type tries struct{ good, bad float64 }

func (n tries) all() float64 { return n.good + n.bad }

func (e *e2e) tries(t *testing.T) tries {
	t.Helper()
	body, err := getBody(t.Context(), e.client, e.url+"/metrics")
	must(t, "read the service's own metrics", err)
	return tries{probeTries(t, body, "good"), probeTries(t, body, "bad")}
}

// outage stops the API server until the alert has reached Alertmanager, and starts it: no try is good meanwhile, and there is at most one a
// second. How many there are depends on the machine.
func (e *e2e) outage(t *testing.T) {
	t.Helper()
	unready := e.cluster.tell(t, "stop apiserver").UnreadyAt
	first := e.tries(t)
	eventually(t, "the alert fires in Alertmanager", func() error { return e.alert(t, true) })
	last := e.tries(t)
	away := time.Since(unready)
	e.cluster.tell(t, "start apiserver")
	eventually(t, "the alert is resolved in Alertmanager", func() error { return e.alert(t, false) })
	// A try from before the outage may be counted a moment later.
	if good, bad := last.good-first.good, last.bad-first.bad; good > 1 || bad < 2 || bad > away.Seconds()+2 {
		t.Errorf("while the API server was away for %s, %v tries were good and %v bad", away, good, bad)
	}
	t.Logf("away for %s: %v tries, then %v", away, first, last)
}

// alert says whether Alertmanager has an active alert about the objective, when that is not what is wanted.
func (e *e2e) alert(t *testing.T, want bool) error {
	body, err := getBody(t.Context(), http.DefaultClient, e.alertmanager+"/api/v2/alerts?active=true")
	if err != nil {
		return err
	}
	var alerts []struct {
		Labels map[string]string `json:"labels"`
	}
	if err := json.Unmarshal(body, &alerts); err != nil {
		return err
	}
	found := false
	for _, a := range alerts {
		found = found || strings.Contains(fmt.Sprint(a.Labels), "e2e-api") && a.Labels["severity"] == "page"
	}
	if found != want {
		return fmt.Errorf("alerts: %s", body)
	}
	return nil
}

// objectiveStatus is the part of an objective's status that the test looks at.
type objectiveStatus struct {
	Consumed *float64 `json:"budget_consumed"`
	Left     *float64 `json:"budget_remaining"`
	Coverage *float64 `json:"coverage"`
	Good     *float64 `json:"good"`
	Total    *float64 `json:"total"`
	Measured int64    `json:"measured_slices"`
	Expected int64    `json:"expected_slices"`
}

// checkObjective compares what is stored of the objective with what the probe says that it tried, before the restart and since; tries that
// were made while the first service ended nobody could ask for.
func (e *e2e) checkObjective(t *testing.T) {
	t.Helper()
	var s objectiveStatus
	asked := e.tries(t)
	eventually(t, "what was tried is stored", func() error {
		var o struct {
			Status objectiveStatus `json:"status"`
		}
		if err := e.get(t, "/api/v1/objectives/e2e-api", &o); err != nil {
			return err
		}
		if s = o.Status; s.Good == nil || s.Total == nil || s.Consumed == nil || s.Left == nil || s.Coverage == nil {
			return fmt.Errorf("the objective has no figures: %+v", s)
		}
		if *s.Total < e.before.all()+asked.all() {
			return fmt.Errorf("%v of %v and %v tries are stored", *s.Total, e.before, asked)
		}
		return nil
	})
	later, unknown := e.tries(t), e.restarted.to.Sub(e.restarted.from).Seconds()+1
	bad := *s.Total - *s.Good
	if bad < e.before.bad+asked.bad || bad > e.before.bad+later.bad+unknown || *s.Total > e.before.all()+later.all()+unknown {
		t.Errorf("%v of %v stored tries failed; the probe counted %v until it was restarted, at most %.0f until it ended, then %v, and after that was stored %v",
			bad, *s.Total, e.before, unknown, asked, later)
	}
	if want := bad / *s.Total / 0.1; math.Abs(*s.Consumed-want) > 1e-9 || math.Abs(*s.Consumed+*s.Left-1) > 1e-9 {
		t.Errorf("budget consumed %v and left %v, want consumed %v", *s.Consumed, *s.Left, want)
	}
	if want := float64(s.Measured) / float64(s.Expected); s.Expected != 720 || math.Abs(*s.Coverage-want) > 1e-9 {
		t.Errorf("coverage %v of %d slices, want %v of 720", *s.Coverage, s.Expected, want)
	}
	t.Logf("%v of %v tries failed, budget consumed %.4f, coverage %.4f", bad, *s.Total, *s.Consumed, *s.Coverage)
	if text := kubevalue(t, "cluster", "check", "-c", e.config); !strings.Contains(text, "answers as v1.") {
		t.Errorf("kubevalue cluster check said %q", text)
	}
	eventually(t, "the watched cluster is in the tables", func() error {
		if text := kubevalue(t, "cluster", "list", "-c", e.config); !regexp.MustCompile(`e2e +here +yes +reporting +v1[.0-9]+ +[1-9]\d* +[1-9]\d* +[1-9]`).MatchString(text) {
			return fmt.Errorf("kubevalue cluster list: %s", text)
		}
		return nil
	})
	if text := kubevalue(t, "slo", "status", "-c", e.config); !strings.Contains(text, "e2e-api") {
		t.Errorf("kubevalue slo status does not show the objective:\n%s", text)
	}
}

// checkReport builds the report, mails it, restarts the service, and mails it again: one mail arrives, with the figures and without a person.
func (e *e2e) checkReport(t *testing.T) {
	t.Helper()
	out := filepath.Join(e.dir, "reports")
	kubevalue(t, "report", "build", "--audience", "managers", "--week", "current", "--out", out, "-c", e.config)
	files, _ := filepath.Glob(filepath.Join(out, "weekly-managers-*.txt"))
	if len(files) != 1 {
		t.Fatalf("report files: %v", files)
	}
	text, err := os.ReadFile(files[0])
	must(t, "read the report", err)
	send := []string{"report", "send", "--audience", "managers", "--week", "current", "-c", e.config}
	kubevalue(t, send...)
	e.service.stop(t, syscall.SIGTERM)
	e.serve(t)
	if again := kubevalue(t, send...); !strings.Contains(again, "already_sent") {
		t.Errorf("the second sending said %q", again)
	}
	mails := e.box.all()
	if len(mails) != 1 {
		t.Fatalf("%d mails arrived, want one", len(mails))
	}
	plain := plainText(t, mails[0].data)
	for name, report := range map[string]string{"the file": string(text), "the mail": plain} {
		for _, want := range []string{"of 3 eligible teams", "66.7%"} {
			if !strings.Contains(report, want) {
				t.Errorf("%s lacks %q:\n%s", name, want, report)
			}
		}
		for person := range people {
			if strings.Contains(report, person+"@") {
				t.Errorf("%s names %s", name, person)
			}
		}
	}
}

// plainText is the text part of a mail.
func plainText(t *testing.T, data []byte) string {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(string(data)))
	must(t, "parse the mail", err)
	found := ""
	var walk func(header map[string][]string, body io.Reader)
	walk = func(header map[string][]string, body io.Reader) {
		kind, params, err := mime.ParseMediaType(mail.Header(header).Get("Content-Type"))
		must(t, "parse a content type", err)
		if strings.HasPrefix(kind, "multipart/") {
			for r := multipart.NewReader(body, params["boundary"]); ; {
				part, err := r.NextRawPart()
				if err != nil {
					return
				}
				walk(part.Header, part)
			}
		}
		if kind == "text/plain" {
			if strings.EqualFold(mail.Header(header).Get("Content-Transfer-Encoding"), "quoted-printable") {
				body = quotedprintable.NewReader(body)
			}
			text, err := io.ReadAll(body)
			must(t, "read the text part", err)
			found = string(text)
		}
	}
	walk(m.Header, m.Body)
	return found
}
