package usage

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"time"
	"unsafe"

	"github.com/bytedance/sonic"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// The deployment event, which a CI job sends once a change is in an environment: Name is EventDeployment, Object or
// Resource say what was deployed, and these attributes say which change. They are the source of change lead time.
const (
	EventDeployment      = "deployment"
	AttributeCommit      = "commit"
	AttributeCommitTime  = "commit_time" // RFC 3339
	AttributeEnvironment = "environment"
)

// nativeEvent is an event in kubevalue's own form. The tags are what GET /v1/events/schema publishes.
type nativeEvent struct {
	ID         string            `json:"id,omitempty" jsonschema:"maxLength=512" jsonschema_description:"The sender's idempotency key: a resend with the same id within 7 days counts once. Without it every send is a new event."`
	Time       string            `json:"time,omitempty" jsonschema:"format=date-time" jsonschema_description:"When it happened (RFC 3339 with an offset); without it: when it was received. A time in the future counts as received."`
	Name       string            `json:"name" jsonschema:"minLength=1,maxLength=200" jsonschema_description:"What happened, such as report.visit. The name deployment is for a change that has reached an environment, with the attributes commit, commit_time (RFC 3339) and environment."`
	Actor      string            `json:"actor,omitempty" jsonschema_description:"Who acted; stored as a pseudonym only."`
	ActorKind  schema.ActorKind  `json:"actor_kind,omitempty" jsonschema:"enum=human,enum=machine,enum=unknown" jsonschema_description:"Whether a person or a machine acted; without it the configured rules decide."`
	Groups     []string          `json:"groups,omitempty" jsonschema_description:"Groups of the actor; they may say which team it acted for."`
	Team       string            `json:"team,omitempty" jsonschema_description:"The team that the actor acted for; it wins over the roster. The token must be good for it."`
	OwnerTeam  string            `json:"owner_team,omitempty" jsonschema_description:"The team whose object it was."`
	Persona    string            `json:"persona,omitempty" jsonschema_description:"The actor's role on the journey map."`
	Cluster    string            `json:"cluster,omitempty"`
	Namespace  string            `json:"namespace,omitempty"`
	Resource   string            `json:"resource,omitempty" jsonschema_description:"What kind of object, plural, with its subresource: pods/exec."`
	Object     string            `json:"object,omitempty" jsonschema_description:"The object's name."`
	Outcome    schema.Outcome    `json:"outcome,omitempty" jsonschema:"enum=success,enum=failure,enum=denied,default=success" jsonschema_description:"How it ended for who tried; denied means refused by policy."`
	Reason     string            `json:"reason,omitempty" jsonschema_description:"Why it did not succeed: a short word, such as quota, rbac, admission, timeout."`
	DurationMS *float64          `json:"duration_ms,omitempty" jsonschema:"minimum=0" jsonschema_description:"How long it took, in milliseconds."`
	Value      *float64          `json:"value,omitempty" jsonschema_description:"A number, whose unit the name fixes."`
	Attributes map[string]string `json:"attributes,omitempty" jsonschema_description:"Further facts. Only the attributes that the service's configuration lists are kept."`
}

// wireEvent is nativeEvent as it is decoded: its attributes are read apart, since most events share theirs with others.
type wireEvent struct {
	nativeEvent
	Attributes sonic.NoCopyRawMessage `json:"attributes"`
}

// event fills an event, and checks what the form itself demands; all else is the pipeline's to judge.
func (n *nativeEvent) event(e *schema.Event, source string, received time.Time) error {
	*e = schema.Event{
		ID: n.ID, Source: source, Time: received, Received: received, Name: n.Name,
		Actor: n.Actor, ActorKind: n.ActorKind, Groups: n.Groups, Team: n.Team, OwnerTeam: n.OwnerTeam, Persona: n.Persona,
		Cluster: n.Cluster, Namespace: n.Namespace, Resource: n.Resource, Object: n.Object,
		Outcome: n.Outcome, Reason: n.Reason, DurationMS: n.DurationMS, Value: n.Value, Attributes: n.Attributes,
	}
	if n.Name == "" {
		return invalid("name: missing")
	}
	if n.Time != "" {
		at, err := time.Parse(time.RFC3339Nano, n.Time)
		if err != nil {
			return invalid("time: want RFC 3339 with an offset, such as 2026-11-16T09:00:00Z")
		}
		e.Time = at.UTC()
	}
	if at, given := n.Attributes[AttributeCommitTime]; given && n.Name == EventDeployment {
		if _, err := time.Parse(time.RFC3339Nano, at); err != nil {
			return invalid("attributes.commit_time: want RFC 3339 with an offset, such as 2026-11-16T09:00:00Z")
		}
	}
	if e.Outcome == "" {
		e.Outcome = schema.OutcomeSuccess
	}
	return nil
}

// nativeReader decodes elements of a body into events.
type nativeReader struct {
	r       *Receiver
	q       *request
	room    *nativeRoom
	faults  []eventFault
	seen    int
	tally   tally
	scratch wireEvent
}

// eventFault is the refusal of one event, by its place among the request's events, from 0.
type eventFault struct {
	Index  int    `json:"index"`
	Reason string `json:"reason"`
}

// next takes the cursor's next value as an event. It fails only when the body as a whole is refused.
func (n *nativeReader) next(cursor *collectors.JSONCursor, document []byte) error {
	if n.seen >= n.r.cfg.MaxEvents {
		return n.r.errTooMany()
	}
	err := n.decode(cursor, document)
	var syntax *collectors.SyntaxError
	if errors.As(err, &syntax) {
		return err
	}
	n.take(err)
	return nil
}

// line takes a line as an event; whatever is wrong with it is its own fault.
func (n *nativeReader) line(cursor *collectors.JSONCursor, line []byte) error {
	if n.seen >= n.r.cfg.MaxEvents {
		return n.r.errTooMany()
	}
	cursor.Reset(line)
	err := n.decode(cursor, line)
	if err == nil {
		err = cursor.End()
	}
	n.take(err)
	return nil
}

// decode decodes the next value into the scratch event.
func (n *nativeReader) decode(cursor *collectors.JSONCursor, document []byte) error {
	cursor.Peek()
	began := cursor.Offset()
	n.scratch = wireEvent{}
	// A large event is not decoded, which costs many times its size.
	if len(document)-began > n.r.cfg.EventBytes {
		raw, err := cursor.Raw()
		if err != nil {
			return err
		}
		if len(raw) > n.r.cfg.EventBytes {
			return invalid("%d bytes: want at most %d", len(raw), n.r.cfg.EventBytes)
		}
		cursor.Seek(began)
	}
	err := cursor.Decode(&n.scratch)
	if err == nil {
		err = n.attributes()
	}
	raw := document[began:cursor.Offset()]
	switch {
	case errors.Is(err, collectors.ErrJSONType):
		return misfit(raw)
	case err == nil && raw[0] != '{': // null fits anything
		return invalid("want a JSON object")
	}
	return err
}

// attributes reads the attributes of the scratch event; equal ones are one map.
func (n *nativeReader) attributes() error {
	raw := n.scratch.Attributes
	if len(raw) == 0 {
		return nil
	}
	if known, ok := n.room.attributes[string(raw)]; ok {
		n.scratch.nativeEvent.Attributes = known
		return nil
	}
	var read map[string]string
	if err := collectors.NewJSONCursor(raw).Decode(&read); err != nil {
		return err
	}
	if len(n.room.attributes) < attributesKept {
		n.room.attributes[unsafe.String(unsafe.SliceData(raw), len(raw))] = read // the body outlives the room's use
	}
	n.scratch.nativeEvent.Attributes = read
	return nil
}

// take keeps the decoded event, or its fault, and goes on to the next index.
func (n *nativeReader) take(err error) {
	if err == nil {
		n.room.events = append(n.room.events, schema.Event{})
		e := &n.room.events[len(n.room.events)-1]
		if err = n.scratch.event(e, n.q.grant.Source, n.q.received); err == nil {
			err = n.r.check(n.q.grant, e)
		}
		if err != nil {
			n.room.events = n.room.events[:len(n.room.events)-1]
		}
	}
	n.tally.add(err)
	if err != nil {
		n.faults = append(n.faults, eventFault{Index: n.seen, Reason: err.Error()})
	}
	n.seen++
}

// misfit finds the member that does not fit, after the quick decoder has only said that one does not.
func misfit(raw []byte) error {
	if first := bytes.TrimLeft(raw, " \t\r\n"); len(first) == 0 || first[0] != '{' {
		return invalid("want a JSON object")
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return invalid("want a JSON object of valid UTF-8, nested less than 10000 deep")
	}
	form := reflect.TypeFor[nativeEvent]()
	known := make(map[string]bool, form.NumField())
	for field := range form.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		known[name] = true
		member, given := members[name]
		if given && json.Unmarshal(member, reflect.New(field.Type).Interface()) != nil {
			return invalid("%s: want %s", name, wanted(field.Type))
		}
	}
	for name := range members {
		if !known[name] {
			return invalid("unknown field%s: see GET /v1/events/schema; further facts belong into attributes", shown(name))
		}
	}
	return invalid("want an event as GET /v1/events/schema says")
}

// shown quotes a key that cannot be a person's name or address.
func shown(key string) string {
	const longest = 40
	for _, c := range key {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '_' {
			return ""
		}
	}
	if len(key) > longest {
		return ""
	}
	return " " + key
}

func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Slice:
		return "a list of strings"
	case reflect.Map:
		return "an object whose values are strings"
	case reflect.Pointer:
		return "a number"
	default:
		return "a string"
	}
}
