package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/rest"
)

// Use is what a pod uses, in cores and bytes.
type Use struct{ Cores, Bytes float64 }

// ErrNoUse means that a cluster has no metrics API.
var ErrNoUse = errors.New("the cluster has no metrics API: what pods use is not known, so they cost what they request")

// The metrics API, which an add-on serves.
const (
	kindUse     = "PodMetrics"
	useGroup    = "metrics.k8s.io"
	useResource = "pods"
	usePath     = "/apis/metrics.k8s.io/v1beta1/pods"
)

// podHash stands for a pod's namespace and name.
func podHash(namespace, name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(namespace))
	_, _ = h.Write([]byte{'/'})
	_, _ = h.Write([]byte(name))
	return h.Sum64()
}

// useVia asks an API server.
func useVia(client rest.Interface) func(context.Context) (map[uint64]Use, error) {
	return func(ctx context.Context) (map[uint64]Use, error) {
		body, err := client.Get().AbsPath(usePath).SetHeader("Accept", "application/json").DoRaw(ctx)
		if apierrors.IsNotFound(err) || apierrors.IsServiceUnavailable(err) || apierrors.IsForbidden(err) {
			return nil, fmt.Errorf("%w: %w", ErrNoUse, err)
		}
		if err != nil {
			return nil, err
		}
		return readUse(body)
	}
}

// readUse reads a PodMetricsList.
func readUse(body []byte) (map[uint64]Use, error) {
	var list struct {
		Items []struct {
			Metadata   struct{ Namespace, Name string }
			Containers []struct {
				Usage struct{ CPU, Memory resource.Quantity }
			}
		}
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("the metrics API sent no list of pods: %w", err)
	}
	all := make(map[uint64]Use, len(list.Items))
	for i := range list.Items {
		var u Use
		for _, c := range list.Items[i].Containers {
			u.Cores += max(0, c.Usage.CPU.AsApproximateFloat64())
			u.Bytes += max(0, c.Usage.Memory.AsApproximateFloat64())
		}
		all[podHash(list.Items[i].Metadata.Namespace, list.Items[i].Metadata.Name)] = u
	}
	return all, nil
}

// watchUse asks what pods use until the context ends. Without an answer they cost what they request.
func (c *cluster) watchUse(ctx context.Context) {
	if c.clients.Use == nil || !c.cc.watches(kindPod) {
		return
	}
	told := ""
	for ctx.Err() == nil {
		one, cancel := context.WithTimeout(ctx, checkTimeout)
		use, err := c.clients.Use(one)
		cancel()
		c.mu.Lock()
		if err == nil {
			c.costs.use, c.costs.usedAt = use, c.now()
		}
		c.mu.Unlock()
		if text := fmt.Sprint(err); err != nil && ctx.Err() == nil && text != told {
			told = text
			c.cfg.Logger.Info("use of pods is not known", "cluster", c.cc.Name, "error", err)
		}
		pauseUntil(ctx, nil, costsEvery)
	}
}
