package reports

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Value writes a figure with its unit: a ratio as percent, a duration in the unit that fits, times as a factor, anything else as a
// number with the unit behind it.
func Value(v float64, unit string) string {
	switch unit {
	case "ratio":
		return Ratio(v)
	case "seconds", "minutes", "hours", "days":
		return Length(time.Duration(v * float64(unitLength[unit])))
	case "times":
		return Number(v) + "×"
	case "":
		return Number(v)
	}
	return Number(v) + " " + inNumber(unit, v)
}

// Change writes a difference with its sign and unit; differences of ratios are percentage points (pp).
func Change(v float64, unit string) string {
	sign := "+"
	switch {
	case v < 0:
		sign = "−"
	case v == 0:
		sign = "±"
	}
	v = math.Abs(v)
	if unit == "ratio" {
		return sign + digits(100*v, 2) + " pp"
	}
	return sign + Value(v, unit)
}

var unitLength = map[string]time.Duration{"seconds": time.Second, "minutes": time.Minute, "hours": time.Hour, "days": 24 * time.Hour}

// Ratio writes a ratio as percent, so exactly that 0.9996 does not look like all of it: two significant digits of the distance
// to 0 or 1, whichever is nearer, and at least one decimal unless the ratio is round.
func Ratio(v float64) string {
	distance := min(math.Abs(v), math.Abs(1-v))
	if distance == 0 || v > 1.5 || v < -0.5 {
		return group(strconv.FormatFloat(100*v, 'f', 0, 64)) + "%"
	}
	if v < 0 {
		return "−" + Ratio(-v)
	}
	decimals := 1
	if distance < 0.01 {
		decimals = min(6, 1+int(math.Ceil(-math.Log10(100*distance))))
	}
	text := strconv.FormatFloat(100*v, 'f', decimals, 64)
	if decimals > 1 {
		text = strings.TrimRight(text, "0")
		text = strings.TrimSuffix(text, ".")
	} else {
		text = strings.TrimSuffix(text, ".0")
	}
	return text + "%"
}

// Number writes a number with thousands separators: whole ones as they are, others with three significant digits.
func Number(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return group(strconv.FormatFloat(v, 'f', 0, 64))
	}
	return digits(v, 3)
}

// digits writes v with at most so many significant digits, without an exponent and without needless zeros.
func digits(v float64, significant int) string {
	if v == 0 {
		return "0"
	}
	decimals := significant - 1 - int(math.Floor(math.Log10(math.Abs(v))))
	text := strconv.FormatFloat(v, 'f', max(0, decimals), 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return group(text)
}

// group puts commas between thousands.
func group(text string) string {
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "−", text[1:]
	}
	whole, fraction, _ := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction != "" {
		whole += "." + fraction
	}
	return sign + whole
}

// Length writes a duration in the unit that fits, with three significant digits at most: 42 s, 12.5 min, 5.2 h, 3.1 d.
func Length(d time.Duration) string { return lengthIn(d, fitting(d)) }

type timeUnit struct {
	name string
	size time.Duration
}

// fitting is the unit in which a duration reads best.
func fitting(d time.Duration) timeUnit {
	switch d = d.Abs(); {
	case d < 2*time.Minute:
		return timeUnit{"s", time.Second}
	case d < 2*time.Hour:
		return timeUnit{"min", time.Minute}
	case d < 96*time.Hour:
		return timeUnit{"h", time.Hour}
	}
	return timeUnit{"d", 24 * time.Hour}
}

func lengthIn(d time.Duration, u timeUnit) string {
	sign := ""
	if d < 0 {
		sign, d = "−", -d
	}
	return sign + digits(float64(d)/float64(u.size), 3) + " " + u.name
}

// Pair writes two values that are compared: durations in one unit, that of the longer.
func Pair(a, b float64, unit string) (string, string) {
	size, ok := unitLength[unit]
	if !ok {
		return Value(a, unit), Value(b, unit)
	}
	x, y := time.Duration(a*float64(size)), time.Duration(b*float64(size))
	u := fitting(max(x.Abs(), y.Abs()))
	return lengthIn(x, u), lengthIn(y, u)
}

// Minutes writes an amount of minutes as such, since budgets are compared with each other: 40.3 min.
func Minutes(v float64) string {
	if math.Abs(v) >= 100 {
		return Number(math.Round(v)) + " min"
	}
	if v < 0 {
		return "−" + digits(-v, 3) + " min"
	}
	return digits(v, 3) + " min"
}

// irregular are the names of units whose singular is not the plural without its s.
var irregular = map[string]string{"people": "person", "capabilities": "capability"}

// inNumber is the unit of so many: its noun is what comes before "per".
func inNumber(unit string, v float64) string {
	if v != 1 {
		return unit
	}
	noun, per, _ := strings.Cut(unit, " per ")
	if one, ok := irregular[noun]; ok {
		noun = one
	}
	noun = strings.TrimSuffix(noun, "s")
	if per != "" {
		noun += " per " + per
	}
	return noun
}

// count writes a number with its noun.
func count(n int, noun string) string {
	return fmt.Sprintf("%s %s", Number(float64(n)), inNumber(noun, float64(n)))
}

// names lists at most n names.
func names(list []string, n int) string {
	if len(list) > n {
		return strings.Join(list[:n], ", ") + fmt.Sprintf(" and %d more", len(list)-n)
	}
	if len(list) > 1 {
		return strings.Join(list[:len(list)-1], ", ") + " and " + list[len(list)-1]
	}
	return strings.Join(list, "")
}
