package chdb

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of what runs at once. A request above running waits; one above waiting,
// or one that waited patience, is answered 503 with Retry-After.
const (
	defaultRunning  = 32
	defaultWaiting  = 256
	defaultPatience = 10 * time.Second
)

// helloQuery is clickhouse-go's first request on each of its connections.
const helloQuery = "SELECT displayName(), version(), revision(), timezone()"

// handler is ClickHouse's HTTP interface over one engine.
type handler struct {
	lib      *library
	args     []string // of every connection
	logger   *slog.Logger
	version  string
	timezone string
	running  chan struct{} // one element for each request that runs
	waiting  chan struct{} // one element for each that runs or waits
	patience time.Duration
}

// newHandler asks the engine for what answers to clients name.
func newHandler(lib *library, args []string, logger *slog.Logger) (*handler, error) {
	h := &handler{
		lib: lib, args: args, logger: logger, patience: defaultPatience,
		running: make(chan struct{}, defaultRunning), waiting: make(chan struct{}, defaultRunning+defaultWaiting),
	}
	c, err := lib.connect(args)
	if err != nil {
		return nil, err
	}
	defer c.close()
	r, err := c.exec(query{sql: "SELECT version(), timezone()", format: "TSV"})
	if err != nil {
		return nil, fmt.Errorf("ask the engine for its version: %w", err)
	}
	defer r.close()
	h.version, h.timezone, _ = strings.Cut(strings.TrimSpace(string(r.bytes())), "\t")
	return h, nil
}

// ServeHTTP answers /ping, and statements on every other path.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Clickhouse-Server-Display-Name", displayName)
	if r.URL.Path == "/ping" || r.URL.RawQuery == "" && r.Method != http.MethodPost {
		_, _ = io.WriteString(w, "Ok.\n")
		return
	}
	if r.Method != http.MethodPost && r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "statements come by GET or POST", http.StatusMethodNotAllowed)
		return
	}
	leave, err := h.enter(r.Context())
	if err != nil {
		w.Header().Set("Retry-After", "1")
		h.fail(w, r, err)
		return
	}
	defer leave()
	req, err := readRequest(r)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	w.Header().Set("X-Clickhouse-Query-Id", req.id)
	w.Header().Set("X-Clickhouse-Timezone", h.timezone)
	if strings.TrimSpace(req.sql) == helloQuery && req.output == "Native" {
		h.hello(w)
		return
	}
	if err := h.run(w, r, req); err != nil {
		h.fail(w, r, err)
	}
}

// enter waits for a place among the running requests and returns what gives it
// back.
func (h *handler) enter(ctx context.Context) (leave func(), err error) {
	busy := exceptionf(codeTooManyQueries, "Too many simultaneous queries: %d are running (TOO_MANY_SIMULTANEOUS_QUERIES)", cap(h.running))
	select {
	case h.waiting <- struct{}{}:
	default:
		return nil, busy
	}
	patience := time.NewTimer(h.patience)
	defer patience.Stop()
	select {
	case h.running <- struct{}{}:
		return func() { <-h.running; <-h.waiting }, nil
	case <-patience.C:
	case <-ctx.Done():
	}
	<-h.waiting
	return nil, busy
}

// run runs a request on a connection of its own and answers it. An error means
// that nothing was answered yet; later ones go into the answer.
func (h *handler) run(w http.ResponseWriter, r *http.Request, req *request) error {
	tag := rand.Text()
	c, err := h.lib.connect(append(slices.Clip(h.args), "--"+tagSetting+"="+tag))
	if err != nil {
		return err
	}
	defer c.close()
	if err := prepare(c, req); err != nil {
		return err
	}
	stop := h.killOnCancel(r.Context(), tag)
	defer stop()
	switch {
	case req.kind == kindInsert:
		return h.insert(w, c, req)
	case req.kind == kindSelect && !req.whole && streamable(req):
		return h.stream(w, r, c, req)
	default:
		return h.answer(w, c, req)
	}
}

// prepare makes the connection's database and settings the request's.
func prepare(c *conn, req *request) error {
	var statements []string
	if req.database != "" && req.database != "default" {
		statements = append(statements, "USE "+quoteName(req.database))
	}
	if set := req.setStatement(); set != "" {
		statements = append(statements, set)
	}
	for _, sql := range statements {
		r, err := c.exec(query{sql: sql, format: "Null"})
		if err != nil {
			return err
		}
		r.close()
	}
	return nil
}

// answer runs a statement to its end and answers with all of its result.
func (h *handler) answer(w http.ResponseWriter, c *conn, req *request) error {
	r, err := c.exec(query{sql: req.sql, format: req.output, params: req.params})
	if err != nil {
		return err
	}
	defer r.close()
	h.header(w, req, r)
	out := newBody(w, req.gzip && len(r.bytes()) > 0)
	if _, err := out.Write(r.bytes()); err != nil {
		return nil // the client is gone
	}
	_ = out.Close()
	return nil
}

// stream answers a SELECT block by block.
func (h *handler) stream(w http.ResponseWriter, r *http.Request, c *conn, req *request) error {
	q := query{sql: req.sql, format: req.output, params: req.params}
	rows, err := c.stream(q)
	if notStreamable(err) {
		return h.answer(w, c, req)
	}
	if err != nil {
		return err
	}
	defer rows.close()
	block, err := rows.next()
	if err != nil {
		return err
	}
	exceptionTag := rand.Text()[:16]
	w.Header().Set("X-Clickhouse-Exception-Tag", exceptionTag)
	h.header(w, req, nil)
	out := newBody(w, req.gzip && block != nil)
	for block != nil {
		_, err := out.Write(block.bytes())
		block.close()
		if err == nil {
			err = r.Context().Err()
		}
		if err != nil { // the client is gone
			rows.cancel()
			panic(http.ErrAbortHandler)
		}
		if block, err = rows.next(); err != nil {
			h.abort(out, exceptionTag, err)
		}
	}
	_ = out.Close()
	return nil
}

// abort ends an answer that has begun with the error in ClickHouse's frame and
// breaks the connection off, so that no client takes the rows for all of them.
func (h *handler) abort(out *body, tag string, err error) {
	text := h.text(err)
	fmt.Fprintf(out, "\r\n__exception__\r\n%s\r\n%s\n%d %s\r\n__exception__\r\n", tag, text, len(text)+1, tag)
	_ = out.Flush()
	panic(http.ErrAbortHandler)
}

// header sends what comes before a result.
func (h *handler) header(w http.ResponseWriter, req *request, r *result) {
	header := w.Header()
	header.Set("X-Clickhouse-Format", req.output)
	header.Set("Content-Type", contentType(req.output))
	if r != nil {
		header.Set("X-Clickhouse-Summary", r.summary())
	}
	if req.gzip {
		header.Set("Vary", "Accept-Encoding")
	}
}

// drainLimit bounds how much of a refused request's body is read, in bytes, so
// that the client is done sending and reads the answer.
const drainLimit = 256 << 20

// fail answers with an error.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	_, _ = io.CopyN(io.Discard, r.Body, drainLimit)
	e, ok := errors.AsType[*exception](err)
	if !ok {
		h.logger.Error("request failed outside the engine", "error", err)
		e = newException(err.Error())
	}
	header := w.Header()
	header.Set("X-Clickhouse-Exception-Code", strconv.Itoa(e.code))
	header.Set("Content-Type", "text/plain; charset=UTF-8")
	w.WriteHeader(e.status())
	_, _ = io.WriteString(w, h.text(e)+"\n")
}

// text is an error as ClickHouse prints it.
func (h *handler) text(err error) string {
	return fmt.Sprintf("%s (version %s)", err.Error(), h.version)
}

// displayName is how the engine introduces itself.
const displayName = "kubevalue"

// hello answers clickhouse-go's first request, in a block of revision 54460,
// which is what the driver then reads. It says revision 0, because libchdb
// writes blocks of revision 0, and the driver reads those from here on.
func (h *handler) hello(w http.ResponseWriter) {
	block := []byte{1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0} // block info: not an overflow, bucket -1
	block = append(block, 4, 1)                         // columns, rows
	column := func(name, kind string) {
		for _, text := range []string{name, kind} {
			block = append(binary.AppendUvarint(block, uint64(len(text))), text...)
		}
		block = append(block, 0) // no custom serialization
	}
	text := func(value string) { block = append(binary.AppendUvarint(block, uint64(len(value))), value...) }
	column("displayName()", "String")
	text(displayName)
	column("version()", "String")
	text(h.version)
	column("revision()", "UInt32")
	block = binary.LittleEndian.AppendUint32(block, 0)
	column("timezone()", "String")
	text(h.timezone)
	w.Header().Set("X-Clickhouse-Format", "Native")
	w.Header().Set("Content-Type", contentType("Native"))
	_, _ = w.Write(block)
}

// summary is the X-ClickHouse-Summary of a statement that has ended.
func (r *result) summary() string {
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	text, err := json.Marshal(map[string]string{
		"read_rows":     number(r.lib.storageRowsRead(r.handle)),
		"read_bytes":    number(r.lib.storageBytesRead(r.handle)),
		"written_rows":  number(r.lib.rowsWritten(r.handle)),
		"written_bytes": number(r.lib.bytesWritten(r.handle)),
		"result_rows":   number(r.lib.rowsRead(r.handle)),
		"result_bytes":  strconv.Itoa(len(r.bytes())),
	})
	if err != nil {
		return "{}"
	}
	return string(text)
}
