package journey

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func TestLabelsAndBounds(t *testing.T) {
	berlin := Calendar{Zone: zone(t, "Europe/Berlin"), WeekStart: time.Monday}
	sunday := Calendar{Zone: time.UTC, WeekStart: time.Sunday}
	for _, c := range []struct {
		cal      Calendar
		label    string
		grain    Grain
		from, to string
	}{
		{berlin, "2026-W02", "", "2026-01-04T23:00:00Z", "2026-01-11T23:00:00Z"},
		{berlin, "2026-W13", "", "2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z"}, // the clocks go forward: 167 h
		{berlin, "2026-10-25", "", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
		{berlin, "2026-Q1", "", "2025-12-31T23:00:00Z", "2026-03-31T22:00:00Z"},
		{berlin, "2026-02", "", "2026-01-31T23:00:00Z", "2026-02-28T23:00:00Z"},
		{berlin, "2026-W53", "", "2026-12-27T23:00:00Z", "2027-01-03T23:00:00Z"},
		{berlin, "2027-W01", "", "2027-01-03T23:00:00Z", "2027-01-10T23:00:00Z"},
		{sunday, "2026-W01", "", "2026-01-04T00:00:00Z", "2026-01-11T00:00:00Z"},
		{sunday, "2025-W53", "", "2025-12-28T00:00:00Z", "2026-01-04T00:00:00Z"},
	} {
		p, err := c.cal.Parse(c.label, c.grain)
		if err != nil {
			t.Errorf("%s: %v", c.label, err)
			continue
		}
		if got := p.From.Format(time.RFC3339); got != c.from {
			t.Errorf("%s begins at %s, want %s", c.label, got, c.from)
		}
		if got := p.To.Format(time.RFC3339); got != c.to {
			t.Errorf("%s ends at %s, want %s", c.label, got, c.to)
		}
		if p.Label != c.label {
			t.Errorf("%s is labelled %s", c.label, p.Label)
		}
	}
}

func TestMidnightsThatDoNotExistOrComeTwice(t *testing.T) {
	for _, c := range []struct {
		zone, day, want string
	}{
		{"America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z"}, // 00:00 became 01:00
		{"Africa/Cairo", "2024-04-26", "2024-04-25T22:00:00Z"},      // 00:00 became 01:00
		{"America/Havana", "2025-11-02", "2025-11-02T04:00:00Z"},    // 01:00 became 00:00: midnight came twice
		{"Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00Z"},      // the day before never was
	} {
		d, err := time.Parse(time.DateOnly, c.day)
		if err != nil {
			t.Fatal(err)
		}
		cal := Calendar{Zone: zone(t, c.zone), WeekStart: time.Monday}
		if got := cal.firstInstant(date(d)).Format(time.RFC3339); got != c.want {
			t.Errorf("%s in %s begins at %s, want %s", c.day, c.zone, got, c.want)
		}
	}
}

func TestRefusedPeriods(t *testing.T) {
	cal := Calendar{Zone: time.UTC, WeekStart: time.Monday}
	for _, c := range []struct {
		label string
		grain Grain
	}{
		{"2026-W54", ""}, {"2025-W53", ""}, {"2026-Q5", ""}, {"2026-13", ""}, {"2026", ""}, {"", ""}, {"2026-W2", ""},
		{"2026-01-06", GrainWeek}, {"2026-01-02", GrainMonth}, {"2026-W02", GrainMonth},
	} {
		if p, err := cal.Parse(c.label, c.grain); err == nil {
			t.Errorf("%q with grain %q was read as %+v", c.label, c.grain, p)
		}
	}
	from := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	if _, err := cal.Between(GrainDay, from.Add(time.Minute), from.AddDate(0, 0, 1)); err == nil {
		t.Error("an unaligned from was accepted")
	}
	if _, err := cal.Between(GrainWeek, from, from.AddDate(0, 0, 8)); err == nil {
		t.Error("an unaligned to was accepted")
	}
	if _, err := cal.Between(GrainDay, from, from); err == nil {
		t.Error("an empty range was accepted")
	}
}

func TestRefusedPeriodsSayWhichThereAre(t *testing.T) {
	cal := Calendar{Zone: time.UTC, WeekStart: time.Monday}
	for label, want := range map[string]string{
		"2026-W99": `period "2026-W99": the year 2026 has the weeks 2026-W01 to 2026-W53`,
		"2025-W53": `period "2025-W53": the year 2025 has the weeks 2025-W01 to 2025-W52`,
		"2026-W00": `period "2026-W00": the year 2026 has the weeks 2026-W01 to 2026-W53`,
		"2026-Q7":  `period "2026-Q7": a year has the quarters 2026-Q1 to 2026-Q4`,
		"2026-13":  `period "2026-13": a year has the months 2026-01 to 2026-12`,
		"week 3":   `period "week 3": want a week 2026-W02, a month 2026-01, a quarter 2026-Q1 or a day 2026-01-05`,
	} {
		if _, err := cal.Parse(label, ""); err == nil || err.Error() != want {
			t.Errorf("%q is refused with %v, want %s", label, err, want)
		}
	}
}

func TestYearAgo(t *testing.T) {
	cal := Calendar{Zone: time.UTC, WeekStart: time.Monday}
	for label, want := range map[string]string{
		"2026-W02": "2025-W02", "2026-W53": "2025-W52", "2026-01": "2025-01", "2026-Q1": "2025-Q1", "2024-02-29": "2023-02-28",
	} {
		p, err := cal.Parse(label, "")
		if err != nil {
			t.Fatal(err)
		}
		if got := cal.YearAgo(p).Label; got != want {
			t.Errorf("a year before %s is %s, want %s", label, got, want)
		}
	}
}

// Periods tile time: no instant belongs to two, none to none, and labels read back.
func TestPeriodsTile(t *testing.T) {
	zones := []string{"UTC", "Europe/Berlin", "America/Sao_Paulo", "America/Havana", "Asia/Kathmandu", "Pacific/Apia",
		"Australia/Lord_Howe", "America/St_Johns", "Africa/Cairo"}
	rapid.Check(t, func(rt *rapid.T) {
		loc, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(rt, "zone"))
		if err != nil {
			rt.Fatal(err)
		}
		cal := Calendar{Zone: loc, WeekStart: time.Weekday(rapid.IntRange(0, 6).Draw(rt, "week start"))}
		grain := rapid.SampledFrom([]Grain{GrainDay, GrainWeek, GrainMonth, GrainQuarter}).Draw(rt, "grain")
		at := time.Unix(rapid.Int64Range(1_100_000_000, 1_900_000_000).Draw(rt, "at"), 0).UTC()
		p := cal.Period(grain, at)
		if at.Before(p.From) || !at.Before(p.To) {
			rt.Fatalf("%s is not in its %s [%s, %s)", at, grain, p.From, p.To)
		}
		if next := cal.Next(p); !next.From.Equal(p.To) {
			rt.Fatalf("after %s ending %s comes %s from %s", p.Label, p.To, next.Label, next.From)
		}
		if prev := cal.Previous(p); !prev.To.Equal(p.From) {
			rt.Fatalf("before %s comes %s ending %s", p.Label, prev.Label, prev.To)
		}
		back, err := cal.Parse(p.Label, grain)
		if err != nil || !back.From.Equal(p.From) || !back.To.Equal(p.To) {
			rt.Fatalf("%+v reads back as %+v, %v", p, back, err)
		}
	})
}
