package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// StorageClass is the default storage class; kwok provisions its volumes.
const StorageClass = "kubetest"

type object = map[string]any

// prepare creates the fake nodes and the storage class, and waits until the cluster can
// take work: all nodes ready and schedulable, and service accounts being issued.
func (a *api) prepare(ctx context.Context, nodes int) error {
	class := object{
		"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
		"metadata": object{
			"name":        StorageClass,
			"annotations": object{"storageclass.kubernetes.io/is-default-class": "true"},
		},
		"provisioner": "kubetest.kubevalue.dev/volume",
	}
	if err := a.do(ctx, request{http.MethodPost, "/apis/storage.k8s.io/v1/storageclasses", class}, nil); err != nil {
		return fmt.Errorf("create the storage class: %w", err)
	}
	for i := range nodes {
		if err := a.do(ctx, request{http.MethodPost, "/api/v1/nodes", fakeNode(i)}, nil); err != nil {
			return fmt.Errorf("create a node: %w", err)
		}
	}
	err := waitFor(ctx, 100*time.Millisecond, func(ctx context.Context) error { return a.nodesReady(ctx, nodes) })
	if err != nil {
		return fmt.Errorf("wait for the nodes: %w", err)
	}
	err = waitFor(ctx, 100*time.Millisecond, func(ctx context.Context) error {
		return a.do(ctx, request{http.MethodGet, "/api/v1/namespaces/default/serviceaccounts/default", nil}, nil)
	})
	if err != nil {
		return fmt.Errorf("wait for the service accounts: %w", err)
	}
	return nil
}

// fakeNode is the i-th node, in one of three zones, as kwok expects it.
func fakeNode(i int) object {
	name := fmt.Sprintf("node-%d", i)
	capacity := object{"cpu": "32", "memory": "128Gi", "ephemeral-storage": "200Gi", "pods": "250"}
	return object{
		"apiVersion": "v1", "kind": "Node",
		"metadata": object{
			"name":        name,
			"annotations": object{"kwok.x-k8s.io/node": "fake"},
			"labels": object{
				"kubernetes.io/hostname":           name,
				"kubernetes.io/os":                 "linux",
				"kubernetes.io/arch":               "amd64",
				"node.kubernetes.io/instance-type": "fake-32x128",
				"topology.kubernetes.io/region":    "local",
				"topology.kubernetes.io/zone":      fmt.Sprintf("local-%c", 'a'+i%3),
			},
		},
		"status": object{"capacity": capacity, "allocatable": capacity},
	}
}

// nodesReady is nil when n nodes are ready and nothing keeps pods off them.
func (a *api) nodesReady(ctx context.Context, n int) error {
	var list struct {
		Items []struct {
			Metadata struct{ Name string }
			Spec     struct{ Taints []struct{ Key string } }
			Status   struct {
				Conditions []struct{ Type, Status string }
			}
		}
	}
	if err := a.do(ctx, request{http.MethodGet, "/api/v1/nodes", nil}, &list); err != nil {
		return err
	}
	ready := 0
	var waiting []error
	for _, node := range list.Items {
		ok := false
		for _, c := range node.Status.Conditions {
			ok = ok || c.Type == "Ready" && c.Status == "True"
		}
		if ok && len(node.Spec.Taints) == 0 {
			ready++
			continue
		}
		waiting = append(waiting, fmt.Errorf("node %s: ready %t, taints %v", node.Metadata.Name, ok, node.Spec.Taints))
	}
	if ready < n {
		return errors.Join(append(waiting, fmt.Errorf("%d of %d nodes are ready", ready, n))...)
	}
	return nil
}
