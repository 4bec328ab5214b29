package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/rest"

	"github.com/kubevalue/kubevalue/schema"
)

// What client-go does about errors of its own remembers, over all tests, when it did so last, by clocks that disagree.
func init() { utilruntime.ErrorHandlers = nil }

// apiserver plays an API server that does what no real one can be made to do. It speaks JSON over HTTP, but without a network, so that
// it can be used in a bubble. As an old server it knows no streams of initial objects.
type apiserver struct {
	mu      sync.Mutex
	version int
	objects map[string]map[string]any // by resource, by name
	watches map[chan event]string
	// odd answers a request in place of the server, or says that it does not; nil: never.
	odd func(w http.ResponseWriter, r *http.Request) bool
	// ahead is how far its clock is.
	ahead time.Duration
	// down: nobody listens.
	down bool
	// largest is the number of objects in the largest list so far.
	largest atomic.Int64
}

func newAPIServer() *apiserver {
	return &apiserver{version: 1000, objects: map[string]map[string]any{}, watches: map[chan event]string{}}
}

// clients talk to it.
func (a *apiserver) clients(t *testing.T) *Clients {
	t.Helper()
	clients, err := clientsBy(&rest.Config{Host: "http://played", QPS: -1}, &http.Client{Transport: inProcess{a}})
	if err != nil {
		t.Fatal(err)
	}
	return clients
}

// put writes an object, tells the watches and returns its resourceVersion.
func (a *apiserver) put(resource string, object metav1.Object) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version++
	object.SetResourceVersion(strconv.Itoa(a.version))
	if a.objects[resource] == nil {
		a.objects[resource] = map[string]any{}
	}
	change := "MODIFIED"
	if a.objects[resource][object.GetName()] == nil {
		change = "ADDED"
	}
	a.objects[resource][object.GetName()] = object
	a.tell(resource, event{change, a.version, of(resource, object)})
}

func (a *apiserver) delete(resource string, object metav1.Object) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version++
	object.SetResourceVersion(strconv.Itoa(a.version))
	delete(a.objects[resource], object.GetName())
	a.tell(resource, event{"DELETED", a.version, of(resource, object)})
}

// event is a line of a watch.
type event struct {
	Type    string `json:"type"`
	version int
	Object  map[string]any `json:"object"`
}

// of is an object as a watch says it: with its kind, and as it is now.
func of(resource string, object metav1.Object) map[string]any {
	text, err := json.Marshal(object)
	fields := map[string]any{}
	if err == nil {
		err = json.Unmarshal(text, &fields)
	}
	if err != nil {
		panic(err)
	}
	kind, api := kindOf(resource)
	fields["kind"], fields["apiVersion"] = kind, api
	return fields
}

func kindOf(resource string) (kind, api string) {
	for _, k := range kinds {
		if k.resource == resource && resource != "namespaces" && resource != "replicasets" {
			return k.name, strings.TrimPrefix(k.group+"/v1", "/")
		}
	}
	return "PartialObjectMetadata", "meta.k8s.io/v1"
}

func (a *apiserver) tell(resource string, e event) {
	for events, watched := range a.watches {
		if watched == resource {
			events <- e
		}
	}
}

// restart ends all watches, and what change does happens while nobody looks.
func (a *apiserver) restart(change func()) {
	a.mu.Lock()
	for events := range a.watches {
		close(events)
		delete(a.watches, events)
	}
	a.mu.Unlock()
	change()
}

// be makes it odd from now on, nil: no longer.
func (a *apiserver) be(odd func(w http.ResponseWriter, r *http.Request) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.odd = odd
}

func (a *apiserver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	odd, ahead := a.odd, a.ahead
	a.mu.Unlock()
	w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
	w.Header().Set("Content-Type", "application/json")
	resource := path.Base(r.URL.Path)
	query := r.URL.Query()
	switch {
	case odd != nil && odd(w, r):
	case resource == "version":
		say(w, map[string]string{"gitVersion": "v1.36.3"})
	case resource == "selfsubjectaccessreviews":
		say(w, map[string]any{"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "status": map[string]any{"allowed": true}})
	case query.Get("sendInitialEvents") != "":
		refuse(w, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, "sendInitialEvents is forbidden for watch")
	case query.Get("watch") != "":
		a.watch(w, r, resource)
	default:
		a.list(w, r, resource)
	}
}

func (a *apiserver) list(w http.ResponseWriter, r *http.Request, resource string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if least, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion")); least > a.version {
		refuse(w, http.StatusGatewayTimeout, metav1.StatusReasonTimeout, "Too large resource version", metav1.CauseTypeResourceVersionTooLarge)
		return
	}
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	if r.URL.Query().Get("resourceVersion") == "0" {
		limit = 0 // from the watch cache, which has no pages
	}
	items, after, next := []any{}, r.URL.Query().Get("continue"), ""
	for _, name := range slices.Sorted(maps.Keys(a.objects[resource])) {
		if name <= after {
			continue
		}
		if limit > 0 && len(items) == limit {
			next = items[limit-1].(metav1.Object).GetName()
			break
		}
		items = append(items, a.objects[resource][name])
	}
	a.largest.Store(max(a.largest.Load(), int64(len(items)))) // one at a time, by mu
	list := listOf(resource, a.version, items)
	list["metadata"].(map[string]any)["continue"] = next
	say(w, list)
}

// listOf is a list as the API has it.
func listOf(resource string, version int, items []any) map[string]any {
	kind, api := kindOf(resource)
	return map[string]any{"kind": kind + "List", "apiVersion": api, "metadata": map[string]any{"resourceVersion": strconv.Itoa(version)}, "items": items}
}

// watch says what happens to objects of a resource; what lies behind the version that is asked for is not told, whatever that is.
func (a *apiserver) watch(w http.ResponseWriter, r *http.Request, resource string) {
	events := make(chan event, 1000)
	a.mu.Lock()
	a.watches[events] = resource
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		delete(a.watches, events)
		a.mu.Unlock()
	}()
	from, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	w.WriteHeader(http.StatusOK)
	for {
		select {
		case <-r.Context().Done():
			return
		case e, more := <-events:
			if !more {
				return
			}
			if e.version > from {
				say(w, e)
			}
		}
	}
}

func say(w io.Writer, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		fmt.Fprintf(w, "%v", err)
	}
}

// refuse answers with a failure as the API has it.
func refuse(w http.ResponseWriter, code int, reason metav1.StatusReason, message string, causes ...metav1.CauseType) {
	status := metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Code: int32(code), Reason: reason, Message: message, Details: &metav1.StatusDetails{}}
	for _, cause := range causes {
		status.Details.Causes = append(status.Details.Causes, metav1.StatusCause{Type: cause})
	}
	w.WriteHeader(code)
	say(w, status)
}

// inProcess is a network with one server, in this process.
type inProcess struct{ server *apiserver }

// RoundTrip lets the server answer.
func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	p.server.mu.Lock()
	down := p.server.down
	p.server.mu.Unlock()
	if down {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	body, write := io.Pipe()
	w := &answer{header: http.Header{}, body: write, begun: make(chan struct{})}
	go func() {
		p.server.ServeHTTP(w, r)
		w.WriteHeader(http.StatusOK)
		_ = write.Close()
	}()
	stop := context.AfterFunc(r.Context(), func() { _ = body.CloseWithError(r.Context().Err()) })
	select {
	case <-w.begun:
		return &http.Response{StatusCode: w.code, Header: w.header, Body: readBody{body, stop}, Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1}, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

type readBody struct {
	*io.PipeReader
	stop func() bool
}

// Close ends the answer.
func (b readBody) Close() error {
	b.stop()
	return b.PipeReader.Close()
}

// answer is a response that is being written.
type answer struct {
	header http.Header
	body   *io.PipeWriter
	once   sync.Once
	begun  chan struct{}
	code   int
}

func (w *answer) Header() http.Header { return w.header }

func (w *answer) WriteHeader(code int) {
	w.once.Do(func() {
		w.code = code
		close(w.begun)
	})
}

func (w *answer) Write(text []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(text)
}

// watchingIt is a collector of one cluster that an API server plays.
func watchingIt(t *testing.T, a *apiserver, test func(c *Collector, s *sink)) *sink {
	t.Helper()
	s := &sink{}
	running(t, Config{
		Clusters: configs("c1"), Sink: s, Connect: func(ClusterConfig) (*Clients, error) { return a.clients(t), nil },
	}, func(c *Collector) { test(c, s) })
	return s
}

// twice names what was recorded more than once, and is not meant to be renewed.
func (s *sink) twice() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen, twice := map[string]bool{}, []string{}
	for _, ch := range s.changes {
		id := fmt.Sprint(ch.Cluster, " ", ch.Kind, " ", ch.UID, " ", ch.Change, " ", ch.Key)
		if seen[id] && ch.Change != schema.ChangeObserved {
			twice = append(twice, id)
		}
		seen[id] = true
	}
	return twice
}
