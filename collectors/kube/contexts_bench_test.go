//go:build bench

package kube_test

import (
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubevalue/kubevalue/collectors/kube"
)

// TestBenchContexts watches up to fifty contexts by one process: three real control planes, and the first of them again and again. It
// measures whether memory grows linearly, and whether one context that hangs harms the others.
func TestBenchContexts(t *testing.T) {
	small := population{namespaces: 20, workloads: 100, pods: 2}
	var planes []*plane
	for range 3 {
		p := unauditedPlane(t, 3)
		populate(t, p, small)
		planes = append(planes, p)
	}
	all := contexts(t, planes, 50)
	const twoSlices = 130 * time.Second // after the one in which it begins
	few, half, full := watchContexts(t, all[:10], settle), watchContexts(t, all[:30], settle), watchContexts(t, all, twoSlices)
	measure("kube_heap_per_context_linear", "KiB", (full.heap-half.heap)/20/1024, (half.heap-few.heap)/20/1024)
	measure("kube_rss_per_context_linear", "KiB", (full.rss-half.rss)/20/1024, (half.rss-few.rss)/20/1024)
	measure("kube_rss_50_contexts_vs_10", "MiB", full.rss/mebibyte, few.rss/mebibyte)

	with := watchContexts(t, append(all[:len(all)-1:len(all)-1], hanging(t)), twoSlices)
	measure("kube_sync_with_one_hanging", "s", with.seconds, full.seconds)
	measure("kube_coverage_with_one_hanging", "ratio", with.measured, full.measured)
}

// contexts makes a kubeconfig with so many contexts, one for each control plane and the others for the first one.
func contexts(t *testing.T, planes []*plane, n int) []kube.ClusterConfig {
	t.Helper()
	merged, path := api.NewConfig(), filepath.Join(t.TempDir(), "kubeconfig")
	for i, p := range planes {
		one, err := clientcmd.LoadFromFile(p.kubeconfig)
		if err != nil {
			t.Fatal(err)
		}
		context := one.Contexts[one.CurrentContext]
		name := fmt.Sprintf("plane-%d", i)
		merged.Clusters[name], merged.AuthInfos[name] = one.Clusters[context.Cluster], one.AuthInfos[context.AuthInfo]
	}
	var all []kube.ClusterConfig
	for i := range n {
		name, to := fmt.Sprintf("context-%d", i), "plane-0"
		if i < len(planes) {
			to = fmt.Sprintf("plane-%d", i)
		}
		merged.Contexts[name] = &api.Context{Cluster: to, AuthInfo: to}
		all = append(all, kube.ClusterConfig{Name: name, Kubeconfig: path, Context: name})
	}
	if err := clientcmd.WriteToFile(*merged, path); err != nil {
		t.Fatal(err)
	}
	return all
}

// hanging is a cluster that takes connections and never says anything.
func hanging(t *testing.T) kube.ClusterConfig {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			if _, err := listener.Accept(); err != nil {
				return
			}
		}
	}()
	config, path := api.NewConfig(), filepath.Join(t.TempDir(), "kubeconfig")
	config.Clusters["hanging"] = &api.Cluster{Server: "https://" + listener.Addr().String()}
	config.Contexts["hanging"] = &api.Context{Cluster: "hanging"}
	config.CurrentContext = "hanging"
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return kube.ClusterConfig{Name: "hanging", Kubeconfig: path}
}

// seen is how a process is that watches some contexts: bytes, seconds until all were read that answer, and their measured share.
type seen struct{ heap, rss, seconds, measured float64 }

// settle is how long it takes until what was recorded at first is handed over.
const settle = 20 * time.Second

func watchContexts(t *testing.T, clusters []kube.ClusterConfig, span time.Duration) seen {
	t.Helper()
	answering := 0
	for _, c := range clusters {
		if c.Context != "" {
			answering++
		}
	}
	w := watching(t, order{Clusters: clusters})
	r := w.awaitSynced(t, answering)
	time.Sleep(span)
	s := seen{rss: w.memory(t, "VmRSS"), seconds: r.Seconds}
	r = w.ask(t, "heap")
	s.heap, s.measured = float64(r.Heap-r.Idle), r.Measured
	w.stop(t)
	t.Logf("%d contexts with %d objects: %.0f MiB, read after %.1f s, measured %.2f", len(clusters), r.Objects, s.rss/mebibyte, s.seconds, s.measured)
	return s
}
