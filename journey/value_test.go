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
	for want, v := range map[string]journey.Value{
		"no data: nothing was measured": {Value: new(0.0), Coverage: new(0.0)},
		"":                              {Value: new(0.0), Coverage: new(0.5)},
		"withheld: small group":         {N: 2, Withheld: "small group", Coverage: new(0.0)},
	} {
		v.ComputedAt = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
		if got := v.Compared().Missing(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
