//go:build e2e

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	authv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// as is a client of the cluster that carries one token.
func (cp *controlPlane) as(t *testing.T, token string) *kubernetes.Clientset {
	t.Helper()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: cp.Server, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAFile: cp.CAFile}, QPS: 50, Burst: 50})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// people are the users of the cluster, by name; the token is "token-" and the name.
var people = map[string]string{"ann": "team-payments", "bob": "team-payments", "cy": "team-search", "dee": "team-legacy"}

func userToken(name string) string { return "token-" + name }

func usersFile(t *testing.T, path string) string {
	t.Helper()
	text := ""
	for name, group := range people {
		text += fmt.Sprintf("%s,%s@example.com,%s,\"%s\"\n", userToken(name), name, name, group)
	}
	writeFile(t, path, text)
	return path
}

// grant lets the teams work with namespaces, workloads and config maps, and with nothing else.
func grant(t *testing.T, admin *kubernetes.Clientset) {
	t.Helper()
	ctx := t.Context()
	all := []string{"get", "list", "watch", "create", "update", "patch", "delete"}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "developer"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"namespaces", "configmaps", "pods", "endpoints"}, Verbs: all},
		{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: all},
	}}
	must(t, "create the role", second(admin.RbacV1().ClusterRoles().Create(ctx, role, metav1.CreateOptions{})))
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "developers"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects: []rbacv1.Subject{
			{APIGroup: rbacv1.GroupName, Kind: "Group", Name: "team-payments"},
			{APIGroup: rbacv1.GroupName, Kind: "Group", Name: "team-search"},
			{Kind: "ServiceAccount", Name: "deployer", Namespace: "payments"},
		},
	}
	must(t, "bind the role", second(admin.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{})))
	eventually(t, "the API server knows the binding", func() error {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: "somebody", Groups: []string{"team-payments"}, ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "create", Resource: "namespaces"},
		}}
		review, err := admin.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err == nil && !review.Status.Allowed {
			err = errors.New("the team may not create namespaces yet")
		}
		return err
	})
}

func second[T any](_ T, err error) error { return err }

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func createNamespace(t *testing.T, client *kubernetes.Clientset, name string) {
	t.Helper()
	must(t, "create namespace "+name, second(client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})))
}

// newDeployment is a workload of pause containers.
func newDeployment(name string, replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "registry.k8s.io/pause:3.10"}}},
			},
		},
	}
}

func createDeployment(ctx context.Context, client *kubernetes.Clientset, namespace, name string, replicas int32) error {
	_, err := client.AppsV1().Deployments(namespace).Create(ctx, newDeployment(name, replicas), metav1.CreateOptions{})
	return err
}

// waitReady waits until all pods of a deployment are there, available, and of its newest template.
func waitReady(t *testing.T, client *kubernetes.Clientset, namespace, name string) {
	t.Helper()
	eventually(t, "deployment "+name+" is rolled out", func() error {
		d, err := client.AppsV1().Deployments(namespace).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if s := d.Status; s.ObservedGeneration != d.Generation || s.UpdatedReplicas != *d.Spec.Replicas || s.Replicas != s.UpdatedReplicas || s.AvailableReplicas != s.Replicas {
			return fmt.Errorf("its status is %+v", s)
		}
		return nil
	})
}

// rollOut changes the image of a deployment.
func rollOut(ctx context.Context, client *kubernetes.Clientset, namespace, name, image string) error {
	patch := fmt.Appendf(nil, `{"spec":{"template":{"spec":{"containers":[{"name":"main","image":%q}]}}}}`, image)
	_, err := client.AppsV1().Deployments(namespace).Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	return err
}

// limitDeployments allows so many deployments in a namespace, and waits until the quota is counted and the API server keeps to it. That a
// quota is there the API server learns late: it also allows no leases, of which none is audited, and is tried with one.
func limitDeployments(t *testing.T, admin *kubernetes.Clientset, namespace string, n int64) {
	t.Helper()
	hard := corev1.ResourceList{"count/deployments.apps": *resource.NewQuantity(n, resource.DecimalSI), "count/leases.coordination.k8s.io": resource.MustParse("0")}
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "team"}, Spec: corev1.ResourceQuotaSpec{Hard: hard}}
	must(t, "create the quota", second(admin.CoreV1().ResourceQuotas(namespace).Create(t.Context(), quota, metav1.CreateOptions{})))
	eventually(t, "the quota is counted", func() error {
		q, err := admin.CoreV1().ResourceQuotas(namespace).Get(t.Context(), "team", metav1.GetOptions{})
		if err == nil && len(q.Status.Hard) == 0 {
			err = fmt.Errorf("the quota has no status yet")
		}
		return err
	})
	eventually(t, "the quota is kept to", func() error {
		lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{GenerateName: "beyond-"}}
		if _, err := admin.CoordinationV1().Leases(namespace).Create(t.Context(), lease, metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
			return fmt.Errorf("a lease was answered with %w, want it refused", err)
		}
		return nil
	})
}

// serviceAccount makes a service account and returns a client with its token.
func (cp *controlPlane) serviceAccount(t *testing.T, admin *kubernetes.Clientset, namespace, name string) *kubernetes.Clientset {
	t.Helper()
	accounts := admin.CoreV1().ServiceAccounts(namespace)
	must(t, "create the service account", second(accounts.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})))
	token, err := accounts.CreateToken(t.Context(), name, &authv1.TokenRequest{}, metav1.CreateOptions{})
	must(t, "ask for its token", err)
	return cp.as(t, token.Status.Token)
}

// refused checks that a request was answered with 403.
func refused(t *testing.T, what string, err error) {
	t.Helper()
	if !apierrors.IsForbidden(err) {
		t.Fatalf("%s: want it refused with 403, got %v", what, err)
	}
}

// auditWebhookConfig is the kubeconfig by which the API server finds kubevalue's audit endpoint.
func auditWebhookConfig(t *testing.T, path, url, caFile, token string) string {
	t.Helper()
	if _, err := os.Stat(caFile); err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: kubevalue, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: apiserver, user: {token: %q}}]
contexts: [{name: main, context: {cluster: kubevalue, user: apiserver}}]
current-context: main
`, url, caFile, token))
	return path
}
