// Package collectors says what a collector is to the rest of kubevalue: where it hands its records over (Sink), what a
// refusal means, and who may send what (Grant, Authenticate). The collectors themselves share nothing but this.
package collectors

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/kubevalue/kubevalue/schema"
)

// The endpoints that a token can be good for. EndpointAgent takes resource changes and slices, EndpointIncidents alerts and incidents,
// EndpointRemoteWrite samples, EndpointExclusions what counts for no budget; EndpointAPI reads.
const (
	EndpointEvents      = "events"
	EndpointAudit       = "audit"
	EndpointSegment     = "segment"
	EndpointPostHog     = "posthog"
	EndpointCloudEvents = "cloudevents"
	EndpointAgent       = "agent"
	EndpointIncidents   = "incidents"
	EndpointRemoteWrite = "remotewrite"
	EndpointExclusions  = "exclusions"
	EndpointAPI         = "api"
)

// Endpoints lists every endpoint that a token can be good for.
func Endpoints() []string {
	return []string{
		EndpointEvents, EndpointAudit, EndpointSegment, EndpointPostHog, EndpointCloudEvents, EndpointAgent, EndpointIncidents, EndpointRemoteWrite,
		EndpointExclusions, EndpointAPI,
	}
}

var (
	// ErrFull means that the spool or its disk is full and nothing of the batch was taken. Answer 503 with Retry-After:
	// the same batch is welcome later.
	ErrFull = errors.New("the spool is full: nothing of the batch was taken, send it again later")
	// ErrUnauthorized means that the token is missing, unknown or expired. Answer 401.
	ErrUnauthorized = errors.New("unknown or expired token: create one with `kubevalue token create`")
	// ErrForbidden means that the token is known but not good for this. Answer 403.
	ErrForbidden = errors.New("the token's grant does not cover this")
	// ErrRateLimited means that the token's rate is used up; errors.As finds a *RateLimitError with the time to wait.
	// Answer 429 with Retry-After.
	ErrRateLimited = errors.New("the token's rate is used up")
)

// Sink takes batches. When Append returns nil, all of the batch is on disk and will be in the warehouse once; after any
// error none of it is. The errors are ErrFull, *BatchError for records that can never be stored, and the context's own.
// The batch still belongs to the caller, who must not change it before Append returns, and may then use its lists for other records and
// the memory of its texts for others: a sink keeps copies.
type Sink interface {
	Append(ctx context.Context, b schema.Batch) error
}

// Validate says why an event can never be stored; nil: it can. It is pure, and the pipeline's own is wired in, so that a
// collector can name index and reason of each refusal before it appends the others.
type Validate func(e *schema.Event) error

// RecordError is the refusal of one record of a batch.
type RecordError struct {
	// Kind is event, slice, alias, incident, change, feedback or consumption, and Index the record's place in that list of the batch, from 0.
	Kind  string
	Index int
	// Err says what is wrong with which field.
	Err error
}

// Error names the record and the fault.
func (e *RecordError) Error() string { return fmt.Sprintf("%s %d: %v", e.Kind, e.Index, e.Err) }

// Unwrap gives the fault itself.
func (e *RecordError) Unwrap() error { return e.Err }

// BatchError lists the records for which a batch was refused as a whole. Answer 400.
type BatchError struct {
	Records []RecordError
}

// Permanent says that another try is in vain.
func (*BatchError) Permanent() bool { return true }

// Error names up to three of the records.
func (e *BatchError) Error() string {
	const shown = 3
	var b strings.Builder
	if len(e.Records) == 1 {
		b.WriteString("1 record refused")
	} else {
		fmt.Fprintf(&b, "%d records refused", len(e.Records))
	}
	for i := range e.Records[:min(shown, len(e.Records))] {
		fmt.Fprintf(&b, "; %v", &e.Records[i])
	}
	if len(e.Records) > shown {
		b.WriteString("; ...")
	}
	return b.String()
}
