package usage

import (
	"bytes"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// nativeResult is the answer to events of which at least some could be read.
type nativeResult struct {
	Accepted int          `json:"accepted"`
	Rejected int          `json:"rejected"`
	Errors   []eventFault `json:"errors,omitempty"`
}

// answerResult says what became of the events of a body; when some were refused, that is an error like any other, with them.
func answerResult(w http.ResponseWriter, status int, result nativeResult) {
	if result.Rejected == 0 {
		collectors.Answer(w, status, result)
		return
	}
	rest := "the others are stored"
	if result.Accepted == 0 {
		rest = "nothing is stored"
	}
	collectors.Answer(w, status, struct {
		Status  string `json:"status"`
		Code    string `json:"code"`
		Message string `json:"message"`
		nativeResult
	}{"error", "invalid_record", fmt.Sprintf("%d of %d events are refused, see errors; %s", result.Rejected, result.Rejected+result.Accepted, rest), result})
}

const protocolNative = "native"

// Native is POST /v1/events. The body is one event, an array of them, {"events": [...]}, or one a line (NDJSON), as it is or
// packed by gzip or zstd:
//
//	202  all are on disk
//	400  some are refused: errors has the index and the reason of each, all others are on disk.
//	     Without "errors" the body could not be read, and nothing is stored.
//	401, 403  token missing, unknown, expired or not for this     413  too large     429, 503  come again after Retry-After
func (r *Receiver) Native() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		if !only(w, hr, http.MethodPost) {
			return
		}
		result, err := r.native(w, hr)
		if err != nil {
			r.refuse(w, protocolNative, err)
			return
		}
		status, code := http.StatusAccepted, "ok"
		if result.Rejected > 0 {
			status, code = http.StatusBadRequest, "invalid_record"
		}
		r.bodies.WithLabelValues(protocolNative, code).Inc()
		answerResult(w, status, result)
	})
}

func (r *Receiver) native(w http.ResponseWriter, hr *http.Request) (nativeResult, error) {
	q, err := r.open(w, hr, collectors.BearerToken(hr), collectors.EndpointEvents)
	if err != nil {
		return nativeResult{}, err
	}
	defer q.release()
	reader := &nativeReader{r: r, q: &q, tally: tally{}, room: r.room.Get().(*nativeRoom)}
	if err := reader.read(hr.Header.Get("Content-Type")); err != nil {
		return nativeResult{}, err
	}
	if err := r.store(hr.Context(), q.grant, schema.Batch{Events: reader.room.events}); err != nil {
		return nativeResult{}, err
	}
	r.count(protocolNative, reader.tally)
	result := nativeResult{Accepted: len(reader.room.events), Rejected: len(reader.faults), Errors: reader.faults}
	reader.leave()
	return result, nil
}

// nativeRoom is what the events of a body are read into, for use again.
type nativeRoom struct {
	events []schema.Event
	// attributes are those that were read, by their JSON: few events have others than those before them.
	attributes map[string]map[string]string
}

// largestRoom bounds the events whose room is kept, attributesKept the different attributes that are known at a time.
const (
	largestRoom    = 2 * linesAhead
	attributesKept = 256
)

// leave gives the memory of the events and of the body that their texts lie in back: they belong to nobody once they are stored.
func (n *nativeReader) leave() {
	if cap(n.room.events) <= largestRoom {
		clear(n.room.events)
		clear(n.room.attributes)
		n.room.events = n.room.events[:0]
		n.r.room.Put(n.room)
	}
	collectors.ReuseBody(n.q.body)
	n.room, n.q.body, n.scratch = nil, nil, wireEvent{}
}

// read reads the events of a body, whichever of the forms it has.
func (n *nativeReader) read(contentType string) error {
	cursor := collectors.NewJSONCursor(n.q.body)
	cursor.RefuseUnknown()
	if isNDJSON(contentType) {
		return n.lines(cursor)
	}
	switch cursor.Peek() {
	case 0:
		return fmt.Errorf("%w: the body is empty: want events as JSON", errBadRequest)
	case '[':
		err := cursor.Array(func() error { return n.next(cursor, n.q.body) })
		if err == nil {
			err = cursor.End()
		}
		return err
	case '{':
		return n.object(cursor)
	}
	return fmt.Errorf("%w: want an event, an array of events, or one event a line", errBadRequest)
}

// object reads one event, a wrapped list, or, when another value follows, one event a line.
func (n *nativeReader) object(cursor *collectors.JSONCursor) error {
	first := cursor.Offset()
	if _, err := cursor.Raw(); err != nil || cursor.Peek() != 0 {
		if bytes.IndexByte(n.q.body[first:], '\n') < 0 {
			if err == nil {
				err = cursor.End()
			}
			return err
		}
		return n.lines(cursor)
	}
	wrapped, err := n.wrapped(cursor)
	if err != nil || wrapped {
		return err
	}
	cursor.Reset(n.q.body)
	return n.next(cursor, n.q.body)
}

// wrapped reads {"events": [...]}; false: the object's first member is another one.
func (n *nativeReader) wrapped(cursor *collectors.JSONCursor) (bool, error) {
	cursor.Reset(n.q.body)
	found, members := false, 0
	err := cursor.Object(func(key string) error {
		members++
		if members == 1 && key == "events" && cursor.Peek() == '[' {
			found = true
			return cursor.Array(func() error { return n.next(cursor, n.q.body) })
		}
		if found {
			return fmt.Errorf("%w: want no other member beside events", errBadRequest)
		}
		_, err := cursor.Raw()
		return err
	})
	return found, err
}

// linesAhead bounds the events for which room is made before they are read: a body may hold line ends only.
const linesAhead = 1000

// lines reads one event a line; a line that is no JSON is that line's fault alone.
func (n *nativeReader) lines(cursor *collectors.JSONCursor) error {
	n.room.events = slices.Grow(n.room.events, min(bytes.Count(n.q.body, []byte{'\n'})+1, n.r.cfg.MaxEvents, linesAhead))
	for line := range bytes.Lines(n.q.body) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if err := n.line(cursor, line); err != nil {
			return err
		}
	}
	return nil
}

func isNDJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	return strings.HasSuffix(media, "ndjson") || strings.HasSuffix(media, "jsonl") || strings.HasSuffix(media, "json-lines")
}
