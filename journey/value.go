// Package journey holds what is known about the users of the platform: the definitions of metrics, the values that
// they take in periods of the reporting calendar, and the customer journey value map that says which figure speaks for
// which step of the journey, and to whom.
//
// The formulas live in the packages below it: journey/interval (confidence intervals), journey/analysis (active,
// retention, funnel, …), journey/catalogue (the metrics and their evaluator), journey/metrictest (cases in YAML).
package journey

import (
	"context"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// QueryFunc runs one read-only statement with bound ClickHouse parameters ({name:Type}) and reads the result to its end.
type QueryFunc func(ctx context.Context, sql string, params map[string]any) (schema.Result, error)

// Grain is the length of the periods that a figure is asked for.
type Grain string

// The grains. All of them are calendar periods in the reporting time zone, not multiples of 24 hours.
const (
	GrainDay     Grain = "day"
	GrainWeek    Grain = "week"
	GrainMonth   Grain = "month"
	GrainQuarter Grain = "quarter"
)

// Period is a calendar period [From, To) of the reporting time zone.
type Period struct {
	// Label is 2026-01-05 (a day), 2026-W02, 2026-01 or 2026-Q1.
	Label string `json:"label"`
	Grain Grain  `json:"grain"`
	// From and To are instants; To is the next period's From.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Zone is the IANA name of the reporting time zone.
	Zone string `json:"zone"`
}

// Complete says whether the whole period lies before now.
func (p Period) Complete(now time.Time) bool { return !now.Before(p.To) }

// Begun says whether now is not before the period.
func (p Period) Begun(now time.Time) bool { return !p.From.After(now) }

// Direction says which way of a metric is the good one.
type Direction string

// The directions. Neither is for figures that only describe.
const (
	DirectionUp      Direction = "up"
	DirectionDown    Direction = "down"
	DirectionNeither Direction = "neither"
)

// Value is one figure of a metric, with everything that is needed to judge it. A pointer that is nil means undefined:
// a missing denominator is not zero.
type Value struct {
	// Metric is the metric's id and Version that of the definition which was used.
	Metric  string `json:"metric"`
	Version int    `json:"version"`
	Period  Period `json:"period"`
	// Dimensions says what the figure is restricted to, e.g. {"team": "payments"}; empty: everything.
	Dimensions map[string]string `json:"dimensions,omitempty"`
	// Value is in Unit. Ratios are 0..1, never percent. Of a period that has not begun there are no figures.
	Value *float64 `json:"value"`
	Unit  string   `json:"unit"`
	// Numerator and Denominator are set for ratios: Value = Numerator / Denominator.
	Numerator   *float64 `json:"numerator"`
	Denominator *float64 `json:"denominator"`
	// N is the sample size: how many entities, events or measurements stand behind Value.
	N int `json:"n"`
	// Low and High bound the 95% interval of the method Interval; nil when the metric has none or n is too small.
	Low      *float64       `json:"low"`
	High     *float64       `json:"high"`
	Interval IntervalMethod `json:"interval"`
	// Coverage is the share 0..1 of the period's elapsed time in which the metric's sources were reporting; nil: the
	// metric has no notion of it, or the period has not begun.
	Coverage *float64 `json:"coverage"`
	// Partial marks a period that was not over at ComputedAt.
	Partial bool `json:"partial"`
	// Withheld says why Value is missing although data exist ("small group", "small sample"); empty: it is not withheld.
	Withheld string `json:"withheld,omitempty"`
	// ComputedAt is when the figure was computed.
	ComputedAt time.Time `json:"computed_at"`
	// Previous is the value of the period before and YearAgo that of the same period a year before; nil unless asked for.
	Previous *Value `json:"previous,omitempty"`
	YearAgo  *Value `json:"year_ago,omitempty"`
	// Published says which published revision of a closed period's figure this is; nil: it was computed for this answer.
	Published *Publication `json:"published,omitempty"`
}

// Compared is v as what another value is compared with: a 0 of a period in which no source reported is no figure, be it a count or a share of
// those whom the roster names anyway, nor is there anything to withhold where there is no sample.
func (v Value) Compared() *Value {
	if nothing := v.Value != nil && *v.Value == 0 || v.N == 0; nothing && v.Coverage != nil && *v.Coverage == 0 {
		v.Value, v.Numerator, v.Denominator, v.Low, v.High, v.N, v.Withheld = nil, nil, nil, nil, nil, 0, ""
	}
	return &v
}

// Missing says why there is no value; empty when there is one.
func (v Value) Missing() string {
	switch {
	case v.Value != nil:
		return ""
	case v.Withheld != "":
		return "withheld: " + v.Withheld
	case !v.Period.Begun(v.ComputedAt):
		return "no data: the period has not begun"
	case v.Coverage != nil && *v.Coverage == 0:
		return "no data: nothing was measured"
	case v.N == 0:
		return "no data: nothing of the kind"
	case v.Partial:
		return "no data: not known before the period is over"
	}
	return "no data: too few to say"
}

// Publication says how the figure of a closed period was published. Published figures never change; what would be computed later
// follows as further revisions, each with its reason.
type Publication struct {
	// Revision is the one that is shown, Revisions how many there are.
	Revision  uint32 `json:"revision"`
	Revisions uint32 `json:"revisions"`
	// Reason is that of the shown revision, Newest that of the last one.
	Reason string `json:"reason"`
	Newest string `json:"newest_reason"`
}

// Request asks for values of one metric.
type Request struct {
	Metric  string
	Periods []Period
	// By splits the figure by one of the metric's dimensions; empty: one figure per period.
	By string
	// Filter restricts dimensions to one value each, e.g. {"team": "payments"}.
	Filter map[string]string
	// Compare fills Previous and YearAgo.
	Compare bool
}

// EvaluateFunc computes the values of a request, in the order of the periods and, within a period, of the dimension's
// values. journey/catalogue has the one implementation; reports and pages take it as a function.
type EvaluateFunc func(ctx context.Context, r Request) ([]Value, error)

// ObjectiveFigure is what the SLO engine says about one objective in one period. Ratios are 0..1, nil is undefined.
type ObjectiveFigure struct {
	Objective string
	Service   string
	// Labels select objectives, e.g. {"capability": "control-plane"}.
	Labels map[string]string
	// SLI is good / valid; Target the objective's ratio.
	SLI    *float64
	Target float64
	// Good and Total are event sums over the measured slices; nil for objectives without them (composites).
	Good, Total *float64
	// BudgetConsumed and BudgetRemaining are shares of the error budget; Remaining may be negative.
	BudgetConsumed, BudgetRemaining *float64
	// BurnRate is the error ratio over the error budget of the whole period.
	BurnRate *float64
	// Gained is money in Currency: what the minutes of availability are worth that were gained, or lost, against the period before.
	Gained   *float64
	Currency string
	// Coverage is measured / expected slices, Measured their number.
	Coverage *float64
	Measured int
}

// ObjectivesFunc returns the figures of all objectives in a period, as of now.
type ObjectivesFunc func(ctx context.Context, p Period, now time.Time) ([]ObjectiveFigure, error)
