package reports

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/kubevalue/kubevalue/journey"
)

// headline says in three sentences what changed, why, and what is to be decided. Each follows from the figures by a fixed
// rule; where they do not say why, neither does the sentence.
func headline(r *Report) Headline {
	h := Headline{Changed: r.changed(), Why: r.why(), Decision: r.decision()}
	if r.blind() {
		h.Why = "Nothing was measured that could say what changed."
		if h.Decision == nothingToDecide {
			h.Decision = "Decide what is measured first: neither adoption nor stability is."
		}
	}
	h.Quiet = h.Decision == nothingToDecide && !r.anythingMoved()
	return h
}

// blind says that neither adoption nor the stability of any objective is known.
func (r *Report) blind() bool {
	if len(r.Adoption.Figures) > 0 && r.Adoption.Figures[0].Value != nil {
		return false
	}
	return !slices.ContainsFunc(r.Objectives, func(o Objective) bool { return o.Used() != nil })
}

const nothingToDecide = "No decision is needed this week."

// anythingMoved says whether adoption changed, an objective went beyond its week's budget, or a figure moved notably.
func (r *Report) anythingMoved() bool {
	if len(r.Adoption.Figures) > 0 && r.Adoption.Figures[0].moves() {
		return true
	}
	if len(r.burnt()) > 0 || r.mover() != nil {
		return true
	}
	return r.Adoption.Joined.Len()+r.Adoption.Left.Len()+r.Adoption.Stalled.Len() > 0
}

// moves says whether a figure changed at all, and the change can be judged.
func (f Figure) moves() bool { return f.Change != nil && f.Doubt == "" && *f.Change != 0 }

// changed: adoption always stands beside stability; the figure that moved most comes last.
func (r *Report) changed() string {
	text := r.adoptionPhrase() + ", " + r.stabilityPhrase()
	if f := r.mover(); f != nil {
		from, to := Pair(*f.Prior, *f.Value, f.Unit)
		text += fmt.Sprintf("; “%s” went from %s to %s", f.Title, from, to)
		switch f.Trend {
		case journey.TrendBetter:
			text += " (better)"
		case journey.TrendWorse:
			text += " (worse)"
		}
	}
	return text + "."
}

func (r *Report) adoptionPhrase() string {
	if len(r.Adoption.Figures) == 0 {
		return "Adoption is not measured"
	}
	f := r.Adoption.Figures[0]
	if f.Value == nil {
		return "Adoption is not known (" + f.Missing + ")"
	}
	level := Value(*f.Value, f.Unit)
	if f.Denominator != nil && f.Unit == "ratio" {
		level += " of " + count(int(*f.Denominator), "eligible teams")
	}
	switch {
	case f.Change == nil:
		return "Adoption is " + level + ", without a week before to compare with"
	case f.Doubt != "":
		return "Adoption is " + level + ", not comparable with the week before (" + f.Doubt + ")"
	case *f.Change == 0:
		return "Adoption stayed at " + level
	case *f.Change > 0:
		return "Adoption rose from " + Value(*f.Prior, f.Unit) + " to " + level
	}
	return "Adoption fell from " + Value(*f.Prior, f.Unit) + " to " + level
}

// burnt are the objectives that used more of their budget than a period may, the worst first.
func (r *Report) burnt() []Objective {
	var out []Objective
	for _, o := range r.Objectives {
		if u := o.Used(); u != nil && *u > 1 {
			out = append(out, o)
		}
	}
	slices.SortStableFunc(out, func(a, b Objective) int { return cmp.Compare(*b.Used(), *a.Used()) })
	return out
}

func (r *Report) stabilityPhrase() string {
	if len(r.Objectives) == 0 {
		return "and no objective for stability is defined"
	}
	measured, low := 0, 0
	for _, o := range r.Objectives {
		if o.Used() != nil {
			measured++
			if !measuredEnough(o.Week) {
				low++
			}
		}
	}
	if measured == 0 {
		return "while no objective was measured"
	}
	burnt := r.burnt()
	if len(burnt) == 0 {
		return "and " + keptPhrase(measured, len(r.Objectives), low)
	}
	o := burnt[0]
	text := fmt.Sprintf("while %s used %s of its weekly error budget", o.Title, Ratio(*o.Used()))
	if p := used(o.Prior); p != nil {
		text += fmt.Sprintf(" (%s the week before)", Ratio(*p))
	}
	if len(burnt) > 1 {
		text += fmt.Sprintf(", and %d more of %s went over theirs", len(burnt)-1, count(len(r.Objectives), "objectives"))
	}
	return text
}

func keptPhrase(measured, all, low int) string {
	var text string
	switch {
	case measured == all && all == 1:
		text = "the objective kept within its weekly error budget"
	case measured == all:
		text = fmt.Sprintf("all %d objectives kept within their weekly error budgets", all)
	default:
		text = fmt.Sprintf("the %d of %d objectives that were measured kept within their weekly error budgets", measured, all)
	}
	if low > 0 {
		text += fmt.Sprintf(", %d of them with gaps in the measurement", low)
	}
	return text
}

// mover is the figure of the phases that moved most beyond the margin, relative to the value before; nil: none did.
func (r *Report) mover() *Figure {
	var most *Figure
	size := 0.0
	for i := range r.Phases {
		for j := range r.Phases[i].Rows {
			f := &r.Phases[i].Rows[j]
			if !f.Notable || f.Trend == journey.TrendUnknown {
				continue
			}
			if s := f.relative(); most == nil || s > size {
				most, size = f, s
			}
		}
	}
	return most
}

// relative is the size of a change: the logarithm of the quotient, so that halving and doubling weigh the same. From or to zero
// it is the size of a change by the factor 10.
func (f Figure) relative() float64 {
	if *f.Prior <= 0 || *f.Value <= 0 {
		return math.Log(10)
	}
	return math.Abs(math.Log(*f.Value / *f.Prior))
}

// why collects what the figures know about causes.
func (r *Report) why() string {
	var parts []string
	if len(r.Adoption.Figures) > 0 && r.Adoption.Figures[0].moves() || r.Adoption.Joined.Len()+r.Adoption.Left.Len()+r.Adoption.Stalled.Len() > 0 {
		parts = append(parts, r.teamReasons()...)
	}
	for _, o := range r.burnt()[:min(1, len(r.burnt()))] {
		parts = append(parts, o.reason())
	}
	if q := r.Quality.silent(); q != nil {
		parts = append(parts, "part of it may be measurement, since "+lowerFirst(q.Title))
	}
	if len(parts) == 0 {
		if r.anythingMoved() {
			return "No incident, team or source on record explains it: the cause is not known."
		}
		return "There is nothing to explain: no figure moved beyond its margin."
	}
	return upperFirst(strings.Join(parts, "; ")) + "."
}

func (r *Report) teamReasons() []string {
	var out []string
	a := r.Adoption
	for _, l := range []struct {
		list TeamList
		verb string
	}{{a.Joined, "joined"}, {a.Returned, "came back"}, {a.Stalled, "fell silent"}, {a.Left, "left"}} {
		if n := l.list.Len(); n > 0 {
			out = append(out, fmt.Sprintf("%s %s (%s)", count(n, "teams"), l.verb, l.list))
		}
	}
	if len(out) == 0 {
		if a.TeamsMissing != "" {
			return []string{"which teams moved adoption is not known (" + a.TeamsMissing + ")"}
		}
		if f := a.Figures[0]; f.Denominator != nil && f.PriorDenominator != nil && *f.Denominator != *f.PriorDenominator {
			return []string{fmt.Sprintf("the number of eligible teams went from %s to %s", Number(*f.PriorDenominator), Number(*f.Denominator))}
		}
		return []string{"no team is known to have joined, come back, fallen silent or left"}
	}
	return out
}

// reason names the incident behind a burnt budget, or says that none is recorded.
func (o Objective) reason() string {
	if len(o.Incidents) == 0 {
		return "no recorded incident explains the budget that " + o.Title + " used"
	}
	main := o.Incidents[0]
	for _, i := range o.Incidents {
		if i.Share != nil && (main.Share == nil || *i.Share > *main.Share) {
			main = i
		}
	}
	text := "incident " + main.Name() + " hit " + o.Title + " for " + lasted(main.Minutes)
	if main.Share != nil {
		text += fmt.Sprintf(" and used %s of the budget consumed over %s", Ratio(*main.Share), o.Window)
	}
	if n := len(o.Incidents) - 1; n > 0 {
		text += fmt.Sprintf(" (%d more in the week)", n)
	}
	return text
}

// decision is that of the most urgent exception which asks for one.
func (r *Report) decision() string {
	for _, e := range r.Exceptions {
		if e.Decision == "" {
			continue
		}
		text := "Decide " + e.Decision
		if e.Owner != "" {
			text += " (owner: " + e.Owner + ")"
		}
		return text + "."
	}
	return nothingToDecide
}

func upperFirst(s string) string { return strings.ToUpper(s[:min(1, len(s))]) + s[min(1, len(s)):] }
