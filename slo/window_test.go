package slo

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := LoadZone(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestCalendarPeriods(t *testing.T) {
	for name, c := range map[string]struct {
		unit         Unit
		count        int
		zone, anchor string
		at, from, to string
	}{
		"a month":                         {Month, 1, "UTC", "", "2026-03-15T12:00:00Z", "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"},
		"on the boundary the one before":  {Month, 1, "UTC", "", "2026-03-01T00:00:00Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"},
		"just after the boundary":         {Month, 1, "UTC", "", "2026-03-01T00:00:01Z", "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"},
		"a week starts on Monday":         {Week, 1, "UTC", "", "2026-03-01T12:00:00Z", "2026-02-23T00:00:00Z", "2026-03-02T00:00:00Z"},
		"a quarter":                       {Quarter, 1, "UTC", "", "2026-08-01T00:00:00Z", "2026-07-01T00:00:00Z", "2026-10-01T00:00:00Z"},
		"a year":                          {Year, 1, "Europe/Berlin", "", "2026-12-31T22:59:59Z", "2025-12-31T23:00:00Z", "2026-12-31T23:00:00Z"},
		"a day of 23 hours":               {Day, 1, "Europe/Berlin", "", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
		"a day of 25 hours":               {Day, 1, "Europe/Berlin", "", "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
		"before 1970 is the past, too":    {Month, 1, "UTC", "", "1970-01-10T00:00:00Z", "1970-01-01T00:00:00Z", "1970-02-01T00:00:00Z"},
		"midnight is skipped in Cairo":    {Day, 1, "Africa/Cairo", "", "2026-04-24T12:00:00Z", "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"},
		"midnight comes twice in Havana":  {Day, 1, "America/Havana", "", "2026-11-01T12:00:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"},
		"half an hour on Lord Howe":       {Day, 1, "Australia/Lord_Howe", "", "2026-04-05T03:00:00Z", "2026-04-04T13:00:00Z", "2026-04-05T13:30:00Z"},
		"a day that Samoa skipped":        {Month, 1, "Pacific/Apia", "", "2011-12-31T00:00:00Z", "2011-12-01T10:00:00Z", "2011-12-31T10:00:00Z"},
		"two weeks from an anchor":        {Week, 2, "UTC", "2026-01-07 00:00:00", "2026-01-25T00:00:00Z", "2026-01-21T00:00:00Z", "2026-02-04T00:00:00Z"},
		"before the anchor":               {Week, 2, "UTC", "2026-01-07 00:00:00", "2026-01-01T00:00:00Z", "2025-12-24T00:00:00Z", "2026-01-07T00:00:00Z"},
		"a month from the 15th, 12:30":    {Month, 1, "America/New_York", "2020-01-15 12:30:00", "2026-03-10T00:00:00Z", "2026-02-15T17:30:00Z", "2026-03-15T16:30:00Z"},
		"a month from the 31st, February": {Month, 1, "UTC", "2020-01-31 00:00:00", "2026-03-01T00:00:00Z", "2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z"},
		"a month from the 31st, January":  {Month, 1, "UTC", "2020-01-31 00:00:00", "2026-02-28T00:00:00Z", "2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z"},
		"a quarter from February":         {Quarter, 1, "UTC", "2020-02-01 00:00:00", "2026-04-30T00:00:00Z", "2026-02-01T00:00:00Z", "2026-05-01T00:00:00Z"},
		"a year from a leap day":          {Year, 1, "UTC", "2020-02-29 00:00:00", "2026-06-01T00:00:00Z", "2026-02-28T00:00:00Z", "2027-02-28T00:00:00Z"},
		"ten days":                        {Day, 10, "UTC", "2026-01-01 00:00:00", "2026-01-15T00:00:00Z", "2026-01-11T00:00:00Z", "2026-01-21T00:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			w := Window{Unit: c.unit, Count: c.count, Zone: zone(t, c.zone)}
			if c.anchor != "" {
				w.Anchor, _ = time.Parse(time.DateTime, c.anchor)
			}
			if err := w.check(); err != nil {
				t.Fatal(err)
			}
			got := w.Period(at(t, c.at))
			if want := (Interval{at(t, c.from), at(t, c.to)}); !got.From.Equal(want.From) || !got.To.Equal(want.To) {
				t.Errorf("got %s, want %s", got, want)
			}
			if before := w.Previous(got); !before.To.Equal(got.From) {
				t.Errorf("previous period %s does not end where %s starts", before, got)
			}
		})
	}
}

func TestPeriodsTileTime(t *testing.T) {
	names := []string{"UTC", "Europe/Berlin", "America/New_York", "Africa/Cairo", "America/Havana", "Asia/Kolkata", "Pacific/Apia", "America/Santiago", "Asia/Beirut"}
	rapid.Check(t, func(r *rapid.T) {
		w := Window{Unit: rapid.SampledFrom([]Unit{Day, Week, Month, Quarter, Year}).Draw(r, "unit"), Count: rapid.IntRange(1, 3).Draw(r, "count"),
			Zone: zone(t, rapid.SampledFrom(names).Draw(r, "zone"))}
		if rapid.Bool().Draw(r, "anchored") {
			w.Anchor = time.Unix(rapid.Int64Range(0, 4e9).Draw(r, "anchor"), 0).UTC()
		}
		t0 := time.Unix(rapid.Int64Range(1e8, 4e9).Draw(r, "at"), 0)
		p := w.Period(t0)
		if !p.From.Before(t0) || p.To.Before(t0) {
			r.Fatalf("%s does not contain %s", p, t0)
		}
		if same := w.Period(p.To); same != p {
			r.Fatalf("at its end %s is %s", p, same)
		}
		if next := w.Period(p.To.Add(time.Second)); !next.From.Equal(p.To) {
			r.Fatalf("%s is followed by %s", p, next)
		}
		if longest := w.longest(); p.Length() > longest {
			r.Fatalf("%s has %s, longer than %s", p, p.Length(), longest)
		}
	})
}

func TestDurationsAreReadAsWritten(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"5m": 5 * time.Minute, "1h30m": 90 * time.Minute, "28d": 28 * 24 * time.Hour, "2w": 14 * 24 * time.Hour, "0": 0, "0s": 0,
		"-5m": -5 * time.Minute, "+1h": time.Hour, "1.5h": 90 * time.Minute, "250ms": 250 * time.Millisecond, "1d12h": 36 * time.Hour,
	} {
		got, err := ParseDuration(text)
		if err != nil || got != want {
			t.Errorf("%q: got %s, %v, want %s", text, got, err, want)
		}
		if back, err := ParseDuration(FormatDuration(got)); err != nil || back != got {
			t.Errorf("%s is written as %s, which reads as %s, %v", got, FormatDuration(got), back, err)
		}
	}
	for _, text := range []string{"", "5", "m", "5 m", "1M", "1y", "--5m", "5m-", "1..5h", "h5", "300y", "99999999999d", "5µs"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q is read as %s", text, got)
		}
	}
}

func TestBudgetIsRoundedOnce(t *testing.T) {
	for target, want := range map[float64]float64{0.9: 0.1, 0.99: 0.01, 0.999: 0.001, 0.9995: 0.0005, 0.5: 0.5, 0.95: 0.05, 0.99999: 0.00001, 0.123: 0.877} {
		if got := (Objective{Target: target}).Budget(); got != want {
			t.Errorf("budget of %v: got %v, want %v", target, got, want)
		}
	}
}

func TestTheBudgetIsNeverZero(t *testing.T) {
	if got := (Objective{Target: math.Nextafter(1, 0)}).Budget(); !(got > 0 && got < 1e-15) {
		t.Errorf("budget %v", got)
	}
}

func TestDetectionAndAllowance(t *testing.T) {
	// The figures of the SRE workbook at 99.9 % with every event failing.
	o := Objective{Target: 0.999, Window: RollingWindow(30 * day)}
	pairs, _ := o.DefaultAlerts(30 * day)
	for i, want := range []time.Duration{51840 * time.Millisecond, 129600 * time.Millisecond, 259200 * time.Millisecond, 259200 * time.Millisecond} {
		got, ok := o.TimeToDetect(pairs[i], 1)
		if !ok || (got-want).Abs() > time.Millisecond {
			t.Errorf("%s detects after %s, want %s", pairs[i], got, want)
		}
	}
	if _, ok := o.TimeToDetect(pairs[0], 0.0144); ok {
		t.Error("a burn rate at the factor is never detected")
	}
	if left, ok := TimeToExhaustion(0.5, 2, 28*day); !ok || left != 7*day {
		t.Errorf("half the budget at burn rate 2 lasts %s", left)
	}
	for target, want := range map[float64]float64{0.99: 24192, 0.995: 12096, 0.999: 2419.2, 0.9995: 1209.6, 0.9999: 241.92} {
		s, err := Evaluate(Request{Objective: Objective{Target: target, Window: RollingWindow(28 * day), Method: Occurrences},
			Grid: EpochGrid(time.Hour), At: at(t, "2026-03-01T00:00:00Z")}, nil)
		if got := s.AllowedMinutes * 60; err != nil || got-want > 1e-6 || want-got > 1e-6 {
			t.Errorf("%v allows %v s in 28 days, want %v, %v", target, got, want, err)
		}
	}
}

func TestImpossibleSumsAreRefused(t *testing.T) {
	p, err := NewPlan(Request{Objective: Objective{Name: "o", Target: 0.9, Window: RollingWindow(time.Hour), Method: Occurrences, Alerts: []AlertWindow{}},
		Grid: EpochGrid(10 * time.Minute), At: at(t, "2026-03-01T00:00:00Z")})
	if err != nil {
		t.Fatal(err)
	}
	n := len(p.Segments())
	for name, bad := range map[string]Sums{
		"more measured than there are slices": {Measured: 7},
		"more valid than measured":            {Measured: 1, Valid: 2},
		"more good slices than valid":         {Measured: 2, Valid: 1, GoodSlices: 2},
		"more good than total":                {Measured: 1, Valid: 1, Good: 3, Total: 2},
		"a bad fraction above 1":              {Measured: 1, Valid: 1, Total: 1, BadFraction: 1.5},
		"negative":                            {Measured: 1, Valid: 1, Good: -1, Total: 1},
	} {
		sums := make([]Sums, n)
		sums[n-1] = bad
		if _, err := p.Evaluate(sums); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := p.Evaluate(make([]Sums, n+1)); err == nil {
		t.Error("sums of another number of segments: accepted")
	}
}
