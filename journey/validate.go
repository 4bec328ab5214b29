package journey

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
)

var (
	metricID   = regexp.MustCompile(`^[A-Z][A-Za-z0-9_.-]{0,31}$`)
	knownUnits = regexp.MustCompile(`^[a-z][a-z0-9 /]*$`)
)

// Dimensions that a metric may be split and filtered by, and what of an event each of them is.
const (
	DimensionTeam      = "team"      // the team that acted
	DimensionCluster   = "cluster"   // where
	DimensionPersona   = "persona"   // as what
	DimensionObjective = "objective" // of figures from the SLO engine
	DimensionService   = "service"   // likewise, and of incidents
)

// Validate says everything that is wrong with a definition, joined, each error with the field's path.
func (m Metric) Validate() error {
	var faults []error
	add := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("metric %s: "+format, append([]any{m.ID}, args...)...))
	}
	if !metricID.MatchString(m.ID) {
		add("id %q: want a capital letter, then letters and digits, at most 32", m.ID)
	}
	for name, text := range map[string]string{"title": m.Title, "question": m.Question, "definition": m.Definition,
		"phase": m.Phase, "activity": m.Activity} {
		if text == "" {
			add("%s is missing", name)
		}
	}
	if !knownUnits.MatchString(m.Unit) {
		add("unit %q: want a unit in lower case, such as ratio, people, teams, seconds", m.Unit)
	}
	if !slices.Contains([]Direction{DirectionUp, DirectionDown, DirectionNeither}, m.Direction) {
		add("direction %q: want up, down or neither", m.Direction)
	}
	if len(m.Perspectives) == 0 {
		add("perspectives is empty: say who looks at it")
	}
	if len(m.Sources) == 0 {
		add("sources is empty: say where it comes from")
	}
	if m.Version < 1 {
		add("version %d: want 1 or more", m.Version)
	}
	if !slices.Contains([]SmallGroupRule{SmallGroupShow, SmallGroupWithhold}, m.SmallGroup) {
		add("small_group %q: want show or withhold", m.SmallGroup)
	}
	if !slices.Contains([]Stability{StabilityExperimental, StabilityStable, StabilityDeprecated}, m.Stability) {
		add("stability %q: want experimental, stable or deprecated", m.Stability)
	}
	m.validateComputation(add)
	return errors.Join(faults...)
}

func (m Metric) validateComputation(add func(string, ...any)) {
	ways := 0
	for _, given := range []bool{m.SQL != nil, m.Analysis != nil, m.Objective != nil} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		add("want exactly one of sql, analysis and objective")
		return
	}
	dimensions := []string{DimensionTeam, DimensionCluster, DimensionPersona, DimensionService}
	methods := []IntervalMethod{IntervalNone}
	switch {
	case m.Objective != nil:
		m.validateObjective(add)
		dimensions = []string{DimensionObjective, DimensionService}
	case m.Analysis != nil:
		methods = m.validateAnalysis(add)
		dimensions = []string{DimensionCluster, DimensionPersona}
	default:
		methods = m.validateSQL(add)
	}
	if !slices.Contains(methods, m.Interval) {
		add("interval %q does not fit: want one of %v", m.Interval, methods)
	}
	for _, d := range m.Dimensions {
		if !slices.Contains(dimensions, d) {
			add("dimension %q: want some of %v", d, dimensions)
		}
	}
}

// settingsClause finds the word anywhere: where a text or a comment ends is for the engine to say.
var settingsClause = regexp.MustCompile(`(?i)\bsettings\b`)

// validateSQL returns the interval methods that fit.
func (m Metric) validateSQL(add func(string, ...any)) []IntervalMethod {
	s := m.SQL
	ratio := s.Ratio != "" || s.Numerator != "" && s.Denominator != ""
	given := len(s.Statements())
	switch {
	case (s.Numerator == "") != (s.Denominator == ""):
		add("sql: numerator and denominator belong together")
	case given != 1 && (s.Numerator == "" || given != 2):
		add("sql: want numerator and denominator, or ratio, or value, or sample")
	}
	if slices.ContainsFunc(s.Statements(), func(part MetricStatement) bool { return settingsClause.MatchString(part.SQL) }) {
		add("sql: a statement may not have SETTINGS of its own, nor that word in a text: in a subquery they lift what it may read")
	}
	if (s.Sample != "") != (s.Statistic != "") {
		add("sql: sample and statistic belong together")
	}
	if s.Empty != "" && s.Empty != "zero" && s.Empty != "undefined" || s.Empty != "" && s.Value == "" {
		add("sql.empty %q: want zero or undefined, and only beside value", s.Empty)
	}
	switch {
	case ratio:
		return []IntervalMethod{IntervalNone, IntervalWilson, IntervalAdjustedWald, IntervalBootstrap}
	case s.Value != "":
		return []IntervalMethod{IntervalNone}
	case s.Statistic == StatisticMean:
		return []IntervalMethod{IntervalNone, IntervalT, IntervalBootstrap}
	case s.Statistic == StatisticMedian:
		return []IntervalMethod{IntervalNone, IntervalBootstrap}
	case s.Statistic == StatisticKMMedian:
		return []IntervalMethod{IntervalKaplanMeier}
	}
	add("sql.statistic %q: want mean, median or km_median", s.Statistic)
	return []IntervalMethod{m.Interval}
}

func (m Metric) validateAnalysis(add func(string, ...any)) []IntervalMethod {
	a := m.Analysis
	if a.Entity != "actor" && a.Entity != "team" {
		add("analysis.entity %q: want actor or team", a.Entity)
	}
	followed := a.Name == "activation" || a.Name == "time_to_value"
	if followed != (len(a.Reach) > 0) || followed != (a.Horizon != "") {
		add("analysis: reach and horizon belong to activation and time_to_value, and only to them")
	}
	switch a.Name {
	case "churn", "retention", "activation":
		return []IntervalMethod{IntervalWilson}
	case "nps":
		return []IntervalMethod{IntervalAdjustedWald}
	case "quick_ratio":
		return []IntervalMethod{IntervalNone}
	case "time_to_value":
		return []IntervalMethod{IntervalKaplanMeier}
	}
	add("analysis.name %q: want churn, quick_ratio, retention, activation, time_to_value or nps", a.Name)
	return []IntervalMethod{m.Interval}
}

func (m Metric) validateObjective(add func(string, ...any)) {
	o := m.Objective
	if !slices.Contains([]string{"sli", "budget_consumed", "budget_remaining", "burn_rate", "budget_change", FigureGained}, o.Figure) {
		add("objective.figure %q: want sli, budget_consumed, budget_remaining, burn_rate, budget_change or gained", o.Figure)
	}
	want := map[string]string{"sli": "pooled", FigureGained: "sum"}[o.Figure]
	if o.Combine != want && (o.Combine != "worst" || o.Figure == FigureGained) {
		add("objective.combine %q: want worst, pooled for sli, or sum for gained", o.Combine)
	}
}
