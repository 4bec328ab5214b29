package usage

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/bytedance/sonic"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// Bounds of what is kept of the properties of a foreign event. The rest of a property list is passed over, not refused: its
// sender does not write for us.
const (
	maxAttributes     = 50
	maxAttributeKey   = 100
	maxAttributeValue = 500
)

// fill takes over the properties of a foreign event (Segment's and PostHog's properties, a CloudEvent's data). Those with the
// names of kubevalue's own form say what they say there, if they have its type; other scalars are attributes; names with a
// dollar sign are the client's own, and lists and objects are passed over. An actor is only taken from who may name one.
func fill(e *schema.Event, properties []byte, mayNameActor bool) error {
	cursor := collectors.NewJSONCursor(properties)
	if cursor.Peek() != '{' {
		return nil
	}
	return cursor.Object(func(key string) error {
		text, kind, err := scalar(cursor)
		if err != nil || kind == 0 {
			return err
		}
		if kind == '"' && key == "actor" && mayNameActor {
			e.Actor = text
			return nil
		}
		if !fillField(e, key, text, kind) {
			fillAttribute(e, key, text)
		}
		return nil
	})
}

// scalar passes the next value. The kind is '"' for a string, '0' for a number, 't' for a truth value, 0 for all else.
func scalar(cursor *collectors.JSONCursor) (text string, kind byte, err error) {
	switch first := cursor.Peek(); first {
	case '"':
		text, err = cursor.Text()
		return text, '"', err
	case '{', '[', 'n':
		_, err = cursor.Raw()
		return "", 0, err
	default:
		raw, err := cursor.Raw()
		if err != nil {
			return "", 0, err
		}
		if first == 't' || first == 'f' {
			return string(raw), 't', nil
		}
		return string(raw), '0', nil
	}
}

// fillField takes a property with the name and the type of a field; false: it has not.
func fillField(e *schema.Event, key, text string, kind byte) bool {
	if kind == '0' {
		number, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsInf(number, 0) {
			return false
		}
		switch {
		case key == "value":
			e.Value = &number
		case key == "duration_ms" && number >= 0:
			e.DurationMS = &number
		default:
			return false
		}
		return true
	}
	if kind != '"' {
		return false
	}
	switch key {
	case "team":
		e.Team = text
	case "owner_team":
		e.OwnerTeam = text
	case "persona":
		e.Persona = text
	case "cluster":
		e.Cluster = text
	case "namespace":
		e.Namespace = text
	case "resource":
		e.Resource = text
	case "object":
		e.Object = text
	case "reason":
		e.Reason = text
	case "outcome":
		return fillOutcome(e, schema.Outcome(text))
	case "actor_kind":
		return fillKind(e, schema.ActorKind(text))
	default:
		return false
	}
	return true
}

func fillOutcome(e *schema.Event, outcome schema.Outcome) bool {
	switch outcome {
	case schema.OutcomeSuccess, schema.OutcomeFailure, schema.OutcomeDenied:
		e.Outcome = outcome
		return true
	}
	return false
}

func fillKind(e *schema.Event, kind schema.ActorKind) bool {
	switch kind {
	case schema.ActorHuman, schema.ActorMachine, schema.ActorUnknown:
		e.ActorKind = kind
		return true
	}
	return false
}

func fillAttribute(e *schema.Event, key, text string) {
	if key == "" || strings.HasPrefix(key, "$") || len(key) > maxAttributeKey || len(text) > maxAttributeValue || len(e.Attributes) >= maxAttributes {
		return
	}
	if e.Attributes == nil {
		e.Attributes = make(map[string]string)
	}
	e.Attributes[key] = text
}

// isObject decodes a JSON object; false: it is something else, or a member has another type.
func isObject(raw []byte, v any) bool {
	return raw[0] == '{' && sonic.ConfigDefault.Unmarshal(raw, v) == nil
}

// textOf is the text of a JSON string or number; empty: it is neither.
func textOf(raw []byte) string {
	if len(raw) == 0 {
		return ""
	}
	text, kind, err := scalar(collectors.NewJSONCursor(raw))
	if err != nil || kind == 0 || kind == 't' {
		return ""
	}
	return text
}

// foreignTime reads a client's time; without a zone it is UTC. A client that says when it sent the event, by its own clock,
// has its clock's error taken away.
func foreignTime(text, sentAt string, received time.Time) (time.Time, error) {
	if text == "" {
		return received, nil
	}
	at, err := parseTime(text)
	if err != nil {
		return received, invalid("timestamp: want ISO 8601, such as 2026-11-16T09:00:00Z")
	}
	if sent, err := parseTime(sentAt); err == nil {
		at = at.Add(received.Sub(sent))
	}
	return at, nil
}

func parseTime(text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		at, err = time.Parse("2006-01-02T15:04:05.999999999", text)
	}
	return at.UTC(), err
}
