//go:build e2e

package main

import (
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kubeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubevalue/kubevalue/journey"
)

// The prices of the test, in EUR an hour.
const (
	nodePrice     = 6.0
	balancerPrice = 1.5
)

// TestE2ECost follows money from pods, nodes and prices to the figures. The control plane is real; kwok plays the nodes, and nothing in it
// measures pods, so that the metrics API is stood in for by a custom resource of the same group, path and form, with figures of the test.
func TestE2ECost(t *testing.T) {
	t.Parallel()
	cluster := startControlPlane(t, t.TempDir())
	admin := cluster.as(t, cluster.Admin.Token)
	ownedNamespace(t, admin, "shop", map[string]string{"team": "red"})
	web := newDeployment("web", 2)
	web.Spec.Template.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"cpu": resource.MustParse("2"), "memory": resource.MustParse("8Gi")}
	must(t, "deploy web", second(admin.AppsV1().Deployments("shop").Create(t.Context(), web, metav1.CreateOptions{})))
	waitReady(t, admin, "shop", "web")
	tied := newDeployment("tied", 0)
	tied.Spec.Template.Spec.NodeSelector = map[string]string{"eks.amazonaws.com/nodegroup": "large"}
	must(t, "deploy what only one provider can run", second(admin.AppsV1().Deployments("shop").Create(t.Context(), tied, metav1.CreateOptions{})))
	pods, err := admin.CoreV1().Pods("shop").List(t.Context(), metav1.ListOptions{})
	must(t, "list the pods", err)
	// One pod uses more cores than it requests, the other one less, and both less memory.
	cluster.measurePods(t, map[string]string{pods.Items[0].Name: "5", pods.Items[1].Name: "500m"})
	const cores, gib = 5 + 2, 2 * 8.0
	must(t, "create a load balancer", second(admin.CoreV1().Services("shop").Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "front"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Port: 80}}},
	}, metav1.CreateOptions{})))
	claim := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "old"}, Spec: corev1.PersistentVolumeSpec{
		StorageClassName: "unpriced", Capacity: corev1.ResourceList{"storage": resource.MustParse("1Gi")}, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/none"}},
	}}
	must(t, "create a volume without a price", second(admin.CoreV1().PersistentVolumes().Create(t.Context(), claim, metav1.CreateOptions{})))
	nodes, allCores, allGiB := allocatable(t, admin)

	var by atomic.Int64
	booted := time.Now()
	b := bootAt(t, func() time.Time { return time.Now().Add(time.Duration(by.Load())) }, fmt.Sprintf(`
clusters: [{name: e2e, region: here, kubeconfig: %q}]
costs: {currency: EUR, nodes: [{class: fake-32x128, per_hour: %g}], balancers: [{per_hour: %g}]}
`, cluster.Admin.Kubeconfig, nodePrice, balancerPrice))
	awaitWatched(t, http.DefaultClient, b.url())
	asked := 0
	pass := func() {
		asked = cluster.awaitAsked(t, asked)
		time.Sleep(6 * time.Second) // mostly enough for a look, from which on time counts, and for what was asked to be known
		by.Add(int64(90 * time.Second))
		time.Sleep(6 * time.Second)
		by.Add(int64(time.Hour)) // a new hour: the sums of the one before are handed over
	}
	pass()
	passed, waited := 1, time.Now()

	share := (cores/allCores + gib/allGiB) / 2
	idle := nodePrice * nodes * (1 - share)
	team := nodePrice*nodes*share + balancerPrice
	var now, then costs // then: before time passed for the last time
	eventually(t, "the figures about costs", func() error {
		now = costs{red: b.weeks(t, "O23", map[string]string{"team": "red"}), all: b.weeks(t, "O23", nil), idle: b.weeks(t, "O24", nil)}
		hours := (now.idle.sum - then.idle.sum) / idle // for how long the cluster was looked at, which only the service knows exactly
		if now.all.sum != now.red.sum {
			return fmt.Errorf("the team costs %v of %v", now.red.sum, now.all.sum)
		}
		if cost := now.red.sum - then.red.sum; hours < 90.0/3600 || math.Abs(cost-team*hours) > 0.01*team*hours {
			err := fmt.Errorf("the team costs %v, idle cost is %v: want %v for %v hours", cost, idle*hours, team*hours, hours)
			if time.Since(waited) > 30*time.Second { // a look was late, or came before it was known what the pods use
				then = now
				pass()
				passed, waited = passed+1, time.Now()
			}
			return err
		}
		if longest := time.Since(booted) + time.Duration(passed)*90*time.Second; hours > longest.Hours() {
			return fmt.Errorf("the cluster was looked at for %v hours, in which %s passed", hours, longest)
		}
		if now.all.coverage <= 0 || now.all.coverage >= 1 {
			return fmt.Errorf("the coverage is %v, although a volume has no price", now.all.coverage)
		}
		t.Logf("%v nodes for %.0f s: the team costs %.4f %s, idle are %.4f", nodes, hours*3600, now.red.sum-then.red.sum, now.red.unit, now.idle.sum-then.idle.sum)
		return nil
	})
	if now.red.unit != "EUR" {
		t.Errorf("costs are in %q", now.red.unit)
	}
	// Together the pods use more than the 4 cores that they request: nothing is wasted, and that was measured.
	if waste := b.weeks(t, "O25", nil); waste.sum != 0 || waste.unit != "ratio" {
		t.Errorf("the waste is %v %s", waste.sum, waste.unit)
	}
	// Of web, tied and the load balancer, one names what only one provider has.
	if v := b.thisWeek(t, "V1"); v.Numerator == nil || v.Denominator == nil || *v.Numerator != 2 || *v.Denominator != 3 {
		t.Errorf("portable are %s, want 2 of 3", valueText(v, ""))
	}
	classes, err := unpriced(t.Context(), b.db, time.Now().Add(time.Duration(by.Load())))
	if err != nil || len(classes) != 1 || classes[unpricedClass{"storage", "unpriced"}] != 1 {
		t.Errorf("without a price are %v, %v", classes, err)
	}
}

// measurePods makes the metrics API, in which pods of the namespace shop use so many cores, and 1 GiB each.
func (cp *controlPlane) measurePods(t *testing.T, cores map[string]string) {
	t.Helper()
	api, err := dynamic.NewForConfig(&rest.Config{Host: cp.Server, BearerToken: cp.Admin.Token, TLSClientConfig: rest.TLSClientConfig{CAFile: cp.CAFile}})
	must(t, "make a client", err)
	crds := api.Resource(kubeschema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	must(t, "define PodMetrics", second(crds.Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "pods.metrics.k8s.io", "annotations": map[string]any{"api-approved.kubernetes.io": "unapproved, for a test"}},
		"spec": map[string]any{
			"group": "metrics.k8s.io", "scope": "Namespaced", "names": map[string]any{"kind": "PodMetrics", "plural": "pods", "singular": "podmetrics"},
			"versions": []any{map[string]any{
				"name": "v1beta1", "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
			}},
		},
	}}, metav1.CreateOptions{})))
	measured := api.Resource(kubeschema.GroupVersionResource{Group: "metrics.k8s.io", Version: "v1beta1", Resource: "pods"}).Namespace("shop")
	for name, n := range cores {
		eventually(t, "the use of "+name+" is told", func() error {
			_, err := measured.Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
				"apiVersion": "metrics.k8s.io/v1beta1", "kind": "PodMetrics", "metadata": map[string]any{"name": name}, "timestamp": time.Now().UTC().Format(time.RFC3339), "window": "30s",
				"containers": []any{map[string]any{"name": "main", "usage": map[string]any{"cpu": n, "memory": "1Gi"}}},
			}}, metav1.CreateOptions{})
			return err
		})
	}
}

// askedForUse is how often the API server was asked what all pods use, by its own page.
var askedForUse = regexp.MustCompile(`(?m)^apiserver_request_total\{.*group="metrics.k8s.io",.*resource="pods",scope="cluster",.*verb="LIST",.*\} (\d+)$`)

// awaitAsked waits until that was more than so many times, and returns how many times it was.
func (cp *controlPlane) awaitAsked(t *testing.T, before int) (n int) {
	t.Helper()
	eventually(t, "the service asks what pods use", func() error {
		page, err := cp.as(t, cp.Admin.Token).RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
		if err != nil {
			return err
		}
		if found := askedForUse.FindSubmatch(page); found != nil {
			n, err = strconv.Atoi(string(found[1]))
			must(t, "read a number", err)
		}
		if n <= before {
			return fmt.Errorf("it was asked %d times, want more than %d", n, before)
		}
		return nil
	})
	return n
}

// allocatable is how many nodes there are, with the cores and GiB of all of them.
func allocatable(t *testing.T, admin *kubernetes.Clientset) (nodes, cores, gib float64) {
	t.Helper()
	list, err := admin.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	must(t, "list the nodes", err)
	for i := range list.Items {
		have := list.Items[i].Status.Allocatable
		nodes, cores, gib = nodes+1, cores+have.Cpu().AsApproximateFloat64(), gib+have.Memory().AsApproximateFloat64()/(1<<30)
	}
	return nodes, cores, gib
}

// thisWeek is a figure of the week that the service's clock shows.
func (b *booted) thisWeek(t *testing.T, id string) journey.Value {
	t.Helper()
	week, err := b.figures.period("current")
	must(t, "the current week", err)
	values, err := b.figures.evaluator.Evaluate(t.Context(), journey.Request{Metric: id, Periods: []journey.Period{week}})
	must(t, "evaluate "+id, err)
	return values[0]
}

// costs are those of a team, of all teams, and of what is idle.
type costs struct{ red, all, idle inWeeks }

// inWeeks is a figure of this week and the one before, in which the test may have begun.
type inWeeks struct {
	sum, coverage float64
	unit          string
}

func (b *booted) weeks(t *testing.T, id string, filter map[string]string) (all inWeeks) {
	t.Helper()
	week, err := b.figures.period("current")
	must(t, "the current week", err)
	values, err := b.figures.evaluator.Evaluate(t.Context(), journey.Request{Metric: id, Filter: filter, Periods: []journey.Period{b.figures.calendar.Previous(week), week}})
	must(t, "evaluate "+id, err)
	for _, v := range values {
		if v.Value != nil {
			all.sum, all.unit = all.sum+*v.Value, v.Unit
		}
		if v.Coverage != nil {
			all.coverage = max(all.coverage, *v.Coverage)
		}
	}
	return all
}
