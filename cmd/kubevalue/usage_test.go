package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/journey"
)

func TestWrongUsageIsRefusedBeforeAnythingIsRead(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"privacy export", `required flag(s) "actor" not set`},
		{"privacy erase --confirm", `required flag(s) "actor" not set`},
		{"quarantine list --kind evnt", `--kind "evnt": want one of event, slice,`},
		{"quarantine drop --all --kind evnt", `--kind "evnt": want one of event, slice,`},
		{"quarantine retry", "name records by their ids, or say --all"},
		{"quarantine drop 1 --all", "not both"},
		{"incident followup INC-1", "wants the ID of an incident and that of a FOLLOWUP, not 1 arguments"},
	} {
		var out, fault bytes.Buffer
		if code := run(t.Context(), strings.Fields(c.args), &out, &fault); code != 2 || !strings.Contains(fault.String(), c.want) || !strings.Contains(fault.String(), "Usage:") {
			t.Errorf("%s: exit %d, %s\nwant 2 and %s", c.args, code, fault.String(), c.want)
		}
	}
}

func TestPeriodsNameTheirGrain(t *testing.T) {
	f := &figures{
		now:      func() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) },
		calendar: journey.Calendar{Zone: time.UTC, WeekStart: time.Monday},
	}
	for _, c := range []struct{ period, grain, want string }{
		{"", "", "2026-W46"}, {"", "month", "2026-10"}, {"current", "", "2026-W47"}, {"current", "quarter", "2026-Q4"},
		{"2026-10", "", "2026-10"}, {"2026-Q3", "", "2026-Q3"}, {"2026-W40", "", "2026-W40"}, {"2026-10", "month", "2026-10"},
		{"2026-11-10", "", "2026-11-10"}, {"2026-11-09", "week", "2026-W46"},
		{"2026-10", "week", `--period "2026-10" is a month, but the grain is week`}, {"2026-11-10", "week", "does not begin a week"},
		{"", "fortnight", `--grain "fortnight": want day, week, month or quarter`}, {"soon", "", `--period "soon": want a week`},
	} {
		r, err := evalFlags{period: c.period, grain: c.grain, format: "table", periods: 1}.request(f, "A1")
		if err != nil && strings.Contains(err.Error(), c.want) {
			continue
		}
		if err != nil || len(r.Periods) != 1 || r.Periods[0].Label != c.want {
			t.Errorf("--period %q --grain %q: %v, %v; want %s", c.period, c.grain, r.Periods, err, c.want)
		}
	}
}
