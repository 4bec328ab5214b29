package warehouse

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/google/uuid"
)

// Over HTTP, blocks whose columns are of plain kinds are written in ClickHouse's Native format here, a column at a time while the one
// before is on its way. The driver copies each value twice first, and the copies of a block are most of what a service at full rate
// would have in memory.

const (
	kindNumber = "Nullable(Float64)"
	kindTexts  = "Map(String, String)"
)

// writer returns what appends a column in the Native format; nil: a column of this kind is left to the driver.
func writer[R, V any](kind string, rows []R, field func(*R) V) func(b []byte) []byte {
	switch f := any(field).(type) {
	case func(*R) string:
		if names, ok := enum8(kind); ok {
			return each(rows, f, func(b []byte, s string) []byte { return append(b, names[s]) })
		}
		return plain(kind == "String", rows, f, appendText)
	case func(*R) uint64:
		return plain(kind == "UInt64", rows, f, binary.LittleEndian.AppendUint64)
	case func(*R) uint32:
		return plain(kind == "UInt32", rows, f, binary.LittleEndian.AppendUint32)
	case func(*R) float64:
		return plain(kind == "Float64", rows, f, appendFloat)
	case func(*R) bool:
		return plain(kind == "Bool", rows, f, appendBool)
	case func(*R) time.Time:
		return plain(kind == kindTime, rows, f, func(b []byte, t time.Time) []byte {
			return binary.LittleEndian.AppendUint64(b, uint64(t.UnixMilli()))
		})
	case func(*R) uuid.UUID:
		return plain(kind == "UUID", rows, f, func(b []byte, id uuid.UUID) []byte { // two numbers, the first half first
			b = binary.LittleEndian.AppendUint64(b, binary.BigEndian.Uint64(id[:8]))
			return binary.LittleEndian.AppendUint64(b, binary.BigEndian.Uint64(id[8:]))
		})
	case func(*R) *float64:
		if kind == kindNumber {
			return nullables(rows, f)
		}
	case func(*R) map[string]string:
		if kind == kindTexts {
			return textMaps(rows, f)
		}
	}
	return nil
}

func plain[R, V any](fits bool, rows []R, field func(*R) V, one func(b []byte, v V) []byte) func(b []byte) []byte {
	if !fits {
		return nil
	}
	return each(rows, field, one)
}

func each[R, V any](rows []R, field func(*R) V, one func(b []byte, v V) []byte) func(b []byte) []byte {
	return func(b []byte) []byte {
		for i := range rows {
			b = one(b, field(&rows[i]))
		}
		return b
	}
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendFloat(b []byte, f float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(f))
}

func appendBool(b []byte, set bool) []byte {
	if set {
		return append(b, 1)
	}
	return append(b, 0)
}

// nullables writes which of the values are missing, then all of them.
func nullables[R any](rows []R, field func(*R) *float64) func(b []byte) []byte {
	return func(b []byte) []byte {
		for i := range rows {
			b = appendBool(b, field(&rows[i]) == nil)
		}
		for i := range rows {
			value := 0.0
			if f := field(&rows[i]); f != nil {
				value = *f
			}
			b = appendFloat(b, value)
		}
		return b
	}
}

// textMaps writes where each map ends, then all keys, then all values. Many rows have the very same map, which is read once.
func textMaps[R any](rows []R, field func(*R) map[string]string) func(b []byte) []byte {
	const known = 256 // maps at a time
	return func(b []byte) []byte {
		end := 0
		for i := range rows {
			end += len(field(&rows[i]))
			b = binary.LittleEndian.AppendUint64(b, uint64(end))
		}
		const usual = 16                     // bytes of a value
		values := make([]byte, 0, end*usual) // beside the keys, since a map goes in another order each time
		var none listedMap
		listed := map[unsafe.Pointer]listedMap{}
		for i := range rows {
			m := field(&rows[i])
			if len(m) == 0 {
				continue
			}
			at := reflect.ValueOf(m).UnsafePointer()
			if l := listed[at]; l != none {
				b, values = append(b, b[l.keys:l.keysEnd]...), append(values, values[l.values:l.valuesEnd]...)
				continue
			}
			l := listedMap{keys: len(b), values: len(values)}
			for k, v := range m {
				b, values = appendText(b, k), appendText(values, v)
			}
			l.keysEnd, l.valuesEnd = len(b), len(values)
			if len(listed) < known {
				listed[at] = l
			}
		}
		return append(b, values...)
	}
}

// listedMap says where the keys and the values of a map were written.
type listedMap struct{ keys, keysEnd, values, valuesEnd int }

// enum8 reads the names of an Enum8 and their numbers; false: the kind is another one.
func enum8(kind string) (map[string]byte, bool) {
	list, ok := strings.CutPrefix(kind, "Enum8(")
	if !ok {
		return nil, false
	}
	names := map[string]byte{}
	for pair := range strings.SplitSeq(strings.TrimSuffix(list, ")"), ", ") {
		name, number, _ := strings.Cut(pair, " = ")
		n, err := strconv.ParseInt(number, 10, 8)
		if err != nil {
			return nil, false
		}
		names[strings.Trim(name, "'")] = byte(n)
	}
	return names, true
}

// misfit returns what finds a value that a column cannot hold; nil: it holds all of them.
func misfit[R, V any](kind string, rows []R, field func(*R) V) func() error {
	f, ok := any(field).(func(*R) string)
	names, enum := enum8(kind)
	if !ok || !enum {
		return nil
	}
	return func() error {
		for i := range rows {
			if _, known := names[f(&rows[i])]; !known {
				return fmt.Errorf("row %d: %q is none of %s", i, f(&rows[i]), kind)
			}
		}
		return nil
	}
}

// nativeBody is a block in the Native format, written column by column as it is read. It is safe to close while it is read.
type nativeBody struct {
	mu      sync.Mutex
	rows    int
	columns []column // that are left
	rest    []byte   // of the current column
	room    []byte
}

// newNativeBody begins a block, which takes over the room; false: it is left to the driver.
func newNativeBody(b block, room []byte) (*nativeBody, bool) {
	for _, c := range b.columns {
		if c.write == nil {
			return nil, false
		}
	}
	n := &nativeBody{rows: b.rows, columns: b.columns, room: room}
	n.rest = binary.AppendUvarint(binary.AppendUvarint(n.room[:0], uint64(len(b.columns))), uint64(b.rows))
	return n, true
}

// Read gives the next bytes of the block.
func (n *nativeBody) Read(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.rest == nil {
		return 0, io.ErrClosedPipe
	}
	if len(n.rest) == 0 && len(n.columns) > 0 {
		c := n.columns[0]
		n.columns = n.columns[1:]
		n.room = c.write(appendText(appendText(n.room[:0], c.name), c.kind))
		n.rest = n.room
	}
	if len(n.rest) == 0 {
		return 0, io.EOF
	}
	copied := copy(p, n.rest)
	n.rest = n.rest[copied:]
	return copied, nil
}

// close keeps the rows from being read any more: a request may be over before its body is. It gives the room back.
func (n *nativeBody) close() (room []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	room = n.room
	n.rest, n.room, n.columns = nil, nil, nil
	return room
}
