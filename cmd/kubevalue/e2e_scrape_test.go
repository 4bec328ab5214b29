//go:build e2e

package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubevalue/kubevalue/schema"
)

// scrapedObjective is one that counts the series of a selector, and errors among them.
func scrapedObjective(name, selector string) string {
	return fmt.Sprintf(`
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: %[1]s}
spec:
  service: ours
  budgetingMethod: Occurrences
  timeWindow: [{duration: 28d, isRolling: true}]
  indicator:
    metadata: {name: %[1]s}
    spec:
      ratioMetric:
        counter: true
        bad: {metricSource: {type: scrape, spec: {query: '%[2]s,code=~"5.."}'}}}
        total: {metricSource: {type: scrape, spec: {query: '%[2]s}'}}}
  objectives: [{target: 0.99}]
`, name, selector)
}

// pageEvery is how often pages are read. Those that a busy machine reads more than two and a half times as far apart are not compared.
const pageEvery = 15 * time.Second

// scraping is a service that reads the pages of a real control plane.
type scraping struct {
	*booted
	cluster *controlPlane
	admin   *kubernetes.Clientset
	began   time.Time
	// of the pod that asks for its page to be read
	talker *talker
}

// talker is the page of a pod: requests and errors among them. reads counts who looked.
type talker struct {
	*httptest.Server
	reads atomic.Int64

	mu               sync.Mutex
	requests, errors int64
}

// count sets what the page says, at once: a page with the one of before and the other of now looks as if the pod had begun anew.
func (k *talker) count(requests, errs int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.requests, k.errors = requests, errs
}

func newTalker(t *testing.T) *talker {
	t.Helper()
	k := &talker{}
	k.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/stats" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		k.reads.Add(1)
		k.mu.Lock()
		defer k.mu.Unlock()
		fmt.Fprintf(w, "# TYPE talks_total counter\ntalks_total{code=\"200\"} %d\ntalks_total{code=\"500\"} %d\n", k.requests-k.errors, k.errors)
	}))
	t.Cleanup(k.Close)
	return k
}

// TestE2EObjectivesOfARealControlPlane reads the metrics pages of a real control plane with the objectives that `kubevalue slo
// control-plane` prints, by a service account that may do nothing else. A kubelet does not run here.
func TestE2EObjectivesOfARealControlPlane(t *testing.T) {
	t.Parallel()
	s := startScraping(t)
	jobs := map[string]string{
		"apiserver-availability": "apiserver", "apiserver-write-latency": "apiserver", "apiserver-read-latency": "apiserver",
		"etcd-requests": "etcd", "etcd-fsync": "etcd", "controller-manager-requests": "controller-manager",
	}
	before := s.onPages(t, jobs)
	s.talk(t)
	fine, failed := s.createPolicies(t)
	scheduled := s.schedule(t, 7)
	s.checkSelectors(t)
	s.awaitCounted(t, "policies", float64(fine), float64(fine+failed))
	s.awaitCounted(t, "talks", 90, 100)
	s.awaitCounted(t, "scheduler-attempts", float64(scheduled), float64(scheduled))
	s.awaitAsOnPages(t, jobs, before)
	s.fallSilent(t)
}

func startScraping(t *testing.T) *scraping {
	t.Helper()
	dir := t.TempDir()
	s := &scraping{cluster: startControlPlane(t, dir, "--fsync"), talker: newTalker(t)}
	s.admin = s.cluster.as(t, s.cluster.Admin.Token)
	writeFile(t, filepath.Join(dir, "token"), s.scraperToken(t))
	writeFile(t, filepath.Join(dir, "slo.yaml"), controlPlaneObjectives+
		scrapedObjective("policies", `apiserver_request_total{job="apiserver",resource="networkpolicies",verb="POST"`)+
		scrapedObjective("talks", `talks_total{job="pods",cluster="e2e",namespace="default",pod="talker"`))
	access := fmt.Sprintf("interval: %s, access: {token_file: %q, ca_file: %q}", pageEvery, filepath.Join(dir, "token"), s.cluster.CAFile)
	s.began = time.Now().Add(-time.Minute)
	s.booted = boot(t, fmt.Sprintf(`clusters: [{name: e2e, region: here, kubeconfig: %q}]
scrapes:
  - {job: apiserver, targets: [%q], %s}
  - {job: scheduler, targets: [%q], %s}
  - {job: controller-manager, targets: [%q], %s}
  - {job: etcd, targets: [%q], interval: %s}
  - {job: pods, interval: %s, kubernetes: {clusters: [e2e], namespaces: [default]}}
objectives: {openslo: [%q]}
`, s.cluster.Admin.Kubeconfig, s.page("apiserver"), access, s.page("scheduler"), access, s.page("controller-manager"), access, s.page("etcd"), pageEvery, pageEvery, filepath.Join(dir, "slo.yaml")))
	var read []string
	for _, job := range []string{"apiserver", "scheduler", "controller-manager", "etcd"} {
		instance := strings.TrimPrefix(strings.TrimPrefix(s.cluster.URLs[job], "https://"), "http://")
		read = append(read, fmt.Sprintf(`kubevalue_scrape_series{scrape_job=%q,target=%q}`, job, instance))
	}
	eventually(t, "all pages have been read", func() error {
		body, err := getBody(t.Context(), http.DefaultClient, s.url()+"/metrics")
		for _, line := range read {
			if err == nil && !strings.Contains(string(body), line) {
				err = fmt.Errorf("the service's page lacks %s", line)
			}
		}
		return err
	})
	return s
}

// page is where a component serves its metrics.
func (s *scraping) page(component string) string { return s.cluster.URLs[component] + "/metrics" }

// scraperToken makes a service account that may read metrics pages, and is refused before it may.
func (s *scraping) scraperToken(t *testing.T) string {
	t.Helper()
	accounts := s.admin.CoreV1().ServiceAccounts("default")
	must(t, "create the service account", second(accounts.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "scraper"}}, metav1.CreateOptions{})))
	token, err := accounts.CreateToken(t.Context(), "scraper", &authv1.TokenRequest{}, metav1.CreateOptions{})
	must(t, "ask for its token", err)
	client := s.cluster.as(t, token.Status.Token)
	read := func() error { return client.RESTClient().Get().AbsPath("/metrics").Do(t.Context()).Error() }
	refused(t, "the metrics page, without the role", read())
	roles := s.admin.RbacV1()
	must(t, "create the role", second(roles.ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "scraper"}, Rules: []rbacv1.PolicyRule{{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}},
	}, metav1.CreateOptions{})))
	must(t, "bind the role", second(roles.ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "scraper"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "scraper"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "scraper", Namespace: "default"}},
	}, metav1.CreateOptions{})))
	eventually(t, "the metrics page may be read", read)
	return token.Status.Token
}

// talk starts a pod on the network of its node, which is this machine, whose annotations ask for its page to be read; and has it count
// when it has been read.
func (s *scraping) talk(t *testing.T) {
	t.Helper()
	s.talker.count(1000, 500) // from before it was watched
	_, port, err := net.SplitHostPort(s.talker.Listener.Addr().String())
	must(t, "read the address", err)
	for name, annotations := range map[string]map[string]string{
		"talker": {"prometheus.io/scrape": "true", "prometheus.io/port": port, "prometheus.io/path": "/stats"},
		"mute":   {"prometheus.io/port": port, "prometheus.io/path": "/stats"},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations}, Spec: newDeployment(name, 1).Spec.Template.Spec}
		pod.Spec.HostNetwork = true
		eventually(t, "the pod "+name+" can be created", func() error { // the namespace's service account comes a moment later
			return second(s.admin.CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{}))
		})
	}
	eventually(t, "the pod's page is read twice", func() error {
		if n := s.talker.reads.Load(); n < 2 {
			return fmt.Errorf("it was read %d times", n)
		}
		return nil
	})
	s.talker.count(1100, 510)
}

// fallSilent deletes the pod: its page, which is still there, is read no more.
func (s *scraping) fallSilent(t *testing.T) {
	t.Helper()
	must(t, "delete the talker", s.admin.CoreV1().Pods("default").Delete(t.Context(), "talker", metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}))
	last, since := s.talker.reads.Load(), time.Now()
	eventually(t, "nobody reads the page any more", func() error {
		if n := s.talker.reads.Load(); n != last {
			last, since = n, time.Now()
		}
		if time.Since(since) < 2*pageEvery {
			return fmt.Errorf("it was read %d times, last %s ago", last, time.Since(since))
		}
		return nil
	})
}

// createPolicies creates network policies, of which some fail with 500: a webhook that has to agree cannot be reached.
func (s *scraping) createPolicies(t *testing.T) (fine, failed int) {
	t.Helper()
	create := func(name string) error {
		policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
		return second(s.admin.NetworkingV1().NetworkPolicies("default").Create(t.Context(), policy, metav1.CreateOptions{}))
	}
	for fine = range 40 {
		must(t, "create a network policy", create(fmt.Sprintf("fine-%d", fine)))
	}
	fine++
	must(t, "create the webhook", second(s.admin.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(t.Context(), &admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "away"},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name: "away.example.com", ClientConfig: admissionv1.WebhookClientConfig{URL: new("https://127.0.0.1:1/")},
			SideEffects: new(admissionv1.SideEffectClassNone), AdmissionReviewVersions: []string{"v1"}, FailurePolicy: new(admissionv1.Fail),
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule:       admissionv1.Rule{APIGroups: []string{"networking.k8s.io"}, APIVersions: []string{"v1"}, Resources: []string{"networkpolicies"}},
			}},
		}},
	}, metav1.CreateOptions{})))
	for i := 0; failed < 8; i++ {
		switch err := create(fmt.Sprintf("more-%d", i)); {
		case err == nil: // the webhook is not known yet
			fine++
			time.Sleep(50 * time.Millisecond)
		case apierrors.IsInternalError(err):
			failed++
		default:
			t.Fatalf("create a network policy: want it to fail with 500, got %v", err)
		}
	}
	return fine, failed
}

// schedule creates pods and waits until they run; it returns how many there are then.
func (s *scraping) schedule(t *testing.T, n int) int {
	t.Helper()
	must(t, "deploy", createDeployment(t.Context(), s.admin, "default", "some", int32(n)))
	waitReady(t, s.admin, "default", "some")
	return n + 2 // talker and mute, too
}

// sums adds up the slices of an objective.
func (s *scraping) sums(t *testing.T, objective string) (sum schema.Slice) {
	t.Helper()
	for _, o := range s.figures.objectives.all {
		if o.Definition.Name != objective {
			continue
		}
		rows, err := s.db.Slices(t.Context(), o.Of[objective].query(s.began, time.Now()))
		must(t, "read the slices of "+objective, err)
		for _, r := range rows {
			sum.Good += r.Good
			sum.Total += r.Total
		}
		return sum
	}
	t.Fatalf("there is no objective %s", objective)
	return sum
}

// awaitCounted waits until the slices of an objective add up to what was done.
func (s *scraping) awaitCounted(t *testing.T, objective string, good, total float64) {
	t.Helper()
	eventually(t, objective+" is counted", func() error {
		if sum := s.sums(t, objective); sum.Good != good || sum.Total != total {
			return fmt.Errorf("%v good of %v, want %v of %v", sum.Good, sum.Total, good, total)
		}
		return nil
	})
}
