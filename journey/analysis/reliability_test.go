package analysis

import "testing"

// A verdict needs an interval that leaves 0 out: in either direction, else it cannot tell.
func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		counts DormancyCounts
		want   Verdict
	}{
		{DormancyCounts{Hit: 40, HitThenDormant: 16, Spared: 300, SparedThenDormant: 15}, MoreDormancy},
		{DormancyCounts{Hit: 40, HitThenDormant: 0, Spared: 300, SparedThenDormant: 90}, LessDormancy},
		{DormancyCounts{Hit: 4, HitThenDormant: 2, Spared: 30, SparedThenDormant: 6}, CannotTell},
		{DormancyCounts{Hit: 40, HitThenDormant: 2, Spared: 300, SparedThenDormant: 15}, CannotTell},
		{DormancyCounts{Spared: 300, SparedThenDormant: 15}, CannotTell},
		{DormancyCounts{Hit: 40, HitThenDormant: 40}, CannotTell},
	} {
		r := ReliabilityResult{DormancyCounts: c.counts, Verdict: CannotTell}
		r.judge()
		if r.Verdict != c.want {
			t.Errorf("%+v: %s (difference %v, %v to %v), want %s", c.counts, r.Verdict, r.Difference, r.Low, r.High, c.want)
		}
	}
}
