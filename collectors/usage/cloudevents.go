package usage

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

const (
	protocolCloudEvents = "cloudevents"
	mediaCloudEvents    = "application/cloudevents"
	mediaCloudBatch     = "application/cloudevents-batch"
	cloudEventsVersion  = "1.0"
)

// AttributeCESource is the source of a CloudEvent: its id is unique within it.
const AttributeCESource = "ce_source"

// cloudEvent is a CloudEvent 1.0, whichever way it came.
type cloudEvent struct {
	// attributes are the context attributes by name: required, optional and extensions.
	attributes map[string]string
	// data is JSON, or empty.
	data []byte
}

// CloudEvents takes CloudEvents 1.0 over HTTP, in binary, structured and batched content mode, and answers the handshake of
// a webhook (OPTIONS). The token is a Bearer one that is good for the endpoint "cloudevents". The type becomes the event's
// name, the subject its object; data, if it is a JSON object, and extension attributes say the rest by kubevalue's names
// (actor, team, cluster ...; authid and authtype of the Auth Context extension as well). The identity is (source, id).
//
//	202  all are on disk        400  malformed: errors has index and reason, all others of a batch are on disk
func (r *Receiver) CloudEvents() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		if hr.Method == http.MethodOptions {
			handshake(w, hr)
			return
		}
		if !only(w, hr, http.MethodPost) {
			return
		}
		result, err := r.cloudEvents(w, hr)
		if err != nil {
			r.refuse(w, protocolCloudEvents, err)
			return
		}
		status, code := http.StatusAccepted, "ok"
		if result.Rejected > 0 {
			status, code = http.StatusBadRequest, "invalid_record"
		}
		r.bodies.WithLabelValues(protocolCloudEvents, code).Inc()
		answerResult(w, status, result)
	})
}

// handshake allows a sender to send (CloudEvents, HTTP Webhook, section 4): tokens bound what it may do, not origins. The
// callback that it may offer is not called, since nobody should be able to make us call addresses.
func handshake(w http.ResponseWriter, hr *http.Request) {
	w.Header().Set("Allow", "POST, OPTIONS")
	if origin := hr.Header.Get("WebHook-Request-Origin"); origin != "" {
		w.Header().Set("WebHook-Allowed-Origin", origin)
		w.Header().Set("WebHook-Allowed-Rate", "*")
	}
	w.WriteHeader(http.StatusOK)
}

func (r *Receiver) cloudEvents(w http.ResponseWriter, hr *http.Request) (nativeResult, error) {
	q, err := r.open(w, hr, collectors.BearerToken(hr), collectors.EndpointCloudEvents)
	if err != nil {
		return nativeResult{}, err
	}
	defer q.release()
	c := &cloudReader{r: r, q: &q, tally: tally{}}
	if err := c.read(hr); err != nil {
		return nativeResult{}, err
	}
	if err := r.store(hr.Context(), q.grant, schema.Batch{Events: c.events}); err != nil {
		return nativeResult{}, err
	}
	r.count(protocolCloudEvents, c.tally)
	return nativeResult{Accepted: len(c.events), Rejected: len(c.faults), Errors: c.faults}, nil
}

// cloudReader reads the events of one request.
type cloudReader struct {
	r      *Receiver
	q      *request
	events []schema.Event
	faults []eventFault
	seen   int
	tally  tally
}

// read tells the content modes apart. The batch's media type begins as the structured one's does, so it is asked for first.
func (c *cloudReader) read(hr *http.Request) error {
	contentType := hr.Header.Get("Content-Type")
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		media = strings.ToLower(contentType)
	}
	cursor := collectors.NewJSONCursor(c.q.body)
	switch {
	case strings.HasPrefix(media, mediaCloudBatch):
		err = wantJSON(media, mediaCloudBatch)
		if err == nil {
			err = cursor.Array(func() error { return c.structured(cursor) })
		}
	case strings.HasPrefix(media, mediaCloudEvents):
		err = wantJSON(media, mediaCloudEvents)
		if err == nil {
			err = c.structured(cursor)
		}
	default:
		return c.binary(hr.Header, media)
	}
	if err == nil {
		err = cursor.End()
	}
	return err
}

// wantJSON refuses other event formats, such as Avro or Protobuf.
func wantJSON(media, mode string) error {
	if media == mode || media == mode+"+json" {
		return nil
	}
	return fmt.Errorf("%w: event format %q: want JSON", errBadRequest, media)
}

// structured takes the cursor's next value as an event in the JSON format.
func (c *cloudReader) structured(cursor *collectors.JSONCursor) error {
	if c.seen >= c.r.cfg.MaxEvents {
		return c.r.errTooMany()
	}
	raw, err := cursor.Raw()
	if err != nil {
		return err
	}
	ce := cloudEvent{attributes: make(map[string]string, 8)}
	inner := collectors.NewJSONCursor(raw)
	if inner.Peek() != '{' {
		c.take(schema.Event{}, invalid("want a JSON object"))
		return nil
	}
	err = inner.Object(func(key string) error {
		if key == "data" {
			data, err := inner.Raw()
			ce.data = data
			return err
		}
		text, _, err := scalar(inner)
		ce.attributes[key] = text
		return err
	})
	if err != nil {
		return err
	}
	c.cloudEvent(ce, len(raw))
	return nil
}

// binary takes the request as one event: attributes in headers, percent-encoded once, and the body as its data.
func (c *cloudReader) binary(header http.Header, media string) error {
	ce := cloudEvent{attributes: make(map[string]string, 8)}
	for name, values := range header {
		attribute, found := strings.CutPrefix(name, "Ce-")
		if !found || len(values) == 0 {
			continue
		}
		attribute = strings.ToLower(attribute)
		ce.attributes[attribute] = headerText(attribute, values[0])
	}
	if len(ce.attributes) == 0 {
		return fmt.Errorf("%w: want a CloudEvent: ce- headers, or the content type %s+json", errBadRequest, mediaCloudEvents)
	}
	if media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json") {
		ce.data = c.q.body
	}
	c.cloudEvent(ce, len(c.q.body))
	return nil
}

// headerText decodes the percent-encoding of an attribute in a header (CloudEvents, HTTP Protocol Binding, 3.1.3.2), once. The
// Go SDK does not encode: a percent sign that is none of an encoding stays, and so do the escapes of a source, which is a URI,
// unless percent signs are encoded in it.
func headerText(attribute, value string) string {
	if attribute == "source" && !strings.Contains(value, "%25") {
		return value
	}
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		if value[i] == '%' && i+2 < len(value) {
			if decoded, err := hex.DecodeString(value[i+1 : i+3]); err == nil {
				b.Write(decoded)
				i += 2
				continue
			}
		}
		b.WriteByte(value[i])
	}
	return strings.ToValidUTF8(b.String(), "\ufffd")
}

func (c *cloudReader) cloudEvent(ce cloudEvent, size int) {
	e, err := ce.event(c.q)
	if err == nil && size > c.r.cfg.EventBytes {
		err = invalid("%d bytes: want at most %d", size, c.r.cfg.EventBytes)
	}
	c.take(e, err)
}

func (c *cloudReader) take(e schema.Event, err error) {
	if err == nil {
		err = c.r.check(c.q.grant, &e)
	}
	c.tally.add(err)
	if err != nil {
		c.faults = append(c.faults, eventFault{Index: c.seen, Reason: err.Error()})
	} else {
		c.events = append(c.events, e)
	}
	c.seen++
}

// event maps a CloudEvent.
func (ce cloudEvent) event(q *request) (schema.Event, error) {
	a := ce.attributes
	for _, name := range []string{"specversion", "id", "source", "type"} {
		if a[name] == "" {
			return schema.Event{}, invalid("%s: missing", name)
		}
	}
	if a["specversion"] != cloudEventsVersion {
		return schema.Event{}, invalid("specversion: want %s", cloudEventsVersion)
	}
	e := schema.Event{
		ID: cloudID(a["source"], a["id"]), Source: q.grant.Source, Time: q.received, Received: q.received,
		Name: a["type"], Object: a["subject"], Outcome: schema.OutcomeSuccess,
	}
	if text := a["time"]; text != "" {
		at, err := parseTime(text)
		if err != nil {
			return e, invalid("time: want RFC 3339")
		}
		e.Time = at
	}
	ce.extensions(&e)
	if err := fill(&e, ce.data, true); err != nil {
		return e, invalid("data: %v", err)
	}
	return e, nil
}

// authKinds are the principal types of the Auth Context extension.
var authKinds = map[string]schema.ActorKind{
	"app_user": schema.ActorHuman, "user": schema.ActorHuman, "service_account": schema.ActorMachine, "system": schema.ActorMachine,
	"api_key": schema.ActorUnknown, "unauthenticated": schema.ActorUnknown,
}

// extensions takes what extension attributes say. Their names are of lower-case letters and digits, so that owner_team is
// ownerteam here.
func (ce cloudEvent) extensions(e *schema.Event) {
	if e.Actor = ce.attributes["actor"]; e.Actor == "" {
		e.Actor = ce.attributes["authid"]
	}
	for name, text := range ce.attributes {
		switch name {
		case "specversion", "id", "type", "subject", "time", "datacontenttype", "dataschema", "data_base64", "authid", "actor":
		case "source":
			fillAttribute(e, AttributeCESource, text)
		case "authtype":
			if kind, known := authKinds[text]; known {
				e.ActorKind = kind
			}
		case "ownerteam":
			e.OwnerTeam = text
		case "durationms":
			fillNumber(e, "duration_ms", text)
		case "value":
			fillNumber(e, name, text)
		default:
			if !fillField(e, name, text, '"') {
				fillAttribute(e, name, text)
			}
		}
	}
}

func fillNumber(e *schema.Event, name, text string) {
	fillField(e, name, text, '0')
}

// cloudID is one text for (source, id): no two pairs share it.
func cloudID(source, id string) string {
	const longest = 200
	text := strconv.Itoa(len(source)) + ":" + source + id
	if len(text) <= longest {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
