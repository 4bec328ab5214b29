package reports

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/slo"
)

// exceptions are found by fixed rules, the most urgent kind first: budgets, targets that are missed, figures that got worse,
// teams that fell silent, measurements that cannot be trusted.
func (b *builder) exceptions() {
	b.budgetExceptions()
	var worse []Exception
	b.eachFigure(func(phase string, f Figure) {
		if e := f.missedTarget(phase); e != nil {
			b.add(e)
		} else if e := f.gotWorse(phase); e != nil {
			worse = append(worse, *e)
		}
	})
	b.Exceptions = append(b.Exceptions, worse...)
	b.add(b.Adoption.stalled())
	for _, o := range b.Objectives {
		b.add(o.unmeasured())
	}
	b.add(b.Quality.silent())
	slices.SortStableFunc(b.Exceptions, func(x, y Exception) int { return boolOrder(!x.Act, !y.Act) })
}

func (b *builder) add(e *Exception) {
	if e != nil {
		b.Exceptions = append(b.Exceptions, *e)
	}
}

func (b *builder) eachFigure(visit func(phase string, f Figure)) {
	for _, f := range b.Adoption.Figures {
		visit("Adoption", f)
	}
	for _, ph := range b.Phases {
		for _, f := range ph.Rows {
			visit(ph.Title, f)
		}
	}
}

// ForecastWithin is how soon a budget must be used up to need attention now: what lies behind the next report can wait for it.
const ForecastWithin = 14 * 24 * time.Hour

// exception says what is wrong with an objective's budget.
func (o Objective) exception(audience Audience, zone *time.Location) *Exception {
	if o.Status == nil || o.Status.Remaining == nil {
		return nil
	}
	left := *o.Status.Remaining
	budget := fmt.Sprintf("%s of %s left over %s", Minutes(*o.Status.RemainingMinutes), Minutes(o.Status.AllowedMinutes), o.Window)
	switch {
	case left <= 0:
		until := "its error budget has recovered"
		if len(o.Incidents) == 0 && len(o.Earlier) > 0 {
			if back := o.recovery(o.Earlier[0]); !back.IsZero() {
				until = back.In(zone).Format("Mon 2 Jan") + ", when there is error budget again"
			}
		}
		return &Exception{
			Act: true, Owner: o.Owner, Title: o.Title + ": the error budget is used up",
			Detail:   fmt.Sprintf("Uptime %s, target %s; %s.%s", ratioOr(o.Status.SLI), Ratio(o.Target), budget, o.causes(zone)),
			Decision: "whether risky changes to " + o.Title + " wait until " + until,
		}
	case o.Status.Forecast.At != nil && o.Status.Forecast.At.Sub(o.Status.At) <= ForecastWithin:
		at := o.Status.Forecast.At.In(zone).Format("Mon 2 Jan 15:04 MST")
		return &Exception{
			Act: true, Owner: o.Owner, Title: o.Title + ": the error budget will not last",
			Detail:   fmt.Sprintf("At the present rate nothing is left on %s; %s.%s", at, budget, o.causes(zone)),
			Decision: "what is done about " + o.Title + " before its error budget ends on " + at,
		}
	case o.firing() != "" && audience == Consumers:
		return &Exception{Title: o.Title + ": alert firing", Detail: fmt.Sprintf("Severity %s at the end of the period; %s.", o.firing(), budget), Owner: o.Owner}
	case o.Used() != nil && *o.Used() > 1:
		return &Exception{
			Title: o.Title + ": a week above its error budget", Owner: o.Owner,
			Detail: fmt.Sprintf("It used %s of what a week may use; %s.%s", Ratio(*o.Used()), budget, o.causes(zone)),
		}
	}
	return nil
}

func (o Objective) firing() string {
	var out []string
	for _, a := range o.Status.Alerts {
		if a.State == slo.Firing {
			out = append(out, a.Severity)
		}
	}
	return strings.Join(out, ", ")
}

// causes names the incidents of the period, or else what used the budget before it.
func (o Objective) causes(zone *time.Location) string {
	if len(o.Incidents) == 0 {
		if len(o.Earlier) == 0 {
			return " No incident is recorded in the period."
		}
		main := o.Earlier[0]
		text := " Before this week: " + main.String() + ", " + main.Start.In(zone).Format("Mon 2 Jan")
		if n := len(o.Earlier) - 1; n > 0 {
			text += ", and " + count(n, "incidents") + " more"
		}
		if back := o.recovery(main); !back.IsZero() {
			text += "; unless more is used, there is budget again when that leaves the window on " + back.In(zone).Format("Mon 2 Jan")
		}
		return text + "."
	}
	var out []string
	for _, i := range o.Incidents {
		out = append(out, i.String())
	}
	return " Incidents in the period: " + strings.Join(out, "; ") + "."
}

// recovery is when a rolling window whose budget is used up has some again, once it no longer holds an incident; the zero time when
// that alone does not bring it back.
func (o Objective) recovery(i Incident) time.Time {
	s := o.Status
	rolling := s.Period.To.Equal(s.At)
	if !rolling || *s.Remaining > 0 || i.Share == nil || *s.Remaining+*i.Share**s.Consumed <= 0 {
		return time.Time{}
	}
	return i.Start.Add(s.Period.Length() + time.Duration(i.Minutes*float64(time.Minute)))
}

// Name is the incident's id with what it is: its title where the report has it, else its class.
func (i Incident) Name() string {
	switch {
	case i.Title != "":
		return fmt.Sprintf("%s (%s)", i.ID, i.Title)
	case i.Class != "":
		return fmt.Sprintf("%s (%s)", i.ID, i.Class)
	}
	return i.ID
}

// String is the incident in a few words.
func (i Incident) String() string {
	text := fmt.Sprintf("%s, %s", i.Name(), lasted(i.Minutes))
	if i.Open {
		text += " so far"
	}
	if i.Origin != "" {
		text += ", " + i.Origin + " cause"
	}
	if i.Share != nil {
		text += ", " + Ratio(*i.Share) + " of the budget consumed"
	}
	if i.FollowupsOpen > 0 {
		text += fmt.Sprintf(", %d of %s open", i.FollowupsOpen, count(i.Followups, "follow-ups"))
	}
	return text
}

// unmeasured says that too little of an objective was measured to call it uptime.
func (o Objective) unmeasured() *Exception {
	switch {
	case o.Fault != "":
		return &Exception{Act: true, Title: o.Title + ": not computed", Detail: o.Fault + ".", Owner: o.Owner, Decision: "who repairs the measurement of " + o.Title}
	case o.Status == nil || !o.Status.LowCoverage:
		return nil
	}
	return &Exception{
		Act: true, Title: o.Title + ": hardly measured", Owner: o.Owner,
		Detail:   fmt.Sprintf("Only %s of %s was measured; what was not is neither up nor down.", ratioOr(o.Status.Coverage), o.Window),
		Decision: "who repairs the measurement of " + o.Title,
	}
}

func (f Figure) missedTarget(phase string) *Exception {
	if f.State != journey.StateMissed {
		return nil
	}
	e := &Exception{Title: f.Title + ": target missed", Owner: f.Owner, Detail: fmt.Sprintf("%s: %s, target %s", phase, f.ValueText(), f.TargetText())}
	if f.Prior != nil {
		e.Detail += ", " + Value(*f.Prior, f.Unit) + " the week before"
	}
	if f.Coverage != nil && *f.Coverage < MinCoverage {
		e.Detail += "; only " + Ratio(*f.Coverage) + " of the week was measured"
	}
	e.Detail += "."
	// One bad week is watched; two in a row want an answer.
	if f.Missed > 1 {
		e.Title += fmt.Sprintf(" for %d weeks", f.Missed)
		if f.Missed >= weeksBack {
			e.Title += " or more"
		}
		e.Act, e.Decision = true, fmt.Sprintf("what to do about “%s”, or whether its target of %s is right", f.Title, f.TargetText())
	}
	return e
}

func (f Figure) gotWorse(phase string) *Exception {
	if !f.Notable || f.Trend != journey.TrendWorse {
		return nil
	}
	from, to := Pair(*f.Prior, *f.Value, f.Unit)
	return &Exception{
		Title: f.Title + ": got worse", Owner: f.Owner,
		Detail: fmt.Sprintf("%s: %s, %s the week before (%s).", phase, to, from, f.ChangeText()),
	}
}

func (a Adoption) stalled() *Exception {
	if a.Stalled.Len() == 0 {
		return nil
	}
	return &Exception{
		Act: true, Title: count(a.Stalled.Len(), "teams") + " fell silent",
		Detail:   "No value event in the whole period, though eligible and active in the four weeks before: " + a.Stalled.String() + ".",
		Decision: "who talks to " + a.Stalled.String(),
	}
}

// String lists at most five teams.
func (l TeamList) String() string {
	const most = 5
	switch {
	case l.Withheld == 0:
		return names(l.Names, most)
	case len(l.Names) == 0:
		return count(l.Withheld, "teams") + " too small to be named"
	}
	small := fmt.Sprintf("%d too small to be named", l.Withheld)
	return names(append(slices.Clone(l.Names[:min(most, len(l.Names))]), small), most+1)
}

// silent names the sources that did not report.
func (q Quality) silent() *Exception {
	var out []string
	for _, s := range q.Sources {
		if !s.Reporting {
			out = append(out, s.Name)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return &Exception{
		Act: true, Title: fmt.Sprintf("%d of %s did not report", len(out), count(len(q.Sources), "sources")),
		Detail:   "Figures that stand on them are missing or too low: " + names(out, 5) + ".",
		Decision: "who repairs the data of " + names(out, 3),
	}
}

func ratioOr(v *float64) string {
	if v == nil {
		return "undefined"
	}
	return Ratio(*v)
}

// lowerFirst makes a title part of a sentence, unless it begins with an abbreviation.
func lowerFirst(s string) string {
	if len(s) > 1 && s[1] >= 'A' && s[1] <= 'Z' {
		return s
	}
	return strings.ToLower(s[:min(1, len(s))]) + s[min(1, len(s)):]
}
