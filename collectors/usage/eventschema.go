package usage

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/invopop/jsonschema"
)

// EventSchema is the JSON Schema (draft 2020-12) of what POST /v1/events takes as JSON, indented.
func EventSchema() ([]byte, error) {
	reflector := jsonschema.Reflector{Anonymous: true, DoNotReference: true}
	event := reflector.Reflect(&nativeEvent{})
	event.Version = ""
	event.Title = "Usage event"
	reference := &jsonschema.Schema{Ref: "#/$defs/event"}
	list := &jsonschema.Schema{Type: "array", Items: reference}
	members := jsonschema.NewProperties()
	members.Set("events", list)
	whole := &jsonschema.Schema{
		Version:     jsonschema.Version,
		Title:       "Body of POST /v1/events",
		Description: "One event, an array of events, or an object with the array as its only member. As NDJSON: one event a line.",
		AnyOf: []*jsonschema.Schema{
			reference, list,
			{Type: "object", Properties: members, Required: []string{"events"}, AdditionalProperties: jsonschema.FalseSchema},
		},
		Definitions: jsonschema.Definitions{"event": event},
	}
	text, err := json.MarshalIndent(whole, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("usage events: JSON Schema: %w", err)
	}
	return append(text, '\n'), nil
}

// Schema is GET /v1/events/schema: EventSchema, open to everybody.
func (r *Receiver) Schema() http.Handler {
	text, err := EventSchema()
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		if hr.Method == http.MethodHead {
			hr.Method = http.MethodGet
		}
		if !only(w, hr, http.MethodGet) {
			return
		}
		if err != nil {
			r.refuse(w, protocolNative, err)
			return
		}
		w.Header().Set("Content-Type", "application/schema+json")
		w.Header().Set("Cache-Control", "max-age=3600")
		_, _ = w.Write(text) // the reader has gone: nobody is left to tell
	})
}
