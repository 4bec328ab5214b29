package controlplane

import (
	"fmt"
	"strconv"
	"time"

	"github.com/kubevalue/kubevalue/collectors/kube/kubetest/binaries"
)

// Names of the components.
const (
	Etcd              = "etcd"
	APIServer         = "apiserver"
	ControllerManager = "controller-manager"
	Scheduler         = "scheduler"
	Kwok              = "kwok"
)

// Components lists all components in the order in which they start.
func Components() []string {
	return []string{Etcd, APIServer, ControllerManager, Scheduler, Kwok}
}

// nodeGrace is how long a node may be silent before it counts as lost: longer than any
// outage that a test makes, so that an outage of the apiserver is just that.
const nodeGrace = 10 * time.Minute

// layout is where the files and listeners of one control plane are.
type layout struct {
	config Config
	pki    *pki
	ports  struct{ etcd, etcdPeer, apiserver, controllerManager, scheduler, kwok int }
}

func local(scheme string, port int) string { return fmt.Sprintf("%s://127.0.0.1:%d", scheme, port) }

// path is the program of a component.
func (l *layout) path(component string) string {
	switch component {
	case Etcd:
		return l.config.Programs.Path(binaries.Etcd)
	case APIServer:
		return l.config.Programs.Path(binaries.APIServer)
	case ControllerManager:
		return l.config.Programs.Path(binaries.ControllerManager)
	case Scheduler:
		return l.config.Programs.Path(binaries.Scheduler)
	default:
		return l.config.Programs.Path(binaries.Kwok)
	}
}

// url is the root of what a component serves.
func (l *layout) url(component string) string {
	switch component {
	case Etcd:
		return local("http", l.ports.etcd)
	case APIServer:
		return local("https", l.ports.apiserver)
	case ControllerManager:
		return local("https", l.ports.controllerManager)
	case Scheduler:
		return local("https", l.ports.scheduler)
	default:
		return local("http", l.ports.kwok)
	}
}

// health is the address that answers 200 when a component is ready.
func (l *layout) health(component string) string {
	switch component {
	case Etcd:
		return l.url(component) + "/health"
	case APIServer, Scheduler:
		return l.url(component) + "/readyz"
	default:
		return l.url(component) + "/healthz"
	}
}

// args is the command line of a component.
func (l *layout) args(component string) []string {
	switch component {
	case Etcd:
		return l.etcdArgs()
	case APIServer:
		return l.apiserverArgs()
	case ControllerManager:
		return l.controllerManagerArgs()
	case Scheduler:
		return append(l.clientArgs("scheduler", l.ports.scheduler), "--kube-api-qps=200", "--kube-api-burst=400")
	default:
		return []string{
			"--kubeconfig=" + l.kubeconfig("kwok"),
			"--config=" + l.file("stages.yaml"),
			"--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
			"--server-address=127.0.0.1:" + strconv.Itoa(l.ports.kwok),
			"--node-ip=127.0.0.1",
			"--node-port=" + strconv.Itoa(l.ports.kwok),
			"--cidr=10.244.0.0/16",
		}
	}
}

func (l *layout) etcdArgs() []string {
	peer := local("http", l.ports.etcdPeer)
	args := []string{
		"--name=kubetest",
		"--data-dir=" + l.file("etcd"),
		"--listen-client-urls=" + l.url(Etcd),
		"--advertise-client-urls=" + l.url(Etcd),
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=kubetest=" + peer,
		"--log-level=warn",
	}
	if !l.config.Fsync {
		args = append(args, "--unsafe-no-fsync") // nothing here outlives the test
	}
	return args
}

func (l *layout) apiserverArgs() []string {
	args := []string{
		"--etcd-servers=" + l.url(Etcd),
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		"--endpoint-reconciler-type=none", // refuses loopback addresses; nobody here needs it
		"--secure-port=" + strconv.Itoa(l.ports.apiserver),
		"--tls-cert-file=" + l.pki.certFile("server"),
		"--tls-private-key-file=" + l.pki.keyFile("server"),
		"--client-ca-file=" + l.pki.certFile("ca"),
		"--token-auth-file=" + l.file("tokens.csv"),
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + l.pki.keyFile("service-accounts"),
		"--service-account-signing-key-file=" + l.pki.keyFile("service-accounts"),
		"--service-cluster-ip-range=10.96.0.0/16",
		"--shutdown-send-retry-after=true", // ends within 2 s, else it waits 60 s for open watches
		"--audit-policy-file=" + l.auditPolicy(),
		"--audit-log-path=" + l.file("audit.log"),
	}
	if audit := l.config.Audit; audit.webhook() {
		args = append(args,
			"--audit-webhook-config-file="+l.auditWebhook(),
			"--audit-webhook-batch-max-wait="+audit.BatchMaxWait.String(),
			"--audit-webhook-batch-max-size="+strconv.Itoa(audit.BatchMaxSize),
			"--audit-webhook-initial-backoff="+audit.RetryBackoff.String(),
		)
	}
	return append(args, l.config.APIServerArgs...)
}

func (l *layout) controllerManagerArgs() []string {
	return append(l.clientArgs("controller-manager", l.ports.controllerManager),
		"--use-service-account-credentials=true", // each controller acts under its own name, as in real clusters
		"--service-account-private-key-file="+l.pki.keyFile("service-accounts"),
		"--root-ca-file="+l.pki.certFile("ca"),
		"--cluster-signing-cert-file="+l.pki.certFile("ca"),
		"--cluster-signing-key-file="+l.pki.keyFile("ca"),
		"--node-monitor-grace-period="+nodeGrace.String(),
		"--kube-api-qps=200", "--kube-api-burst=400",
	)
}

// clientArgs are what controller manager and scheduler have in common. Without leader
// election they outlive an outage of the apiserver rather than ending with their lease.
func (l *layout) clientArgs(name string, port int) []string {
	kubeconfig := l.kubeconfig(name)
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(port),
		"--tls-cert-file=" + l.pki.certFile("server"),
		"--tls-private-key-file=" + l.pki.keyFile("server"),
		"--leader-elect=false",
	}
}
