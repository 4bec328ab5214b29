package chdb

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"
)

// streamedFormats are the formats whose result is the plain sequence of its
// blocks, so that one block after the other can be sent. In any other format
// libchdb writes a whole document, with header and end, for each block.
var streamedFormats = map[string]bool{
	"native": true, "tabseparated": true, "tsv": true, "tabseparatedraw": true, "tsvraw": true, "csv": true,
	"jsoneachrow": true, "jsonlines": true, "ndjson": true, "jsoncompacteachrow": true, "rowbinary": true,
}

// streamable says whether the result can be sent block by block.
func streamable(req *request) bool {
	const arrayOfRows = "output_format_json_array_of_rows" // puts brackets around all rows
	if _, set := req.settings[arrayOfRows]; set || strings.Contains(strings.ToLower(req.sql), arrayOfRows) {
		return false
	}
	return streamedFormats[strings.ToLower(req.output)]
}

// notStreamable says that libchdb refused to stream a statement, before it ran
// any of it: a SELECT by its first word can still be WITH ... INSERT.
func notStreamable(err error) bool {
	e, ok := errors.AsType[*exception](err)
	return ok && e.code == codeBadArguments && strings.HasPrefix(e.text, "Streaming query is not supported")
}

// contentType is ClickHouse's media type for a format.
func contentType(format string) string {
	name := strings.ToLower(format)
	switch {
	case strings.HasPrefix(name, "json") && strings.HasSuffix(name, "eachrow"), name == "jsonlines", name == "ndjson":
		return "application/x-ndjson; charset=UTF-8"
	case strings.HasPrefix(name, "json"):
		return "application/json; charset=UTF-8"
	case strings.HasPrefix(name, "csv"):
		return "text/csv; charset=UTF-8"
	case strings.HasPrefix(name, "tabseparated"), strings.HasPrefix(name, "tsv"):
		return "text/tab-separated-values; charset=UTF-8"
	case name == "xml":
		return "application/xml; charset=UTF-8"
	case strings.HasPrefix(name, "pretty"), name == "vertical", name == "markdown", name == "values":
		return "text/plain; charset=UTF-8"
	}
	return "application/octet-stream"
}

// body is the body of an answer, compressed or not.
type body struct {
	io.Writer
	zip  *gzip.Writer
	http http.ResponseWriter
}

// newBody starts a body; nothing more can be put into the header then.
func newBody(w http.ResponseWriter, compress bool) *body {
	b := &body{Writer: w, http: w}
	if compress {
		w.Header().Set("Content-Encoding", "gzip")
		b.zip, _ = gzip.NewWriterLevel(w, gzip.BestSpeed) // fails for unknown levels only
		b.Writer = b.zip
	}
	return b
}

// Flush sends what was written so far.
func (b *body) Flush() error {
	if b.zip != nil {
		if err := b.zip.Flush(); err != nil {
			return err
		}
	}
	return http.NewResponseController(b.http).Flush()
}

// Close ends the body.
func (b *body) Close() error {
	if b.zip == nil {
		return nil
	}
	return b.zip.Close()
}
