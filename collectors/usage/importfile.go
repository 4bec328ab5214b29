package usage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// FileFormat is the format of a file of events.
type FileFormat string

// The formats. FormatAuto takes a file that begins with a brace for NDJSON, and for CSV otherwise.
const (
	FormatAuto   FileFormat = "auto"
	FormatCSV    FileFormat = "csv"
	FormatNDJSON FileFormat = "ndjson"
)

// The layouts of times that are no layouts of package time.
const (
	LayoutUnix   = "unix"    // seconds since 1970
	LayoutUnixMS = "unix_ms" // milliseconds since 1970
)

// fileBatch is how many events ImportFile hands over at a time.
const fileBatch = 2000

// FileConfig says what ImportFile reads, and what its columns mean.
type FileConfig struct {
	// Reader gives the file, and Name is what messages call it.
	Reader io.Reader
	Name   string
	Format FileFormat
	// Source is the namespace of the events' ids: another import with the same ids and source repeats events.
	Source string
	// Columns maps fields of the native form ("name", "time", "attributes.page" ...) to columns of the file (members of the
	// objects, for NDJSON). A column that begins with "=" is the value itself, for every event. Fields that are not mapped are
	// taken from columns of their own name. Without an id, the row's content and the number of rows like it make one.
	Columns map[string]string
	// Comma separates the fields of CSV; 0 is a comma.
	Comma rune
	// Layout is how times are written: a layout of package time, LayoutUnix or LayoutUnixMS; empty: RFC 3339. A layout without a
	// zone is read in Location; nil: UTC.
	Layout   string
	Location *time.Location
	Sink     collectors.Sink
	Validate collectors.Validate
	// Progress is told the number of rows read, every few thousand; nil: nobody wants to know.
	Progress func(rows int)
	// Now is time.Now when nil.
	Now func() time.Time
}

// FileSummary is what an import found.
type FileSummary struct {
	Rows, Taken, Refused int
	// Faults are the first of the refused rows.
	Faults []RowFault
}

// RowFault is the refusal of one row.
type RowFault struct {
	// Line is the number of the row's first line, from 1.
	Line   int
	Reason string
}

// String is the summary for people, with a final newline.
func (s FileSummary) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d rows, %d taken as events, %d refused\n", s.Rows, s.Taken, s.Refused)
	for _, fault := range s.Faults {
		fmt.Fprintf(&b, "  line %d: %s\n", fault.Line, fault.Reason)
	}
	if more := s.Refused - len(s.Faults); more > 0 {
		fmt.Fprintf(&b, "  and %d more\n", more)
	}
	return b.String()
}

// ImportFile reads events from a file of CSV or NDJSON and hands them over, whatever their age. The summary is valid, as far as
// it goes, together with an error. A full sink is waited for. Another run of the same file repeats events, which count once
// within 7 days.
func ImportFile(ctx context.Context, cfg FileConfig) (FileSummary, error) {
	i, err := newFileImport(cfg)
	if err != nil {
		return FileSummary{}, err
	}
	rows, err := i.rows()
	if err != nil {
		return i.summary, fmt.Errorf("import %s: %w", cfg.Name, err)
	}
	for {
		row, line, err := rows()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		var bad *rowError
		switch {
		case errors.As(err, &bad):
			i.refuse(line, bad.reason)
		case err != nil:
			return i.summary, fmt.Errorf("import %s: line %d: %w", cfg.Name, line, err)
		default:
			i.take(row, line)
		}
		if len(i.pending) >= fileBatch {
			if err := i.flush(ctx); err != nil {
				return i.summary, fmt.Errorf("import %s: line %d: %w", cfg.Name, line, err)
			}
		}
	}
	if err := i.flush(ctx); err != nil {
		return i.summary, fmt.Errorf("import %s: %w", cfg.Name, err)
	}
	return i.summary, nil
}

// rowError is what is wrong with one row, without its content.
type rowError struct{ reason string }

func (e *rowError) Error() string { return e.reason }

// row is one row: the text of each column that has one.
type row map[string]string

// fileImport is one run of ImportFile.
type fileImport struct {
	cfg     FileConfig
	columns map[string]string // field -> column, or = and a value
	pending []schema.Event
	summary FileSummary
	alike   map[[sha256.Size]byte]int
}

func newFileImport(cfg FileConfig) (*fileImport, error) {
	if cfg.Reader == nil || cfg.Sink == nil || cfg.Validate == nil || cfg.Source == "" {
		return nil, errors.New("import events: a reader, a source, a sink and a validator are required")
	}
	cfg.Now = collectors.Clock(cfg.Now)
	if cfg.Location == nil {
		cfg.Location = time.UTC
	}
	i := &fileImport{cfg: cfg, columns: make(map[string]string), alike: make(map[[sha256.Size]byte]int)}
	fields := Fields()
	for _, field := range fields {
		i.columns[field] = field
	}
	var faults []error
	for _, field := range slices.Sorted(maps.Keys(cfg.Columns)) {
		key, isAttribute := strings.CutPrefix(field, attributePrefix)
		if column := cfg.Columns[field]; column == "" || isAttribute && key == "" || !isAttribute && !slices.Contains(fields, field) {
			faults = append(faults, fmt.Errorf("column mapping %q=%q: want a column, and one of the fields %s, %sKEY", field, column, strings.Join(fields, ", "), attributePrefix))
			continue
		}
		i.columns[field] = cfg.Columns[field]
	}
	return i, errors.Join(faults...)
}

const attributePrefix = "attributes."

// Fields lists the fields that a column can be mapped to, beside attributes.KEY.
func Fields() []string {
	var names []string
	for field := range reflect.TypeFor[nativeEvent]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name != "attributes" {
			names = append(names, name)
		}
	}
	return names
}

// take makes an event of a row.
func (i *fileImport) take(r row, line int) {
	i.progress()
	n, err := i.event(r)
	received := i.cfg.Now().UTC()
	var e schema.Event
	if err == nil {
		err = n.event(&e, i.cfg.Source, received)
	}
	if err == nil && e.ID == "" {
		e.ID = i.contentID(r)
	}
	if err == nil {
		err = i.cfg.Validate(&e)
	}
	if err != nil {
		i.refuse(line, err.Error())
		return
	}
	i.summary.Rows++
	i.summary.Taken++
	i.pending = append(i.pending, e)
}

func (i *fileImport) progress() {
	const every = 5000
	if i.cfg.Progress != nil && i.summary.Rows%every == every-1 {
		i.cfg.Progress(i.summary.Rows + 1)
	}
}

func (i *fileImport) refuse(line int, reason string) {
	const shown = 10
	i.summary.Rows++
	i.summary.Refused++
	if len(i.summary.Faults) < shown {
		i.summary.Faults = append(i.summary.Faults, RowFault{Line: line, Reason: reason})
	}
}

// event fills the native form from a row.
func (i *fileImport) event(r row) (nativeEvent, error) {
	var n nativeEvent
	form := reflect.ValueOf(&n).Elem()
	for field := range form.Type().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		text := i.text(r, name)
		if text == "" || name == "attributes" {
			continue
		}
		if err := setField(form.FieldByIndex(field.Index), name, text); err != nil {
			return n, err
		}
	}
	n.Attributes = i.attributes(r)
	at, err := i.time(n.Time)
	n.Time = at
	return n, err
}

// attributes are the columns mapped to attributes, and those whose own names say that they are some.
func (i *fileImport) attributes(r row) map[string]string {
	found := make(map[string]string)
	for column, text := range r {
		if key, is := strings.CutPrefix(column, attributePrefix); is && key != "" {
			found[key] = text
		}
	}
	for field := range i.columns {
		if key, is := strings.CutPrefix(field, attributePrefix); is {
			if text := i.text(r, field); text != "" {
				found[key] = text
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	return found
}

func (i *fileImport) text(r row, field string) string {
	column := i.columns[field]
	if value, isValue := strings.CutPrefix(column, "="); isValue {
		return value
	}
	return r[column]
}

// setField sets a field of the native form: a text, a list of texts between semicolons, or a number.
func setField(v reflect.Value, name, text string) error {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Slice:
		var list []string
		for part := range strings.SplitSeq(text, ";") {
			if part = strings.TrimSpace(part); part != "" {
				list = append(list, part)
			}
		}
		v.Set(reflect.ValueOf(list))
	case reflect.Pointer:
		number, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return &rowError{name + ": want a number"}
		}
		v.Set(reflect.ValueOf(&number))
	}
	return nil
}

// time brings a time into the native form.
func (i *fileImport) time(text string) (string, error) {
	if text == "" {
		return "", &rowError{"time: missing"}
	}
	switch i.cfg.Layout {
	case "":
		return text, nil
	case LayoutUnix, LayoutUnixMS:
		number, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return "", &rowError{"time: want a number of the layout " + i.cfg.Layout}
		}
		if i.cfg.Layout == LayoutUnix {
			number *= 1000
		}
		return time.UnixMilli(int64(number)).UTC().Format(time.RFC3339Nano), nil
	}
	at, err := time.ParseInLocation(i.cfg.Layout, text, i.cfg.Location)
	if err != nil {
		return "", &rowError{"time: want the layout " + i.cfg.Layout}
	}
	return at.UTC().Format(time.RFC3339Nano), nil
}

// contentID is the same for the same row in another run, and another for each of the rows that are alike in one file.
func (i *fileImport) contentID(r row) string {
	hash := sha256.New()
	for _, column := range slices.Sorted(maps.Keys(r)) {
		fmt.Fprintf(hash, "%d:%s%d:%s", len(column), column, len(r[column]), r[column])
	}
	sum := [sha256.Size]byte(hash.Sum(nil))
	i.alike[sum]++
	return hex.EncodeToString(sum[:16]) + "-" + strconv.Itoa(i.alike[sum])
}

// flush hands over what is pending, and waits for a sink that is full.
func (i *fileImport) flush(ctx context.Context) error {
	const pause = time.Second
	for len(i.pending) > 0 {
		err := i.cfg.Sink.Append(ctx, schema.Batch{Events: i.pending, Backfill: true})
		if err == nil {
			i.pending = nil
			return nil
		}
		if !errors.Is(err, collectors.ErrFull) {
			return fmt.Errorf("hand over %d events: %w", len(i.pending), err)
		}
		if !collectors.Sleep(ctx, pause) {
			return errors.Join(ctx.Err(), err)
		}
	}
	return nil
}
