// Package auditbench measures how the webhook decodes and maps audit events, beside the plain way: encoding/json into the
// full typed EventList.
package auditbench

import (
	"encoding/json"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"github.com/kubevalue/kubevalue/collectors/audit"
)

// Batch is how many events the apiserver sends at most in one EventList, by default.
const Batch = 400

// Decode decodes and maps an EventList as the webhook does, and says how many usage events came of it.
func Decode(body []byte) (int, error) {
	events, _, err := audit.Decode("bench", time.Unix(1763283600, 0), body)
	return len(events), err
}

// DecodeStdlib decodes an EventList into the typed structure with encoding/json, and says how many events it has.
func DecodeStdlib(body []byte) (int, error) {
	var list auditv1.EventList
	if err := json.Unmarshal(body, &list); err != nil {
		return 0, fmt.Errorf("decode typed EventList: %w", err)
	}
	return len(list.Items), nil
}

// Compare measures both sides in turn on one batch, and gives the bytes per second of the best round of each: what else the
// machine does slows rounds down, and never speeds them up. rounds is at least 1.
func Compare(rounds int) (ours, stdlib float64, err error) {
	body, err := Sample(Batch)
	if err != nil {
		return 0, 0, err
	}
	speed := func(best float64, decode func([]byte) (int, error)) (float64, error) {
		const batches = 20
		began := time.Now()
		for range batches {
			if n, err := decode(body); err != nil || n != Batch {
				return 0, fmt.Errorf("decode sample: %d of %d events: %w", n, Batch, err)
			}
		}
		return max(best, batches*float64(len(body))/time.Since(began).Seconds()), nil
	}
	for range max(rounds, 1) {
		if ours, err = speed(ours, Decode); err != nil {
			return 0, 0, err
		}
		if stdlib, err = speed(stdlib, DecodeStdlib); err != nil {
			return 0, 0, err
		}
	}
	return ours, stdlib, nil
}

// Sample is an EventList of n events as clusters send them: writes of people and controllers, half of them patches with their
// bodies, some refused. All of them become usage events.
func Sample(n int) ([]byte, error) {
	list := auditv1.EventList{TypeMeta: metav1.TypeMeta{Kind: "EventList", APIVersion: "audit.k8s.io/v1"}}
	began := time.Date(2026, 11, 16, 9, 0, 0, 0, time.UTC)
	for i := range n {
		event := sampleEvent(i)
		event.RequestReceivedTimestamp = metav1.NewMicroTime(began.Add(time.Duration(i) * 37 * time.Millisecond))
		event.StageTimestamp = metav1.NewMicroTime(event.RequestReceivedTimestamp.Add(7300 * time.Microsecond))
		list.Items = append(list.Items, event)
	}
	body, err := json.Marshal(list)
	if err != nil {
		return nil, fmt.Errorf("encode sample: %w", err)
	}
	return body, nil
}

const (
	restartPatch = `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"2026-11-16T09:00:00Z"}}}}}`
	imagePatch   = `{"spec":{"template":{"spec":{"$setElementOrder/containers":[{"name":"web"},{"name":"proxy"}],"containers":[` +
		`{"image":"registry.example/shop/web:1.42.7","name":"web","env":[{"name":"LEVEL","value":"info"}]}]}}}}`
)

func sampleEvent(i int) auditv1.Event {
	namespace := fmt.Sprintf("team-%02d-shop", i%40)
	event := auditv1.Event{
		Level:     auditv1.LevelMetadata,
		AuditID:   types.UID(fmt.Sprintf("%08x-3b1f-4c55-9f0e-%012x", i, i*7919)),
		Stage:     auditv1.StageResponseComplete,
		SourceIPs: []string{"10.20.0.14", "10.0.3.7"},
		Annotations: map[string]string{
			"authorization.k8s.io/decision": "allow",
			"authorization.k8s.io/reason":   `RBAC: allowed by RoleBinding "developers/` + namespace + `" of ClusterRole "edit" to Group "developers"`,
		},
		ResponseStatus: &metav1.Status{Code: 200},
	}
	switch i % 4 {
	case 0:
		machine(&event, namespace, i)
	case 1:
		person(&event, namespace, i)
		event.Level = auditv1.LevelRequest
		event.RequestObject = &runtime.Unknown{Raw: []byte(imagePatch), ContentType: runtime.ContentTypeJSON}
	case 2:
		person(&event, namespace, i)
		event.Level = auditv1.LevelRequest
		event.RequestObject = &runtime.Unknown{Raw: []byte(restartPatch), ContentType: runtime.ContentTypeJSON}
	default:
		person(&event, namespace, i)
		event.Verb = "create"
		event.ResponseStatus = &metav1.Status{
			Status: metav1.StatusFailure, Code: 403, Reason: metav1.StatusReasonForbidden,
			Message: `deployments.apps "web" is forbidden: exceeded quota: team, requested: requests.cpu=2, used: requests.cpu=31, limited: requests.cpu=32`,
		}
	}
	return event
}

func machine(event *auditv1.Event, namespace string, i int) {
	event.Verb = "create"
	event.RequestURI = "/api/v1/namespaces/" + namespace + "/pods"
	event.User = authenticationv1.UserInfo{
		Username: "system:serviceaccount:kube-system:replicaset-controller",
		UID:      "5d0b8c1e-62a0-4c0e-8a39-14a2f0f6b9c7",
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"},
		Extra: map[string]authenticationv1.ExtraValue{
			"authentication.kubernetes.io/credential-id": {"JTI=7ee52be0-9045-4653-aa5e-0da57b8dccdc"},
		},
	}
	event.UserAgent = "kube-controller-manager/v1.36.3 (linux/amd64) kubernetes/3f1d2a0/system:serviceaccount:kube-system:replicaset-controller"
	event.ObjectRef = &auditv1.ObjectReference{
		Resource: "pods", Namespace: namespace, Name: fmt.Sprintf("web-5f7d8c9b6-%05d", i), APIVersion: "v1",
	}
	event.ResponseStatus.Code = 201
}

func person(event *auditv1.Event, namespace string, i int) {
	event.Verb = "patch"
	event.RequestURI = "/apis/apps/v1/namespaces/" + namespace + "/deployments/web?fieldManager=kubectl-client-side-apply&fieldValidation=Strict"
	event.User = authenticationv1.UserInfo{
		Username: fmt.Sprintf("oidc:engineer-%03d@example.org", i%600),
		Groups:   []string{"developers", fmt.Sprintf("team-%02d", i%40), "system:authenticated"},
	}
	event.UserAgent = "kubectl/v1.36.1 (darwin/arm64) kubernetes/8b4d2c9"
	event.ObjectRef = &auditv1.ObjectReference{
		Resource: "deployments", Namespace: namespace, Name: "web", UID: "0c6b5a38-4c8c-4d0e-b8a4-3e3a5f6f3f10",
		APIGroup: "apps", APIVersion: "v1", ResourceVersion: fmt.Sprint(100000 + i),
	}
}
