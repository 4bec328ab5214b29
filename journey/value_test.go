package journey_test

import (
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/journey"
)

func TestMissingSaysWhy(t *testing.T) {
	at := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	period := journey.Period{From: at, To: at.AddDate(0, 0, 7)}
	for want, v := range map[string]journey.Value{
		"":                                  {Value: new(1.0)},
		"withheld: small group":             {Withheld: "small group", N: 2},
		"no data: the period has not begun": {ComputedAt: at.Add(-time.Hour)},
		"no data: nothing was measured":     {Coverage: new(0.0)},
		"no data: nothing of the kind":      {Coverage: new(0.5)},
		"no data: not known before the period is over": {Coverage: new(0.5), N: 3, Partial: true},
		"no data: too few to say":                      {Coverage: new(0.5), N: 3},
	} {
		v.Period = period
		if v.ComputedAt.IsZero() {
			v.ComputedAt = at.AddDate(0, 0, 8)
		}
		if got := v.Missing(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestAPeriodInWhichNothingWasMeasuredIsNothingToCompareWith(t *testing.T) {
	const measured, nothing = "", "no data: nothing was measured"
	for name, c := range map[string]struct {
		value journey.Value
		want  string
	}{
		"a count":                   {journey.Value{Value: new(0.0), Coverage: new(0.0)}, nothing},
		"a share of the roster":     {journey.Value{Value: new(0.0), Numerator: new(0.0), Denominator: new(3.0), Low: new(0.0), High: new(0.6), N: 3, Coverage: new(0.0)}, nothing},
		"a count, measured":         {journey.Value{Value: new(0.0), Coverage: new(0.5)}, measured},
		"a share, measured":         {journey.Value{Value: new(0.0), Denominator: new(3.0), N: 3, Coverage: new(0.5)}, measured},
		"what is known from before": {journey.Value{Value: new(0.5), Denominator: new(2.0), N: 2, Coverage: new(0.0)}, measured},
		"withheld":                  {journey.Value{N: 2, Withheld: "small group", Coverage: new(0.0)}, "withheld: small group"},
	} {
		c.value.ComputedAt = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
		got := c.value.Compared()
		if got.Missing() != c.want || c.want == nothing && (got.Numerator != nil || got.Denominator != nil || got.Low != nil || got.High != nil || got.N != 0) {
			t.Errorf("%s: %q, want %q: %+v", name, got.Missing(), c.want, got)
		}
	}
}
