package slotest

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/slo"
)

// maxSlices bounds what one test may list: almost three years of minutes.
const maxSlices = 1_500_000

// parseSlices reads the notation of slices: good/total, or _ for a slice without data, each with *N for N copies in
// all, separated by spaces. What the counts may be is the engine's to say.
func parseSlices(text string, start time.Time, step time.Duration) (out []slo.Slice, end time.Time, err error) {
	n := 0
	for _, token := range strings.Fields(text) {
		value, copies, err := parseToken(token)
		if err != nil {
			return nil, time.Time{}, err
		}
		if n += copies; n > maxSlices {
			return nil, time.Time{}, fmt.Errorf("more than %d slices", maxSlices)
		}
		for k := n - copies; k < n; k++ {
			if value.State == slo.Measured {
				value.Start = start.Add(time.Duration(k) * step)
				out = append(out, value)
			}
		}
	}
	return out, start.Add(time.Duration(n) * step), nil
}

func parseToken(token string) (value slo.Slice, copies int, err error) {
	text, count, repeated := strings.Cut(token, "*")
	copies = 1
	if repeated {
		if copies, err = strconv.Atoi(count); err != nil || copies < 1 || copies > maxSlices {
			return value, 0, fmt.Errorf("slice %q: %q is not a number of copies: write *N with N from 1 to %d", token, count, maxSlices)
		}
	}
	if text == "_" {
		return slo.Slice{State: slo.Gap}, copies, nil
	}
	good, total, ok := strings.Cut(text, "/")
	g, errGood := strconv.ParseFloat(good, 64)
	t, errTotal := strconv.ParseFloat(total, 64)
	if !ok || errGood != nil || errTotal != nil {
		return value, 0, fmt.Errorf("slice %q is not good/total, such as 99/100, nor _ for a slice without data", token)
	}
	return slo.Slice{Good: g, Total: t, State: slo.Measured}, copies, nil
}

// formatSlice writes a slice as parseSlices reads it.
func formatSlice(s slo.Slice) string {
	if s.State != slo.Measured {
		return "_"
	}
	return strconv.FormatFloat(s.Good, 'g', -1, 64) + "/" + strconv.FormatFloat(s.Total, 'g', -1, 64)
}

// timeLayouts are what a time may look like; those without an offset are in UTC.
var timeLayouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04",
	time.DateTime, "2006-01-02 15:04", time.DateOnly,
}

func parseTime(text string) (time.Time, error) {
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time, such as 2026-03-01T00:00:00Z", text)
}

// parseMoment reads an offset from start, or a time.
func parseMoment(text string, start time.Time) (time.Time, error) {
	if d, err := slo.ParseDuration(text); err == nil {
		return start.Add(d), nil
	}
	t, err := parseTime(text)
	if err != nil {
		return t, fmt.Errorf("%q is neither an offset from start, such as 90m, nor a time, such as 2026-03-01T00:00:00Z", text)
	}
	return t, nil
}
