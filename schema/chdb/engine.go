package chdb

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// statementCall is the C signature that queries, streamed queries and inserts
// share: connection, statement, format, then parallel arrays of parameters.
type statementCall func(
	conn, sql unsafe.Pointer, sqlLen uint, format unsafe.Pointer, formatLen uint,
	names, nameLens, values, valueLens unsafe.Pointer, count uint,
) unsafe.Pointer

// library is a loaded libchdb. A process loads it once and never unloads it.
type library struct {
	connectTo      func(argc int32, argv unsafe.Pointer) unsafe.Pointer
	closeConn      func(conn unsafe.Pointer)
	signalHandlers func(enabled int32)

	query        statementCall
	streamQuery  statementCall
	streamFetch  func(conn, result unsafe.Pointer) unsafe.Pointer
	streamCancel func(conn, result unsafe.Pointer)

	insert        statementCall
	insertAppend  func(stream, data unsafe.Pointer, n uint) int32
	insertDone    func(stream unsafe.Pointer) unsafe.Pointer
	insertCancel  func(stream unsafe.Pointer)
	insertError   func(stream unsafe.Pointer) unsafe.Pointer
	insertDestroy func(stream unsafe.Pointer)

	resultBuffer     func(result unsafe.Pointer) unsafe.Pointer
	resultLength     func(result unsafe.Pointer) uint
	resultError      func(result unsafe.Pointer) unsafe.Pointer
	rowsRead         func(result unsafe.Pointer) uint64
	storageRowsRead  func(result unsafe.Pointer) uint64
	storageBytesRead func(result unsafe.Pointer) uint64
	rowsWritten      func(result unsafe.Pointer) uint64
	bytesWritten     func(result unsafe.Pointer) uint64
	destroyResult    func(result unsafe.Pointer)
}

// loadLibrary loads libchdb from path and turns its signal handlers off. With
// them, a nil dereference in Go would hang the process instead of ending it,
// and SIGINT would not reach Go.
func loadLibrary(path string) (*library, error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("load libchdb from %s: %w", path, err)
	}
	l := &library{}
	for name, fn := range map[string]any{
		"chdb_connect":                     &l.connectTo,
		"chdb_close_conn":                  &l.closeConn,
		"chdb_set_signal_handlers_enabled": &l.signalHandlers,
		"chdb_query_with_params_n":         &l.query,
		"chdb_stream_query_with_params_n":  &l.streamQuery,
		"chdb_stream_fetch_result":         &l.streamFetch,
		"chdb_stream_cancel_query":         &l.streamCancel,
		"chdb_stream_insert_with_params_n": &l.insert,
		"chdb_stream_append":               &l.insertAppend,
		"chdb_stream_done":                 &l.insertDone,
		"chdb_stream_cancel_insert":        &l.insertCancel,
		"chdb_stream_insert_error":         &l.insertError,
		"chdb_destroy_insert_stream":       &l.insertDestroy,
		"chdb_result_buffer":               &l.resultBuffer,
		"chdb_result_length":               &l.resultLength,
		"chdb_result_error":                &l.resultError,
		"chdb_result_rows_read":            &l.rowsRead,
		"chdb_result_storage_rows_read":    &l.storageRowsRead,
		"chdb_result_storage_bytes_read":   &l.storageBytesRead,
		"chdb_result_rows_written":         &l.rowsWritten,
		"chdb_result_bytes_written":        &l.bytesWritten,
		"chdb_destroy_query_result":        &l.destroyResult,
	} {
		symbol, err := purego.Dlsym(handle, name)
		if err != nil {
			return nil, fmt.Errorf("%s is not a libchdb of version %s or later: %w", path, libraryVersion, err)
		}
		purego.RegisterFunc(fn, symbol)
	}
	l.signalHandlers(0)
	return l, nil
}

// conn is one connection to the engine. It runs one statement at a time and is
// not used again after a statement on it failed or was cancelled: the engine
// may then hand the rows of the failed statement to the next one.
type conn struct {
	lib    *library
	handle unsafe.Pointer // chdb_connection *, as chdb_connect returned it
}

// connect opens a connection. The first one of a process starts the engine on
// the path in args; all others must name the same path.
func (l *library) connect(args []string) (*conn, error) {
	var pin runtime.Pinner
	defer pin.Unpin()
	argv := make([]*byte, 0, len(args)+1)
	for _, arg := range append([]string{"clickhouse"}, args...) {
		argv = append(argv, cString(&pin, arg))
	}
	pin.Pin(&argv[0])
	handle := l.connectTo(int32(len(argv)), unsafe.Pointer(&argv[0]))
	if handle == nil || *(*unsafe.Pointer)(handle) == nil {
		return nil, fmt.Errorf("libchdb did not connect with %q", args)
	}
	return &conn{lib: l, handle: handle}, nil
}

// close closes the connection; the last one of a process stops the engine.
func (c *conn) close() { c.lib.closeConn(c.handle) }

// inner is the chdb_connection that every call but closing takes.
func (c *conn) inner() unsafe.Pointer { return *(*unsafe.Pointer)(c.handle) }

// exec runs a statement to its end and returns its whole result in format.
// The caller closes the result.
func (c *conn) exec(q query) (*result, error) {
	return c.lib.checked(c.call(c.lib.query, q))
}

// call passes a statement to one of libchdb's three statement functions, with
// all Go memory that it is shown pinned for as long as the call lasts; libchdb
// copies what it keeps.
func (c *conn) call(fn statementCall, q query) unsafe.Pointer {
	var pin runtime.Pinner
	defer pin.Unpin()
	sql, format := cString(&pin, q.sql), cString(&pin, q.format)
	n := len(q.params)
	if n == 0 {
		return fn(c.inner(), unsafe.Pointer(sql), uint(len(q.sql)), unsafe.Pointer(format), uint(len(q.format)), nil, nil, nil, nil, 0)
	}
	names, values := make([]*byte, 0, n), make([]*byte, 0, n)
	nameLens, valueLens := make([]uint, 0, n), make([]uint, 0, n)
	for name, value := range q.params {
		names, nameLens = append(names, cString(&pin, name)), append(nameLens, uint(len(name)))
		values, valueLens = append(values, cString(&pin, value)), append(valueLens, uint(len(value)))
	}
	pin.Pin(&names[0])
	pin.Pin(&values[0])
	pin.Pin(&nameLens[0])
	pin.Pin(&valueLens[0])
	return fn(c.inner(), unsafe.Pointer(sql), uint(len(q.sql)), unsafe.Pointer(format), uint(len(q.format)),
		unsafe.Pointer(&names[0]), unsafe.Pointer(&nameLens[0]), unsafe.Pointer(&values[0]), unsafe.Pointer(&valueLens[0]), uint(n))
}

// query is a statement for the engine. It must not hold a NUL byte, at which
// the engine would cut it.
type query struct {
	sql    string
	format string            // of the result, or of the data of an insert
	params map[string]string // values of {name:Type}, in ClickHouse's escaped text form
}

// result is a finished statement, or one block of a streamed one.
type result struct {
	lib    *library
	handle unsafe.Pointer
}

// checked turns a result that carries an error into that error.
func (l *library) checked(handle unsafe.Pointer) (*result, error) {
	r := &result{lib: l, handle: handle}
	if text := l.resultError(handle); text != nil {
		err := newException(goString(text))
		r.close()
		return nil, err
	}
	return r, nil
}

// bytes are the engine's memory, valid until close.
func (r *result) bytes() []byte {
	n := r.lib.resultLength(r.handle)
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(r.lib.resultBuffer(r.handle)), n)
}

// close frees the result.
func (r *result) close() { r.lib.destroyResult(r.handle) }

// cursor is a SELECT whose result is fetched block by block.
type cursor struct {
	conn   *conn
	handle unsafe.Pointer
}

// stream starts a SELECT. The caller closes the cursor before the connection.
func (c *conn) stream(q query) (*cursor, error) {
	handle := c.call(c.lib.streamQuery, q)
	if _, err := c.lib.checked(handle); err != nil {
		return nil, err
	}
	return &cursor{conn: c, handle: handle}, nil
}

// next returns the next block, or nil at the end. The caller closes it.
func (s *cursor) next() (*result, error) {
	r, err := s.conn.lib.checked(s.conn.lib.streamFetch(s.conn.inner(), s.handle))
	if err != nil {
		return nil, err
	}
	if s.conn.lib.resultLength(r.handle) == 0 {
		r.close()
		return nil, nil
	}
	return r, nil
}

// cancel makes the engine give the rest of the result up.
func (s *cursor) cancel() { s.conn.lib.streamCancel(s.conn.inner(), s.handle) }

// close frees the cursor.
func (s *cursor) close() { s.conn.lib.destroyResult(s.handle) }

// insertion is an INSERT whose data is appended in pieces of any size.
type insertion struct {
	lib    *library
	handle unsafe.Pointer
}

// insertInto starts an INSERT: q.sql without its FORMAT or VALUES clause,
// q.format the format of the data. The caller closes the insertion, whatever
// happens, before the connection.
func (c *conn) insertInto(q query) (*insertion, error) {
	i := &insertion{lib: c.lib, handle: c.call(c.lib.insert, q)}
	if err := i.err(); err != nil {
		i.close()
		return nil, err
	}
	return i, nil
}

// Write passes data to the engine and blocks while the engine is behind.
func (i *insertion) Write(data []byte) (int, error) {
	if len(data) == 0 {
		return 0, nil
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&data[0])
	if state := i.lib.insertAppend(i.handle, unsafe.Pointer(&data[0]), uint(len(data))); state != 0 {
		if err := i.err(); err != nil {
			return 0, err
		}
		return 0, newException("the engine ended the insert early")
	}
	return len(data), nil
}

// finish writes what was appended and returns what was written.
func (i *insertion) finish() (*result, error) {
	return i.lib.checked(i.lib.insertDone(i.handle))
}

// cancel gives the insert up. Blocks that the engine already wrote (it writes
// one when it has about a million rows or 256 MiB) stay, as in ClickHouse.
func (i *insertion) cancel() { i.lib.insertCancel(i.handle) }

// close frees the insertion, cancelling it if it was not finished.
func (i *insertion) close() { i.lib.insertDestroy(i.handle) }

func (i *insertion) err() error {
	if text := i.lib.insertError(i.handle); text != nil {
		return newException(goString(text))
	}
	return nil
}

// cString copies text, terminates it and pins it.
func cString(pin *runtime.Pinner, text string) *byte {
	buf := make([]byte, len(text)+1)
	copy(buf, text)
	pin.Pin(&buf[0])
	return &buf[0]
}

// goString copies a terminated C string.
func goString(text unsafe.Pointer) string {
	n := 0
	for *(*byte)(unsafe.Add(text, n)) != 0 {
		n++
	}
	return string(unsafe.Slice((*byte)(text), n))
}
