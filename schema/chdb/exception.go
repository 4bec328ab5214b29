package chdb

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// ClickHouse's error codes that the front itself raises or looks at.
const (
	codeBadArguments     = 36
	codeNotImplemented   = 48
	codeSyntaxError      = 62
	codeUnknownCodec     = 89
	codeUnknownSetting   = 115
	codeCannotRead       = 33
	codeCancelled        = 394
	codeTooManyQueries   = 202
	codeQueryTooLarge    = 620
	codeUnknownException = 1002
)

// exception is an error of the engine, or one of the front in the engine's form.
type exception struct {
	code int
	text string // without the "Code: N. DB::Exception: " in front
}

// Error returns ClickHouse's form, which drivers parse.
func (e *exception) Error() string {
	return fmt.Sprintf("Code: %d. DB::Exception: %s", e.code, e.text)
}

// status is the HTTP status that ClickHouse gives the code.
func (e *exception) status() int {
	switch e.code {
	case 46, 47, 50, 56, 60, 73, 81, codeUnknownSetting:
		return http.StatusNotFound
	case 6, 20, 26, 27, 32, 33, codeBadArguments, 38, 41, 42, 43, 44, 53, codeSyntaxError, codeUnknownCodec, 117, 131, 386, 456, 457:
		return http.StatusBadRequest
	case codeQueryTooLarge:
		return http.StatusRequestEntityTooLarge
	case 159:
		return http.StatusRequestTimeout
	case codeTooManyQueries:
		return http.StatusServiceUnavailable
	case codeNotImplemented:
		return http.StatusNotImplemented
	case 164:
		return http.StatusForbidden
	}
	return http.StatusInternalServerError
}

var (
	exceptionPrefix  = regexp.MustCompile(`^(?:Error: )?Code: (\d+)\. (?:DB::Exception: )?`)
	exceptionVersion = regexp.MustCompile(`( \(version [^()]*\)(\. \([A-Z0-9_]+\))?)+$`)
)

// newException reads the engine's error text. The engine wraps an error once
// for each layer that it passes, each with code, version and name; one is kept.
func newException(text string) *exception {
	e := &exception{code: codeUnknownException, text: strings.TrimSpace(text)}
	for layer := 0; ; layer++ {
		m := exceptionPrefix.FindStringSubmatch(e.text)
		if m == nil {
			break
		}
		if code, err := strconv.Atoi(m[1]); err == nil && layer == 0 {
			e.code = code
		}
		e.text = e.text[len(m[0]):]
	}
	e.text = exceptionVersion.ReplaceAllString(e.text, "")
	return e
}

// exceptionf is an exception of the front itself.
func exceptionf(code int, format string, args ...any) *exception {
	return &exception{code: code, text: fmt.Sprintf(format, args...)}
}
