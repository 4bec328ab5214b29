package chdb

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// maxStatement bounds a statement without its data, in bytes. The engine's own
// limit (max_query_size, 256 KiB unless set) is what clients usually meet.
const maxStatement = 16 << 20

// headSize is how much of a body is read to find where an INSERT's data begins.
const headSize = 64 << 10

// request is what a client asked for.
type request struct {
	statement
	id       string            // query_id, or one made up
	database string            // empty for default
	settings map[string]string // to be set on the connection
	params   map[string]string // values of {name:Type}
	output   string            // format of the result
	whole    bool              // wait_end_of_query: answer when all is done
	gzip     bool              // the client takes a compressed answer
	rows     io.Reader         // an INSERT's data
}

// settingName is what may stand in SET without quotes.
var settingName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)

// readRequest reads a request up to the data of an INSERT.
func readRequest(r *http.Request) (*request, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, exceptionf(codeBadArguments, "cannot read the URL's parameters: %v", err)
	}
	req := &request{settings: map[string]string{}, params: map[string]string{}, output: "TabSeparated"}
	if err := req.readValues(values); err != nil {
		return nil, err
	}
	if req.id == "" {
		req.id = uuid.NewString()
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		if _, set := req.settings["readonly"]; !set {
			req.settings["readonly"] = "2" // as ClickHouse does: a GET changes nothing
		}
	}
	req.gzip = acceptsGzip(r.Header.Values("Accept-Encoding")) && req.settings["enable_http_compression"] != "0"
	body, err := requestBody(r)
	if err != nil {
		return nil, err
	}
	if err := req.readStatement(values.Get("query"), body); err != nil {
		return nil, err
	}
	if req.kind != kindInsert && req.format != "" {
		req.output = req.format
	}
	return req, nil
}

// readValues sorts the URL's parameters into what they are. What the front
// does not know is a setting, and the engine refuses what it does not know.
func (req *request) readValues(values url.Values) error {
	for key, all := range values {
		value := all[len(all)-1]
		switch key {
		case "query", "user", "password", "quota_key", "role", "stacktrace", "client_protocol_version", "buffer_size",
			"network_compression_method", "network_zstd_compression_level":
			// Read elsewhere, or without meaning for one user on one machine.
		case "query_id":
			req.id = value
		case "database":
			req.database = value
		case "default_format":
			req.output = value
		case "wait_end_of_query":
			req.whole = value != "0"
		case "compress", "decompress":
			if value != "0" {
				return exceptionf(codeNotImplemented, "%s=%s: the embedded engine does not speak ClickHouse's block compression; use gzip or none", key, value)
			}
		case "session_id", "session_timeout", "session_check", "close_session":
			return exceptionf(codeNotImplemented, "%s: the embedded engine has no sessions; each request stands alone", key)
		default:
			if name, ok := strings.CutPrefix(key, "param_"); ok {
				req.params[name] = value
				continue
			}
			if !settingName.MatchString(key) {
				return exceptionf(codeUnknownSetting, "Setting %s is neither a builtin setting nor started with a known prefix", key)
			}
			req.settings[key] = value
		}
	}
	return nil
}

// readStatement finds the statement in the URL and the body, which are one text
// with a line break between them, and leaves in rows what is an INSERT's data.
func (req *request) readStatement(fromURL string, body io.Reader) error {
	if strings.TrimSpace(fromURL) != "" {
		s, err := parseStatement(fromURL, false)
		if err == nil && s.kind == kindInsert {
			req.statement = s
			req.rows = body
			if strings.TrimSpace(s.data) != "" {
				req.rows = io.MultiReader(strings.NewReader(s.data+"\n"), body)
			}
			return nil
		}
		body = io.MultiReader(strings.NewReader(fromURL+"\n"), body)
	}
	var head strings.Builder
	for limit := int64(headSize); ; limit *= 2 {
		n, err := io.Copy(&head, io.LimitReader(body, limit))
		if err != nil {
			return bodyError(err)
		}
		more := n == limit
		s, err := parseStatement(head.String(), more)
		if !errors.Is(err, errCut) {
			req.statement = s
			req.rows = io.MultiReader(strings.NewReader(s.data), body)
			return err
		}
		if head.Len() > maxStatement {
			return exceptionf(codeQueryTooLarge, "the statement is longer than %d bytes", maxStatement)
		}
	}
}

// requestBody undoes the body's encoding.
func requestBody(r *http.Request) (io.Reader, error) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && media == "multipart/form-data" {
		return nil, exceptionf(codeNotImplemented, "external tables (multipart bodies) are not supported by the embedded engine")
	}
	switch encoding := r.Header.Get("Content-Encoding"); strings.ToLower(encoding) {
	case "", "identity":
		return r.Body, nil
	case "gzip", "x-gzip":
		return &lazyGzip{from: r.Body}, nil
	default:
		return nil, exceptionf(codeUnknownCodec, "Unknown compression method: Content-Encoding %s; the embedded engine takes gzip", encoding)
	}
}

// lazyGzip unpacks a body on the first read, so that an empty one is empty.
type lazyGzip struct {
	from io.Reader
	zip  *gzip.Reader
}

func (z *lazyGzip) Read(p []byte) (int, error) {
	if z.zip == nil {
		zip, err := gzip.NewReader(z.from)
		if errors.Is(err, io.EOF) {
			return 0, io.EOF
		}
		if err != nil {
			return 0, fmt.Errorf("unpack the gzip body: %w", err)
		}
		z.zip = zip
	}
	n, err := z.zip.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("unpack the gzip body: %w", err)
	}
	return n, err
}

// bodyError is what a body that cannot be read is answered with.
func bodyError(err error) error {
	return exceptionf(codeCannotRead, "Cannot read all data of the request: %v", err)
}

func acceptsGzip(headers []string) bool {
	return slices.ContainsFunc(headers, func(header string) bool {
		for coding := range strings.SplitSeq(header, ",") {
			name, weight, _ := strings.Cut(strings.TrimSpace(coding), ";")
			if strings.EqualFold(strings.TrimSpace(name), "gzip") && strings.ReplaceAll(weight, " ", "") != "q=0" {
				return true
			}
		}
		return false
	})
}

// setStatement is the SET for the request's settings, or empty. readonly comes
// last, since it forbids the others.
func (req *request) setStatement() string {
	names := make([]string, 0, len(req.settings))
	for name := range req.settings {
		if name != "readonly" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if _, set := req.settings["readonly"]; set {
		names = append(names, "readonly")
	}
	parts := make([]string, 0, len(names))
	for _, name := range names {
		parts = append(parts, name+" = "+quote(req.settings[name]))
	}
	if len(parts) == 0 {
		return ""
	}
	return "SET " + strings.Join(parts, ", ")
}

// quote makes a string literal of text.
func quote(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\x00", `\0`).Replace(text) + "'"
}

// quoteName makes a quoted identifier of text.
func quoteName(text string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`", "\x00", `\0`).Replace(text) + "`"
}
