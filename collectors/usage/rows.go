package usage

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/kubevalue/kubevalue/collectors"
)

// maxRowLine bounds a line of NDJSON, in bytes.
const maxRowLine = 1 << 20

// rowReader gives the next row and the number of its first line. A *rowError is that row's alone; io.EOF ends the file.
type rowReader func() (row, int, error)

// rows opens the file in its format.
func (i *fileImport) rows() (rowReader, error) {
	r := bufio.NewReaderSize(i.cfg.Reader, 64<<10)
	if mark, err := r.Peek(3); err == nil && bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = r.Discard(len(mark)) // it was there a moment ago
	}
	format := i.cfg.Format
	if format == "" || format == FormatAuto {
		format = FormatCSV
		if first, err := r.Peek(1); err == nil && first[0] == '{' {
			format = FormatNDJSON
		}
	}
	switch format {
	case FormatCSV:
		return i.csvRows(r)
	case FormatNDJSON:
		return ndjsonRows(r), nil
	}
	return nil, fmt.Errorf("format %q: want auto, csv or ndjson", format)
}

// csvRows reads rows under a header, which must have every column that the mapping names.
func (i *fileImport) csvRows(r io.Reader) (rowReader, error) {
	reader := csv.NewReader(r)
	if i.cfg.Comma != 0 {
		reader.Comma = i.cfg.Comma
	}
	reader.FieldsPerRecord = -1
	header, err := reader.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the file is empty: want a first line with the names of the columns")
	}
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	known := make(map[string]bool, len(header))
	for at, column := range header {
		header[at] = strings.TrimSpace(column)
		known[header[at]] = true
	}
	for field, column := range i.cfg.Columns {
		if !strings.HasPrefix(column, "=") && !known[column] {
			return nil, fmt.Errorf("column mapping %q=%q: the file has no such column, it has %s", field, column, strings.Join(header, ", "))
		}
	}
	return func() (row, int, error) {
		fields, err := reader.Read()
		var parse *csv.ParseError
		switch {
		case errors.As(err, &parse):
			return nil, parse.StartLine, &rowError{"CSV: " + parse.Err.Error()}
		case err != nil:
			return nil, 0, err
		}
		line, _ := reader.FieldPos(0)
		if len(fields) != len(header) {
			return nil, line, &rowError{fmt.Sprintf("%d fields: want %d", len(fields), len(header))}
		}
		r := make(row, len(fields))
		for at, text := range fields {
			if text != "" {
				r[header[at]] = strings.ToValidUTF8(text, "\ufffd")
			}
		}
		return r, line, nil
	}, nil
}

// ndjsonRows reads an object a line. Members of objects in it have names with dots: "user.name".
func ndjsonRows(r *bufio.Reader) rowReader {
	line := 0
	scanner := bufio.NewScanner(r)
	scanner.Buffer(make([]byte, 0, 64<<10), maxRowLine)
	cursor := collectors.NewJSONCursor(nil)
	return func() (row, int, error) {
		for scanner.Scan() {
			line++
			text := bytes.TrimSpace(scanner.Bytes())
			if len(text) == 0 {
				continue
			}
			cursor.Reset(collectors.WithSpare(bytes.ToValidUTF8(bytes.Clone(text), []byte("\ufffd"))))
			found := make(row)
			err := flatten(cursor, "", found)
			if err == nil {
				err = cursor.End()
			}
			if err != nil {
				return nil, line, &rowError{err.Error()}
			}
			return found, line, nil
		}
		if err := scanner.Err(); err != nil {
			return nil, line + 1, fmt.Errorf("%w: a line may have %d bytes", err, maxRowLine)
		}
		return nil, line, io.EOF
	}
}

// flatten takes the scalars of an object, and lists of texts with semicolons between them.
func flatten(cursor *collectors.JSONCursor, prefix string, into row) error {
	const deepest = 5
	return cursor.Object(func(key string) error {
		name := prefix + key
		switch {
		case cursor.Peek() == '{' && strings.Count(prefix, ".") < deepest:
			return flatten(cursor, name+".", into)
		case cursor.Peek() == '[':
			var parts []string
			err := cursor.Array(func() error {
				text, kind, err := scalar(cursor)
				if kind != 0 {
					parts = append(parts, text)
				}
				return err
			})
			if len(parts) > 0 {
				into[name] = strings.Join(parts, ";")
			}
			return err
		}
		text, kind, err := scalar(cursor)
		if kind != 0 && text != "" {
			into[name] = text
		}
		return err
	})
}
