package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"github.com/bytedance/sonic"

	"github.com/kubevalue/kubevalue/collectors"
)

// Format is how audit events are wrapped in a log file.
type Format string

// The formats. FormatAuto looks at every record; the others leave records of another form out.
const (
	FormatAuto Format = "auto"
	// FormatJSONLines is kube-apiserver's own --audit-log-path: an Event a line.
	FormatJSONLines Format = "json-lines"
	// FormatEKS is what CloudWatch gives: exports to S3, subscriptions by Firehose, and the AWS CLI's filter-log-events.
	FormatEKS Format = "eks"
	// FormatAKS is Azure's diagnostic settings to a storage account or an event hub: the event is text in properties.log.
	FormatAKS Format = "aks"
	// FormatGKE is Cloud Logging: a LogEntry with an AuditLog as protoPayload, which lacks groups, durations and dry runs.
	FormatGKE Format = "gke"
)

// Formats lists the formats.
func Formats() []Format {
	return []Format{FormatAuto, FormatJSONLines, FormatEKS, FormatAKS, FormatGKE}
}

// record is a JSON object of a log file, in any of the formats.
type record struct {
	Kind       string `json:"kind"`
	APIVersion string `json:"apiVersion"`
	wireEvent
	Items sonic.NoCopyRawMessage `json:"items"`

	// CloudWatch: a list of messages, with the log's name around it or in each of them.
	Events      sonic.NoCopyRawMessage `json:"events"`
	LogEvents   sonic.NoCopyRawMessage `json:"logEvents"`
	LogGroup    string                 `json:"logGroup"`
	LogStream   string                 `json:"logStream"`
	MessageType string                 `json:"messageType"`

	// Azure: a list of records, or one of them.
	Records    sonic.NoCopyRawMessage `json:"records"`
	Category   string                 `json:"category"`
	Properties sonic.NoCopyRawMessage `json:"properties"`
	ResourceID string                 `json:"resourceId"`

	gkeEntry
}

// unwrapped is an audit event that came out of a record, with the cluster that the wrapper names.
type unwrapped struct {
	event   *wireEvent
	cluster string
}

// unwrapper takes audit events out of records.
type unwrapper struct {
	format Format
	// each is called for every audit event, leave for every record or part of one that is none.
	each  func(unwrapped) error
	leave func(LeftOut)
}

// takes says whether records of a format are wanted.
func (u *unwrapper) takes(format Format) bool { return u.format == FormatAuto || u.format == format }

// value unwraps the cursor's next value. It fails when the document is no JSON from here on, or when each does.
func (u *unwrapper) value(cursor *collectors.JSONCursor) error {
	if cursor.Peek() == '[' {
		return cursor.Array(func() error { return u.value(cursor) })
	}
	r := new(record)
	err := cursor.Decode(r)
	if errors.Is(err, collectors.ErrJSONType) {
		u.leave(LeftOutMalformed)
		return nil
	}
	if err != nil {
		return err
	}
	return u.record(r)
}

func (u *unwrapper) record(r *record) error {
	switch {
	case r.ProtoPayload != nil && u.takes(FormatGKE):
		return u.gke(&r.gkeEntry)
	case (r.Records != nil || r.Properties != nil) && u.takes(FormatAKS):
		return u.aks(r)
	case (r.Events != nil || r.LogEvents != nil || r.MessageType != "") && u.takes(FormatEKS):
		return u.eks(r)
	case r.Kind == wireKind && r.Items != nil && u.takes(FormatJSONLines):
		return decodeItems(collectors.NewJSONCursor(r.Items), func(w *wireEvent) error { return u.each(unwrapped{event: w}) })
	case r.Kind == "Event" && r.APIVersion == wireAPIVersion && u.takes(FormatJSONLines):
		return u.each(unwrapped{event: &r.wireEvent})
	case u.format == FormatJSONLines:
		u.leave(LeftOutMalformed)
	default:
		u.leave(LeftOutOtherLogEntry)
	}
	return nil
}

// text unwraps an audit event that is text: anything else that a log stream may hold is left out.
func (u *unwrapper) text(text []byte, cluster string) error {
	text = bytes.TrimSpace(text)
	if len(text) == 0 || text[0] != '{' {
		u.leave(LeftOutOtherLogEntry)
		return nil
	}
	var inner struct {
		Kind       string `json:"kind"`
		APIVersion string `json:"apiVersion"`
		wireEvent
	}
	if !fits(text, &inner) {
		u.leave(LeftOutMalformed)
		return nil
	}
	if inner.Kind != "Event" || inner.APIVersion != wireAPIVersion {
		u.leave(LeftOutOtherLogEntry)
		return nil
	}
	return u.each(unwrapped{event: &inner.wireEvent, cluster: cluster})
}

// eks unwraps a list of CloudWatch messages. A cluster's log group has streams of other components as well.
func (u *unwrapper) eks(r *record) error {
	list := r.Events
	if r.LogEvents != nil {
		list = r.LogEvents
	}
	if list == nil || r.MessageType == "CONTROL_MESSAGE" {
		u.leave(LeftOutOtherLogEntry)
		return nil
	}
	cluster := ""
	if parts := strings.Split(r.LogGroup, "/"); len(parts) == 5 && parts[1] == "aws" && parts[2] == "eks" {
		cluster = parts[3]
	}
	cursor := collectors.NewJSONCursor(list)
	return cursor.Array(func() error {
		var entry struct {
			Message   string `json:"message"`
			LogStream string `json:"logStreamName"`
		}
		err := cursor.Decode(&entry)
		if errors.Is(err, collectors.ErrJSONType) {
			u.leave(LeftOutMalformed)
			return nil
		}
		if err != nil {
			return err
		}
		if stream := r.LogStream + entry.LogStream; stream != "" && !strings.Contains(stream, "audit") {
			u.leave(LeftOutOtherLogEntry)
			return nil
		}
		return u.text(collectors.WithSpare([]byte(entry.Message)), cluster)
	})
}

// aks unwraps diagnostic records. The properties and the log in them are objects or text, as the way out of Azure has it.
func (u *unwrapper) aks(r *record) error {
	if r.Records != nil {
		cursor := collectors.NewJSONCursor(r.Records)
		return cursor.Array(func() error { return u.value(cursor) })
	}
	if !strings.HasPrefix(strings.ToLower(r.Category), "kube-audit") {
		u.leave(LeftOutOtherLogEntry)
		return nil
	}
	var properties struct {
		Log sonic.NoCopyRawMessage `json:"log"`
	}
	if !fits(inside(r.Properties), &properties) || len(properties.Log) == 0 {
		u.leave(LeftOutMalformed)
		return nil
	}
	// The resource's path ends with its name, in capitals in some exports: Azure's names have no case.
	parts := strings.Split(strings.ToLower(r.ResourceID), "/")
	return u.text(inside(properties.Log), parts[len(parts)-1])
}

// fits decodes a document; false: it is no JSON, or a member has another type.
func fits(document []byte, v any) bool {
	cursor := collectors.NewJSONCursor(document)
	return cursor.Decode(v) == nil && cursor.End() == nil
}

// inside is the JSON within a JSON string, or the value itself when it is none.
func inside(value []byte) []byte {
	var text string
	if len(value) == 0 || value[0] != '"' || json.Unmarshal(value, &text) != nil {
		return value
	}
	return collectors.WithSpare([]byte(text))
}
