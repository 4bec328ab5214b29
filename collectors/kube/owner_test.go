package kube

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubevalue/kubevalue/schema"
)

// TestOwnersThatChangeByThemselvesAreRecordedOnce: neither the object nor its own labels change here.
func TestOwnersThatChangeByThemselvesAreRecordedOnce(t *testing.T) {
	r := newRig(t, noon)
	space := namespaceAt("shop", noon, nil)
	d := web(noon, 1)
	r.sync(map[string][]any{schema.KindNamespace: {space}, schema.KindDeployment: {d}, kindPod: {podOf("web-1", noon, corev1.PodRunning)}})
	r.told()
	opener := ""
	r.cfg.Owner = func(q schema.OwnerQuestion) (string, schema.OwnerSource) {
		if q.Resource.Cluster != "c1" {
			t.Errorf("asked for the owner of a resource of cluster %q", q.Resource.Cluster)
		}
		if q.Resource.Team != "" {
			t.Errorf("asked with the answer: %s", q.Resource.Team)
		}
		if opener == "" {
			return "", schema.OwnerUnknown
		}
		return opener, schema.OwnerByCreator
	}
	passAlive(r, 70*time.Second)
	want(t, r)
	opener = "green"
	passAlive(r, 70*time.Second)
	changes := r.told()
	if len(changes) != 2 {
		t.Fatalf("%d changes, want one of the namespace and one of the Deployment: %+v", len(changes), changes)
	}
	for _, ch := range changes {
		if ch.Change != schema.ChangeUpdated || ch.Reason != "owner" || ch.Team != "green" || ch.TeamSource != string(schema.OwnerByCreator) {
			t.Errorf("%s %s %s by %s because of %q", ch.Kind, ch.Change, ch.Team, ch.TeamSource, ch.Reason)
		}
	}
	passAlive(r, 3*time.Minute)
	want(t, r)
}

// TestANewLabelOfANamespaceReachesWhatIsInIt although nothing of that changes.
func TestANewLabelOfANamespaceReachesWhatIsInIt(t *testing.T) {
	r := newRig(t, noon)
	r.sync(map[string][]any{schema.KindNamespace: {namespaceAt("shop", noon, nil)}, schema.KindDeployment: {web(noon, 1)}, kindPod: {podOf("web-1", noon, corev1.PodRunning)}})
	r.told()
	r.put(schema.KindNamespace, namespaceAt("shop", noon, map[string]string{"team": "red"}))
	r.told()
	passAlive(r, 70*time.Second)
	changes := r.told()
	if len(changes) != 1 || changes[0].Name != "web" || changes[0].Team != "red" || changes[0].TeamSource != string(schema.OwnerByNamespace) {
		t.Errorf("changes %+v, want the Deployment's new owner", changes)
	}
}
