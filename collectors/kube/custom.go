package kube

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	kubeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// presenceEvery is how often it is asked whether a kind that a cluster does not serve has come.
const presenceEvery = 30 * time.Second

// custom is the source of a kind that only some clusters serve.
func custom(c *Clients, of kubeschema.GroupVersionResource) source {
	api := c.Dynamic.Resource(of)
	return source{
		list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return listed(api.List(ctx, o))
		},
		watch: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) { return api.Watch(ctx, o) },
	}
}

// listed keeps a nil list from becoming an interface that is not nil.
func listed(list *unstructured.UnstructuredList, err error) (runtime.Object, error) {
	if err != nil {
		return nil, err
	}
	return list, nil
}

// await returns true as soon as the cluster serves the kind, false when the context ends before that.
func (f *feed) await(ctx context.Context) bool {
	if !f.custom {
		return true
	}
	for ctx.Err() == nil {
		of := kubeschema.GroupResource{Group: f.group, Resource: f.resource}
		one, cancel := context.WithTimeout(ctx, f.c.cfg.SyncTimeout)
		version, err := f.c.clients.Serves(one, of)
		cancel()
		f.c.mu.Lock()
		if ctx.Err() == nil {
			f.fail(err)
		}
		f.absent = err == nil && version == ""
		if version != "" {
			f.source = custom(f.c.clients, of.WithVersion(version))
		}
		f.c.mu.Unlock()
		if version != "" {
			return true
		}
		pauseUntil(ctx, nil, presenceEvery)
	}
	return false
}

// vanished tells whether the server does not know the kind any longer. Callers hold mu.
func (f *feed) vanished() bool { return f.custom && !f.up && apierrors.IsNotFound(f.err) }

// field is a text deep in an object, empty where there is none.
func field(u *unstructured.Unstructured, path ...string) string {
	value, _, _ := unstructured.NestedString(u.Object, path...)
	return value
}

// instant is a time deep in an object; zero where there is none.
func instant(in map[string]any, path ...string) time.Time {
	value, _, _ := unstructured.NestedString(in, path...)
	t, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// statusCondition is one of the conditions of an object's status.
type statusCondition struct {
	kind, status string
	since        time.Time
}

func conditions(u *unstructured.Unstructured) []statusCondition {
	list, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	var all []statusCondition
	for _, entry := range list {
		if m, ok := entry.(map[string]any); ok {
			kind, _, _ := unstructured.NestedString(m, "type")
			status, _, _ := unstructured.NestedString(m, "status")
			all = append(all, statusCondition{kind, status, instant(m, "lastTransitionTime")})
		}
	}
	return all
}
