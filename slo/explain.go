package slo

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Explanation is a status with everything that it was computed from, so that a reader can do it again by hand.
type Explanation struct {
	Status     Status   `json:"status"`
	Definition []string `json:"definition"`
	// Formulas are lines such as "error ratio = 10 bad / 1100 valid events = 0.00909091".
	Formulas []string `json:"formulas"`
	// Runs are the window's slices in order, equal neighbours together, up to the watermark.
	Runs []SliceRun `json:"runs"`
}

// SliceRun is a number of equal slices in a row.
type SliceRun struct {
	From       time.Time `json:"from"`
	Slices     int64     `json:"slices"`
	Good       float64   `json:"good"`
	Total      float64   `json:"total"`
	State      State     `json:"state"`
	Exclusions []string  `json:"exclusions,omitempty"` // their reasons
	Incidents  []string  `json:"incidents,omitempty"`
}

// String writes the run as the notation of tests does: 99/100*3, _ for a gap.
func (r SliceRun) String() string {
	text := "_"
	if r.State == Measured {
		text = number(r.Good) + "/" + number(r.Total)
	}
	if r.Slices > 1 {
		text += "*" + strconv.FormatInt(r.Slices, 10)
	}
	if len(r.Exclusions) > 0 {
		text += " excluded: " + strings.Join(r.Exclusions, ", ")
	}
	if len(r.Incidents) > 0 {
		text += " " + strings.Join(r.Incidents, ", ")
	}
	return text
}

// Explain evaluates raw slices and says how.
func Explain(req Request, in []Slice) (Explanation, error) {
	status, err := Evaluate(req, in)
	if err != nil {
		return Explanation{}, err
	}
	p, err := NewPlan(req)
	if err != nil {
		return Explanation{}, err
	}
	series, err := NewSeries(req.Grid, in)
	if err != nil {
		return Explanation{}, err
	}
	e := evaluation{Plan: p, o: req.Objective, step: req.Grid.Step, sums: p.Sum(series), groups: 1}
	x := Explanation{Status: status, Definition: req.Objective.describe(), Runs: p.runs(series)}
	x.Formulas = e.formulas(status)
	return x, nil
}

// describe lists the definition in force.
func (o Objective) describe() []string {
	out := []string{
		"objective " + o.Name,
		fmt.Sprintf("target %s, error budget %s", number(o.Target), number(o.Budget())),
		"window " + o.Window.String(),
		"method " + string(o.method()),
	}
	if o.method() == Timeslices {
		out = append(out, "a slice is good from good/total = "+number(o.SliceTarget()))
	}
	if c := o.Composite; c != nil {
		for _, child := range c.Of {
			out = append(out, fmt.Sprintf("%s of %s, weight %s, good from %s", c.Kind, child.Name, number(child.Weight), number(child.TimeSliceTarget)))
		}
	}
	missing := o.Missing
	if missing == "" {
		missing = MissingGap
	}
	out = append(out, "a missing slice counts as "+string(missing), "minimum coverage "+number(o.MinCoverage))
	if o.MinEvents > 0 {
		out = append(out, "alerts need "+number(o.MinEvents)+" valid events")
	}
	return out
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 10, 64) }

func value(v *float64) string {
	if v == nil {
		return "undefined"
	}
	return number(*v)
}

// formulas writes the arithmetic with the numbers in it.
func (e *evaluation) formulas(s Status) []string {
	t := e.of(e.window)
	a := e.o.amounts(t)
	what := map[BudgetingMethod]string{Occurrences: "events", Timeslices: "slices", RatioTimeslices: "slices"}[e.o.method()]
	out := []string{
		fmt.Sprintf("window %s up to the watermark: %d slices of %s, %d excluded, %d expected, %d measured",
			Interval{e.req.Grid.start(e.window.lo), e.at}, t.Slices, FormatDuration(e.step), t.Excluded, t.Expected(), t.Measured),
		fmt.Sprintf("coverage = %d measured / %d expected = %s", t.Measured, t.Expected(), value(s.Coverage)),
	}
	if e.o.countsMissing() {
		out = append(out, fmt.Sprintf("%d missing slices since %s count as %s", t.Missing, e.req.Since.UTC().Format(time.RFC3339), e.o.Missing))
	}
	out = append(out,
		fmt.Sprintf("error ratio = %s bad / %s valid %s = %s", number(a.bad), number(a.valid), what, value(s.ErrorRatio)),
		fmt.Sprintf("SLI = 1 - error ratio = %s", value(s.SLI)),
		e.consumedFormula(s, a),
		fmt.Sprintf("budget remaining = 1 - consumed = %s", value(s.Remaining)),
		fmt.Sprintf("allowed = %s x %s minutes = %s minutes, remaining = %s minutes", number(e.o.Budget()), number(e.period.Length().Minutes()),
			number(s.AllowedMinutes), value(s.RemainingMinutes)))
	for i, b := range s.BurnRates {
		w := e.o.amounts(e.of(e.last[i].span))
		out = append(out, fmt.Sprintf("burn rate over %s = %s bad / %s valid / %s = %s", FormatDuration(b.Window), number(w.bad), number(w.valid), number(e.o.Budget()), value(b.Rate)))
	}
	for _, p := range s.Pairs {
		line := fmt.Sprintf("alert %s: long %s, short %s: %s", p.AlertWindow, value(p.LongBurn), value(p.ShortBurn), p.State)
		if p.Reason != "" {
			line += ", " + p.Reason
		}
		out = append(out, line)
	}
	return out
}

func (e *evaluation) consumedFormula(s Status, a amounts) string {
	toCome := e.toCome()
	if e.o.method() != Occurrences && toCome > 0 && s.ErrorRatio != nil {
		return fmt.Sprintf("budget consumed = %s bad / (%s x (%s counted + %d to come)) = %s", number(a.bad), number(e.o.Budget()), number(a.valid), toCome, value(s.Consumed))
	}
	return fmt.Sprintf("budget consumed = %s / %s = %s", value(s.ErrorRatio), number(e.o.Budget()), value(s.Consumed))
}

// runs folds the window's slices.
func (p *Plan) runs(series Series) []SliceRun {
	known := map[int64]Slice{}
	for _, s := range series.Within(Interval{p.req.Grid.start(p.window.lo), p.at}) {
		known[p.req.Grid.floor(s.Start)] = s
	}
	var out []SliceRun
	for _, seg := range p.segments {
		for k := max(seg.lo, p.window.lo); k < min(seg.hi, p.window.hi); k++ {
			s := known[k]
			r := SliceRun{From: p.req.Grid.start(k), Slices: 1, Good: s.Good, Total: s.Total, State: s.State}
			if r.State == "" {
				r.State = Gap
			}
			for _, i := range seg.exclusions {
				r.Exclusions = append(r.Exclusions, p.req.Exclusions[i].Reason)
			}
			for _, i := range seg.incidents {
				r.Incidents = append(r.Incidents, p.req.Incidents[i].ID)
			}
			if n := len(out) - 1; n >= 0 && out[n].same(r) {
				out[n].Slices++
				continue
			}
			out = append(out, r)
		}
	}
	return out
}

func (r SliceRun) same(o SliceRun) bool {
	return r.State == o.State && r.Good == o.Good && r.Total == o.Total && slices.Equal(r.Exclusions, o.Exclusions) && slices.Equal(r.Incidents, o.Incidents)
}
