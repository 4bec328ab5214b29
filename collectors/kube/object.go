package kube

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/kubevalue/kubevalue/schema"
)

// object is what is kept of an object while it is compared with what was known of it; then it goes.
type object struct {
	uid, namespace, name string
	version              string // resourceVersion
	created, terminating time.Time
	generation           int64
	parentKind           string // of its controller, where that is watched itself
	parent               uid
	labels               map[string]string
	attributes           map[string]string
	release              string // schema.Resource.Version
	ready                bool
	readyAt              time.Time // as the server says; zero: it does not
	workload             *workload
	job                  *jobEnd
	pod                  *pod
	set                  *replicaSet
	service              *service
	backends             *backends
	application          string // the project of an Argo CD Application
	syncs                []syncEnd
}

// GetObjectKind and DeepCopyObject let an object pass for one of the API, in whose lists it travels.
func (o *object) GetObjectKind() kubeschema.ObjectKind { return kubeschema.EmptyObjectKind }

// DeepCopyObject returns a shallow copy: nobody changes what is in an object.
func (o *object) DeepCopyObject() runtime.Object {
	same := *o
	return &same
}

// workload is what a Deployment, StatefulSet or DaemonSet says of its pods.
type workload struct {
	desired, available, updated int64
	// enough is the number of available pods from which on it counts as available.
	enough int64
	// revision names the rollout of its template, empty while its controller has not seen it.
	revision string
	// template and restart are hashes of the pod template without and with the annotation that restarts its pods.
	template, restart string
	// complete: all desired pods are of the template and available, and the controller has seen the newest specification.
	complete   bool
	completeAt time.Time // as the server says; zero: it does not
	failedAt   time.Time // when the deadline for progress passed; zero: it has not
}

type jobEnd struct {
	failed   bool
	reason   string
	at       time.Time
	duration time.Duration
}

type pod struct {
	needs
	active  bool
	ready   bool
	readyAt time.Time
	target  string // the metrics page that it asks to be read; empty: none
}

// service is what a Service is good for: only a load balancer is stored.
type service struct {
	balancer bool
	asks     *asking
}

type replicaSet struct {
	owner    uid
	revision string
	reused   bool // it had another revision before: its template was rolled back to
}

// uid is a UID in 16 bytes: they are UUIDs, but for those of mirror pods, which are hashed.
type uid [16]byte

func shortUID(text string) uid {
	if id, err := uuid.Parse(text); err == nil {
		return uid(id)
	}
	sum := sha256.Sum256([]byte(text))
	return uid(sum[:16])
}

// maxKept bounds the values of labels and annotations that are stored, in bytes.
const maxKept = 250

// keeper knows which labels and annotations are of interest.
type keeper struct{ labels []string }

// base fills in what all objects have.
func (k keeper) base(m metav1.Object) *object {
	o := &object{
		uid: string(m.GetUID()), namespace: m.GetNamespace(), name: m.GetName(), version: m.GetResourceVersion(),
		created: m.GetCreationTimestamp().UTC(), generation: m.GetGeneration(),
	}
	if t := m.GetDeletionTimestamp(); t != nil {
		o.terminating = t.UTC()
		if grace := m.GetDeletionGracePeriodSeconds(); grace != nil {
			o.terminating = o.terminating.Add(-time.Duration(*grace) * time.Second)
		}
	}
	if owner := metav1.GetControllerOfNoCopy(m); owner != nil && owner.Kind == schema.KindCronJob {
		o.parentKind, o.parent = owner.Kind, shortUID(string(owner.UID))
	}
	labels, annotations := m.GetLabels(), m.GetAnnotations()
	for _, key := range k.labels {
		value, ok := labels[key]
		if !ok {
			value, ok = annotations[key]
		}
		if ok {
			o.keep(&o.labels, key, value)
		}
	}
	o.release = bounded(labels["app.kubernetes.io/version"])
	return o
}

func (o *object) keep(m *map[string]string, key, value string) {
	if value == "" {
		return
	}
	if *m == nil {
		*m = map[string]string{}
	}
	(*m)[key] = bounded(value)
}

func (o *object) attribute(key, value string) { o.keep(&o.attributes, key, value) }

// bounded cuts a text that is too long to be stored; what is no text becomes one. The copy keeps the decoded object from
// being held by one of its strings.
func bounded(text string) string {
	if len(text) > maxKept {
		text = text[:maxKept]
	}
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "")
	}
	return strings.Clone(text)
}

// convert makes an object of what a client returned.
type convert func(k keeper, obj any) (*object, error)

// as makes a convert of a function for one type.
func as[T metav1.Object](fill func(o *object, from T)) convert {
	return func(k keeper, obj any) (*object, error) {
		from, ok := obj.(T)
		if !ok {
			return nil, fmt.Errorf("the cluster sent a %T, want a %T", obj, from)
		}
		o := k.base(from)
		if o.uid == "" || o.name == "" {
			return nil, fmt.Errorf("the cluster sent a %T without UID or name (%q, %q)", obj, o.uid, o.name)
		}
		fill(o, from)
		return o, nil
	}
}

func fromNamespace(*object, *metav1.PartialObjectMetadata) {}

// Annotations of Deployments and their ReplicaSets.
const (
	revisionAnnotation        = "deployment.kubernetes.io/revision"
	revisionHistoryAnnotation = "deployment.kubernetes.io/revision-history"
)

func fromReplicaSet(o *object, m *metav1.PartialObjectMetadata) {
	o.set = &replicaSet{revision: bounded(m.Annotations[revisionAnnotation]), reused: m.Annotations[revisionHistoryAnnotation] != ""}
	if owner := metav1.GetControllerOf(m); owner != nil && owner.Kind == schema.KindDeployment {
		o.set.owner = shortUID(string(owner.UID))
	}
}

func fromNode(o *object, n *corev1.Node) {
	o.release = bounded(n.Status.NodeInfo.KubeletVersion)
	o.attribute("region", n.Labels[corev1.LabelTopologyRegion])
	o.attribute("zone", n.Labels[corev1.LabelTopologyZone])
	o.attribute("instance_type", n.Labels[corev1.LabelInstanceTypeStable])
	o.attribute("arch", n.Status.NodeInfo.Architecture)
	provider, _, _ := strings.Cut(n.Spec.ProviderID, "://")
	o.attribute("provider", provider)
	if cpu := n.Status.Allocatable.Cpu(); !cpu.IsZero() {
		o.attribute("allocatable_cores", strconv.FormatFloat(cpu.AsApproximateFloat64(), 'g', -1, 64))
	}
	if memory := n.Status.Allocatable.Memory(); !memory.IsZero() {
		o.attribute("allocatable_bytes", strconv.FormatInt(memory.Value(), 10))
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
			o.ready, o.readyAt = true, c.LastTransitionTime.UTC()
		}
	}
}

func fromPod(o *object, p *corev1.Pod) {
	o.pod = &pod{active: p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed, target: targetURL(p), needs: needsOf(p)}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			o.pod.ready, o.pod.readyAt = true, c.LastTransitionTime.UTC()
		}
	}
}

func fromClaim(o *object, c *corev1.PersistentVolumeClaim) {
	if c.Spec.StorageClassName != nil {
		o.attribute("storage_class", *c.Spec.StorageClassName)
	}
	if size := c.Spec.Resources.Requests.Storage(); !size.IsZero() {
		o.attribute("storage_bytes", strconv.FormatInt(size.Value(), 10))
	}
	o.attribute("phase", string(c.Status.Phase))
	o.ready = c.Status.Phase == corev1.ClaimBound
}

// maxHard bounds the limits of a quota that are stored.
const maxHard = 50

func fromQuota(o *object, q *corev1.ResourceQuota) {
	for name, limit := range q.Spec.Hard {
		if len(o.attributes) < maxHard {
			o.attribute("hard."+bounded(string(name)), limit.String())
		}
	}
}

func fromJob(o *object, j *batchv1.Job) {
	if owner := metav1.GetControllerOf(j); owner != nil {
		o.attribute("owner", owner.Kind+"/"+owner.Name)
	}
	for _, c := range j.Status.Conditions {
		if c.Status != corev1.ConditionTrue || c.Type != batchv1.JobComplete && c.Type != batchv1.JobFailed {
			continue
		}
		end := &jobEnd{failed: c.Type == batchv1.JobFailed, reason: bounded(c.Reason), at: c.LastTransitionTime.UTC()}
		if j.Status.CompletionTime != nil && !end.failed {
			end.at = j.Status.CompletionTime.UTC()
		}
		if j.Status.StartTime != nil {
			end.duration = max(0, end.at.Sub(j.Status.StartTime.Time))
		}
		o.job = end
	}
}

func fromDeployment(o *object, d *appsv1.Deployment) {
	w := &workload{
		desired: replicas(d.Spec.Replicas), available: int64(d.Status.AvailableReplicas), updated: int64(d.Status.UpdatedReplicas),
		revision: bounded(d.Annotations[revisionAnnotation]),
	}
	var tolerated int64
	if u := d.Spec.Strategy.RollingUpdate; d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType {
		surge, unavailable := intstr.FromString("25%"), intstr.FromString("25%")
		if u != nil && u.MaxSurge != nil {
			surge = *u.MaxSurge
		}
		if u != nil && u.MaxUnavailable != nil {
			unavailable = *u.MaxUnavailable
		}
		tolerated = share(unavailable, w.desired, false)
		if tolerated == 0 && share(surge, w.desired, true) == 0 {
			tolerated = 1 // as the controller does, which could not move otherwise
		}
	}
	w.enough = max(1, w.desired-tolerated)
	seen := d.Status.ObservedGeneration >= d.Generation
	w.complete = seen && w.updated == w.desired && int64(d.Status.Replicas) == w.updated && w.available == w.updated
	for _, c := range d.Status.Conditions {
		switch {
		case c.Type == appsv1.DeploymentAvailable && c.Status == corev1.ConditionTrue && w.desired > tolerated: // else it is true without any pod
			o.readyAt = c.LastTransitionTime.UTC()
		case c.Type == appsv1.DeploymentProgressing && c.Reason == "NewReplicaSetAvailable" && w.complete:
			w.completeAt = c.LastUpdateTime.UTC()
		case c.Type == appsv1.DeploymentProgressing && c.Reason == "ProgressDeadlineExceeded" && seen:
			w.failedAt = c.LastTransitionTime.UTC()
		}
	}
	o.finishWorkload(w, &d.Spec.Template, nil)
}

func fromStatefulSet(o *object, s *appsv1.StatefulSet) {
	w := &workload{
		desired: replicas(s.Spec.Replicas), available: int64(s.Status.AvailableReplicas), updated: int64(s.Status.UpdatedReplicas),
		revision: bounded(s.Status.UpdateRevision),
	}
	var tolerated, old int64
	if s.Spec.UpdateStrategy.Type != appsv1.OnDeleteStatefulSetStrategyType {
		tolerated = 1
		if u := s.Spec.UpdateStrategy.RollingUpdate; u != nil {
			if u.MaxUnavailable != nil {
				tolerated = max(1, share(*u.MaxUnavailable, w.desired, true))
			}
			if u.Partition != nil {
				old = min(int64(*u.Partition), w.desired) // pods that are meant to keep the old template
			}
		}
	}
	w.enough = max(1, w.desired-tolerated)
	seen := s.Status.ObservedGeneration >= s.Generation
	if !seen {
		w.revision = ""
	}
	w.complete = seen && w.updated >= w.desired-old && int64(s.Status.Replicas) == w.desired && w.available >= w.desired
	var of ties
	for i := range s.Spec.VolumeClaimTemplates {
		of.storageClass(text(s.Spec.VolumeClaimTemplates[i].Spec.StorageClassName))
	}
	o.finishWorkload(w, &s.Spec.Template, of)
}

func fromDaemonSet(o *object, d *appsv1.DaemonSet) {
	w := &workload{
		desired: int64(d.Status.DesiredNumberScheduled), available: int64(d.Status.NumberAvailable), updated: int64(d.Status.UpdatedNumberScheduled),
		revision: bounded(d.Annotations[appsv1.DeprecatedTemplateGeneration]),
	}
	var tolerated int64
	if d.Spec.UpdateStrategy.Type != appsv1.OnDeleteDaemonSetStrategyType {
		tolerated = 1
		if u := d.Spec.UpdateStrategy.RollingUpdate; u != nil && u.MaxUnavailable != nil {
			tolerated = share(*u.MaxUnavailable, w.desired, true)
		}
	}
	w.enough = max(1, w.desired-tolerated)
	w.complete = d.Status.ObservedGeneration >= d.Generation && w.updated >= w.desired && w.available >= w.desired
	o.finishWorkload(w, &d.Spec.Template, nil)
}

func (o *object) finishWorkload(w *workload, template *corev1.PodTemplateSpec, of ties) {
	w.template, w.restart = hashTemplate(template)
	o.workload = w
	o.ready = w.desired > 0 && w.available >= w.enough
	if pinned(&template.Spec) {
		o.attribute("images", "pinned")
	}
	of.template(template)
	o.portable(of)
}

// pinned tells whether a pod runs only images that are named by their digest: always the same ones.
func pinned(s *corev1.PodSpec) bool {
	for _, list := range [][]corev1.Container{s.InitContainers, s.Containers} {
		for i := range list {
			if !strings.Contains(list[i].Image, "@sha256:") {
				return false
			}
		}
	}
	return true
}

func replicas(n *int32) int64 {
	if n == nil {
		return 1
	}
	return int64(*n)
}

// share is a number, or a share of all, rounded up or down.
func share(v intstr.IntOrString, all int64, up bool) int64 {
	n, err := intstr.GetScaledValueFromIntOrPercent(&v, int(all), up)
	if err != nil {
		return 0
	}
	return int64(n)
}

// restartAnnotations are those that tools change when they only want new pods.
var restartAnnotations = []string{"kubectl.kubernetes.io/restartedAt", "cattle.io/timestamp", "rollme"}

// hashTemplate returns hashes of a pod template without and with what only restarts its pods.
func hashTemplate(t *corev1.PodTemplateSpec) (template, restart string) {
	bare := *t
	var restarts []string
	for _, key := range restartAnnotations {
		if value, ok := t.Annotations[key]; ok {
			if len(restarts) == 0 {
				bare.Annotations = maps.Clone(t.Annotations)
			}
			delete(bare.Annotations, key)
			restarts = append(restarts, key, value)
		}
	}
	if len(bare.Annotations) == 0 {
		bare.Annotations = nil
	}
	text, err := bare.Marshal()
	if err != nil {
		return "", "" // a decoded template can be encoded; without a hash a rollout counts as one of a new template
	}
	sum := sha256.Sum256(text)
	template = hex.EncodeToString(sum[:6])
	if len(restarts) > 0 {
		sum = sha256.Sum256([]byte(strings.Join(restarts, "\x00")))
		restart = hex.EncodeToString(sum[:6])
	}
	return template, restart
}
