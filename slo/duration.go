package slo

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// MaxLength is the longest that a duration or a window can be, 200 years: beyond, sums of times could overflow.
const MaxLength = 200 * 366 * day

// ParseDuration reads a duration such as 5m, 1h30m, 28d or 2w: numbers with the units ns, us, ms, s, m, h, d (24
// hours) and w (7 days), a bare 0, and an optional sign. Months and years have no fixed length and are refused.
func ParseDuration(text string) (time.Duration, error) {
	bad := func() (time.Duration, error) {
		return 0, fmt.Errorf("%q is not a duration: write numbers with units ms, s, m, h, d, w, such as 5m, 1h30m or 28d", text)
	}
	rest := strings.TrimLeft(text, "+-")
	if len(text)-len(rest) > 1 || rest == "" {
		return bad()
	}
	if rest == "0" {
		return 0, nil
	}
	var sum float64
	for rest != "" {
		digits := strings.IndexFunc(rest, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if digits <= 0 {
			return bad()
		}
		n, err := strconv.ParseFloat(rest[:digits], 64)
		if err != nil {
			return bad()
		}
		rest = rest[digits:]
		letters := strings.IndexFunc(rest, func(r rune) bool { return r >= '0' && r <= '9' || r == '.' })
		if letters < 0 {
			letters = len(rest)
		}
		unit, ok := map[string]time.Duration{
			"ns": time.Nanosecond, "us": time.Microsecond, "ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": day, "w": week,
		}[rest[:letters]]
		if !ok {
			return bad()
		}
		rest = rest[letters:]
		sum += n * float64(unit)
	}
	if sum > float64(MaxLength) {
		return 0, fmt.Errorf("duration %s is longer than 200 years", text)
	}
	d := time.Duration(math.Round(sum))
	if strings.HasPrefix(text, "-") {
		d = -d
	}
	return d, nil
}

// FormatDuration writes a duration as ParseDuration reads it, in the largest units that divide it: 28d, 1h30m, 5m.
func FormatDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	var b strings.Builder
	if d < 0 {
		b.WriteByte('-')
		d = -d
	}
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}, {time.Millisecond, "ms"}} {
		if n := d / u.unit; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			d -= n * u.unit
		}
	}
	if d > 0 {
		fmt.Fprintf(&b, "%dns", d)
	}
	return b.String()
}
