package kube

import (
	"context"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubevalue/kubevalue/schema"
)

// fakeClients talk to an API server that is only played.
func fakeClients(version func() (string, error), objects ...runtime.Object) *Clients {
	scheme := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		panic(err)
	}
	var full, partial []runtime.Object
	for _, o := range objects {
		if m, ok := o.(*metav1.PartialObjectMetadata); ok {
			partial = append(partial, m)
		} else {
			full = append(full, o)
		}
	}
	return &Clients{
		Typed: played{fake.NewClientset(full...)}, Metadata: metadatafake.NewSimpleMetadataClient(scheme, partial...), Server: "played",
		Version: func(context.Context) (string, error) { return version() },
		Serves:  func(context.Context, kubeschema.GroupResource) (string, error) { return "", nil },
	}
}

// played is a Typed on objects in memory.
type played struct{ *fake.Clientset }

func (p played) list(_ context.Context, of kubeschema.GroupVersionResource, o metav1.ListOptions, into runtime.Object) error {
	kinds, _, err := scheme.ObjectKinds(into)
	if err != nil {
		return err
	}
	kind := kinds[0].GroupVersion().WithKind(strings.TrimSuffix(kinds[0].Kind, "List"))
	list, err := p.Invokes(clienttesting.NewRootListActionWithOptions(of, kind, o), into)
	if err == nil {
		reflect.ValueOf(into).Elem().Set(reflect.ValueOf(list).Elem())
	}
	return err
}

func (p played) watch(_ context.Context, of kubeschema.GroupVersionResource, o metav1.ListOptions) (watch.Interface, error) {
	return p.InvokesWatch(clienttesting.NewRootWatchActionWithOptions(of, o))
}

func (p played) review(ctx context.Context, r *authorizationv1.SelfSubjectAccessReview) (*authorizationv1.SelfSubjectAccessReview, error) {
	return p.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, r, metav1.CreateOptions{})
}

// rig is a cluster without an API server and with a clock that stands still: the test plays both.
type rig struct {
	*cluster
	t       *testing.T
	sink    *sink
	clock   time.Time
	version int
}

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func newRig(t *testing.T, clock time.Time) *rig {
	t.Helper()
	return newRigOf(t, clock, Config{})
}

// newRigOf has what is special of a configuration, e.g. its fields.
func newRigOf(t *testing.T, clock time.Time, cfg Config) *rig {
	t.Helper()
	r := &rig{t: t, clock: clock, version: 100}
	r.sink = &sink{}
	cfg.Sink, cfg.Now, cfg.Owner, cfg.KeepLabels = r.sink, func() time.Time { return r.clock }, teamLabels, []string{"team"}
	cfg = cfg.withDefaults()
	m := newMetrics()
	r.cluster = newCluster(cfg, ClusterConfig{Name: "c1", Region: "eu", Kubeconfig: "none"}, newOutbox(cfg, m), m)
	r.clients = fakeClients(nil)
	r.adopt(nil)
	return r
}

// adopt begins with what was known.
func (r *rig) adopt(known []schema.ResourceChange) {
	r.cluster.adopt(known)
	for _, k := range kinds {
		r.feed(k)
	}
}

// teamLabels says that what is labelled belongs to that team, and else to that of the namespace.
func teamLabels(q schema.OwnerQuestion) (string, schema.OwnerSource) {
	if team := q.Resource.Labels["team"]; team != "" {
		return team, schema.OwnerByLabel
	}
	if q.Parent != nil && q.Parent.Labels["team"] != "" {
		return q.Parent.Labels["team"], schema.OwnerByLabel
	}
	if space := q.Space(q.Resource.Namespace); space != nil && space.Labels["team"] != "" {
		return space.Labels["team"], schema.OwnerByNamespace
	}
	return "", schema.OwnerUnknown
}

func (r *rig) pass(d time.Duration) { r.clock = r.clock.Add(d) }

// live lets time pass in which the cluster gives signs of life, but for the very end.
func (r *rig) live(d time.Duration) {
	for ; d > 0; d -= heartbeat {
		r.alive()
		r.pass(min(d, heartbeat))
	}
}

// sync gives each kind a first list: the objects of that kind.
func (r *rig) sync(objects map[string][]any) *rig {
	r.t.Helper()
	for _, k := range kinds {
		r.list(k.name, objects[k.name]...)
	}
	r.alive()
	return r
}

// list gives a kind a complete list, from which a watch goes on.
func (r *rig) list(kind string, objects ...any) {
	r.t.Helper()
	f := r.feeds[kind]
	if _, err := f.begin(r.t.Context(), false); err != nil {
		r.t.Fatal(err)
	}
	if err := f.Replace(objects, strconv.Itoa(r.version)); err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	f.cameUp(r.now())
	r.mu.Unlock()
}

// alive is a sign of life that is asked for and given now.
func (r *rig) alive() { r.heard(r.now(), "v1.36.3", nil) }

func (r *rig) put(kind string, object metav1.Object) {
	r.t.Helper()
	r.version++
	object.SetResourceVersion(strconv.Itoa(r.version))
	if err := r.feeds[kind].Update(object); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) delete(kind string, object metav1.Object) {
	r.t.Helper()
	r.version++
	object.SetResourceVersion(strconv.Itoa(r.version))
	if err := r.feeds[kind].Delete(object); err != nil {
		r.t.Fatal(err)
	}
}

// handOver gives the sink all that was recorded.
func (r *rig) handOver() {
	r.t.Helper()
	if err := r.out.Drain(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// told takes what was recorded since the last time.
func (r *rig) told() []schema.ResourceChange {
	r.handOver()
	changes := r.sink.changes
	r.sink.changes = nil
	for i := range changes {
		if err := changes[i].Validate(); err != nil {
			r.t.Errorf("a change that cannot be stored: %v: %+v", err, changes[i])
		}
	}
	return changes
}

// lines makes what was recorded comparable: change, key, reason, seconds since noon, and how long it took.
func (r *rig) lines() []string {
	var all []string
	for _, ch := range r.told() {
		line := ch.Kind + "/" + ch.Name + " " + string(ch.Change)
		if ch.Key != "" {
			line += " #" + ch.Key
		}
		if ch.Reason != "" {
			line += " (" + ch.Reason + ")"
		}
		if !ch.Exact() {
			line += " from " + since(ch.From) + " to " + since(ch.Time)
		} else {
			line += " at " + since(ch.Time)
		}
		if ch.DurationMS != nil {
			line += " took " + strconv.FormatFloat(*ch.DurationMS/1000, 'g', -1, 64)
		}
		all = append(all, line)
	}
	return all
}

func since(t time.Time) string { return strconv.FormatFloat(t.Sub(noon).Seconds(), 'g', -1, 64) }

// state is the newest state of everything that is not deleted, as a warehouse would know it.
func newest(changes []schema.ResourceChange) []schema.ResourceChange {
	best := map[string]schema.ResourceChange{}
	var order []string
	for _, ch := range changes {
		was, ok := best[ch.Kind+ch.UID]
		if !ok {
			order = append(order, ch.Kind+ch.UID)
		}
		if !ok || ch.StatePrecedence() > was.StatePrecedence() {
			best[ch.Kind+ch.UID] = ch
		}
	}
	var live []schema.ResourceChange
	for _, id := range order {
		if ch := best[id]; ch.Change != schema.ChangeDeleted {
			ch.Time = ch.StateTime()
			ch.Seen, ch.From, ch.Reason, ch.DurationMS, ch.Value = time.Time{}, time.Time{}, "", nil, nil
			live = append(live, ch)
		}
	}
	return live
}

func metaOf(name string, created time.Time) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: "shop", UID: types.UID("uid-" + name), CreationTimestamp: metav1.NewTime(created), Generation: 1}
}

func namespaceAt(name string, created time.Time, labels map[string]string) *metav1.PartialObjectMetadata {
	m := metaOf(name, created)
	m.Namespace, m.Labels = "", labels
	return &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}, ObjectMeta: m}
}

// web is a Deployment of n pods, of which none is there yet.
func web(created time.Time, n int32) *appsv1.Deployment {
	d := &appsv1.Deployment{ObjectMeta: metaOf("web", created)}
	d.Spec.Replicas = &n
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "main", Image: "example:1"}}
	return d
}

// rolled says that the controller is at a revision, with so many updated and available pods.
func rolled(d *appsv1.Deployment, revision string, updated, available int32) *appsv1.Deployment {
	d = d.DeepCopy()
	d.Annotations = map[string]string{revisionAnnotation: revision}
	d.Status.ObservedGeneration = d.Generation
	d.Status.Replicas, d.Status.UpdatedReplicas, d.Status.AvailableReplicas = max(updated, available), updated, available
	return d
}

func condition(d *appsv1.Deployment, kind appsv1.DeploymentConditionType, status corev1.ConditionStatus, reason string, at time.Time) *appsv1.Deployment {
	d.Status.Conditions = append(d.Status.Conditions, appsv1.DeploymentCondition{
		Type: kind, Status: status, Reason: reason, LastTransitionTime: metav1.NewTime(at), LastUpdateTime: metav1.NewTime(at),
	})
	return d
}

// edited has another image, or whatever edit does.
func edited(d *appsv1.Deployment, edit func(*appsv1.Deployment)) *appsv1.Deployment {
	d = d.DeepCopy()
	d.Generation++
	edit(d)
	return d
}

func image(name string) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = name }
}

// set is the ReplicaSet of a revision of web.
func setOf(revision, history string, created time.Time) *metav1.PartialObjectMetadata {
	m := metaOf("web-"+revision, created)
	if history != "" {
		m.Name = "web-" + history
		m.UID = types.UID("uid-web-" + history)
	}
	m.Annotations = map[string]string{revisionAnnotation: revision}
	if history != "" {
		m.Annotations[revisionHistoryAnnotation] = history
	}
	yes := true
	m.OwnerReferences = []metav1.OwnerReference{{Kind: "Deployment", Name: "web", UID: "uid-web", Controller: &yes}}
	return &metav1.PartialObjectMetadata{ObjectMeta: m}
}

func podOf(name string, ready time.Time, phase corev1.PodPhase) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metaOf(name, noon)}
	p.Status.Phase = phase
	if !ready.IsZero() {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(ready)}}
	}
	return p
}
