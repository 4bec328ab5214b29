package audit

import (
	"net/http"
	"strings"

	"github.com/bytedance/sonic"
)

// gkeEntry is what we need of a LogEntry of Cloud Logging.
type gkeEntry struct {
	InsertID  string `json:"insertId"`
	Timestamp string `json:"timestamp"`
	Resource  struct {
		Labels struct {
			ClusterName string `json:"cluster_name"`
		} `json:"labels"`
	} `json:"resource"`
	Labels       wireAnnotations `json:"labels"`
	ProtoPayload *gkeAuditLog    `json:"protoPayload"`
}

// gkeAuditLog is what we need of google.cloud.audit.AuditLog.
type gkeAuditLog struct {
	ServiceName    string `json:"serviceName"`
	MethodName     string `json:"methodName"`
	ResourceName   string `json:"resourceName"`
	Authentication struct {
		PrincipalEmail string `json:"principalEmail"`
	} `json:"authenticationInfo"`
	RequestMetadata struct {
		UserAgent string `json:"callerSuppliedUserAgent"`
	} `json:"requestMetadata"`
	Status struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"status"`
	Request  sonic.NoCopyRawMessage `json:"request"`
	Response sonic.NoCopyRawMessage `json:"response"`
}

// gkeService is the service whose entries are of the Kubernetes API.
const gkeService = "k8s.io"

// gke rebuilds the audit event behind a LogEntry, as far as the entry goes.
func (u *unwrapper) gke(entry *gkeEntry) error {
	payload := entry.ProtoPayload
	if payload.ServiceName != gkeService {
		u.leave(LeftOutOtherLogEntry)
		return nil
	}
	w := &wireEvent{
		AuditID: entry.InsertID, Stage: stageComplete, Verb: payload.MethodName[strings.LastIndexByte(payload.MethodName, '.')+1:],
		User: wireUser{Username: payload.Authentication.PrincipalEmail}, ObjectRef: gkeObject(payload.ResourceName),
		ResponseStatus: payload.status(), RequestObject: payload.Request, RequestReceived: entry.Timestamp, Annotations: entry.Labels,
		UserAgent: payload.RequestMetadata.UserAgent,
	}
	if w.ObjectRef != nil && isSession(w.ObjectRef) {
		w.Stage = stageStarted
	}
	return u.each(unwrapped{event: w, cluster: entry.Resource.Labels.ClusterName})
}

// gkeObject reads GROUP/VERSION/[namespaces/NAMESPACE/]RESOURCE[/NAME[/SUBRESOURCE]], in which "core" is the group without a
// name; nil: it is no object. A namespace is an object as well as a place.
func gkeObject(name string) *wireObjectRef {
	parts := strings.Split(name, "/")
	if len(parts) < 3 {
		return nil
	}
	ref := &wireObjectRef{}
	if parts[0] != "core" {
		ref.APIGroup = parts[0]
	}
	parts = parts[2:]
	isPlace := len(parts) >= 3 && parts[0] == "namespaces" && parts[2] != "status" && parts[2] != "finalize"
	if isPlace {
		ref.Namespace, parts = parts[1], parts[2:]
	}
	ref.Resource = parts[0]
	if len(parts) > 1 {
		ref.Name = parts[1]
	}
	if len(parts) > 2 {
		ref.Subresource = strings.Join(parts[2:], "/")
	}
	return ref
}

// rpcStatus gives the codes of google.rpc.Code the HTTP status that the apiserver had answered with.
var rpcStatus = map[int]int{
	1: 499, 2: http.StatusInternalServerError, 3: http.StatusBadRequest, 4: http.StatusGatewayTimeout, 5: http.StatusNotFound,
	6: http.StatusConflict, 7: http.StatusForbidden, 8: http.StatusTooManyRequests, 9: http.StatusBadRequest, 10: http.StatusConflict,
	11: http.StatusBadRequest, 12: http.StatusNotImplemented, 13: http.StatusInternalServerError, 14: http.StatusServiceUnavailable,
	15: http.StatusInternalServerError, 16: http.StatusUnauthorized,
}

// rpcReasons tells apart what shares an HTTP status.
var rpcReasons = map[int]string{4: "Timeout", 6: "AlreadyExists", 10: "Conflict"}

// status is the answer: the Status object when the response is one, or else what the code tells.
func (p *gkeAuditLog) status() *wireStatus {
	if p.Status.Code == 0 {
		return nil
	}
	var answer struct {
		Kind string `json:"kind"`
		Type string `json:"@type"`
		wireStatus
	}
	isStatus := len(p.Response) > 0 && sonic.ConfigDefault.Unmarshal(p.Response, &answer) == nil &&
		answer.Code >= http.StatusBadRequest && (answer.Kind == "Status" || strings.HasSuffix(answer.Type, ".Status"))
	if isStatus {
		return &answer.wireStatus
	}
	code, known := rpcStatus[p.Status.Code]
	if !known {
		code = p.Status.Code // some entries have the HTTP status itself
	}
	return &wireStatus{Code: code, Reason: rpcReasons[p.Status.Code], Message: p.Status.Message}
}
