package reports

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestValuesAreWrittenWithTheirUnits(t *testing.T) {
	for _, c := range []struct {
		value float64
		unit  string
		want  string
	}{
		{0.575, "ratio", "57.5%"}, {1, "ratio", "100%"}, {0, "ratio", "0%"}, {0.5, "ratio", "50%"}, {0.9, "ratio", "90%"}, {23. / 40, "ratio", "57.5%"},
		{0.9982, "ratio", "99.82%"}, {0.99995, "ratio", "99.995%"}, {0.999999, "ratio", "99.9999%"}, {0.0004, "ratio", "0.04%"}, {0.999, "ratio", "99.9%"},
		{1.8, "ratio", "180%"}, {0.73, "times", "0.73×"}, {12.345, "ratio", "1,234%"}, {-1.12, "ratio", "−112%"}, {-0.02, "ratio", "−2%"},
		{231, "people", "231 people"}, {1, "people", "1 person"}, {1, "teams", "1 team"}, {1, "load balancers", "1 load balancer"}, {1, "tickets per team", "1 ticket per team"}, {1, "capabilities", "1 capability"}, {1234567, "events", "1,234,567 events"}, {0.25, "denials", "0.25 denials"}, {12, "", "12"},
		{42, "seconds", "42 s"}, {750, "seconds", "12.5 min"}, {74, "minutes", "74 min"}, {41, "hours", "41 h"}, {96, "hours", "4 d"}, {12.5, "days", "12.5 d"}, {-90, "minutes", "−90 min"},
		{1234.5678, "EUR", "1,235 EUR"}, {0.012345, "EUR", "0.0123 EUR"},
	} {
		if got := Value(c.value, c.unit); got != c.want {
			t.Errorf("Value(%v, %q) = %q, want %q", c.value, c.unit, got, c.want)
		}
	}
}

func TestChangesHaveASign(t *testing.T) {
	for _, c := range []struct {
		value float64
		unit  string
		want  string
	}{{0.05, "ratio", "+5 pp"}, {-0.0014, "ratio", "−0.14 pp"}, {0, "ratio", "±0 pp"}, {22, "people", "+22 people"}, {-1, "teams", "−1 team"}, {-19, "hours", "−19 h"}} {
		if got := Change(c.value, c.unit); got != c.want {
			t.Errorf("Change(%v, %q) = %q, want %q", c.value, c.unit, got, c.want)
		}
	}
}

func TestComparedTimesShareAUnit(t *testing.T) {
	a, b := Pair(90, 41*60, "minutes")
	if a != "1.5 h" || b != "41 h" {
		t.Errorf("Pair = %q, %q, want hours for both", a, b)
	}
	f := Figure{Unit: "hours", Value: new(41.0), Target: new(240.0), Change: new(-19.0)}
	if v, c, target := f.ValueText(), f.ChangeText(), f.TargetText(); v != "1.71 d" || c != "−0.79 d" || target != "10 d" {
		t.Errorf("value %q, change %q, target %q, want days for all", v, c, target)
	}
}

func TestBudgetsAreInMinutes(t *testing.T) {
	for v, want := range map[float64]string{40.32: "40.3 min", -4.8384: "−4.84 min", 201.6: "202 min", 0: "0 min", 1440: "1,440 min"} {
		if got := Minutes(v); got != want {
			t.Errorf("Minutes(%v) = %q, want %q", v, got, want)
		}
	}
}

// A ratio below 1 must never look like all of it, nor one above 0 like nothing.
func TestARatioIsNeverRoundedToAllOrNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Float64Range(0, 1).Draw(t, "ratio")
		if min(v, 1-v) < 1e-6 {
			return
		}
		text := Ratio(v)
		if text == "100%" || text == "0%" {
			t.Fatalf("Ratio(%v) = %s", v, text)
		}
		back, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
		if err != nil {
			t.Fatal(err)
		}
		if off := back/100 - v; off > 0.05*min(v, 1-v)+1e-12 && off > 0.0005000001 {
			t.Fatalf("Ratio(%v) = %s is off by %v", v, text, off)
		}
	})
}

func TestNamesAreListedAsInASentence(t *testing.T) {
	for _, c := range []struct {
		list []string
		want string
	}{{nil, ""}, {[]string{"a"}, "a"}, {[]string{"a", "b"}, "a and b"}, {[]string{"a", "b", "c"}, "a, b and c"}, {[]string{"a", "b", "c", "d"}, "a, b, c and 1 more"}} {
		if got := names(c.list, 3); got != c.want {
			t.Errorf("names(%v) = %q, want %q", c.list, got, c.want)
		}
	}
	if got := (TeamList{Withheld: 2}).String(); got != "2 teams too small to be named" {
		t.Errorf("only small teams: %q", got)
	}
}

func TestLengthKeepsThreeDigits(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0 s", 1500 * time.Millisecond: "1.5 s", 100 * time.Second: "100 s", 37 * time.Hour: "37 h", 1000 * time.Hour: "41.7 d"} {
		if got := Length(d); got != want {
			t.Errorf("Length(%s) = %q, want %q", d, got, want)
		}
	}
}
