package usage

import (
	"net/http"
	"path"
	"strings"

	"github.com/bytedance/sonic"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// Names of the events that foreign calls become. EventGroup says that the actor belongs to the event's team from then on; it
// is no use of the product, and no analysis should count it as one.
const (
	EventPageView   = "page.view"
	EventScreenView = "screen.view"
	EventGroup      = "actor.group"
)

// SegmentPaths are the paths of Segment's HTTP API.
func SegmentPaths() []string {
	return []string{"/v1/track", "/v1/identify", "/v1/group", "/v1/page", "/v1/screen", "/v1/alias", "/v1/batch"}
}

const protocolSegment = "segment"

// segmentMessage is a call of Segment's HTTP API.
type segmentMessage struct {
	Type        string                 `json:"type"`
	MessageID   string                 `json:"messageId"`
	UserID      sonic.NoCopyRawMessage `json:"userId"`
	AnonymousID sonic.NoCopyRawMessage `json:"anonymousId"`
	PreviousID  sonic.NoCopyRawMessage `json:"previousId"`
	GroupID     sonic.NoCopyRawMessage `json:"groupId"`
	Event       string                 `json:"event"`
	Name        string                 `json:"name"`
	Timestamp   string                 `json:"timestamp"`
	SentAt      string                 `json:"sentAt"`
	Properties  sonic.NoCopyRawMessage `json:"properties"`
	Context     struct {
		GroupID sonic.NoCopyRawMessage `json:"groupId"`
	} `json:"context"`
}

// Segment takes the calls of SegmentPaths. The write key is a token that is good for the endpoint "segment", by Basic
// authentication, in the body, or as Bearer. Events that can never be stored go to quarantine and are answered by 200, since
// Segment's clients repeat all else. Of the calls, identify and alias merge identities, group names the actor's team.
func (r *Receiver) Segment() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		if !only(w, hr, http.MethodPost) {
			return
		}
		if err := r.segment(w, hr); err != nil {
			r.refuse(w, protocolSegment, err)
			return
		}
		r.bodies.WithLabelValues(protocolSegment, "ok").Inc()
		collectors.Answer(w, http.StatusOK, struct {
			Success bool `json:"success"`
		}{true})
	})
}

func (r *Receiver) segment(w http.ResponseWriter, hr *http.Request) error {
	q, err := r.openKeyed(w, hr, segmentKey(hr), collectors.EndpointSegment, func(body []byte) string {
		return member(body, "writeKey")
	})
	if err != nil {
		return err
	}
	defer q.release()
	f := r.newForeign(protocolSegment, q)
	cursor := collectors.NewJSONCursor(q.body)
	call := path.Base(strings.TrimSuffix(hr.URL.Path, "/"))
	if call == "batch" {
		err = f.segmentBatch(cursor)
	} else {
		err = f.segmentCall(cursor, call, member(q.body, "sentAt"))
	}
	if err == nil {
		err = cursor.End()
	}
	if err != nil {
		return err
	}
	return f.finish(hr.Context())
}

// segmentKey is the write key in the headers; empty: it is not there.
func segmentKey(hr *http.Request) string {
	if user, _, basic := hr.BasicAuth(); basic {
		return user
	}
	return collectors.BearerToken(hr)
}

// member is the text of a member of a JSON object; empty: there is none.
func member(body []byte, name string) string {
	found := ""
	cursor := collectors.NewJSONCursor(body)
	_ = cursor.Object(func(key string) error { // a document that is no JSON has no member
		raw, err := cursor.Raw()
		if err == nil && key == name {
			found = textOf(raw)
		}
		return err
	})
	return found
}

func (f *foreign) segmentBatch(cursor *collectors.JSONCursor) error {
	sentAt := member(f.q.body, "sentAt")
	return cursor.Object(func(key string) error {
		if key != "batch" {
			_, err := cursor.Raw()
			return err
		}
		return cursor.Array(func() error { return f.segmentCall(cursor, "", sentAt) })
	})
}

// segmentCall takes one call; in a batch, each says itself what it is.
func (f *foreign) segmentCall(cursor *collectors.JSONCursor, call, sentAt string) error {
	if err := f.next(); err != nil {
		return err
	}
	raw, err := cursor.Raw()
	if err != nil {
		return err
	}
	var m segmentMessage
	if !isObject(raw, &m) {
		f.malformed(raw, invalid("want an object with Segment's members and types"))
		return nil
	}
	if call != "" {
		m.Type = call
	}
	if m.SentAt == "" {
		m.SentAt = sentAt
	}
	f.segmentMessage(&m, raw)
	return nil
}

func (f *foreign) segmentMessage(m *segmentMessage, raw []byte) {
	at, err := foreignTime(m.Timestamp, m.SentAt, f.q.received)
	user, anonymous := textOf(m.UserID), textOf(m.AnonymousID)
	actor := user
	if actor == "" {
		actor = anonymous
	}
	e := schema.Event{
		ID: m.MessageID, Source: f.q.grant.Source, Time: at, Received: f.q.received, Actor: actor,
		Team: textOf(m.Context.GroupID), Outcome: schema.OutcomeSuccess,
	}
	switch m.Type {
	case "track":
		e.Name = m.Event
	case "page":
		e.Name, e.Object = EventPageView, m.Name
	case "screen":
		e.Name, e.Object = EventScreenView, m.Name
	case "group":
		e.Name, e.Team = EventGroup, textOf(m.GroupID)
		f.event(e, raw, err)
		return
	case "identify":
		f.alias(schema.Alias{Source: e.Source, From: anonymous, To: user, At: at}, raw)
		return
	case "alias":
		f.alias(schema.Alias{Source: e.Source, From: textOf(m.PreviousID), To: actor, At: at}, raw)
		return
	default:
		f.malformed(raw, invalid("type: want track, identify, group, page, screen or alias"))
		return
	}
	if err == nil {
		err = fill(&e, m.Properties, false)
	}
	if f.event(e, raw, err) {
		f.member(e, textOf(m.Context.GroupID))
	}
}
