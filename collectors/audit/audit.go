// Package audit turns Kubernetes audit events (audit.k8s.io/v1) into usage events: what people and machines changed in a
// cluster, and how it ended for them. They arrive by the webhook (Handler) or in log files (Import).
//
// What is no use of the product is left out and counted by its reason: reads, dry runs, reviews, leases, events and
// status writes. The actor is the impersonated user if there is one, and the Rancher principal when Rancher names it.
package audit

// LeftOut says why an audit event is not a usage event.
type LeftOut string

// The reasons for leaving an audit event out. They are values of a metric's label and keys of a summary.
const (
	Taken                LeftOut = ""
	LeftOutStage         LeftOut = "stage"        // not the stage that decides: RequestReceived, or either end of a watch
	LeftOutRead          LeftOut = "read"         // get, list, watch and the like
	LeftOutNonResource   LeftOut = "non_resource" // no API object: /healthz, /metrics, /version
	LeftOutDryRun        LeftOut = "dry_run"      // nothing was changed
	LeftOutReview        LeftOut = "review"       // access and token reviews: questions, not changes
	LeftOutLease         LeftOut = "lease"        // heartbeats and leader elections
	LeftOutEvent         LeftOut = "event"        // Kubernetes Event objects: a log
	LeftOutStatus        LeftOut = "status"       // status subresources: controllers and nodes that report
	LeftOutNodeToken     LeftOut = "node_token"   // tokens that a kubelet fetches for its pods
	LeftOutProxy         LeftOut = "proxy"        // traffic through the apiserver to pods, services and nodes
	LeftOutIgnoredUser   LeftOut = "ignored_user" // a configured user, such as kubevalue itself
	LeftOutMalformed     LeftOut = "malformed"    // not an audit event of audit.k8s.io/v1
	LeftOutInvalid       LeftOut = "invalid"      // an audit event that the pipeline cannot store
	LeftOutOtherLogEntry LeftOut = "other_log"    // a log file's entry that is no audit event
)

// sourcePrefix and the cluster's name make schema.Event.Source.
const sourcePrefix = "audit/"

// Source is the namespace of the event ids of a cluster.
func Source(cluster string) string { return sourcePrefix + cluster }
