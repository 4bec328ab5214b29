package warehouse

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Error is a statement that failed.
type Error struct {
	// Op says what was done, e.g. "insert 1000 rows".
	Op string
	// Table is what it was done to; empty: no table in particular.
	Table string
	// Code is ClickHouse's, 0 when the failure is not the server's.
	Code int32
	// Err is the cause.
	Err error

	permanent bool
}

// maxMessage bounds how much of a server's message an error repeats, in bytes: it may quote whole statements.
const maxMessage = 600

// Error says what failed, why, and for common causes what to do.
func (e *Error) Error() string {
	text := e.Op
	if e.Table != "" {
		text += " (table " + e.Table + ")"
	}
	text += ": " + cause(e.Err)
	if hint := hints[e.Code]; hint != "" {
		text += "; " + hint
	}
	return text
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// Permanent says that the same rows will never be stored: their values do not fit the table.
func (e *Error) Permanent() bool { return e.permanent }

// Permanent reports whether err says that the same rows will never be stored, so that trying again is in vain. Everything
// that the surroundings can mend is not permanent: an unreachable server, a full disk, no memory, a missing or outdated table.
func Permanent(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.permanent
}

// failed wraps what the driver returned.
func failed(op, table string, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Op: op, Table: table, Err: err}
	if x, ok := errors.AsType[*clickhouse.Exception](err); ok {
		e.Code = x.Code
		e.permanent = permanentCodes[x.Code]
	}
	return e
}

// refused is the error for rows that cannot be stored, whoever tries.
func refused(op, table string, err error) error {
	return &Error{Op: op, Table: table, Err: err, permanent: true}
}

// permanentCodes are the server's codes for values that do not fit.
var permanentCodes = map[int32]bool{
	6:   true, // CANNOT_PARSE_TEXT
	25:  true, // CANNOT_PARSE_ESCAPE_SEQUENCE
	26:  true, // CANNOT_PARSE_QUOTED_STRING
	27:  true, // CANNOT_PARSE_INPUT_ASSERTION_FAILED
	38:  true, // CANNOT_PARSE_DATE
	41:  true, // CANNOT_PARSE_DATETIME
	69:  true, // ARGUMENT_OUT_OF_BOUND
	70:  true, // CANNOT_CONVERT_TYPE
	72:  true, // CANNOT_PARSE_NUMBER
	117: true, // INCORRECT_DATA
	131: true, // TOO_LARGE_STRING_SIZE
	321: true, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
	349: true, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
	376: true, // CANNOT_PARSE_UUID
	407: true, // DECIMAL_OVERFLOW
	469: true, // VIOLATED_CONSTRAINT
	691: true, // UNKNOWN_ELEMENT_OF_ENUM
}

// hints say what to do about codes that people meet.
var hints = map[int32]string{
	60:  "run `kubevalue migrate`",
	81:  "run `kubevalue migrate`",
	158: "ask for a shorter period or fewer dimensions", // TOO_MANY_ROWS
	159: "ask for a shorter period, or try again when the server is less busy",
	164: "only reading is allowed here",
	241: "the server is short of memory: ask for a shorter period, or give it more",
	243: "the server's disk is full",
	396: "ask for a shorter period or fewer dimensions", // TOO_MANY_ROWS_OR_BYTES
	497: "the user of the warehouse DSN lacks a right",
	516: "check user and password in the warehouse DSN",
}

// cause is the innermost text that helps. A URL of the driver holds settings, statements and a user name, and is left out.
func cause(err error) string {
	if x, ok := errors.AsType[*clickhouse.Exception](err); ok {
		message, _, _ := strings.Cut(strings.TrimPrefix(x.Message, "DB::Exception: "), " (version ")
		message, _, _ = strings.Cut(message, ". Expected one of: ") // a hundred words of grammar
		message, _, _ = strings.Cut(message, ": while executing 'FUNCTION throwIf(")
		return fmt.Sprintf("code %d: %s", x.Code, shorten(message))
	}
	if errors.Is(err, context.Canceled) {
		return "cancelled"
	}
	if x, ok := errors.AsType[*net.OpError](err); ok {
		return x.Error()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "the deadline passed before the answer came"
	}
	if errors.Is(err, clickhouse.ErrAcquireConnTimeout) {
		return "all connections to the warehouse were busy for too long"
	}
	if x, ok := errors.AsType[*url.Error](err); ok {
		return x.Err.Error()
	}
	return shorten(err.Error())
}

func shorten(text string) string {
	if len(text) <= maxMessage {
		return text
	}
	return strings.ToValidUTF8(text[:maxMessage], "") + " …"
}
