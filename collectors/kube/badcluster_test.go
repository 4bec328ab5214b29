package kube

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubevalue/kubevalue/schema"
)

// shop is a server with a namespace and a workload that is available.
func shop() *apiserver {
	a := newAPIServer()
	a.put("namespaces", namespaceAt("shop", time.Now().Add(-time.Hour), nil))
	a.put("deployments", available())
	return a
}

// The cluster answers, but not as an API server does: a login page, other JSON, half an answer, an object without a name, a list that
// never ends. No real server does that, so one is played.
func TestAClusterThatAnswersGarbage(t *testing.T) {
	page := func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>Sign in</title>")
		return true
	}
	lists := func(resource, text string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/"+resource) || r.URL.Query().Get("watch") != "" {
				return false
			}
			fmt.Fprint(w, text)
			return true
		}
	}
	for name, test := range map[string]struct {
		odd         func(http.ResponseWriter, *http.Request) bool
		err, fault  string
		otherKinds  bool // they are watched all the same
		deployments int
	}{
		"a login page": {odd: page, err: "invalid character '<'", fault: "cannot be watched"},
		"other JSON":   {odd: lists("deployments", `{"hello": "world"}`), err: "Deployment: ", fault: "cannot be watched (Deployment)", otherKinds: true},
		"half a list":  {odd: lists("deployments", `{"kind":"DeploymentList","apiVersion":"apps/v1","items":[{`), err: "unexpected", fault: "cannot be watched (Deployment)", otherKinds: true},
		"a list of something else": {odd: lists("deployments", `{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}`),
			err: "Deployment: ", fault: "cannot be watched (Deployment)", otherKinds: true},
		"an object without a name": {
			odd: lists("deployments", `{"kind":"DeploymentList","apiVersion":"apps/v1","metadata":{"resourceVersion":"1001"},"items":[{"metadata":{"uid":"x"}},{"metadata":{"uid":"y","name":"good"}}]}`),
			err: `Deployment: 1 objects cannot be read, the newest one because the cluster sent a *v1.Deployment without UID or name ("x", "")`, fault: "cannot be watched (Deployment)", otherKinds: true, deployments: 1,
		},
		"a list that never ends": {odd: lists("deployments", `{"kind":"DeploymentList","apiVersion":"apps/v1","metadata":{"resourceVersion":"1001","continue":"again"},"items":[]}`),
			err: "Deployment: the cluster sent the same part of a list twice", fault: "cannot be watched (Deployment)", otherKinds: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := shop()
				a.odd = test.odd
				watchingIt(t, a, func(c *Collector, _ *sink) {
					time.Sleep(90 * time.Second)
					status := c.Status()[0]
					if status.Err == nil || !strings.Contains(status.Err.Error(), test.err) || status.Fault() != test.fault {
						t.Errorf("the status is %q, %v, want %q, %q", status.Fault(), status.Err, test.fault, test.err)
					}
					for _, k := range status.Kinds {
						if k.Kind == schema.KindDeployment && k.Objects != test.deployments {
							t.Errorf("%d Deployments, want %d", k.Objects, test.deployments)
						}
						if k.Kind != schema.KindDeployment && (k.Synced || k.Absent) != test.otherKinds {
							t.Errorf("%s is watched: %t, want %t (%v)", k.Kind, k.Synced, test.otherKinds, k.Err)
						}
					}
				})
			})
		})
	}
}

// What cannot be read for a while is not taken to be gone.
func TestAnObjectThatCannotBeReadIsNotGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := shop()
		s := watchingIt(t, a, func(c *Collector, _ *sink) {
			time.Sleep(30 * time.Second)
			broken := available()
			broken.UID = ""
			a.restart(func() {
				a.be(func(w http.ResponseWriter, r *http.Request) bool { // the old version is gone, so that all is listed
					if r.URL.Query().Get("watch") == "" || r.URL.Query().Get("resourceVersion") != "1002" {
						return false
					}
					refuse(w, http.StatusGone, metav1.StatusReasonExpired, "too old resource version")
					return true
				})
				a.put("deployments", broken)
			})
			time.Sleep(time.Minute)
			if err := c.Status()[0].Err; err == nil || !strings.Contains(err.Error(), "1 objects cannot be read") {
				t.Errorf("the status is %v", err)
			}
			a.restart(func() {
				a.be(func(w http.ResponseWriter, r *http.Request) bool {
					if r.URL.Query().Get("watch") == "" || r.URL.Query().Get("resourceVersion") != "1003" {
						return false
					}
					refuse(w, http.StatusGone, metav1.StatusReasonExpired, "too old resource version")
					return true
				})
				a.put("deployments", available())
			})
			time.Sleep(time.Minute)
			if status := c.Status()[0]; status.Err != nil || !status.Synced {
				t.Errorf("after it was mended the status is %+v", status)
			}
		})
		if n := s.count(schema.ChangeDeleted, "c1"); n != 0 || len(s.twice()) > 0 {
			t.Errorf("%d deletions, want none; twice: %v", n, s.twice())
		}
	})
}

// A watch that brings garbage is begun anew, and what came before it is not lost.
func TestAWatchThatBringsGarbage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := shop()
		s := watchingIt(t, a, func(c *Collector, _ *sink) {
			time.Sleep(30 * time.Second)
			var broken atomic.Int64
			a.restart(func() {
				a.be(func(w http.ResponseWriter, r *http.Request) bool {
					if r.URL.Query().Get("watch") == "" || !strings.HasSuffix(r.URL.Path, "/deployments") || r.URL.Query().Get("sendInitialEvents") != "" {
						return false
					}
					broken.Add(1)
					fmt.Fprint(w, "<html>")
					return true
				})
			})
			time.Sleep(30 * time.Second)
			status := c.Status()[0]
			if status.Synced || status.Err == nil || !strings.Contains(status.Err.Error(), "Deployment: watch: ") || broken.Load() < 3 || broken.Load() > 30 {
				t.Errorf("after %d watches with garbage the status is %+v", broken.Load(), status)
			}
			a.be(nil)
			scaled := available()
			scaled.Generation, scaled.Status.ObservedGeneration = 2, 2
			three := int32(3)
			scaled.Spec.Replicas = &three
			a.put("deployments", scaled)
			time.Sleep(30 * time.Second)
			if status := c.Status()[0]; status.Err != nil || !status.Synced {
				t.Errorf("after it was mended the status is %+v", status)
			}
		})
		if n := s.count(schema.ChangeScaled, "c1"); n != 1 || len(s.twice()) > 0 {
			t.Errorf("scaled %d times, want once; twice: %v", n, s.twice())
		}
	})
}

// The credentials are not good (any more), or not for everything.
func TestAClusterThatRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		code       int
		reason     metav1.StatusReason
		resource   string // empty: everything
		err, fault string
	}{
		"401":          {http.StatusUnauthorized, metav1.StatusReasonUnauthorized, "", "ask for the version: the server has asked for the client to provide credentials", "refuses our credentials"},
		"403 for one":  {http.StatusForbidden, metav1.StatusReasonForbidden, "pods", "Pod: no", "does not let us see everything (Pod)"},
		"403 for all":  {http.StatusForbidden, metav1.StatusReasonForbidden, "", "ask for the version: unknown", "does not let us see everything"},
		"503 for some": {http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, "jobs", "Job: no", "cannot be watched (Job)"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := shop()
				var requests atomic.Int64
				a.be(func(w http.ResponseWriter, r *http.Request) bool {
					if test.resource != "" && !strings.HasSuffix(r.URL.Path, "/"+test.resource) {
						return false
					}
					requests.Add(1)
					refuse(w, test.code, test.reason, "no")
					return true
				})
				s := watchingIt(t, a, func(c *Collector, _ *sink) {
					time.Sleep(5 * time.Minute)
					status := c.Status()[0]
					if status.Synced || status.Err == nil || status.Err.Error() != test.err || status.Fault() != test.fault {
						t.Errorf("synced %t, status %q, %v, want %q, %s", status.Synced, status.Fault(), status.Err, test.fault, test.err)
					}
					if n, most := requests.Load(), int64(100*(1+len(kinds))); n > most {
						t.Errorf("%d requests in 5 minutes to a cluster that refuses, want at most %d", n, most)
					}
					a.be(nil)
					time.Sleep(time.Minute)
					if status := c.Status()[0]; !status.Synced || status.Err != nil || status.Fault() != "" {
						t.Errorf("after it lets us in the status is %+v", status)
					}
				})
				if n := s.count(schema.ChangeObserved, "c1"); n == 0 || len(s.twice()) > 0 {
					t.Errorf("%d objects were seen, want some; twice: %v", n, s.twice())
				}
			})
		})
	}
}

// Whoever may list and not watch reads everything again and again, and is told why all the time, not just between two lists.
func TestAClusterThatLetsNobodyWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := shop()
		a.odd = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/pods") || r.URL.Query().Get("watch") == "" {
				return false
			}
			select {
			case <-r.Context().Done():
			case <-time.After(time.Second):
			}
			refuse(w, http.StatusForbidden, metav1.StatusReasonForbidden, "no")
			return true
		}
		watchingIt(t, a, func(c *Collector, _ *sink) {
			time.Sleep(30 * time.Second)
			for range 600 {
				if status := c.Status()[0]; status.Synced || status.Fault() != "does not let us see everything (Pod)" {
					t.Fatalf("synced %t, status %q, %v", status.Synced, status.Fault(), status.Err)
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
	})
}

// The cluster was set back to an older state, as from a backup: the old objects are there again, with older versions, and a watch at the
// version that was seen last would say nothing for ever.
func TestAClusterThatWasSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := shop()
		a.version = 5000
		lost := namespaceAt("lost", time.Now().Add(-time.Minute), nil)
		back := namespaceAt("back", time.Now().Add(-time.Minute), nil)
		s := watchingIt(t, a, func(c *Collector, s *sink) {
			a.put("namespaces", back)
			time.Sleep(30 * time.Second)
			a.delete("namespaces", back) // after the backup
			a.put("namespaces", lost)
			for range 500 {
				a.put("nodes", &metav1.PartialObjectMetadata{ObjectMeta: metaOf("n1", time.Now())})
			}
			time.Sleep(30 * time.Second)
			if n := s.count(schema.ChangeDeleted, "c1"); n != 1 {
				t.Fatalf("%d deletions before, want 1", n)
			}
			a.restart(func() {
				a.mu.Lock()
				defer a.mu.Unlock()
				a.version, a.down = 1003, true
				delete(a.objects["namespaces"], "lost")
				delete(a.objects, "nodes")
				back.SetResourceVersion("1003")
				a.objects["namespaces"]["back"] = back
			})
			time.Sleep(20 * time.Second)
			a.mu.Lock()
			a.down = false
			a.mu.Unlock()
			time.Sleep(time.Minute)
			a.put("namespaces", namespaceAt("new", time.Now(), nil)) // at a version that was used before
			a.put("persistentvolumeclaims", &corev1.PersistentVolumeClaim{ObjectMeta: metaOf("disk", time.Now())})
			time.Sleep(10 * time.Second)
			if status := c.Status()[0]; status.Err != nil || !status.Synced {
				t.Errorf("the status is %+v", status)
			}
		})
		var there []string
		for _, ch := range newest(s.changes) {
			if ch.Kind != schema.KindDeployment {
				there = append(there, ch.Name)
			}
		}
		slices.Sort(there)
		if want := []string{"back", "disk", "new", "shop"}; !cmp.Equal(there, want) {
			t.Errorf("known to be there (-want +got):\n%s", cmp.Diff(want, there))
		}
		for _, ch := range s.changes {
			if ch.Change == schema.ChangeDeleted && ch.Name != "back" && ch.Exact() {
				t.Errorf("the deletion of %s is dated exactly, though nobody saw it: %+v", ch.Name, ch)
			}
		}
	})
}

// The server's clock is wrong: it is named, and no time of ours is later than now or earlier than the creation.
func TestAClusterWhoseClockIsWrong(t *testing.T) {
	for name, test := range map[string]struct {
		ahead time.Duration
		off   string
	}{
		"right":       {0, ""},
		"hours ahead": {3 * time.Hour, "its clock is 3h0m0s ahead of ours"},
		"days behind": {-48 * time.Hour, "its clock is 47h59m59s behind ours"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAPIServer()
				a.ahead = test.ahead
				theirs := func() time.Time { return time.Now().Add(test.ahead) }
				a.put("namespaces", namespaceAt("shop", theirs().Add(-time.Hour), nil))
				s := watchingIt(t, a, func(c *Collector, _ *sink) {
					time.Sleep(30 * time.Second)
					d := web(theirs(), 1)
					a.put("replicasets", setOf("1", "", theirs()))
					a.put("deployments", d)
					time.Sleep(10 * time.Second)
					a.put("deployments", rolled(d, "1", 1, 1))
					time.Sleep(10 * time.Second)
					a.delete("deployments", rolled(d, "1", 1, 1))
					time.Sleep(10 * time.Second)
					if off := c.Status()[0].Off(); off != test.off {
						t.Errorf("%q, want %q", off, test.off)
					}
				})
				now := time.Now()
				for _, ch := range s.changes {
					if ch.Time.After(now) || ch.Time.Before(ch.Created) || ch.DurationMS != nil && *ch.DurationMS < 0 {
						t.Errorf("%s of %s at %s, created %s, now %s, took %v", ch.Change, ch.Name, ch.Time, ch.Created, now, ch.DurationMS)
					}
				}
				for _, change := range []schema.Change{schema.ChangeReady, schema.ChangeRolloutSucceeded, schema.ChangeDeleted} {
					if n := s.count(change, "c1"); n != 1 {
						t.Errorf("%s %d times, want once", change, n)
					}
				}
			})
		})
	}
}

func TestACheckOfABadCluster(t *testing.T) {
	for name, test := range map[string]struct {
		odd  func(w http.ResponseWriter, r *http.Request) bool
		skew time.Duration
		want string
	}{
		"good": {nil, 0, "<nil> "},
		"a login page": {func(w http.ResponseWriter, _ *http.Request) bool {
			fmt.Fprint(w, "<html>")
			return true
		}, 0, "does not answer: the answer is not that of an API server: invalid character"},
		"other JSON": {func(w http.ResponseWriter, _ *http.Request) bool {
			fmt.Fprint(w, "{}")
			return true
		}, 0, "does not answer: the answer is not that of an API server"},
		"401": {func(w http.ResponseWriter, _ *http.Request) bool {
			refuse(w, http.StatusUnauthorized, metav1.StatusReasonUnauthorized, "no")
			return true
		}, 0, "the server has asked for the client to provide credentials"},
		"403 to ask": {func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews") {
				return false
			}
			refuse(w, http.StatusForbidden, metav1.StatusReasonForbidden, "no reviews")
			return true
		}, 0, "ask for the permission to list namespaces: no reviews"},
		"a server that hangs": {func(_ http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done()
			return true
		}, 0, "context deadline exceeded"},
		"a wrong clock": {nil, time.Hour, "<nil> its clock is 1h0m0s ahead of ours"},
		"one kind is a login page": {func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/deployments") {
				return false
			}
			fmt.Fprint(w, "<html>")
			return true
		}, 0, "<nil>  [Deployment: couldn't get version/kind; json parse error: invalid character '<'"},
		"two kinds hang": {func(_ http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/pods") && !strings.HasSuffix(r.URL.Path, "/nodes") {
				return false
			}
			<-r.Context().Done()
			return true
		}, 0, "<nil>  [Node: context deadline exceeded Pod: context deadline exceeded]"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAPIServer()
				a.odd, a.ahead = test.odd, test.skew
				config := configs("c1")[0]
				report := check(t.Context(), config, a.clients(t), Report{Name: "c1"})
				got := fmt.Sprint(report.Err, " ", report.Off)
				if len(report.Unreadable) > 0 {
					got += fmt.Sprint(" ", report.Unreadable)
				}
				if !strings.Contains(got, test.want) || (report.Err == nil && len(report.Unreadable) == 0) != (test.odd == nil) {
					t.Errorf("%s, want %s", got, test.want)
				}
				if report.Took > checkTimeout {
					t.Errorf("it took %s", report.Took)
				}
			})
		})
	}
}
