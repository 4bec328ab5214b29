package kube

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubevalue/kubevalue/schema"
)

// Ten thousand namespaces with annotations as large as the API allows: all are there, and little is kept of each.
func TestTenThousandNamespacesWithHugeAnnotations(t *testing.T) {
	const namespaces, huge = 10_000, 100
	r := newRig(t, noon)
	var all []any
	for i := range namespaces {
		n := namespaceAt(fmt.Sprintf("space-%d", i), noon.Add(-time.Hour), map[string]string{"team": fmt.Sprintf("team-%d", i%100)})
		n.UID = types.UID(fmt.Sprintf("0b5e3c1a-3d2f-4c6b-9a51-%012d", i))
		if i < huge {
			n.Annotations = map[string]string{"kubevalue.dev/expires": strings.Repeat("x", 250_000), "other": strings.Repeat("y", 250_000)}
		}
		all = append(all, n)
	}
	before := heap()
	r.sync(map[string][]any{schema.KindNamespace: all})
	told := r.told()
	if each := (heap() - before) / namespaces; each > 8_000 {
		t.Errorf("%.0f bytes are kept of a namespace", each)
	}
	created := map[string]int{}
	for _, ch := range told {
		if ch.Change == schema.ChangeCreated {
			created[ch.Name]++
		}
		for key, value := range ch.Labels {
			if len(value) > maxKept {
				t.Fatalf("%s of %s has %d bytes", key, ch.Name, len(value))
			}
		}
	}
	if len(created) != namespaces || created["space-9999"] != 1 {
		t.Errorf("%d namespaces were created, want %d; space-9999 %d times", len(created), namespaces, created["space-9999"])
	}
	// A second's work is mostly looking: only for the owner of each, which is asked for twice a minute, something is allocated. How long it takes
	// depends on the machine.
	if n := testing.AllocsPerRun(100, func() {
		r.pass(time.Second)
		r.tick()
	}); n > namespaces/5 {
		t.Errorf("a second's work allocates %.0f times for %d namespaces", n, namespaces)
	}
}

// A server without streams of initial objects is read page by page: a list as a whole takes many times the memory of what is kept of it.
func TestAListComesInPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := shop()
		for i := range 2*pageSize + 200 {
			disk := &corev1.PersistentVolumeClaim{ObjectMeta: metaOf(fmt.Sprintf("disk-%d", i), time.Now())}
			a.put("persistentvolumeclaims", disk)
		}
		s := watchingIt(t, a, func(c *Collector, _ *sink) {
			time.Sleep(30 * time.Second)
			a.put("persistentvolumeclaims", &corev1.PersistentVolumeClaim{ObjectMeta: metaOf("one-more", time.Now())})
			time.Sleep(30 * time.Second)
			if status := c.Status()[0]; !status.Synced || status.Err != nil || a.largest.Load() != pageSize {
				t.Errorf("the status is %+v; the largest list had %d objects", status, a.largest.Load())
			}
			var refused atomic.Bool
			a.restart(func() {
				a.be(func(w http.ResponseWriter, r *http.Request) bool {
					if refused.Load() || r.URL.Query().Get("watch") == "" || !strings.HasSuffix(r.URL.Path, "/persistentvolumeclaims") {
						return false
					}
					refused.Store(true)
					refuse(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, "starting")
					return true
				})
				a.largest.Store(0)
			})
			time.Sleep(30 * time.Second)
			if status := c.Status()[0]; !status.Synced || status.Err != nil || a.largest.Load() != pageSize {
				t.Errorf("read again, the status is %+v; the largest list had %d objects", status, a.largest.Load())
			}
		})
		created := map[string]int{}
		for _, ch := range s.changes {
			if ch.Kind == schema.KindClaim && ch.Change == schema.ChangeCreated {
				created[ch.Name]++
			}
		}
		if want := 2*pageSize + 201; len(created) != want || len(s.twice()) > 0 {
			t.Errorf("%d claims were seen, want %d; twice: %v", len(created), want, s.twice())
		}
	})
}
