package analysis

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/journey"
)

// arguments reads loosely typed arguments (from YAML, a query string, a flag) and remembers the first fault, and which
// ones were asked for.
type arguments struct {
	raw      map[string]any
	calendar journey.Calendar
	asked    map[string]bool
	err      error
}

func (a *arguments) fail(format string, args ...any) {
	if a.err == nil {
		a.err = fmt.Errorf(format, args...)
	}
}

func (a *arguments) get(name string) (any, bool) {
	a.asked[name] = true
	v, ok := a.raw[name]
	return v, ok && v != nil
}

// finish refuses arguments that the analysis does not know.
func (a *arguments) finish() error {
	if a.err != nil {
		return a.err
	}
	for _, name := range slices.Sorted(maps.Keys(a.raw)) {
		if !a.asked[name] {
			return fmt.Errorf("unknown argument %q: this analysis takes %s", name,
				strings.Join(slices.Sorted(maps.Keys(a.asked)), ", "))
		}
	}
	return nil
}

func (a *arguments) string(name string) string {
	v, ok := a.get(name)
	if !ok {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		a.fail("%s %v: want a text", name, v)
	}
	return s
}

// names reads one event name or a list of them; nil when absent.
func (a *arguments) names(name string) []string {
	v, ok := a.get(name)
	if !ok {
		return nil
	}
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		out := make([]string, 0, len(v))
		for _, item := range v {
			s, ok := item.(string)
			if !ok {
				a.fail("%s: %v is no event name", name, item)
				return nil
			}
			out = append(out, s)
		}
		if len(out) == 0 {
			a.fail("%s: the list is empty", name)
		}
		return out
	}
	a.fail("%s %v: want an event name or a list of them", name, v)
	return nil
}

// events reads the argument event: nil means any.
func (a *arguments) events() []string {
	names := a.names("event")
	if len(names) == 1 && names[0] == anyEvent {
		return nil
	}
	a.refuseAny("event", names)
	return names
}

// anyEvent selects every event that is of value and succeeded; no event has that name.
const anyEvent = "any"

// named reads names of events where any will not do.
func (a *arguments) named(name string) []string {
	names := a.names(name)
	a.refuseAny(name, names)
	return names
}

// refuseAny spares its author an event name that nobody sends, which would count as nothing.
func (a *arguments) refuseAny(name string, names []string) {
	if slices.Contains(names, anyEvent) {
		a.fail("%s: any stands alone in the argument event: name the events instead", name)
	}
}

func (a *arguments) int(name string) (n int, given bool) {
	v, ok := a.get(name)
	if !ok {
		return 0, false
	}
	n, err := asInt(v)
	if err != nil {
		a.fail("%s %v: want a whole number", name, v)
	}
	return n, true
}

func asInt(v any) (int, error) {
	switch v := v.(type) {
	case int:
		return v, nil
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<31 {
			return int(v), nil
		}
	case string:
		return strconv.Atoi(v)
	}
	return 0, errors.New("not a whole number")
}

func (a *arguments) bool(name string) *bool {
	v, ok := a.get(name)
	if !ok {
		return nil
	}
	b, ok := v.(bool)
	if !ok {
		a.fail("%s %v: want true or false", name, v)
	}
	return &b
}

func (a *arguments) time(name string) time.Time {
	v, ok := a.get(name)
	if !ok {
		a.fail("%s is missing: want a date or a time", name)
		return time.Time{}
	}
	t, err := ParseTime(a.calendar, fmt.Sprint(v))
	if err != nil {
		a.fail("%s %w", name, err)
	}
	return t
}

func (a *arguments) duration(name string) time.Duration {
	v, ok := a.get(name)
	if !ok {
		a.fail("%s is missing: want a duration such as 7d or 36h", name)
		return 0
	}
	d, err := ParseDuration(fmt.Sprint(v))
	if err != nil {
		a.fail("%s: %w", name, err)
	}
	return d
}

// common reads the arguments that all analyses take, but from.
func (a *arguments) common() Args {
	args := Args{
		Entity:    Entity(a.string("entity")),
		Events:    a.events(),
		Grain:     journey.Grain(a.string("grain")),
		To:        a.time("to"),
		ActorKind: a.string("actor_kind"),
		Cluster:   a.string("cluster"),
		Persona:   a.string("persona"),
	}
	if args.Grain != "" {
		if _, err := journey.ParseGrain(string(args.Grain)); err != nil {
			a.fail("%w", err)
		}
	}
	if n, given := a.int("min_members"); given {
		args.MinMembers = n
		if n < 1 {
			a.fail("min_members %d: want 1 or more", n)
		}
	}
	return args
}

// ranged reads the common arguments and from. Where a grain is given, the bounds must be aligned to it.
func (a *arguments) ranged() Args {
	from := a.time("from")
	args := a.common()
	args.From = from
	if a.err == nil && args.Grain != "" {
		if _, err := a.calendar.Between(args.Grain, args.From, args.To); err != nil {
			a.fail("%w", err)
		}
	}
	return args
}

// timeLayouts are what ParseTime reads besides RFC 3339; without an offset they are wall-clock times of the zone.
var timeLayouts = []string{"2006-01-02T15:04Z07:00", "2006-01-02 15:04:05Z07:00"}

// localLayouts have no offset.
var localLayouts = []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04"}

// ParseTime reads a time with its offset, a wall-clock time of the calendar's zone, or a date, which is its first instant
// in that zone.
func ParseTime(c journey.Calendar, s string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		year, month, day := t.Date()
		return c.FirstInstant(year, month, day), nil
	}
	for _, layout := range append([]string{time.RFC3339Nano}, timeLayouts...) {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	for _, layout := range localLayouts {
		if t, err := time.ParseInLocation(layout, s, c.Zone); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q: want a date 2026-01-05 or a time 2026-01-05T10:00:00Z", s)
}

var durationPart = regexp.MustCompile(`^(\d+(?:\.\d+)?)(ms|w|d|h|m|s)`)

var durationUnits = map[string]time.Duration{
	"w": 7 * 24 * time.Hour, "d": 24 * time.Hour, "h": time.Hour, "m": time.Minute, "s": time.Second, "ms": time.Millisecond,
}

// ParseDuration reads 90m, 1h30m, 7d, 2w: days of 24 hours, whatever the clocks do.
func ParseDuration(s string) (time.Duration, error) {
	rest, sum := strings.TrimSpace(s), 0.0
	if rest == "0" {
		return 0, nil
	}
	for rest != "" {
		part := durationPart.FindStringSubmatch(rest)
		if part == nil {
			return 0, fmt.Errorf("duration %q: want numbers with units w, d, h, m, s or ms, such as 7d or 1h30m", s)
		}
		n, err := strconv.ParseFloat(part[1], 64)
		if err != nil {
			return 0, fmt.Errorf("duration %q: %w", s, err)
		}
		sum += n * float64(durationUnits[part[2]])
		rest = rest[len(part[0]):]
	}
	if s == "" || sum > math.MaxInt64/2 {
		return 0, fmt.Errorf("duration %q: want something between 0 and 146 years", s)
	}
	return time.Duration(sum), nil
}
