package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	kubeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Clients talk to one cluster.
type Clients struct {
	Typed    Typed
	Metadata metadata.Interface
	Dynamic  dynamic.Interface
	// Serves asks the API server which version of a kind it prefers; empty: it does not serve the kind.
	Serves func(ctx context.Context, of kubeschema.GroupResource) (version string, err error)
	// Version asks the API server for its version, e.g. v1.36.3; any answer also proves that the cluster is there.
	Version func(ctx context.Context) (string, error)
	// Skew tells how far the server's clock was ahead of ours at its newest answer, negative when it was behind; nil: nobody knows.
	Skew func() time.Duration
	// Use asks the metrics API what each pod uses, by the hash of its namespace and name; ErrNoUse: there is no such API.
	Use func(ctx context.Context) (map[uint64]Use, error)
	// Server is the address of the API server.
	Server string
}

// Connect makes the clients of a cluster, without contacting it. Credentials that a kubeconfig would get by running a
// program are refused unless the program is allowed.
func Connect(c ClusterConfig) (*Clients, error) {
	config, err := restConfig(c)
	if err != nil {
		return nil, fmt.Errorf("cluster %q: %w", c.Name, err)
	}
	if err := allowPlugins(config, c.AllowExec); err != nil {
		return nil, fmt.Errorf("cluster %q: %w", c.Name, err)
	}
	config.QPS, config.Burst = c.QPS, c.Burst
	if config.QPS == 0 {
		config.QPS = defaultQPS
	}
	if config.Burst == 0 {
		config.Burst = max(defaultBurst, int(2*config.QPS))
	}
	config.UserAgent = "kubevalue"
	config.WarningHandlerWithContext = rest.NoWarnings{}
	// Half the bytes of JSON and a fraction of its garbage; types that have no such encoding come as JSON.
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"

	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("cluster %q: %w", c.Name, err)
	}
	clients, err := clientsBy(config, client)
	if err != nil {
		return nil, fmt.Errorf("cluster %q: %w", c.Name, err)
	}
	return clients, nil
}

// clientsBy makes clients that send their requests by client.
func clientsBy(config *rest.Config, client *http.Client) (*Clients, error) {
	clock := &clock{next: client.Transport}
	if clock.next == nil {
		clock.next = http.DefaultTransport
	}
	measured, brief := *client, *client
	measured.Transport, brief.Transport = &bound{next: clock, most: maxAnswer}, &bound{next: clock, most: maxBrief}
	typed, err := newAPIClient(config, &measured)
	if err != nil {
		return nil, err
	}
	meta, err := metadata.NewForConfigAndClient(metadata.ConfigFor(config), &measured)
	if err != nil {
		return nil, err
	}
	custom, err := dynamic.NewForConfigAndClient(dynamic.ConfigFor(config), &measured)
	if err != nil {
		return nil, err
	}
	asking, err := newAPIClient(config, &brief)
	if err != nil {
		return nil, err
	}
	return &Clients{
		Typed: typed, Metadata: meta, Dynamic: custom, Server: config.Host, Skew: clock.skewed,
		Version: asking.version, Serves: asking.serves, Use: useVia(typed),
	}, nil
}

func restConfig(c ClusterConfig) (*rest.Config, error) {
	if c.InCluster {
		config, err := rest.InClusterConfig()
		if errors.Is(err, rest.ErrNotInCluster) {
			return nil, fmt.Errorf("in_cluster is set, but this does not run in a pod: give a kubeconfig (%w)", err)
		}
		return config, err
	}
	if _, err := os.Stat(c.Kubeconfig); err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: c.Kubeconfig},
		&clientcmd.ConfigOverrides{CurrentContext: c.Context})
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig %s: %w", c.Kubeconfig, err)
	}
	return config, nil
}

// allowPlugins refuses credentials that would be fetched by running a program which nobody has allowed.
func allowPlugins(config *rest.Config, allowed []string) error {
	if config.AuthProvider != nil {
		return fmt.Errorf("the kubeconfig uses the auth provider %q, which is not supported: use a token, a client certificate or an exec plugin", config.AuthProvider.Name)
	}
	if exec := config.ExecProvider; exec != nil && !slices.Contains(allowed, exec.Command) {
		return fmt.Errorf("the kubeconfig wants to run the program %q for its credentials: allow it with `allow_exec: [%q]`, or use a token", exec.Command, exec.Command)
	}
	return nil
}
