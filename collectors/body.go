package collectors

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Refusals of a request body; HTTPStatus says how each is answered.
var (
	// ErrBodyTooLarge means that the body is over a limit, before or after decompression. Answer 413.
	ErrBodyTooLarge = errors.New("the body is too large: send smaller batches")
	// ErrBodyEncoding means that the Content-Encoding is none of identity, gzip and zstd. Answer 415.
	ErrBodyEncoding = errors.New("unsupported Content-Encoding")
	// ErrBodyCorrupt means that the body ended early or is not what its Content-Encoding says. Answer 400.
	ErrBodyCorrupt = errors.New("the body is cut short or does not match its Content-Encoding")
	// ErrBodySlow means that the body did not arrive in time. Answer 408.
	ErrBodySlow = errors.New("the body did not arrive in time")
	// ErrBusy means that the bodies of other requests fill the memory set aside for them. Answer 503 with Retry-After.
	ErrBusy = errors.New("too many bodies are being received: send again later")
)

// zstdWindow bounds the memory of one zstd decoder, in bytes; the zstd tool's levels up to 19 stay within it.
const zstdWindow = 8 << 20

// BodyLimits bound what one request body may cost. All are above 0.
type BodyLimits struct {
	// Wire and Decoded bound the bytes before and after decompression.
	Wire, Decoded int64
	// Timeout bounds the time for reading the body.
	Timeout time.Duration
}

// BodyMemory bounds the bytes of all bodies that are held at one time; the zero value of a pointer to it holds nothing back.
type BodyMemory struct {
	limit int64
	held  atomic.Int64
}

// NewBodyMemory makes a BodyMemory of limit bytes, which should be several times BodyLimits.Decoded.
func NewBodyMemory(limit int64) *BodyMemory { return &BodyMemory{limit: limit} }

// Held is the number of bytes held now.
func (m *BodyMemory) Held() int64 {
	if m == nil {
		return 0
	}
	return m.held.Load()
}

func (m *BodyMemory) take(n int64) bool {
	if m == nil {
		return true
	}
	if m.held.Add(n) > m.limit {
		m.held.Add(-n)
		return false
	}
	return true
}

func (m *BodyMemory) give(n int64) {
	if m != nil {
		m.held.Add(-n)
	}
}

// ReadBody reads and decompresses the body of a request within the limits. The caller calls release once it is done with
// the body, which is not reused afterwards, since strings may point into it, unless it is given to ReuseBody. On an error there is
// nothing to release; the errors are ErrBodyTooLarge, ErrBodyEncoding, ErrBodyCorrupt, ErrBodySlow and ErrBusy.
func ReadBody(w http.ResponseWriter, r *http.Request, limits BodyLimits, memory *BodyMemory) (body []byte, release func(), err error) {
	if r.ContentLength > limits.Wire {
		return nil, nil, fmt.Errorf("%w: %d bytes, at most %d", ErrBodyTooLarge, r.ContentLength, limits.Wire)
	}
	control := http.NewResponseController(w)
	// A writer without deadlines (a recorder in a test, a wrapped one) leaves the server's own in force. The server takes the
	// deadline away at the end of the body; after an error it stays on, for what the server still reads before it answers.
	_ = control.SetReadDeadline(time.Now().Add(limits.Timeout))
	raw := io.Reader(http.MaxBytesReader(w, r.Body, limits.Wire))
	decoded, done, err := decompress(raw, r.Header.Get("Content-Encoding"))
	if err != nil {
		return nil, nil, bodyError(err, limits)
	}
	defer done()
	sized := int64(0)
	if decoded == raw {
		sized = r.ContentLength
	}
	held := int64(0)
	grow := func(to int64) bool {
		if !memory.take(to - held) {
			return false
		}
		held = to
		return true
	}
	body, err = readAll(decoded, sized, limits.Decoded, grow)
	if err != nil {
		memory.give(held)
		return nil, nil, bodyError(err, limits)
	}
	var once sync.Once
	return body, func() { once.Do(func() { memory.give(held) }) }, nil
}

// BodySpare is how many zero bytes lie in memory behind a body: the decoder of JSON looks at some bytes behind a literal that is cut off,
// and what lies there must be readable, and no other body.
const BodySpare = 16

// WithSpare puts BodySpare zero bytes behind a document that is no body, in its own memory where that has room.
func WithSpare(document []byte) []byte {
	return append(document, make([]byte, BodySpare)...)[:len(document)]
}

// largestReused bounds, in bytes, the memory of a body that is kept for the next one.
const largestReused = 1 << 20

// bodyStep is what the sizes of bodies in memory are multiples of, so that those of one sender fit into each other's.
const bodyStep = 16 << 10

// spareBodies holds the memory of bodies that are done with.
var spareBodies sync.Pool

// ReuseBody gives the memory of a body that was read to a later one. Nothing may point into it any more.
func ReuseBody(body []byte) {
	if cap(body) > largestReused {
		return
	}
	spareBodies.Put(&body)
}

// roomFor makes an empty buffer for at least room bytes and BodySpare more, in the memory of an earlier body when that fits. grow
// reserves what it takes; false: there is no memory left.
func roomFor(room int64, grow func(to int64) bool) ([]byte, bool) {
	const roomy = 4 // times what is needed is not too much
	room += -room & (bodyStep - 1)
	if spare, ok := spareBodies.Get().(*[]byte); ok {
		has := int64(cap(*spare)) - BodySpare
		if room <= has && has <= roomy*room && grow(has) {
			return (*spare)[:0], true
		}
		if has > room {
			spareBodies.Put(spare)
		}
	}
	if !grow(room) {
		return nil, false
	}
	return make([]byte, 0, room+BodySpare), true
}

// readAll reads up to limit bytes; sized is the announced length, 0 or less when it is not known. grow reserves memory.
func readAll(r io.Reader, sized, limit int64, grow func(to int64) bool) ([]byte, error) {
	const first = 16 << 10
	room := int64(first)
	if sized > 0 && sized <= limit {
		room = sized + 1 // one more, so that the end is seen without growing
	}
	buf, ok := roomFor(room, grow)
	if !ok {
		return nil, ErrBusy
	}
	for {
		n, err := r.Read(buf[len(buf) : cap(buf)-BodySpare])
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > limit {
			return nil, ErrBodyTooLarge
		}
		if errors.Is(err, io.EOF) {
			clear(buf[len(buf) : len(buf)+BodySpare]) // an earlier body may have been there
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
		if len(buf) < cap(buf)-BodySpare {
			continue
		}
		room = min(2*int64(len(buf)), limit+1)
		larger, ok := roomFor(room, grow)
		if !ok {
			return nil, ErrBusy
		}
		larger = append(larger, buf...)
		ReuseBody(buf)
		buf = larger
	}
}

// bodyError turns what a reader said into one of the refusals, without anything of the body in it.
func bodyError(err error, limits BodyLimits) error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return fmt.Errorf("%w: at most %d bytes", ErrBodyTooLarge, limits.Wire)
	case errors.Is(err, ErrBodyTooLarge):
		return fmt.Errorf("%w: at most %d bytes after decompression", ErrBodyTooLarge, limits.Decoded)
	case errors.Is(err, ErrBodyEncoding), errors.Is(err, ErrBusy):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: %s", ErrBodySlow, limits.Timeout)
	default:
		return fmt.Errorf("%w: %w", ErrBodyCorrupt, err)
	}
}

var (
	gzipReaders sync.Pool
	zstdReaders sync.Pool
)

// decompress gives a reader of what is inside, and a function that hands the decoder back.
func decompress(raw io.Reader, encoding string) (io.Reader, func(), error) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return raw, func() {}, nil
	case "gzip", "x-gzip":
		return gunzip(raw)
	case "zstd":
		return unzstd(raw)
	}
	return nil, nil, fmt.Errorf("%w: send identity, gzip or zstd", ErrBodyEncoding)
}

func gunzip(raw io.Reader) (io.Reader, func(), error) {
	reader, ok := gzipReaders.Get().(*gzip.Reader)
	if !ok {
		reader = new(gzip.Reader)
	}
	if err := reader.Reset(raw); err != nil {
		return nil, nil, err
	}
	return reader, func() { gzipReaders.Put(reader) }, nil
}

func unzstd(raw io.Reader) (io.Reader, func(), error) {
	reader, ok := zstdReaders.Get().(*zstd.Decoder)
	if !ok {
		var err error
		reader, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			return nil, nil, err
		}
	}
	if err := reader.Reset(raw); err != nil {
		return nil, nil, err
	}
	return reader, func() {
		if reader.Reset(nil) == nil { // lets go of the request
			zstdReaders.Put(reader)
		}
	}, nil
}

// BearerToken is the token of an Authorization header of the scheme Bearer; empty: there is none.
func BearerToken(r *http.Request) string {
	scheme, token, found := strings.Cut(r.Header.Get("Authorization"), " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// codeUnavailable is the word for errors that senders are told no more about.
const codeUnavailable = "unavailable"

// HTTPStatus says how a refusal is answered: the status, and a word for machines. Errors that are not known are a 503
// "unavailable", since nothing was stored and the sender should come again.
func HTTPStatus(err error) (status int, code string) {
	var batch *BatchError
	switch {
	case errors.Is(err, ErrUnauthorized):
		return http.StatusUnauthorized, "unauthorized"
	case errors.Is(err, ErrForbidden):
		return http.StatusForbidden, "forbidden"
	case errors.Is(err, ErrRateLimited):
		return http.StatusTooManyRequests, "rate_limited"
	case errors.Is(err, ErrFull):
		return http.StatusServiceUnavailable, "full"
	case errors.Is(err, ErrBusy):
		return http.StatusServiceUnavailable, "busy"
	case errors.Is(err, ErrBodyTooLarge):
		return http.StatusRequestEntityTooLarge, "too_large"
	case errors.Is(err, ErrBodyEncoding):
		return http.StatusUnsupportedMediaType, "unsupported_encoding"
	case errors.Is(err, ErrBodyCorrupt):
		return http.StatusBadRequest, "corrupt_body"
	case errors.Is(err, ErrBodySlow):
		return http.StatusRequestTimeout, "slow_body"
	case errors.As(err, &batch):
		return http.StatusBadRequest, "invalid_record"
	}
	return http.StatusServiceUnavailable, codeUnavailable
}

// Refuse answers a request with the status of a refusal, Retry-After when a retry can overcome it, and its text as JSON. An
// error that HTTPStatus does not know is not shown: it may say more of us than senders should read.
func Refuse(w http.ResponseWriter, err error) {
	status, code := HTTPStatus(err)
	text := err.Error()
	if code == codeUnavailable {
		text = "the records could not be stored: send them again later"
	}
	RetryHeader(w.Header(), err)
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	Problem(w, status, code, text)
}

// Problem answers with an error: a code for machines and a message for people, in the form that all of kubevalue's doors and its REST API
// have.
func Problem(w http.ResponseWriter, status int, code, message string) {
	Answer(w, status, struct {
		Status  string `json:"status"`
		Code    string `json:"code"`
		Message string `json:"message"`
	}{"error", code, message})
}

// Answer writes a status and a value as JSON.
func Answer(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"status":"error","code":"internal","message":"the answer cannot be written"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the sender has gone: nobody is left to tell
}

// RetryHeader sets Retry-After, in whole seconds, when the refusal is one that a retry can overcome.
func RetryHeader(h http.Header, err error) {
	const pause = 5 // seconds; the drainer empties a full spool by then, or it takes much longer
	status, _ := HTTPStatus(err)
	var limited *RateLimitError
	switch {
	case errors.As(err, &limited):
		h.Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(limited.RetryAfter.Seconds())))))
	case status == http.StatusServiceUnavailable, status == http.StatusTooManyRequests:
		h.Set("Retry-After", strconv.Itoa(pause))
	}
}
