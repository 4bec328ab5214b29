//go:build e2e

package main

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubevalue/kubevalue/collectors/kube"
	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/schema"
)

// span is an interval in which something happened, by the clock of the test.
type span struct{ from, to time.Time }

// during runs f and says when that was.
func during(f func()) span {
	began := time.Now()
	f()
	return span{began, time.Now()}
}

// stamp is how far a record may be from the truth: the API server's instants are whole seconds, and a watch takes a moment.
const stamp = time.Second

// between is what a figure of so many things must be, bounds included.
type between struct {
	low, high float64
	n         int
}

// bounds says what a figure must be that was evaluated in some span.
type bounds func(evaluated span) between

// always is a figure that does not depend on when it is evaluated.
func (b between) always() bounds { return func(span) between { return b } }

// lasted bounds the time from an instant in one interval to one in another.
func lasted(from, to span, unit time.Duration) between {
	return between{max(0, float64(to.from.Sub(from.to)-stamp)/float64(unit)), float64(to.to.Sub(from.from)+stamp) / float64(unit), 1}
}

// exactly is a share of so many things.
func exactly(part, of int) between {
	share := float64(part) / float64(of)
	return between{share - 1e-9, share + 1e-9, of}
}

func (b between) check(v journey.Value) error {
	if v.Value == nil || *v.Value < b.low || *v.Value > b.high || v.N != b.n {
		return fmt.Errorf("%s is %s of %d, want %v to %v of %d", v.Metric, valueText(v, ""), v.N, b.low, b.high, b.n)
	}
	return nil
}

// showsOn waits until a metrics page has lines: all of them.
func showsOn(t *testing.T, what string, client *http.Client, url string, lines ...string) {
	t.Helper()
	eventually(t, what, func() error {
		body, err := getBody(t.Context(), client, url+"/metrics")
		if err != nil {
			return err
		}
		for _, line := range lines {
			if !strings.Contains(string(body), line+"\n") {
				return fmt.Errorf("the page lacks %s", line)
			}
		}
		return nil
	})
}

// awaitWatched waits until every kind of object is being watched that the cluster serves: neither Argo CD nor Cluster API is there.
func awaitWatched(t *testing.T, client *http.Client, url string) {
	t.Helper()
	var lines []string
	for _, kind := range kube.Kinds() {
		if kind == schema.KindApplication || kind == schema.KindManagedCluster {
			continue
		}
		lines = append(lines, fmt.Sprintf(`kubevalue_kube_synced{cluster="e2e",kind=%q} 1`, kind))
	}
	showsOn(t, "the cluster is watched", client, url, lines...)
}

// ownedNamespace makes a namespace with labels.
func ownedNamespace(t *testing.T, client *kubernetes.Clientset, name string, labels map[string]string) span {
	t.Helper()
	return during(func() {
		_, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{})
		must(t, "create namespace "+name, err)
	})
}

// workTimed does, for teams of which nothing else is known, what takes time, and takes the time itself: a namespace whose first pod is
// late, a rollout that fails and is mended, and a deletion that somebody holds up. The figures must be those.
func (e *e2e) workTimed(t *testing.T) {
	t.Helper()
	awaitWatched(t, e.client, e.url)
	admin := e.cluster.as(t, e.cluster.Admin.Token)
	held, free := holdUp(t, admin)
	failed, mended, want := e.workClockwork(t, admin)
	ownedNamespace(t, admin, "shaky", map[string]string{"environment": "staging"})
	broken := newDeployment("broken", 1)
	broken.Spec.Template.Annotations = map[string]string{imageError: "true"}
	broken.Spec.ProgressDeadlineSeconds = new(int32(24 * time.Hour / time.Second)) // it has not failed when the test ends
	must(t, "deploy what never runs", second(admin.AppsV1().Deployments("shaky").Create(t.Context(), broken, metav1.CreateOptions{})))
	ownedNamespace(t, admin, "idle", nil)
	ownedNamespace(t, admin, "leaving", nil)
	freed := time.Now()
	free()
	// The API does not say when a rollout or a namespace ended, only the service does that watched it: it had noticed when a figure counts it.
	e.checkFor(t, "clockwork", map[string]bounds{"C7": exactly(2, 3).always()})
	want["O37"] = lasted(failed, span{mended, time.Now()}, time.Minute).always()
	e.checkFor(t, "clockwork", want)
	e.checkFor(t, "cleaners", map[string]bounds{"X11": between{0, math.Inf(1), 1}.always()})
	e.checkFor(t, "cleaners", map[string]bounds{"X11": lasted(held, span{freed, time.Now()}, time.Second).always()})
}

// Annotations that steer kwok, which plays the kubelet.
const (
	readyAfter = "kubetest.kubevalue.dev/ready-after"
	imageError = "kubetest.kubevalue.dev/image-error"
)

// holdUp deletes a namespace with an object whose finalizer nobody takes away before free is called.
func holdUp(t *testing.T, admin *kubernetes.Clientset) (asked span, free func()) {
	t.Helper()
	ownedNamespace(t, admin, "held", map[string]string{"team": "cleaners"})
	maps := admin.CoreV1().ConfigMaps("held")
	_, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "anchor", Finalizers: []string{"example.com/held"}}}, metav1.CreateOptions{})
	must(t, "create the anchor", err)
	asked = during(func() {
		must(t, "delete the held namespace", admin.CoreV1().Namespaces().Delete(t.Context(), "held", metav1.DeleteOptions{}))
	})
	return asked, func() {
		anchor, err := maps.Get(t.Context(), "anchor", metav1.GetOptions{})
		must(t, "read the anchor", err)
		anchor.Finalizers = nil
		_, err = maps.Update(t.Context(), anchor, metav1.UpdateOptions{})
		must(t, "free the held namespace", err)
	}
}

// workClockwork creates a namespace and, two seconds later, a workload whose pod takes three more; breaks it, waits until it has made
// no progress for four seconds, and mends it three seconds later. It returns when it failed, when it began to be mended, and what the team's
// other figures must be.
func (e *e2e) workClockwork(t *testing.T, admin *kubernetes.Clientset) (failed span, mended time.Time, want map[string]bounds) {
	t.Helper()
	const deadline = 4 * time.Second // of what cannot make progress; what can may take as long as it likes
	made := ownedNamespace(t, admin, "clockwork", map[string]string{"team": "clockwork", "environment": "development", "kubevalue.dev/expires": "2027-01-01"})
	time.Sleep(2 * time.Second)
	app := newDeployment("app", 1)
	app.Spec.Template.Annotations = map[string]string{readyAfter: "3s"}
	deployments := admin.AppsV1().Deployments("clockwork")
	deployed := during(func() {
		must(t, "deploy the app", second(deployments.Create(t.Context(), app, metav1.CreateOptions{})))
	})
	waitReady(t, admin, "clockwork", "app")
	ready := span{deployed.from.Add(3 * time.Second), time.Now()}

	change := func(edit func(*appsv1.Deployment)) span {
		return during(func() {
			eventually(t, "the app is edited", func() error {
				d, err := deployments.Get(t.Context(), "app", metav1.GetOptions{})
				must(t, "read the app", err)
				edit(d)
				return second(deployments.Update(t.Context(), d, metav1.UpdateOptions{}))
			})
		})
	}
	broken := change(func(d *appsv1.Deployment) {
		d.Spec.ProgressDeadlineSeconds = new(int32(deadline / time.Second))
		d.Spec.Template.Annotations = map[string]string{imageError: "true"}
	})
	failed = span{from: broken.from.Add(deadline)}
	eventually(t, "the rollout has failed", func() error {
		d, err := deployments.Get(t.Context(), "app", metav1.GetOptions{})
		must(t, "read the app", err)
		for _, c := range d.Status.Conditions {
			if c.Type == appsv1.DeploymentProgressing && c.Reason == "ProgressDeadlineExceeded" {
				failed.to = time.Now()
				return nil
			}
		}
		return fmt.Errorf("its conditions are %v", d.Status.Conditions)
	})
	time.Sleep(3 * time.Second)
	mended = change(func(d *appsv1.Deployment) {
		d.Spec.ProgressDeadlineSeconds = nil
		d.Spec.Template.Annotations = nil
		d.Spec.Template.Spec.Containers[0].Image = "registry.k8s.io/pause:3.8"
	}).from
	waitReady(t, admin, "clockwork", "app")
	return failed, mended, map[string]bounds{
		"C3": lasted(made, ready, time.Second).always(), "C17": lasted(deployed, ready, time.Second).always(),
		"C18": between{3.0 / 7, math.Inf(1), 3}.always(), // per day of the part of the week that is over
	}
}

// checkFor compares figures of a team in the current week; empty: of all teams.
func (e *e2e) checkFor(t *testing.T, team string, want map[string]bounds) {
	t.Helper()
	for id, bounded := range want {
		args := []string{"metric", "eval", id, "--period", "current", "--latest", "--format", "json", "-c", e.config}
		if team != "" {
			args = append(args, "--filter", "team="+team)
		}
		eventually(t, id+" of team "+team, func() error {
			var values []journey.Value
			var text string
			evaluated := during(func() { text = kubevalue(t, args...) })
			if err := json.Unmarshal([]byte(text), &values); err != nil || len(values) != 1 {
				return fmt.Errorf("%d values, %w", len(values), err)
			}
			w := bounded(evaluated)
			if err := w.check(values[0]); err != nil {
				return err
			}
			t.Logf("team %q: %s is %v %s, between %v and %v", team, id, *values[0].Value, values[0].Unit, w.low, w.high)
			return nil
		})
	}
}

// ahead is a second service that watches the same cluster by a clock that the test turns on: what takes weeks to happen.
type ahead struct {
	*booted
	by atomic.Int64
}

// lookAhead starts it, at the true time. From then on a pod of its own keeps the namespace leaving in use.
func (e *e2e) lookAhead(t *testing.T) *ahead {
	t.Helper()
	admin := e.cluster.as(t, e.cluster.Admin.Token)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "last"}, Spec: newDeployment("last", 1).Spec.Template.Spec}
	eventually(t, "a pod can be created", func() error { // the namespace's service account comes a moment later
		return second(admin.CoreV1().Pods("leaving").Create(t.Context(), pod, metav1.CreateOptions{}))
	})
	a := &ahead{}
	a.booted = bootAt(t, func() time.Time { return time.Now().Add(time.Duration(a.by.Load())) },
		fmt.Sprintf("clusters: [{name: e2e, region: here, kubeconfig: %q}]\n", e.cluster.Admin.Kubeconfig))
	awaitWatched(t, http.DefaultClient, a.url())
	return a
}

// turn turns the clock on.
func (a *ahead) turn(by time.Duration) { a.by.Add(int64(by)) }

// check waits until a figure of the week that the clock shows is as it must be.
func (a *ahead) check(t *testing.T, id string, bounded bounds) {
	t.Helper()
	eventually(t, id+" by the second service", func() error {
		week, err := a.figures.period("current")
		must(t, "the current week", err)
		var values []journey.Value
		evaluated := during(func() {
			values, err = a.figures.evaluator.Evaluate(t.Context(), journey.Request{Metric: id, Periods: []journey.Period{week}})
		})
		if err != nil {
			return err
		}
		w := bounded(evaluated)
		if err := w.check(values[0]); err != nil {
			return err
		}
		t.Logf("%s is %v %s, between %v and %v", id, *values[0].Value, values[0].Unit, w.low, w.high)
		return nil
	})
}

// checkAhead compares the second service's figures with what was done: at any time three of four workloads had their pods; the last
// pod of a namespace went minutes before the namespace; and two of five namespaces are not used for fifteen days.
func (e *e2e) checkAhead(t *testing.T, a *ahead) {
	t.Helper()
	a.check(t, "O2", exactly(3, 4).always())
	admin := e.cluster.as(t, e.cluster.Admin.Token)
	pods := func(n int) {
		showsOn(t, "the second service counts the pods", http.DefaultClient, a.url(), fmt.Sprintf(`kubevalue_kube_objects{cluster="e2e",kind="Pod"} %d`, n))
	}
	pods(6)
	emptied := during(func() {
		must(t, "delete the last pod", admin.CoreV1().Pods("leaving").Delete(t.Context(), "last", metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}))
		pods(5)
	})
	const minutes, days = 6 * time.Minute, 15 * 24 * time.Hour
	a.turn(minutes)
	for _, name := range []string{"leaving", "idle", "search"} {
		eventually(t, name+" counts as empty", func() error {
			result, err := a.db.Query(t.Context(), "SELECT count() FROM resource_changes FINAL WHERE name = {name:String} AND change = 'emptied'", map[string]any{"name": name})
			if err == nil && result.Rows[0][0] != uint64(1) {
				err = fmt.Errorf("it was emptied %v times", result.Rows[0][0])
			}
			return err
		})
	}
	asked := time.Now()
	must(t, "delete the namespace", admin.CoreV1().Namespaces().Delete(t.Context(), "leaving", metav1.DeleteOptions{}))
	a.check(t, "X3", between{0, math.Inf(1), 1}.always()) // it is gone, and the service has noticed
	a.check(t, "X3", lasted(emptied, span{asked.Add(minutes), time.Now().Add(minutes)}, 24*time.Hour).always())
	a.turn(days)
	a.check(t, "X12", exactly(2, 5).always()) // idle and search of those, payments, clockwork and shaky
	a.check(t, "O22", e.age(minutes+days))
}

// age bounds the age of the cluster in days, by a clock that is ahead.
func (e *e2e) age(by time.Duration) bounds {
	return func(evaluated span) between {
		return lasted(e.born, span{evaluated.from.Add(by), evaluated.to.Add(by)}, 24*time.Hour)
	}
}
