package incident

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/kubevalue/kubevalue/collectors"
)

// What is kept of an alert besides the fields of an incident, in bytes: each of its labels, annotations, other fields, and the other fields of the
// notification; and of one text.
const (
	maxDetails = 3 << 10
	maxText    = 500
)

// consumed are the fields that an incident has already, or that only repeat those of the alerts; groupKey repeats labels within one text.
var consumed = map[string]bool{
	"version": true, "alerts": true, "externalURL": true, "commonLabels": true, "commonAnnotations": true, "status": true, "startsAt": true, "endsAt": true,
	"generatorURL": true, "fingerprint": true, "groupKey": true, "labels": true, "annotations": true,
}

// details are what an alert and its notification say besides, under labels, annotations, alert and notification. What names persons and what
// they wrote does not stay: see kept.
func details(alert, notification map[string]json.RawMessage) (json.RawMessage, error) {
	parts := map[string]json.RawMessage{}
	for _, part := range []struct {
		name   string
		fields map[string]json.RawMessage
		words  bool
	}{
		{"labels", object(alert["labels"]), true}, {"annotations", object(alert["annotations"]), false}, {"alert", alert, false}, {"notification", notification, false},
	} {
		stay := map[string]json.RawMessage{}
		for key, raw := range part.fields {
			if (part.name == "alert" || part.name == "notification") && consumed[key] || !stays(key) {
				continue
			}
			if text, ok := kept(raw, part.words); ok {
				stay[key] = text
			}
		}
		if len(stay) == 0 {
			continue
		}
		var err error
		if parts[part.name], err = collectors.Bounded(stay, maxDetails); err != nil {
			return nil, fmt.Errorf("%s of an alert: %w", part.name, err)
		}
	}
	if len(parts) == 0 {
		return nil, nil
	}
	return json.Marshal(parts)
}

// object is the object that a text is, or nil.
func object(raw json.RawMessage) map[string]json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return nil
	}
	return fields
}

var separators = strings.NewReplacer("_", "", "-", "", ".", "")

// stays tells whether a field may stay by its name: it is a plain text, and not named like one that names a person.
func stays(key string) bool {
	switch separators.Replace(strings.ToLower(key)) {
	case "user", "userid", "username", "email", "mail", "login", "author", "assignee", "assignees", "reporter", "contact", "person", "phone":
		return false
	}
	_, ok := plain(key, false)
	return ok
}

// kept is a value as it stays: without the addresses of persons, and without sentences, unless words may be several. False: nothing stays.
func kept(raw json.RawMessage, words bool) (json.RawMessage, bool) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var value any
	if dec.Decode(&value) != nil {
		return nil, false
	}
	value, ok := plain(value, words)
	if !ok {
		return nil, false
	}
	text, err := json.Marshal(value)
	return text, err == nil
}

func plain(value any, words bool) (any, bool) {
	switch v := value.(type) {
	case string:
		free := strings.ContainsAny(v, " \t\r\n") && !words
		return v, !free && len(v) <= maxText && !strings.Contains(v, "@")
	case []any:
		kept := []any{}
		for _, item := range v {
			if item, ok := plain(item, words); ok {
				kept = append(kept, item)
			}
		}
		return kept, true
	case map[string]any:
		kept := map[string]any{}
		for key, item := range v {
			if item, ok := plain(item, words); ok && stays(key) {
				kept[key] = item
			}
		}
		return kept, true
	}
	return value, value != nil
}
