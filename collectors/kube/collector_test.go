package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// sink keeps what it is given, unless fail says otherwise.
type sink struct {
	mu          sync.Mutex
	changes     []schema.ResourceChange
	slices      []schema.Slice
	consumption []schema.Consumption
	fail        func(schema.Batch) error
}

func (s *sink) Append(_ context.Context, b schema.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		if err := s.fail(b); err != nil {
			return err
		}
	}
	s.changes = append(s.changes, b.Changes...)
	s.slices = append(s.slices, b.Slices...)
	s.consumption = append(s.consumption, b.Consumption...)
	return nil
}

func (s *sink) count(change schema.Change, cluster string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ch := range s.changes {
		if ch.Change == change && ch.Cluster == cluster {
			n++
		}
	}
	return n
}

func answers() (string, error) { return "v1.36.3", nil }

// running runs a collector in a bubble until the test is through with it.
func running(t *testing.T, cfg Config, test func(c *Collector)) {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	test(c)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func configs(names ...string) []ClusterConfig {
	var all []ClusterConfig
	for _, name := range names {
		all = append(all, ClusterConfig{Name: name, Kubeconfig: "played"})
	}
	return all
}

func available() *appsv1.Deployment {
	d := rolled(web(time.Now().Add(-time.Hour), 1), "1", 1, 1)
	return d
}

func TestACollectorFromItsStartToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clients := fakeClients(answers, available(), namespaceAt("shop", time.Now().Add(-time.Hour), nil))
		s := &sink{}
		registry := prometheus.NewPedanticRegistry()
		running(t, Config{
			Clusters: configs("c1"), Sink: s, Registerer: registry,
			Connect: func(ClusterConfig) (*Clients, error) { return clients, nil },
		}, func(c *Collector) {
			time.Sleep(70 * time.Second)
			deployments := clients.Typed.(played).AppsV1().Deployments("shop")
			if err := deployments.Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Second)
			status := c.Status()[0]
			if !status.Synced || status.Err != nil || status.Version != "v1.36.3" || time.Since(status.LastContact) > heartbeat || status.Slices != 2 {
				t.Errorf("status %+v", status)
			}
			for _, k := range status.Kinds {
				if k.Synced == k.Absent || k.Absent != strings.Contains(k.Kind, ".") || k.Err != nil || (k.Objects == 1) != (k.Kind == schema.KindNamespace) {
					t.Errorf("%+v", k)
				}
			}
			if n, err := testutil.GatherAndCount(registry, "kubevalue_kube_synced"); err != nil || n != len(kinds)-2 {
				t.Errorf("%d kinds are watched or to be (%v), want all %d but the two that are not served", n, err, len(kinds))
			}
		})
		var got []string
		for _, one := range s.slices {
			got = append(got, fmt.Sprintf("%s %g/%g %s", one.Start.Format(time.TimeOnly), one.Good, one.Total, one.State))
		}
		// The bubble's clock begins at midnight. The collector waits some milliseconds for the early kinds.
		if want := []string{"00:00:00 0/0 gap", "00:01:00 10/10 measured"}; !cmp.Equal(got, want) {
			t.Errorf("slices (-want +got):\n%s", cmp.Diff(want, got))
		}
		if n := s.count(schema.ChangeDeleted, "c1"); n != 1 {
			t.Errorf("%d deletions, want 1", n)
		}
	})
}

func TestABadClusterHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good := fakeClients(answers, available())
		refusing := fakeClients(func() (string, error) { return "", errors.New("refused") })
		refusing.Typed.(played).PrependReactor("*", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, errors.New("refused")
		})
		hanging := unanswered(t)
		s := &sink{}
		running(t, Config{
			Clusters: configs("broken", "hanging", "refusing", "good"), Sink: s,
			Connect: func(c ClusterConfig) (*Clients, error) {
				switch c.Name {
				case "broken":
					return nil, errors.New("no such file")
				case "hanging":
					return hanging, nil
				case "refusing":
					return refusing, nil
				}
				return good, nil
			},
		}, func(c *Collector) {
			time.Sleep(5 * time.Minute)
			got := map[string]string{}
			for _, one := range c.Status() {
				got[one.Name] = fmt.Sprint(one.Synced, " ", one.Err)
			}
			want := map[string]string{
				"broken": "false no such file", "hanging": "false ask for the version: context deadline exceeded",
				"refusing": "false ask for the version: refused", "good": "true <nil>",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
		})
		if n := s.count(schema.ChangeObserved, "good"); n == 0 {
			t.Error("nothing was seen of the good cluster")
		}
	})
}

// unanswered are clients whose requests nobody answers.
func unanswered(t *testing.T) *Clients {
	t.Helper()
	client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})}
	clients, err := clientsBy(&rest.Config{Host: "http://played"}, client)
	if err != nil {
		t.Fatal(err)
	}
	return clients
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTheStoreMayBeAwayForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clients := fakeClients(answers, available())
		away := true
		s := &sink{fail: func(b schema.Batch) error {
			if away {
				return collectors.ErrFull
			}
			for i, ch := range b.Changes {
				if ch.Kind == schema.KindDeployment && ch.Change == schema.ChangeCreated {
					return &collectors.BatchError{Records: []collectors.RecordError{{Kind: "change", Index: i, Err: errors.New("not wanted")}}}
				}
			}
			return nil
		}}
		asked := 0
		running(t, Config{
			Clusters: configs("c1"), Sink: s, Connect: func(ClusterConfig) (*Clients, error) { return clients, nil }, KnownTimeout: 30 * time.Second,
			Known: func(context.Context, string) ([]schema.ResourceChange, error) {
				if asked++; asked < 10 {
					return nil, errors.New("the warehouse is away")
				}
				return []schema.ResourceChange{{Resource: schema.Resource{Cluster: "c1", Kind: schema.KindNode, UID: "lost", Name: "lost"}, Change: schema.ChangeObserved, Time: time.Now().Add(-time.Hour)}}, nil
			},
		}, func(c *Collector) {
			time.Sleep(time.Minute)
			if status := c.Status()[0]; !status.Synced || status.Err == nil || !strings.Contains(status.Err.Error(), "the warehouse is away") {
				t.Errorf("after a minute without the warehouse: %+v", status)
			}
			s.mu.Lock()
			away = false
			s.mu.Unlock()
			time.Sleep(10 * time.Minute)
		})
		if s.count(schema.ChangeObserved, "c1") != 1 || s.count(schema.ChangeCreated, "c1") != 0 {
			t.Errorf("the good records and only those should have arrived: %+v", s.changes)
		}
		if i := slices.IndexFunc(s.changes, func(ch schema.ResourceChange) bool { return ch.UID == "lost" && ch.Change == schema.ChangeDeleted }); i < 0 || s.changes[i].Exact() {
			t.Errorf("a node that was known and is gone: %+v", s.changes)
		}
	})
}

// TestASlowStoreLosesNoRollout: what an earlier collector told is known after two minutes only. The rollout that ended meanwhile is told.
func TestASlowStoreLosesNoRollout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := &sink{}, &sink{}
		watch := func(s *sink, known func(context.Context, string) ([]schema.ResourceChange, error), d *appsv1.Deployment, during time.Duration) {
			clients := fakeClients(answers, d, namespaceAt("shop", d.CreationTimestamp.Time, nil))
			running(t, Config{Clusters: configs("c1"), Sink: s, Connect: func(ClusterConfig) (*Clients, error) { return clients, nil }, Known: known},
				func(*Collector) { time.Sleep(during) })
		}
		d := available()
		watch(first, nil, d, time.Minute)
		began := time.Now()
		known := func(context.Context, string) ([]schema.ResourceChange, error) {
			if time.Since(began) < 2*time.Minute {
				return nil, errors.New("records still wait for the warehouse")
			}
			return newest(first.changes), nil
		}
		watch(second, known, rolled(edited(d, image("example:2")), "2", 1, 1), 4*time.Minute)
		if started, ended := second.count(schema.ChangeRolloutStarted, "c1"), second.count(schema.ChangeRolloutSucceeded, "c1"); started != 1 || ended != 1 {
			t.Errorf("%d rollouts began and %d ended, want one that did both: %+v", started, ended, second.changes)
		}
	})
}

// streaming hides that a played client cannot stream initial objects.
type streaming struct{ Typed }

func TestAStreamThatNeverEndsIsReplacedByAList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clients := fakeClients(answers, available())
		typed := clients.Typed.(played)
		streams := 0
		typed.PrependWatchReactor("deployments", func(action clienttesting.Action) (bool, watch.Interface, error) {
			o := action.(clienttesting.WatchActionImpl).ListOptions
			if o.SendInitialEvents == nil {
				return false, nil, nil
			}
			streams++
			w := watch.NewRaceFreeFake()
			w.Add(available()) // and no bookmark
			return true, w, nil
		})
		clients.Typed = streaming{typed}
		config := configs("c1")
		config[0].Kinds = []string{schema.KindDeployment}
		s := &sink{}
		running(t, Config{Clusters: config, Sink: s, Connect: func(ClusterConfig) (*Clients, error) { return clients, nil }}, func(c *Collector) {
			time.Sleep(50 * time.Second)
			if status := c.Status()[0]; status.Synced || streams != 1 {
				t.Errorf("before the timeout: %+v, %d streams", status, streams)
			}
			time.Sleep(20 * time.Second)
			if status := c.Status()[0]; !status.Synced || status.Kinds[0].Objects != 1 || streams != 1 {
				t.Errorf("after the timeout: %+v, %d streams", status, streams)
			}
		})
	})
}

// lingering are clients of which the first two lists hang; the first one does not end as soon as it is given up.
type lingering struct {
	Typed
	lists atomic.Int32
}

func (l *lingering) list(ctx context.Context, of kubeschema.GroupVersionResource, o metav1.ListOptions, into runtime.Object) error {
	n := l.lists.Add(1)
	if n > 2 {
		return l.Typed.list(ctx, of, o, into)
	}
	<-ctx.Done()
	if n == 1 {
		time.Sleep(2 * time.Second)
	}
	return ctx.Err()
}

// IsWatchListSemanticsUnSupported says that there are only lists.
func (l *lingering) IsWatchListSemanticsUnSupported() bool { return true }

// watchDeployments runs a collector of Deployments on such clients for so long, and returns its status then.
func watchDeployments(t *testing.T, typed Typed, during time.Duration) (status Status) {
	t.Helper()
	clients := fakeClients(answers, available())
	clients.Typed = typed
	config := configs("c1")
	config[0].Kinds = []string{schema.KindDeployment}
	running(t, Config{Clusters: config, Sink: &sink{}, Connect: func(ClusterConfig) (*Clients, error) { return clients, nil }}, func(c *Collector) {
		time.Sleep(during)
		status = c.Status()[0]
	})
	return status
}

func TestAListThatWasGivenUpSaysNothingOfTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		typed := &lingering{Typed: fakeClients(answers, available()).Typed}
		if status := watchDeployments(t, typed, 3*time.Minute); !status.Synced || status.Err != nil || typed.lists.Load() != 3 {
			t.Errorf("after %d lists, of which two hung: %+v", typed.lists.Load(), status)
		}
	})
}

// refusing are lingering clients that refuse the first stream of initial objects, and then have one.
type refusing struct {
	lingering
	streams atomic.Int32
}

func (r *refusing) watch(_ context.Context, _ kubeschema.GroupVersionResource, o metav1.ListOptions) (watch.Interface, error) {
	if o.SendInitialEvents == nil || r.streams.Add(1) == 1 {
		return nil, apierrors.NewServiceUnavailable("no stream")
	}
	w := watch.NewRaceFreeFake()
	go func() {
		time.Sleep(10 * time.Second)
		w.Add(available())
		end := available()
		end.ResourceVersion, end.Annotations = "1001", map[string]string{metav1.InitialEventsAnnotationKey: "true"}
		w.Action(watch.Bookmark, end)
	}()
	return w, nil
}

// IsWatchListSemanticsUnSupported says that there are streams.
func (r *refusing) IsWatchListSemanticsUnSupported() bool { return false }

func TestAListThatWasGivenUpSaysNothingOfAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		typed := &refusing{lingering: lingering{Typed: fakeClients(answers, available()).Typed}}
		if status := watchDeployments(t, typed, 2*time.Minute); !status.Synced || status.Err != nil || status.Kinds[0].Objects != 1 || typed.streams.Load() != 2 || typed.lists.Load() != 1 {
			t.Errorf("with a list that hung and a stream that stands: %+v", status)
		}
	})
}

// A reflector whose stream is given up falls back to a list, even when it has been told to end, and that whenever it gets to it.
func TestAListThatBeginsTooLateChangesNothing(t *testing.T) {
	r := newRig(t, noon).sync(nil)
	f := r.feeds[schema.KindDeployment]
	late := func() {
		t.Helper()
		ended, end := context.WithCancel(t.Context())
		end()
		if _, err := f.list(ended, metav1.ListOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("a list whose context has ended: %v", err)
		}
	}
	f.fail(errHangs)
	f.source.watch = func(context.Context, metav1.ListOptions) (watch.Interface, error) {
		late()
		return watch.NewRaceFreeFake(), nil
	}
	w, err := f.watch(t.Context(), metav1.ListOptions{ResourceVersion: "1001"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	if !f.up || f.err != nil {
		t.Errorf("the watch that began meanwhile stands: %t, %v", f.up, f.err)
	}
	late()
	if !f.up || !f.busySince.IsZero() {
		t.Errorf("the watch that stood before stands: %t, a request waits since %s", f.up, f.busySince)
	}
}
