package kube

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubeschema "k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubevalue/kubevalue/schema"
)

func TestEveryFaultOfTheConfigurationIsNamedAtOnce(t *testing.T) {
	_, err := New(Config{
		Slice: 7 * time.Second, EmptyAfter: -time.Second,
		Clusters: []ClusterConfig{
			{Name: "a/b", Kubeconfig: "x", InCluster: true},
			{Name: "c", Kinds: []string{"Secret"}, QPS: -1},
			{Name: "c", InCluster: true, Context: "x"},
		},
	})
	if err == nil {
		t.Fatal("no error")
	}
	want := []string{
		"kube: a sink is required",
		"kube: slice is 7s, must be whole seconds that divide an hour, at least 10s",
		"kube: empty_after is -1s, must be positive",
		`cluster "a/b": a name is needed, of at most 100 bytes, without slashes and white space`,
		`cluster "a/b": give either a kubeconfig or in_cluster`,
		`cluster "c": give either a kubeconfig or in_cluster`,
		`cluster "c": qps is -1 and burst 0, must not be negative`,
		`cluster "c": kind "Secret" is none of Namespace, Node, Application.argoproj.io, ReplicaSet, Deployment, StatefulSet, DaemonSet, EndpointSlice, CronJob, Job, Pod, PersistentVolumeClaim, PersistentVolume, Service, Cluster.cluster.x-k8s.io, ResourceQuota`,
		`cluster "c": context and allow_exec belong to a kubeconfig, not to in_cluster`,
		`cluster "c": another cluster has the same name`,
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

const execKubeconfig = `
apiVersion: v1
kind: Config
current-context: one
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: one, context: {cluster: c, user: u}}, {name: two, context: {cluster: c, user: v}}, {name: three, context: {cluster: c, user: w}}]
users:
- name: u
  user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: get-token, interactiveMode: Never}}
- name: v
  user: {token: t}
- name: w
  user: {auth-provider: {name: gcp}}
`

func TestAProgramForCredentialsRunsOnlyWhenAllowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(path, []byte(execKubeconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		config ClusterConfig
		want   string
	}{
		{ClusterConfig{Kubeconfig: path}, "wants to run the program \"get-token\" for its credentials: allow it with `allow_exec: [\"get-token\"]`"},
		{ClusterConfig{Kubeconfig: path, AllowExec: []string{"/usr/bin/get-token"}}, "wants to run the program \"get-token\""},
		{ClusterConfig{Kubeconfig: path, AllowExec: []string{"get-token"}}, ""},
		{ClusterConfig{Kubeconfig: path, Context: "two"}, ""},
		{ClusterConfig{Kubeconfig: path, Context: "three"}, `auth provider "gcp"`},
		{ClusterConfig{Kubeconfig: path, Context: "four"}, `context "four" does not exist`},
		{ClusterConfig{Kubeconfig: path + "x"}, "no such file"},
		{ClusterConfig{InCluster: true}, "does not run in a pod"},
	} {
		c.config.Name = "c1"
		clients, err := Connect(c.config)
		switch {
		case c.want == "" && (err != nil || clients.Server != "https://127.0.0.1:1"):
			t.Errorf("%+v: %v", c.config, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), `cluster "c1": `)):
			t.Errorf("%+v: error is %v, want one with %q", c.config, err, c.want)
		}
	}
}

func TestACheckNamesTheMissingPermissions(t *testing.T) {
	clients := fakeClients(answers)
	clients.Typed.(played).PrependReactor("create", "selfsubjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview).DeepCopy()
		a := review.Spec.ResourceAttributes
		review.Status.Allowed = a.Verb == "list" || a.Resource != "deployments" || a.Group != "apps"
		return true, review, nil
	})
	config := ClusterConfig{Name: "c1", Kubeconfig: "x", Kinds: []string{schema.KindDeployment, kindPod, schema.KindNamespace, schema.KindApplication, schema.KindManagedCluster}}
	clients.Serves = func(_ context.Context, of kubeschema.GroupResource) (string, error) {
		return map[string]string{"applications": "v1alpha1"}[of.Resource], nil
	}
	clients.Dynamic = dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
		map[kubeschema.GroupVersionResource]string{{Group: "argoproj.io", Version: "v1alpha1", Resource: "applications"}: "ApplicationList"}, application("Synced", ""))
	report := check(t.Context(), config, clients, Report{Name: "c1", ClusterRole: ClusterRole(config, nil)})
	if report.Err != nil || report.Version != "v1.36.3" || len(report.Unreadable) > 0 {
		t.Errorf("report %+v", report)
	}
	if len(report.Missing) != 1 || report.Missing[0].String() != "watch deployments.apps" {
		t.Errorf("missing %v, want watch deployments.apps", report.Missing)
	}
	if diff := cmp.Diff([]string{schema.KindManagedCluster, kindUse}, report.NotServed); diff != "" {
		t.Errorf("not served (-want +got):\n%s", diff)
	}
	const role = `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: kubevalue
rules:
- apiGroups: [""]
  resources: [namespaces, pods]
  verbs: [list, watch]
- apiGroups: ["apps"]
  resources: [deployments]
  verbs: [list, watch]
- apiGroups: ["argoproj.io"]
  resources: [applications]
  verbs: [list, watch]
`
	if diff := cmp.Diff(role, report.ClusterRole); diff != "" {
		t.Errorf("role (-want +got):\n%s", diff)
	}
	if report := Check(t.Context(), ClusterConfig{Name: "c1", Kubeconfig: filepath.Join(t.TempDir(), "none")}); report.Err == nil || report.ClusterRole == "" {
		t.Errorf("without a kubeconfig: %+v", report)
	}
}
