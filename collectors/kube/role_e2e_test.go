//go:build e2e

package kube_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubevalue/kubevalue/collectors/kube"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// lesser is a user who has all permissions of the printed role but one.
type lesser struct {
	kube.ClusterConfig
	verb, resource string // as a permission names them
}

// TestE2ETheRoleIsEnoughAndNoneOfItTooMuch gives the printed role to one user, and to others without one of its permissions each, behind a
// proxy that no stream of initial objects comes through, so that lists take their place. The first one sees everything; each of the others
// misses what the permission is for, and nothing else.
func TestE2ETheRoleIsEnoughAndNoneOfItTooMuch(t *testing.T) {
	p := startPlane(t, 1)
	s := &store{db: warehousetest.Open(t)}
	p.define(t, definition("cluster.x-k8s.io", "v1beta2", "Cluster", "clusters"))
	p.define(t, definition("argoproj.io", "v1alpha1", "Application", "applications"))
	p.define(t, definition("metrics.k8s.io", "v1beta1", "PodMetrics", "pods"))
	createNamespace(t, p, "shop", nil)
	var report kube.Report
	eventually(t, "all kinds are served", func() bool {
		report = kube.Check(t.Context(), clusterOf(p))
		return report.Err == nil && len(report.NotServed) == 0
	})
	whole, lessers := p.usersOf(t, swallowing(t, p), report.ClusterRole)
	if want := 2*len(kube.Kinds()) + 1; len(lessers) != want {
		t.Fatalf("the role has %d permissions, want list and watch for each of %d kinds, and to list what pods use", len(lessers), len(kube.Kinds()))
	}
	clusters := []kube.ClusterConfig{whole}
	for _, l := range lessers {
		clusters = append(clusters, l.ClusterConfig)
		eventually(t, l.Name+" lacks what it should", func() bool {
			report := kube.Check(t.Context(), l.ClusterConfig)
			return report.Err == nil && len(report.Missing) == 1 && report.Missing[0].String() == l.verb+" "+l.resource
		})
	}
	c, _ := collect(t, s, clusters...)
	awaitSynced(t, c)
	must[*appsv1.Deployment](t)(p.client.AppsV1().Deployments("shop").Create(t.Context(), deployment("web", 1), metav1.CreateOptions{}))
	eventually(t, "everybody who may sees the deployment once", func() bool {
		seen := map[string]int{}
		for _, ch := range s.find(schema.KindDeployment, "shop", "web", schema.ChangeCreated) {
			seen[ch.Cluster]++
		}
		return !slices.ContainsFunc(clusters, func(c kube.ClusterConfig) bool {
			switch c.Name {
			case "without-list-deployments.apps":
				return seen[c.Name] != 0
			case "without-watch-deployments.apps":
				return seen[c.Name] > 1 // it may come upon it by a list
			}
			return seen[c.Name] != 1
		})
	})
	for _, l := range lessers {
		if strings.HasSuffix(l.resource, ".metrics.k8s.io") {
			checkUse(t, whole, l.ClusterConfig)
			continue
		}
		said := ""
		eventually(t, l.Name+" misses what the permission is for", func() bool {
			status := statusOf(c, l.Name)
			if now := fmt.Sprintf("%s is %q: %v, %+v", l.Name, status.Fault(), status.Err, status.Kinds); now != said {
				said = now
				t.Log(said)
			}
			return misses(status, l)
		})
	}
}

func statusOf(c *kube.Collector, name string) kube.Status {
	all := c.Status()
	return all[slices.IndexFunc(all, func(s kube.Status) bool { return s.Name == name })]
}

// misses tells whether a cluster's status complains about the kind of the permission that is not there, and about no other.
func misses(status kube.Status, l lesser) bool {
	name, group, _ := strings.Cut(l.resource, ".")
	for _, k := range status.Kinds {
		of, inGroup, _ := strings.Cut(strings.ToLower(k.Kind), ".")
		same := of+"s" == name || k.Kind == "Application.argoproj.io" && name == "applications"
		if inGroup != "" || group == "cluster.x-k8s.io" || group == "argoproj.io" {
			same = same && inGroup == group
		}
		if same != apierrors.IsForbidden(k.Err) || !same && k.Err != nil {
			return false
		}
	}
	return strings.HasPrefix(status.Fault(), "does not let us see everything (")
}

// checkUse asks what pods use: with the permission there is an answer.
func checkUse(t *testing.T, with, without kube.ClusterConfig) {
	t.Helper()
	for _, one := range []struct {
		config kube.ClusterConfig
		want   error
	}{{with, nil}, {without, kube.ErrNoUse}} {
		clients := must[*kube.Clients](t)(kube.Connect(one.config))
		if _, err := clients.Use(t.Context()); !errors.Is(err, one.want) {
			t.Errorf("%s asks what pods use: %v, want %v", one.config.Name, err, one.want)
		}
	}
}

// swallowing is a proxy to the API server that never answers when it is asked for a stream of initial objects.
func swallowing(t *testing.T, p *plane) string {
	t.Helper()
	config := must[*rest.Config](t)(clientcmd.BuildConfigFromFlags("", p.kubeconfig))
	to := must[*url.URL](t)(url.Parse(config.Host))
	proxy := &httputil.ReverseProxy{
		Transport: must[http.RoundTripper](t)(rest.TransportFor(config)), FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("sendInitialEvents") == "true" {
			<-r.Context().Done()
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// usersOf makes a user with a role, and one without each of its permissions. An administrator impersonates them.
func (p *plane) usersOf(t *testing.T, proxy, text string) (whole kube.ClusterConfig, lessers []lesser) {
	t.Helper()
	var role rbacv1.ClusterRole
	if err := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), len(text)).Decode(&role); err != nil {
		t.Fatal(err)
	}
	var single []rbacv1.PolicyRule
	for _, r := range role.Rules {
		for _, resource := range r.Resources {
			for _, verb := range r.Verbs {
				single = append(single, rbacv1.PolicyRule{APIGroups: r.APIGroups, Resources: []string{resource}, Verbs: []string{verb}})
			}
		}
	}
	whole = p.user(t, proxy, "real", single)
	for i, r := range single {
		resource := r.Resources[0]
		if r.APIGroups[0] != "" {
			resource += "." + r.APIGroups[0]
		}
		rest := slices.Delete(slices.Clone(single), i, i+1)
		lessers = append(lessers, lesser{p.user(t, proxy, fmt.Sprintf("without-%s-%s", r.Verbs[0], resource), rest), r.Verbs[0], resource})
	}
	return whole, lessers
}

// user makes a user with rules of its own, and a cluster's configuration by which that user is impersonated at a server.
func (p *plane) user(t *testing.T, server, name string, rules []rbacv1.PolicyRule) kube.ClusterConfig {
	t.Helper()
	rbac := p.client.RbacV1()
	must[*rbacv1.ClusterRole](t)(rbac.ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}, metav1.CreateOptions{}))
	must[*rbacv1.ClusterRoleBinding](t)(rbac.ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: name}},
	}, metav1.CreateOptions{}))
	config, err := clientcmd.LoadFromFile(p.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range config.AuthInfos {
		*a = api.AuthInfo{Impersonate: name}
	}
	for _, c := range config.Clusters {
		*c = api.Cluster{Server: server}
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return kube.ClusterConfig{Name: name, Kubeconfig: path}
}
