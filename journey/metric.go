package journey

import "strings"

// Metric is one definition of the catalogue, the content of one YAML file.
type Metric struct {
	// ID is short and lasts: C15, O3.
	ID    string `yaml:"id" json:"id"`
	Title string `yaml:"title" json:"title"`
	// Question is what a reader wants to know when looking at the metric.
	Question string `yaml:"question" json:"question"`
	// Definition says in prose what is counted, and what is not.
	Definition string    `yaml:"definition" json:"definition"`
	Unit       string    `yaml:"unit" json:"unit"`
	Direction  Direction `yaml:"direction" json:"direction"`
	// Phase and Activity are the place on the journey map.
	Phase        string   `yaml:"phase" json:"phase"`
	Activity     string   `yaml:"activity" json:"activity"`
	Perspectives []string `yaml:"perspectives" json:"perspectives"`
	// Sources are the collectors that the figure stands on; coverage speaks of them.
	Sources []string `yaml:"sources" json:"sources"`
	// One of the three says how the figure is computed: SQL from the tables, Analysis from journey/analysis, or Objective
	// from the SLO engine.
	SQL       *MetricSQL       `yaml:"sql,omitempty" json:"sql,omitempty"`
	Analysis  *MetricAnalysis  `yaml:"analysis,omitempty" json:"analysis,omitempty"`
	Objective *MetricObjective `yaml:"objective,omitempty" json:"objective,omitempty"`
	// Dimensions are the names by which the figure can be split and filtered.
	Dimensions []string `yaml:"dimensions,omitempty" json:"dimensions,omitempty"`
	// Interval is the method of the 95% interval.
	Interval IntervalMethod `yaml:"interval" json:"interval"`
	// MinSample is the least n below which the value is withheld, when minimum samples are switched on.
	MinSample int `yaml:"min_sample" json:"min_sample"`
	// SmallGroup says what happens to figures about few people, when suppression is switched on.
	SmallGroup SmallGroupRule `yaml:"small_group" json:"small_group"`
	Stability  Stability      `yaml:"stability" json:"stability"`
	// Version counts changes of the definition that change values.
	Version int `yaml:"version" json:"version"`
}

// MetricSQL holds the statements of a metric. Either Numerator and Denominator, or Ratio, or Value, or Sample is given. Each
// statement reads the relations that journey/catalogue documents and returns one row per (period, dim).
type MetricSQL struct {
	// Numerator and Denominator return (period, dim, value), and Numerator also n where Denominator is not the sample size.
	Numerator   string `yaml:"numerator,omitempty" json:"numerator,omitempty"`
	Denominator string `yaml:"denominator,omitempty" json:"denominator,omitempty"`
	// Ratio returns (period, dim, numerator, denominator), and n where the denominator is not the sample size: both are counted
	// in one reading.
	Ratio string `yaml:"ratio,omitempty" json:"ratio,omitempty"`
	// Value returns (period, dim, value) and, where the sample is another number than the value, n.
	Value string `yaml:"value,omitempty" json:"value,omitempty"`
	// Sample returns (period, dim, sample) with an array of numbers, and for statistic km_median also censored, an array
	// of 0 and 1 of the same length; Statistic reduces it.
	Sample    string    `yaml:"sample,omitempty" json:"sample,omitempty"`
	Statistic Statistic `yaml:"statistic,omitempty" json:"statistic,omitempty"`
	// Empty says what Value is in a period without a row: zero (unless given), or undefined.
	Empty string `yaml:"empty,omitempty" json:"empty,omitempty"`
}

// MetricStatement is one of the statements of a metric, under the name of its field.
type MetricStatement struct{ Name, SQL string }

// Statements are those that are given, in the order of the fields, without space around them.
func (s MetricSQL) Statements() []MetricStatement {
	var out []MetricStatement
	for _, part := range []MetricStatement{
		{"numerator", s.Numerator}, {"denominator", s.Denominator}, {"ratio", s.Ratio}, {"value", s.Value}, {"sample", s.Sample},
	} {
		if part.SQL = strings.TrimSpace(part.SQL); part.SQL != "" {
			out = append(out, part)
		}
	}
	return out
}

// Statistic reduces a sample to the value of a metric.
type Statistic string

// The statistics.
const (
	StatisticMean     Statistic = "mean"
	StatisticMedian   Statistic = "median"
	StatisticKMMedian Statistic = "km_median" // Kaplan-Meier: durations, some of them censored
)

// MetricAnalysis takes a figure from an analysis, whose formula is not repeated in SQL.
type MetricAnalysis struct {
	// Name is churn, quick_ratio, retention, activation, time_to_value or nps; the metric's period is the period, the cohort, or
	// the one in which the entities become old enough to be judged.
	Name string `yaml:"name" json:"name"`
	// Entity is actor or team.
	Entity string `yaml:"entity" json:"entity"`
	// Start and Reach are event names of activation and time_to_value; empty Start: the first value event of any name.
	Start []string `yaml:"start,omitempty" json:"start,omitempty"`
	Reach []string `yaml:"reach,omitempty" json:"reach,omitempty"`
	// Horizon of activation and time_to_value, such as 14d.
	Horizon string `yaml:"horizon,omitempty" json:"horizon,omitempty"`
}

// MetricObjective takes a figure from the SLO engine instead of from SQL on ratios.
type MetricObjective struct {
	// Figure is sli, budget_consumed, budget_remaining, burn_rate, budget_change (the budget consumed less that of the period before)
	// or gained (FigureGained).
	Figure string `yaml:"figure" json:"figure"`
	// Combine says how several objectives become one figure: pooled (sum of good over sum of total), sum (of money) or worst.
	Combine string `yaml:"combine" json:"combine"`
	// Labels restrict the objectives; all of them must match.
	Labels map[string]string `yaml:"labels,omitempty" json:"labels,omitempty"`
}

// FigureGained is the money of the minutes that a priced service gained or lost against the period before.
const FigureGained = "gained"

// IntervalMethod names how Low and High of a value are found.
type IntervalMethod string

// The interval methods; journey/interval has the formulas and their sources.
const (
	IntervalNone         IntervalMethod = "none"
	IntervalWilson       IntervalMethod = "wilson"
	IntervalAdjustedWald IntervalMethod = "adjusted_wald"
	IntervalT            IntervalMethod = "t"
	IntervalBootstrap    IntervalMethod = "bootstrap" // by team, since events cluster in teams
	IntervalKaplanMeier  IntervalMethod = "kaplan_meier"
)

// SmallGroupRule says what happens to a figure about fewer people than the configured group size.
type SmallGroupRule string

// The rules. People's figures are withheld; figures about teams or things stay.
const (
	SmallGroupWithhold SmallGroupRule = "withhold"
	SmallGroupShow     SmallGroupRule = "show"
)

// Stability says what a user may rely on.
type Stability string

// The stabilities. A stable metric changes its meaning only with a new version.
const (
	StabilityExperimental Stability = "experimental"
	StabilityStable       Stability = "stable"
	StabilityDeprecated   Stability = "deprecated"
)
