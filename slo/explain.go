package slo

import (
	"cmp"
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
	// Of are the slices that a composite's follows from, in the order of its children; nil for others.
	Of []ChildSlice `json:"of,omitempty"`
}

// ChildSlice is what a child of a composite measured in a slice.
type ChildSlice struct {
	Name  string  `json:"name"`
	Good  float64 `json:"good"`
	Total float64 `json:"total"`
	State State   `json:"state"`
}

// String writes the run as the notation of tests does: 99/100*3, _ for a gap.
func (r SliceRun) String() string {
	text := amountText(r.State, r.Good, r.Total)
	if r.Slices > 1 {
		text += "*" + strconv.FormatInt(r.Slices, 10)
	}
	for i, c := range r.Of {
		text += map[bool]string{true: " of ", false: ", "}[i == 0] + c.Name + " " + amountText(c.State, c.Good, c.Total)
	}
	if len(r.Exclusions) > 0 {
		text += " excluded: " + strings.Join(r.Exclusions, ", ")
	}
	if len(r.Incidents) > 0 {
		text += " " + strings.Join(r.Incidents, ", ")
	}
	return text
}

func amountText(state State, good, total float64) string {
	if state != Measured {
		return "_"
	}
	return number(good) + "/" + number(total)
}

// Explain evaluates raw slices and says how. A composite's slices are computed from those of its children, by name; others have theirs
// under the objective's name.
func Explain(req Request, in map[string][]Slice) (Explanation, error) {
	own := in[req.Objective.Name]
	if c := req.Objective.Composite; c != nil {
		var err error
		if own, err = c.Slices(req.Grid, in); err != nil {
			return Explanation{}, fmt.Errorf("objective %s: %w", req.Objective.Name, err)
		}
	}
	status, err := Evaluate(req, own)
	if err != nil {
		return Explanation{}, err
	}
	p, err := NewPlan(req)
	if err != nil {
		return Explanation{}, err
	}
	series, err := NewSeries(req.Grid, own)
	if err != nil {
		return Explanation{}, err
	}
	e := evaluation{Plan: p, o: req.Objective, step: req.Grid.Step, sums: p.Sum(series), groups: 1}
	x := Explanation{Status: status, Definition: req.Objective.describe(), Runs: p.runs(series, p.children(in))}
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
		out = append(out, c.describe()...)
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

// describe says how a slice follows from the children's, and what of them.
func (c Composite) describe() []string {
	out := []string{"a slice is the sum of weight x good/total / the sum of weights, over the children with events; any child's gap makes a gap"}
	if c.Kind == AnyDown {
		out[0] = "a slice is bad if any measured child's good/total is below its target, else a gap if any child has a gap, else good"
	}
	for _, child := range c.Of {
		if c.Kind == AnyDown {
			out = append(out, fmt.Sprintf("%s of %s, good from %s", c.Kind, child.Name, number(child.TimeSliceTarget)))
			continue
		}
		out = append(out, fmt.Sprintf("%s of %s, weight %s", c.Kind, child.Name, number(child.Weight)))
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
	if f := s.Forecast; f.At != nil {
		out = append(out, fmt.Sprintf("used up in remaining x window / burn rate over %s = %s x %s minutes / %s = %s minutes", FormatDuration(f.Window), value(s.Remaining),
			number(e.period.Length().Minutes()), value(f.Burn), number(f.At.Sub(s.At).Minutes())))
	}
	return append(out, e.attributionFormulas(s, what)...)
}

// attributionFormulas say how what was used is divided.
func (e *evaluation) attributionFormulas(s Status, what string) []string {
	if s.Attribution == nil {
		return nil
	}
	var out []string
	bad, _ := e.badOf()
	for i, p := range s.Attribution.Parts {
		if p.Share == 0 && p.ID != Unattributed {
			continue
		}
		out = append(out, fmt.Sprintf("share of %s = %s of %s bad %s = %s, of the budget %s", p.ID, number(bad[i]), number(sum(bad)), what, number(p.Share), number(p.Consumed)))
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

// byNumber are those of a series' slices that are in the window.
func (p *Plan) byNumber(in []Slice) map[int64]Slice {
	out := map[int64]Slice{}
	for _, s := range in {
		if k := p.req.Grid.floor(s.Start); k >= p.window.lo && k < p.window.hi {
			out[k] = s
		}
	}
	return out
}

// children finds the slices of a composite's children in a step, in their order; nothing for other objectives.
func (p *Plan) children(in map[string][]Slice) func(k int64) []ChildSlice {
	c := p.req.Objective.Composite
	if c == nil {
		return func(int64) []ChildSlice { return nil }
	}
	known := make([]map[int64]Slice, len(c.Of))
	for i, child := range c.Of {
		known[i] = p.byNumber(in[child.Name])
	}
	return func(k int64) []ChildSlice {
		out := make([]ChildSlice, len(c.Of))
		for i, child := range c.Of {
			s := known[i][k]
			out[i] = ChildSlice{child.Name, s.Good, s.Total, cmp.Or(s.State, Gap)}
		}
		return out
	}
}

// runs folds the window's slices.
func (p *Plan) runs(series Series, children func(k int64) []ChildSlice) []SliceRun {
	known := p.byNumber(series.slices)
	var out []SliceRun
	for _, seg := range p.segments {
		for k := max(seg.lo, p.window.lo); k < min(seg.hi, p.window.hi); k++ {
			s := known[k]
			r := SliceRun{From: p.req.Grid.start(k), Slices: 1, Good: s.Good, Total: s.Total, State: cmp.Or(s.State, Gap), Of: children(k)}
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
	return r.State == o.State && r.Good == o.Good && r.Total == o.Total && slices.Equal(r.Exclusions, o.Exclusions) && slices.Equal(r.Incidents, o.Incidents) &&
		slices.Equal(r.Of, o.Of)
}
