package usage

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/bytedance/sonic"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// PostHogPaths are the paths of PostHog's ingestion, version 0; each is taken with a final slash as well.
func PostHogPaths() []string {
	return []string{"/batch", "/capture", "/e", "/i/v0/e", "/track", "/engage"}
}

const protocolPostHog = "posthog"

// posthogTeamGroup is the group type whose key is the team of the actor.
const posthogTeamGroup = "team"

// posthogEvent is an event of PostHog's ingestion.
type posthogEvent struct {
	Event      string                 `json:"event"`
	UUID       string                 `json:"uuid"`
	DistinctID sonic.NoCopyRawMessage `json:"distinct_id"`
	Timestamp  string                 `json:"timestamp"`
	Offset     float64                `json:"offset"`
	APIKey     string                 `json:"api_key"`
	Token      string                 `json:"token"`
	Properties sonic.NoCopyRawMessage `json:"properties"`
}

// posthogProperties are the properties that say who, and in which group.
type posthogProperties struct {
	DistinctID     sonic.NoCopyRawMessage            `json:"distinct_id"`
	AnonDistinctID sonic.NoCopyRawMessage            `json:"$anon_distinct_id"`
	Alias          sonic.NoCopyRawMessage            `json:"alias"`
	Groups         map[string]sonic.NoCopyRawMessage `json:"$groups"`
	ScreenName     string                            `json:"$screen_name"`
	Pathname       string                            `json:"$pathname"`
	Token          string                            `json:"token"`
}

// PostHog takes the requests of PostHogPaths: one event, a list of them, or {"batch": [...]}, as they are or packed by gzip.
// The project's key is a token that is good for the endpoint "posthog", in the body or in its events. Events that can never
// be stored go to quarantine and are answered by 200: PostHog's clients drop a whole batch for a 4xx. $identify and
// $create_alias merge identities; the key of the group of type "team" is the actor's team, of the event and from its day on.
func (r *Receiver) PostHog() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		if !only(w, hr, http.MethodPost) {
			return
		}
		if err := r.posthog(w, hr); err != nil {
			r.refuse(w, protocolPostHog, err)
			return
		}
		r.bodies.WithLabelValues(protocolPostHog, "ok").Inc()
		collectors.Answer(w, http.StatusOK, struct {
			Status string `json:"status"`
		}{"Ok"})
	})
}

func (r *Receiver) posthog(w http.ResponseWriter, hr *http.Request) error {
	if compression := hr.URL.Query().Get("compression"); strings.HasPrefix(compression, "gzip") && hr.Header.Get("Content-Encoding") == "" {
		hr.Header.Set("Content-Encoding", "gzip")
	}
	var document []byte
	key := ""
	q, err := r.openKeyed(w, hr, "", collectors.EndpointPostHog, func(body []byte) string {
		document = posthogDocument(body, hr.Header.Get("Content-Type"))
		key = posthogKey(document)
		return key
	})
	if err != nil {
		return err
	}
	defer q.release()
	f := r.newForeign(protocolPostHog, q)
	cursor := collectors.NewJSONCursor(document)
	if err := f.posthogBody(cursor, document, key); err != nil {
		return err
	}
	if err := cursor.End(); err != nil {
		return err
	}
	return f.finish(hr.Context())
}

// posthogDocument is the JSON of a body, which the browser's client also sends as the field data of a form, in base64.
func posthogDocument(body []byte, contentType string) []byte {
	if !strings.HasPrefix(contentType, "application/x-www-form-urlencoded") || !bytes.HasPrefix(body, []byte("data=")) {
		return body
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return body
	}
	data := form.Get("data")
	if decoded, err := base64.StdEncoding.DecodeString(data); err == nil {
		return decoded
	}
	return []byte(data)
}

// posthogKey is the key around the events, or that of the first of them.
func posthogKey(document []byte) string {
	for _, name := range []string{"api_key", "token"} {
		if key := member(document, name); key != "" {
			return key
		}
	}
	key, events := "", 0
	cursor := collectors.NewJSONCursor(document)
	_ = posthogWalk(cursor, func(raw []byte) error { // a document that is no JSON has no key
		if events++; events == 1 {
			key = eventKey(raw)
		}
		return nil
	})
	return key
}

// eventKey is the key that an event brings itself.
func eventKey(raw []byte) string {
	var e posthogEvent
	if sonic.ConfigDefault.Unmarshal(raw, &e) != nil {
		return ""
	}
	return e.key()
}

func (e *posthogEvent) key() string {
	var p posthogProperties
	if e.APIKey == "" && e.Token == "" && len(e.Properties) > 0 && sonic.ConfigDefault.Unmarshal(e.Properties, &p) == nil {
		return p.Token
	}
	if e.APIKey != "" {
		return e.APIKey
	}
	return e.Token
}

// posthogWalk calls each for every event of a document.
func posthogWalk(cursor *collectors.JSONCursor, each func(raw []byte) error) error {
	element := func() error {
		raw, err := cursor.Raw()
		if err != nil {
			return err
		}
		return each(raw)
	}
	if cursor.Peek() == '[' {
		return cursor.Array(element)
	}
	if cursor.Peek() != '{' {
		return fmt.Errorf("%w: want an event, a list of events, or an object with batch", errBadRequest)
	}
	batched := false
	raw, err := cursor.Raw()
	if err != nil {
		return err
	}
	inner := collectors.NewJSONCursor(raw)
	err = inner.Object(func(key string) error {
		if key != "batch" || inner.Peek() != '[' {
			_, err := inner.Raw()
			return err
		}
		batched = true
		return inner.Array(func() error {
			raw, err := inner.Raw()
			if err != nil {
				return err
			}
			return each(raw)
		})
	})
	if err != nil || batched {
		return err
	}
	return each(raw)
}

func (f *foreign) posthogBody(cursor *collectors.JSONCursor, document []byte, key string) error {
	sentAt := member(document, "sent_at")
	return posthogWalk(cursor, func(raw []byte) error {
		if err := f.next(); err != nil {
			return err
		}
		var e posthogEvent
		if !isObject(raw, &e) {
			f.malformed(raw, invalid("want an object with PostHog's members and types"))
			return nil
		}
		if own := e.key(); own != "" && own != key {
			f.tally.add(&refusal{resultGrant, "another key than the request's"})
			return nil
		}
		f.posthogEvent(&e, raw, sentAt)
		return nil
	})
}

func (f *foreign) posthogEvent(p *posthogEvent, raw []byte, sentAt string) {
	var who posthogProperties
	if len(p.Properties) > 0 && sonic.ConfigDefault.Unmarshal(p.Properties, &who) != nil {
		f.malformed(raw, invalid("properties: want an object with PostHog's members and types"))
		return
	}
	at, err := foreignTime(p.Timestamp, sentAt, f.q.received)
	if p.Timestamp == "" && p.Offset > 0 {
		at = f.q.received.Add(-time.Duration(p.Offset * float64(time.Millisecond)))
	}
	actor := textOf(p.DistinctID)
	if actor == "" {
		actor = textOf(who.DistinctID)
	}
	e := schema.Event{
		ID: p.UUID, Source: f.q.grant.Source, Time: at, Received: f.q.received, Name: p.Event, Actor: actor,
		Team: textOf(who.Groups[posthogTeamGroup]), Outcome: schema.OutcomeSuccess,
	}
	switch p.Event {
	case "$identify":
		f.alias(schema.Alias{Source: e.Source, From: textOf(who.AnonDistinctID), To: actor, At: at}, raw)
		return
	case "$create_alias", "$merge_dangerously":
		f.alias(schema.Alias{Source: e.Source, From: textOf(who.Alias), To: actor, At: at}, raw)
		return
	case "$set", "$groupidentify", "$feature_flag_called", "":
		if p.Event == "" && !isEngage(raw) {
			f.malformed(raw, invalid("event: missing"))
		} else {
			f.tally.add(nil) // about people, groups and flags: no use of anything
		}
		return
	case "$pageview":
		e.Name, e.Object = EventPageView, who.Pathname
	case "$screen":
		e.Name, e.Object = EventScreenView, who.ScreenName
	}
	if err == nil {
		err = fill(&e, p.Properties, false)
	}
	delete(e.Attributes, "distinct_id")
	delete(e.Attributes, "token")
	if len(e.Attributes) == 0 {
		e.Attributes = nil
	}
	if f.event(e, raw, err) {
		f.member(e, textOf(who.Groups[posthogTeamGroup]))
	}
}

// isEngage says whether a message without an event sets properties of a person, as /engage takes them.
func isEngage(raw []byte) bool {
	var m struct {
		Set     sonic.NoCopyRawMessage `json:"$set"`
		SetOnce sonic.NoCopyRawMessage `json:"$set_once"`
	}
	return sonic.ConfigDefault.Unmarshal(raw, &m) == nil && (m.Set != nil || m.SetOnce != nil)
}
