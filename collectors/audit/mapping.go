package audit

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// The stages that decide: a request has been answered, a session has begun, the apiserver has panicked.
const (
	stageComplete = "ResponseComplete"
	stageStarted  = "ResponseStarted"
	stagePanic    = "Panic"
)

// maxMalformed items are passed over in one list; a list of more is none, and not worth the time.
const maxMalformed = 1000

// maxGroups is how many groups of a user are kept; directories give some users hundreds.
const maxGroups = 100

// mapper turns audit events of one cluster into usage events.
type mapper struct {
	cluster  string
	source   string
	received time.Time
	ignored  []string
}

// Decode decodes an EventList and maps it as the webhook does: the usage events, and how many items were taken and left out.
// The events' strings point into the body, which must not change.
func Decode(cluster string, received time.Time, body []byte) ([]schema.Event, map[LeftOut]int, error) {
	m := mapper{cluster: cluster, received: received}
	return m.list(body, func(*schema.Event) error { return nil })
}

// list maps an EventList and counts what became of its items.
func (m *mapper) list(body []byte, validate collectors.Validate) ([]schema.Event, map[LeftOut]int, error) {
	// Events have 1 to 2.5 KB; a body of the smallest ones grows the list a few times.
	const usualBytes = 1500
	events := make([]schema.Event, 0, len(body)/usualBytes)
	m.source = Source(m.cluster)
	tally := make(map[LeftOut]int)
	err := decodeList(body, func(w *wireEvent) error {
		e, why := m.event(w)
		if why == Taken && validate(&e) != nil {
			why = LeftOutInvalid
		}
		tally[why]++
		if why == Taken {
			events = append(events, e)
		}
		if tally[LeftOutMalformed] > maxMalformed {
			return fmt.Errorf("%w: more than %d items are none", errNotEventList, maxMalformed)
		}
		return nil
	})
	return events, tally, err
}

// event maps one audit event; when the second value is not Taken, the first is empty.
func (m *mapper) event(w *wireEvent) (schema.Event, LeftOut) {
	if w == nil || w.AuditID == "" || w.Verb == "" || w.Stage == "" {
		return schema.Event{}, LeftOutMalformed
	}
	if why := m.leaveOut(w); why != Taken {
		return schema.Event{}, why
	}
	began, err := time.Parse(time.RFC3339Nano, w.RequestReceived)
	if err != nil {
		return schema.Event{}, LeftOutMalformed
	}
	user := actor(w)
	ref := w.ObjectRef
	resource := ref.Resource
	if ref.Subresource != "" {
		resource += "/" + ref.Subresource
	}
	outcome, reason := outcomeOf(w)
	e := schema.Event{
		ID:         w.AuditID + "/" + w.Stage,
		Source:     m.source,
		Time:       began.UTC(),
		Received:   m.received,
		Name:       resource + "." + verbOf(w),
		Actor:      user.name(),
		Groups:     user.Groups[:min(len(user.Groups), maxGroups)],
		Cluster:    m.cluster,
		Namespace:  ref.Namespace,
		Resource:   resource,
		Object:     ref.Name,
		Outcome:    outcome,
		Reason:     reason,
		DurationMS: duration(began, w.StageTime),
		Attributes: attributes(w),
	}
	if e.Namespace == "" && ref.Resource == "namespaces" {
		e.Namespace = ref.Name
	}
	return e, Taken
}

// leaveOut says whether the event is no use of the product. The order decides under which reason it is counted.
func (m *mapper) leaveOut(w *wireEvent) LeftOut {
	ref := w.ObjectRef
	session := ref != nil && isSession(ref)
	switch {
	case !decisiveStage(w.Stage, session):
		return LeftOutStage
	case ref == nil || ref.Resource == "":
		return LeftOutNonResource
	case ref.Subresource == "proxy":
		return LeftOutProxy
	case !session && !isWrite(w.Verb):
		return LeftOutRead
	}
	if why := leaveOutResource(ref); why != Taken {
		return why
	}
	switch {
	case isDryRun(w):
		return LeftOutDryRun
	case ref.Subresource == "token" && slices.Contains(w.User.Groups, "system:nodes"):
		return LeftOutNodeToken
	case m.ignores(actor(w).Username):
		return LeftOutIgnoredUser
	}
	return Taken
}

func leaveOutResource(ref *wireObjectRef) LeftOut {
	switch {
	case ref.Subresource == "status":
		return LeftOutStatus
	case ref.Resource == "events" && (ref.APIGroup == "" || ref.APIGroup == "events.k8s.io"):
		return LeftOutEvent
	case ref.Resource == "leases" && ref.APIGroup == "coordination.k8s.io":
		return LeftOutLease
	case strings.HasSuffix(ref.Resource, "reviews") && (ref.APIGroup == "authorization.k8s.io" || ref.APIGroup == "authentication.k8s.io"):
		return LeftOutReview
	}
	return Taken
}

// isSession finds the subresources that open a session with a container. Over WebSocket the request is a GET, over SPDY a
// POST, and its end may be hours away, so that the start decides (kubernetes#133515).
func isSession(ref *wireObjectRef) bool {
	switch ref.Subresource {
	case "exec", "attach", "portforward":
		return ref.Resource == "pods"
	}
	return false
}

// verbOf is the verb as it should be counted. Server-side apply is a patch even where it creates, and a session may be a get.
func verbOf(w *wireEvent) string {
	created := w.ResponseStatus != nil && w.ResponseStatus.Code == http.StatusCreated
	if isSession(w.ObjectRef) || created && (w.Verb == "patch" || w.Verb == "update") {
		return "create"
	}
	return w.Verb
}

func decisiveStage(stage string, session bool) bool {
	switch stage {
	case stageStarted:
		return session
	case stageComplete:
		return !session
	}
	return stage == stagePanic
}

func isWrite(verb string) bool {
	switch verb {
	case "create", "update", "patch", "delete", "deletecollection":
		return true
	}
	return false
}

// actor is who acted: the impersonated user, since it is on its behalf, or else the authenticated one.
func actor(w *wireEvent) *wireUser {
	if w.ImpersonatedUser != nil && w.ImpersonatedUser.Username != "" {
		return w.ImpersonatedUser
	}
	return &w.User
}

// name is the user's name, or the person that Rancher names behind it.
func (u *wireUser) name() string {
	if len(u.Extra.PrincipalID) > 0 && u.Extra.PrincipalID[0] != "" {
		return u.Extra.PrincipalID[0]
	}
	return u.Username
}

// ignores says whether a user is one of the configured ones: a name, or the beginning of one in front of a final "*".
func (m *mapper) ignores(user string) bool {
	return slices.ContainsFunc(m.ignored, func(pattern string) bool {
		if prefix, isPrefix := strings.CutSuffix(pattern, "*"); isPrefix {
			return strings.HasPrefix(user, prefix)
		}
		return user == pattern
	})
}

// isDryRun finds dryRun in the query, and in the DeleteOptions that kubectl sends instead, if the policy logs them.
func isDryRun(w *wireEvent) bool {
	if _, query, found := strings.Cut(w.RequestURI, "?"); found && strings.Contains(query, "dryRun") {
		if values, err := url.ParseQuery(query); err == nil && values.Get("dryRun") != "" {
			return true
		}
	}
	return (w.Verb == "delete" || w.Verb == "deletecollection") && isDryRunBody(w.RequestObject)
}

// duration is the time from receipt to stage in milliseconds; nil when it is not known.
func duration(began time.Time, stage string) *float64 {
	ended, err := time.Parse(time.RFC3339Nano, stage)
	if err != nil || ended.Before(began) {
		return nil
	}
	ms := float64(ended.Sub(began)) / float64(time.Millisecond)
	return &ms
}
