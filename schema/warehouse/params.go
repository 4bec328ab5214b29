package warehouse

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// maxParameters bounds the text of all bound parameters of a statement, in bytes: they travel in the URL, of which a
// ClickHouse server accepts 1 MiB unless it is configured otherwise.
const maxParameters = 900 << 10

// parameters makes the text of bound parameters of Go values: strings, booleans, integers, floats, times, nil, and slices of
// them. A time is sent as its epoch, which is the same moment whatever the zone of the parameter's type; a type without
// fractions, such as DateTime, takes whole seconds only.
func parameters(values map[string]any) (clickhouse.Parameters, error) {
	all := make(clickhouse.Parameters, len(values))
	size := 0
	for _, name := range slices.Sorted(maps.Keys(values)) {
		text, err := parameter(reflect.ValueOf(values[name]), false)
		if err != nil {
			return nil, fmt.Errorf("parameter %s: %w", name, err)
		}
		all[name] = text
		size += len(name) + len(text)
	}
	if size > maxParameters {
		return nil, fmt.Errorf("the parameters take %d bytes, at most %d are possible: pass less, or let the statement find it in a table", size, maxParameters)
	}
	return all, nil
}

// parameter is the text of one value. Nested ones, in an array, are quoted.
func parameter(v reflect.Value, nested bool) (string, error) {
	if !v.IsValid() {
		if nested {
			return "NULL", nil
		}
		return `\N`, nil
	}
	if t, ok := v.Interface().(time.Time); ok {
		return quoted(epoch(t), nested), nil // in an array, an epoch without quotes would be taken for milliseconds
	}
	switch v.Kind() {
	case reflect.String:
		return quoted(escape(v.String()), nested), nil
	case reflect.Bool:
		return strconv.FormatBool(v.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(v.Uint(), 10), nil
	case reflect.Float32, reflect.Float64:
		return float(v.Float()), nil
	case reflect.Slice:
		return array(v)
	case reflect.Interface:
		return parameter(v.Elem(), nested)
	default:
		return "", fmt.Errorf("a %s cannot be a parameter", v.Type())
	}
}

func array(v reflect.Value) (string, error) {
	var b strings.Builder
	b.WriteByte('[')
	for i := range v.Len() {
		if i > 0 {
			b.WriteByte(',')
		}
		text, err := parameter(v.Index(i), true)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
	}
	b.WriteByte(']')
	return b.String(), nil
}

// quoted makes an array's element of escaped text.
func quoted(text string, nested bool) string {
	if !nested {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `\'`) + "'"
}

// escape makes a parameter's text of a string: the server reads it like a field of a tab-separated line.
func escape(text string) string {
	return strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`).Replace(text)
}

func float(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// epoch is a time in seconds since 1970, with milliseconds if it has any. ClickHouse reads fewer than ten digits as something
// else, or not at all.
func epoch(t time.Time) string {
	ms := t.UnixMilli()
	sign := ""
	if ms < 0 {
		sign, ms = "-", -ms
	}
	if ms%1000 == 0 {
		return fmt.Sprintf("%s%010d", sign, ms/1000)
	}
	return fmt.Sprintf("%s%010d.%03d", sign, ms/1000, ms%1000)
}
