package collectors

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/bytedance/sonic/decoder"
)

// SyntaxError means that a document is not JSON; nothing of the document is in it.
type SyntaxError struct {
	// Offset is the byte at which it stops being JSON, from 0.
	Offset int
	// Missing says what should be there.
	Missing string
}

// Error says where and what.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("invalid JSON at byte %d: want %s", e.Offset, e.Missing)
}

// ErrJSONType means that a value is JSON, but not of the type that it is decoded into. The value has been passed.
var ErrJSONType = errors.New("a value has the wrong JSON type")

// deepest is how deep values may be nested: the decoder's own bound.
const deepest = 4096

// JSONCursor walks a JSON document value by value, so that a document costs no more memory than what is kept of it. Nesting
// of values that are passed or decoded is bounded at 4096 levels. Strings that it decodes point into the document.
type JSONCursor struct {
	s  string
	at int
	d  *decoder.Decoder
}

// NewJSONCursor starts at the beginning of a document, which must not change from now on.
func NewJSONCursor(document []byte) *JSONCursor {
	c := &JSONCursor{d: decoder.NewDecoder("")}
	c.d.SetOptions(decoder.OptionCaseSensitive)
	c.Reset(document)
	return c
}

// RefuseUnknown makes Decode say ErrJSONType for members that a struct does not have.
func (c *JSONCursor) RefuseUnknown() {
	c.d.SetOptions(decoder.OptionCaseSensitive | decoder.OptionDisableUnknown)
}

// Reset starts again with another document.
func (c *JSONCursor) Reset(document []byte) {
	c.s, c.at = unsafe.String(unsafe.SliceData(document), len(document)), 0
}

// Offset is the byte that is read next, from 0.
func (c *JSONCursor) Offset() int { return c.at }

// Seek goes back, or on, to an offset.
func (c *JSONCursor) Seek(offset int) { c.at = offset }

// Peek is the first byte of the next value; 0: the document has ended.
func (c *JSONCursor) Peek() byte {
	for c.at < len(c.s) {
		switch b := c.s[c.at]; b {
		case ' ', '\t', '\r', '\n':
			c.at++
		default:
			return b
		}
	}
	return 0
}

// Raw passes the next value and gives its bytes, a part of the document.
func (c *JSONCursor) Raw() ([]byte, error) {
	c.Peek()
	rest := unsafe.Slice(unsafe.StringData(c.s), len(c.s))[c.at:]
	if len(rest) == 0 {
		return nil, &SyntaxError{Offset: c.at, Missing: "a value"}
	}
	if end := max(c.plainText(), c.plainNumber()); end > 0 {
		raw := rest[: end-c.at : end-c.at]
		c.at = end
		return raw, nil
	}
	start, end := decoder.Skip(rest)
	if start < 0 {
		end = min(max(end, 0), len(rest))
		missing := "a value"
		if bytes.Count(rest[:end], []byte{'['})+bytes.Count(rest[:end], []byte{'{'}) >= deepest {
			missing = fmt.Sprintf("a value, nested less than %d deep", deepest)
		}
		return nil, &SyntaxError{Offset: c.at + end, Missing: missing}
	}
	c.at += end
	return rest[start:end:end], nil
}

// plainText is where the next value ends when it is a string of ASCII without escapes; 0: it is something else. Most strings are short and
// plain: to look at their bytes costs less than the decoder, which clears 32 KiB for each value unless its pool has them ready.
func (c *JSONCursor) plainText() int {
	if c.at >= len(c.s) || c.s[c.at] != '"' {
		return 0
	}
	for i := c.at + 1; i < len(c.s); i++ {
		switch b := c.s[i]; {
		case b == '"':
			return i + 1
		case b < ' ', b == '\\', b >= utf8.RuneSelf:
			return 0
		}
	}
	return 0
}

// plainNumber is where the next value ends when it is a whole number; 0: it is something else.
func (c *JSONCursor) plainNumber() int {
	i := c.at
	if i < len(c.s) && c.s[i] == '-' {
		i++
	}
	first := i
	for i < len(c.s) && '0' <= c.s[i] && c.s[i] <= '9' {
		i++
	}
	if i == first || i == len(c.s) || c.s[first] == '0' && i > first+1 {
		return 0
	}
	switch c.s[i] {
	case ',', ']', '}', ' ', '\t', '\r', '\n':
		return i
	}
	return 0
}

// Text passes the next value, a string, and gives what it says; ErrJSONType: it is something else, and has been passed all the same.
func (c *JSONCursor) Text() (string, error) {
	c.Peek()
	if end := c.plainText(); end > 0 {
		text := c.s[c.at+1 : end-1]
		c.at = end
		return text, nil
	}
	var text string
	err := c.Decode(&text)
	return text, err
}

// Decode passes the next value and decodes it into v; ErrJSONType: it does not fit, and has been passed all the same.
func (c *JSONCursor) Decode(v any) error {
	c.Peek()
	c.d.Reset(c.s[c.at:])
	err := c.d.Decode(v)
	if err == nil {
		c.at += c.d.Pos()
		return nil
	}
	if _, syntax := c.Raw(); syntax != nil {
		return syntax
	}
	return ErrJSONType
}

// Array passes the next value, an array, calling each in front of every element; each passes the element.
func (c *JSONCursor) Array(each func() error) error {
	return c.group('[', ']', "an array", each)
}

// Object passes the next value, an object, calling each in front of every member's value; each passes the value.
func (c *JSONCursor) Object(each func(key string) error) error {
	return c.group('{', '}', "an object", func() error {
		if c.Peek() != '"' {
			return &SyntaxError{Offset: c.at, Missing: "a key"}
		}
		key, err := c.Text()
		if errors.Is(err, ErrJSONType) {
			return &SyntaxError{Offset: c.at, Missing: "a key"}
		}
		if err != nil {
			return err
		}
		key = strings.Clone(key) // it may be kept for longer than the document
		if c.Peek() != ':' {
			return &SyntaxError{Offset: c.at, Missing: "a colon"}
		}
		c.at++
		return each(key)
	})
}

func (c *JSONCursor) group(opening, closing byte, what string, each func() error) error {
	if c.Peek() != opening {
		return &SyntaxError{Offset: c.at, Missing: what}
	}
	c.at++
	if c.Peek() == closing {
		c.at++
		return nil
	}
	for {
		if err := each(); err != nil {
			return err
		}
		switch c.Peek() {
		case ',':
			c.at++
		case closing:
			c.at++
			return nil
		default:
			return &SyntaxError{Offset: c.at, Missing: fmt.Sprintf("a comma or %q", closing)}
		}
	}
}

// End fails when anything but white space is left.
func (c *JSONCursor) End() error {
	if c.Peek() != 0 || c.at < len(c.s) {
		return &SyntaxError{Offset: c.at, Missing: "the end"}
	}
	return nil
}
