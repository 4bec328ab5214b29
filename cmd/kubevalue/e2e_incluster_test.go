//go:build e2e

package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"

	"github.com/kubevalue/kubevalue/slo/freeport"
)

// mounted puts a directory where a pod has the token and the CA of its service account, for one program, which follows as further arguments.
const mounted = `mount -t tmpfs none /var/run && mkdir -p /var/run/secrets/kubernetes.io/serviceaccount &&
mount --bind "$1" /var/run/secrets/kubernetes.io/serviceaccount && shift && exec "$@"`

// account is the service account of a pod that is this machine, as a kubelet mounts it.
type account struct {
	cluster *controlPlane
	admin   *kubernetes.Clientset
	// dir is what is mounted, command runs what follows it where that is the case.
	dir     string
	command []string
	tokens  int
}

// newAccount makes one in the namespace kubevalue. False: nothing may be mounted on this machine.
func newAccount(t *testing.T, cluster *controlPlane) (*account, bool) {
	t.Helper()
	to, err := url.Parse(cluster.Server)
	must(t, "read the server's address", err)
	a := &account{cluster: cluster, admin: cluster.as(t, cluster.Admin.Token), dir: t.TempDir()}
	a.command = []string{"unshare", "--mount"}
	if os.Geteuid() != 0 {
		a.command = append(a.command, "--user", "--map-root-user")
	}
	a.command = append(a.command, "sh", "-c", mounted, "sh", a.dir, "env", "KUBERNETES_SERVICE_HOST="+to.Hostname(), "KUBERNETES_SERVICE_PORT="+to.Port())
	if out, err := exec.Command(a.command[0], append(a.command[1:], "true")...).CombinedOutput(); err != nil {
		t.Logf("nothing may be mounted here: %v\n%s", err, out)
		return nil, false
	}
	createNamespace(t, a.admin, "kubevalue")
	_, err = a.admin.CoreV1().ServiceAccounts("kubevalue").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "kubevalue"}}, metav1.CreateOptions{})
	must(t, "create the service account", err)
	a.rotate(t)
	return a, true
}

// kubevalue is a command of the program, to be run as in the pod.
func (a *account) kubevalue(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return exec.Command(a.command[0], slices.Concat(a.command[1:], []string{kubevalueBinary(t)}, args)...)
}

// rotate puts a new token in the place of the one that is there, as a kubelet does: by a link to another directory. The one before is good
// for nothing afterwards.
func (a *account) rotate(t *testing.T) {
	t.Helper()
	a.tokens++
	holder := func(n int) string { return fmt.Sprintf("holder-%d", n) }
	secrets := a.admin.CoreV1().Secrets("kubevalue")
	held, err := secrets.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: holder(a.tokens)}}, metav1.CreateOptions{})
	must(t, "create what the token is bound to", err)
	token, err := a.admin.CoreV1().ServiceAccounts("kubevalue").CreateToken(t.Context(), "kubevalue", &authv1.TokenRequest{Spec: authv1.TokenRequestSpec{
		BoundObjectRef: &authv1.BoundObjectReference{Kind: "Secret", APIVersion: "v1", Name: held.Name, UID: held.UID},
	}}, metav1.CreateOptions{})
	must(t, "ask for a token", err)
	ca, err := os.ReadFile(a.cluster.CAFile)
	must(t, "read the CA", err)
	old, err := os.ReadFile(filepath.Join(a.dir, "token"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}

	version := fmt.Sprintf("..%d", a.tokens)
	must(t, "make the directory", os.Mkdir(filepath.Join(a.dir, version), 0o700))
	for name, text := range map[string]string{"token": token.Status.Token, "ca.crt": string(ca)} {
		writeFile(t, filepath.Join(a.dir, version, name), text)
		if a.tokens == 1 {
			must(t, "link "+name, os.Symlink(filepath.Join("..data", name), filepath.Join(a.dir, name)))
		}
	}
	must(t, "link the directory", os.Symlink(version, filepath.Join(a.dir, "..new")))
	must(t, "put it in its place", os.Rename(filepath.Join(a.dir, "..new"), filepath.Join(a.dir, "..data")))
	if len(old) == 0 {
		return
	}
	must(t, "end the token before", secrets.Delete(t.Context(), holder(a.tokens-1), metav1.DeleteOptions{}))
	before := a.cluster.as(t, string(old))
	eventually(t, "the token before is good for nothing", func() error {
		if _, err := before.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
			return fmt.Errorf("nodes are listed with %w, want 401", err)
		}
		return nil
	})
}

// give gives the account a role, as it is printed.
func (a *account) give(t *testing.T, text string) {
	t.Helper()
	var role rbacv1.ClusterRole
	must(t, "read the role", yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), len(text)).Decode(&role))
	rbac := a.admin.RbacV1()
	must(t, "create the role", second(rbac.ClusterRoles().Create(t.Context(), &role, metav1.CreateOptions{})))
	must(t, "bind the role", second(rbac.ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "kubevalue", Name: "kubevalue"}},
	}, metav1.CreateOptions{})))
}

// TestE2EInTheCluster serves as a pod does, by the token, the CA and the address that a cluster gives it. The token is another one some time
// later, when the API server has been away and every watch has to begin anew.
func TestE2EInTheCluster(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cluster := startControlPlane(t, dir)
	a, ok := newAccount(t, cluster)
	if !ok {
		return
	}
	address := fmt.Sprintf("127.0.0.1:%d", freeport.Get(t))
	config := filepath.Join(dir, "kubevalue.yaml")
	writeFile(t, config, fmt.Sprintf(`
server: {listen: %q, tokens: tokens.json}
warehouse: {dsn: "embedded:warehouse"}
spool: {dir: spool}
identity: {key_file: identity.key}
clusters: [{name: e2e, region: here, in_cluster: true}]
`, address))
	outside := exec.Command(kubevalueBinary(t), "cluster", "check", "-c", config)
	outside.Env = append(os.Environ(), "KUBERNETES_SERVICE_HOST=", "KUBERNETES_SERVICE_PORT=")
	if out, err := outside.CombinedOutput(); err == nil || !strings.Contains(string(out), "this does not run in a pod") {
		t.Errorf("outside of a pod: %v\n%s", err, out)
	}
	if out, err := a.kubevalue(t, "cluster", "check", "-c", config).CombinedOutput(); err == nil || !strings.Contains(string(out), "list deployments.apps") {
		t.Errorf("without a role: %v\n%s", err, out)
	}
	role, err := a.kubevalue(t, "cluster", "check", "e2e", "--role", "-c", config).Output() // it fails as long as something is missing
	if !strings.Contains(string(role), "kind: ClusterRole\n") {
		t.Fatalf("the role is %q, %v", role, err)
	}
	a.give(t, string(role))
	eventually(t, "nothing is missing with the role", func() error {
		if out, err := a.kubevalue(t, "cluster", "check", "-c", config).CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})

	service := a.kubevalue(t, "serve", "-c", config)
	start(t, service.Args[0], service.Args[1:]...)
	at := "http://" + address
	deployments := func(n int) {
		t.Helper()
		must(t, "deploy", createDeployment(t.Context(), a.admin, "kubevalue", fmt.Sprintf("app-%d", n), 1))
		showsOn(t, fmt.Sprintf("%d deployments are known", n), http.DefaultClient, at, fmt.Sprintf(`kubevalue_kube_objects{cluster="e2e",kind="Deployment"} %d`, n))
	}
	awaitWatched(t, http.DefaultClient, at)
	deployments(1)
	a.rotate(t)
	cluster.tell(t, "stop apiserver")
	cluster.tell(t, "start apiserver")
	deployments(2)
	awaitWatched(t, http.DefaultClient, at)
}
