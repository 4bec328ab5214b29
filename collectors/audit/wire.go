package audit

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/bytedance/sonic"

	"github.com/kubevalue/kubevalue/collectors"
)

const (
	wireKind       = "EventList"
	wireAPIVersion = "audit.k8s.io/v1"
)

// errNotEventList means that a document is JSON, but no list of audit events.
var errNotEventList = errors.New(`want an object of kind "EventList", apiVersion "audit.k8s.io/v1", with items`)

// wireEvent is what we need of an audit.k8s.io/v1 Event; all else is passed over without being built.
type wireEvent struct {
	AuditID          string                 `json:"auditID"`
	Stage            string                 `json:"stage"`
	RequestURI       string                 `json:"requestURI"`
	Verb             string                 `json:"verb"`
	User             wireUser               `json:"user"`
	ImpersonatedUser *wireUser              `json:"impersonatedUser"`
	UserAgent        string                 `json:"userAgent"`
	ObjectRef        *wireObjectRef         `json:"objectRef"`
	ResponseStatus   *wireStatus            `json:"responseStatus"`
	RequestObject    sonic.NoCopyRawMessage `json:"requestObject"`
	RequestReceived  string                 `json:"requestReceivedTimestamp"`
	StageTime        string                 `json:"stageTimestamp"`
	Annotations      wireAnnotations        `json:"annotations"`
}

type wireUser struct {
	Username string    `json:"username"`
	Groups   []string  `json:"groups"`
	Extra    wireExtra `json:"extra"`
}

// wireExtra holds what Rancher adds: the person behind the account that it acts with.
type wireExtra struct {
	PrincipalID []string `json:"principalid"`
}

type wireObjectRef struct {
	Resource    string `json:"resource"`
	Namespace   string `json:"namespace"`
	Name        string `json:"name"`
	APIGroup    string `json:"apiGroup"`
	Subresource string `json:"subresource"`
}

type wireStatus struct {
	Code    int    `json:"code"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

type wireAnnotations struct {
	Decision string `json:"authorization.k8s.io/decision"`
	// Deprecated is "true" when the version of the API that was called is; Removed is the release without it, e.g. 1.25, where one is planned.
	Deprecated string `json:"k8s.io/deprecated"`
	Removed    string `json:"k8s.io/removed-release"`
}

// decodeList calls each for every item of an EventList, with a value that is only good during the call; nil stands for an
// item that is no audit event. An error of each ends it.
func decodeList(document []byte, each func(*wireEvent) error) error {
	if !utf8.Valid(document) {
		document = bytes.ToValidUTF8(document, []byte("\ufffd"))
	}
	cursor := collectors.NewJSONCursor(document)
	var kind, version string
	listed := false
	err := cursor.Object(func(key string) error {
		switch key {
		case "kind":
			return cursor.Decode(&kind)
		case "apiVersion":
			return cursor.Decode(&version)
		case "items":
			listed = true
			return decodeItems(cursor, each)
		}
		_, err := cursor.Raw()
		return err
	})
	if err == nil {
		err = cursor.End()
	}
	if err != nil {
		return fmt.Errorf("audit event list: %w", err)
	}
	if kind != wireKind || version != wireAPIVersion || !listed {
		return errNotEventList
	}
	return nil
}

func decodeItems(cursor *collectors.JSONCursor, each func(*wireEvent) error) error {
	item := new(wireEvent)
	return cursor.Array(func() error {
		*item = wireEvent{}
		err := cursor.Decode(item)
		if errors.Is(err, collectors.ErrJSONType) {
			return each(nil)
		}
		if err != nil {
			return err
		}
		return each(item)
	})
}
