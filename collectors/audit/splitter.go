package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"
)

// maxDocument bounds a line of a log file, or a document over many lines, in bytes.
const maxDocument = 256 << 20

var (
	errTooLong = fmt.Errorf("longer than %d bytes", maxDocument)
	errCut     = errors.New("the JSON ends before it is complete")
)

// splitter cuts a log file into chunks: a line with one or more JSON values, or a document that is spread over lines as
// gcloud and the AWS tools print it. What surrounds the elements of a printed array is passed over.
type splitter struct {
	r *bufio.Reader
	// line and offset are where the next chunk begins: the number of its line, from 1, and its byte after decompression.
	line   int
	offset int64
	// first and begin are the line and the byte at which the newest chunk began.
	first int
	begin int64
	// open says that the newest line has no end yet: a log may still be written to.
	open  bool
	limit int
}

func newSplitter(r io.Reader) *splitter {
	return &splitter{r: bufio.NewReaderSize(r, 256<<10), line: 1, limit: maxDocument}
}

// next gives the next chunk, which belongs to the caller. Errors other than io.EOF and the reader's own, errTooLong and
// errCut, are of this chunk alone.
func (s *splitter) next() ([]byte, error) {
	for {
		s.first, s.begin = s.line, s.offset
		line, err := s.readLine()
		if err != nil {
			return nil, err
		}
		chunk := trimArray(line)
		if len(chunk) == 0 {
			continue
		}
		depth := nesting{}
		depth.scan(chunk)
		switch {
		case depth.level == 0 || chunk[0] != '{':
			return bytes.TrimRight(chunk, ", \t"), nil
		case len(chunk) > 1 && !s.indented():
			return nil, s.cut()
		}
		return s.document(chunk, depth)
	}
}

// indented says whether the next line begins with white space, as those of a printed document do, and records do not.
func (s *splitter) indented() bool {
	next, err := s.r.Peek(1)
	return err == nil && (next[0] == ' ' || next[0] == '\t')
}

// document reads on until the object that has begun is complete.
func (s *splitter) document(chunk []byte, depth nesting) ([]byte, error) {
	for depth.level > 0 {
		line, err := s.readLine()
		if errors.Is(err, io.EOF) {
			return nil, s.cut()
		}
		if err != nil {
			return nil, err
		}
		if len(chunk)+len(line) > s.limit {
			return nil, errTooLong
		}
		depth.scan(line)
		chunk = append(append(chunk, '\n'), line...)
	}
	return bytes.TrimRight(chunk, ", \t"), nil
}

// cut is errCut. What is cut because the file ends there stays in front, for another run to find it complete.
func (s *splitter) cut() error {
	if s.open {
		s.offset, s.line = s.begin, s.first
	}
	return errCut
}

// readLine gives a line without its end. A line over the limit is passed over.
func (s *splitter) readLine() ([]byte, error) {
	var line []byte
	tooLong, began := false, false
	for {
		part, err := s.r.ReadSlice('\n')
		s.offset += int64(len(part))
		began = began || len(part) > 0
		if len(line)+len(part) > s.limit {
			tooLong = true
		}
		if !tooLong {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			s.open = true
			if !began {
				return nil, io.EOF
			}
		case err != nil:
			return nil, err
		}
		s.line++
		if tooLong {
			return nil, errTooLong
		}
		return bytes.TrimRight(line, "\r\n"), nil
	}
}

// trimArray takes away white space, and what stands in front of an element that has lines of its own in a printed array.
func trimArray(line []byte) []byte {
	const around = "[], \t"
	line = bytes.TrimSpace(line)
	if len(bytes.Trim(line, around)) == 0 {
		return nil
	}
	if line[0] == ',' || line[0] == '[' && line[len(line)-1] != ']' {
		line = bytes.TrimLeft(line, around)
	}
	return line
}

// nesting is how deep in JSON objects and arrays the end of a text is.
type nesting struct {
	level            int
	inString, escape bool
}

func (n *nesting) scan(text []byte) {
	for _, c := range text {
		switch {
		case n.escape:
			n.escape = false
		case n.inString:
			n.escape = c == '\\'
			n.inString = c != '"'
		case c == '"':
			n.inString = true
		case c == '{' || c == '[':
			n.level++
		case c == '}' || c == ']':
			n.level--
		}
	}
}

// withoutTime takes away the time that CloudWatch puts in front of a line when it exports to S3.
func withoutTime(line []byte) (rest []byte, had bool) {
	at, rest, found := bytes.Cut(line, []byte(" "))
	if !found || len(at) < len(time.DateOnly) || at[0] < '0' || at[0] > '9' {
		return line, false
	}
	if _, err := time.Parse(time.RFC3339Nano, string(at)); err != nil {
		return line, false
	}
	return bytes.TrimSpace(rest), true
}
