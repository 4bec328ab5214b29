package render

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/reports"
	"github.com/kubevalue/kubevalue/slo"
)

// tone is how a reader should take a figure. It is never said by colour alone.
type tone string

const (
	plain tone = "plain"
	good  tone = "good"
	bad   tone = "bad"
)

// page is a report in words, the same for all renderings.
type page struct {
	Org, Title, Subject, Preheader string
	Period, Days                   string
	Partial                        string // what is said of a period that is not over; else empty
	Headline                       reports.Headline
	Deciding                       bool
	Keys                           []key
	Charts                         []chart
	Exceptions                     []reports.Exception
	MoreExceptions                 string
	Objectives                     []objective
	ObjectivesNote                 string
	Sections                       []section
	Followups                      []followup
	Teams                          []teams
	TeamsNote                      string
	Quality                        []string
	Gaps                           []string
	Reading                        []string
	BaseURL                        string
}

// key is one of the figures at the top.
type key struct {
	Title, Value, Note string
	Tone               tone
}

// chart is a picture with its words.
type chart struct {
	ID, Title, Point, Src string
}

// section is a table of figures.
type section struct {
	Title string
	Rows  []row
	Note  string
}

// row is a figure.
type row struct {
	Title, Basis, Owner string
	Value, ValueNote    string
	Change, ChangeNote  string
	ChangeTone          tone
	Target, TargetNote  string
	TargetTone          tone
	Parts               string
}

// objective is an objective with its budget.
type objective struct {
	Title, Basis, Owner   string
	Week, WeekNote        string
	WeekTone              tone
	Left, LeftNote        string
	LeftTone              tone
	BarUsed, BarLeft      int // percent of the bar's width
	Incidents, Operations []string
}

// followup is what the work on a class of incidents came to.
type followup struct {
	Title, Verdict, Text, Reason string
	Tone                         tone
}

// teams is a list of teams under a heading.
type teams struct{ Title, Names string }

// The most that a report shows, so that a mail stays readable, and below the size from which mail programs cut it off. What is
// less urgent is counted.
const (
	maxExceptions = 8
	maxObjectives = 12
	maxIncidents  = 3 // per objective
	maxLines      = 12
)

func newPage(r reports.Report) page {
	zone := location(r.Period.Zone)
	from, to := r.Period.From.In(zone), r.Period.To.In(zone)
	p := page{
		Org: r.Org, BaseURL: strings.TrimRight(r.BaseURL, "/"), Headline: r.Headline, Deciding: !strings.HasPrefix(r.Headline.Decision, "No decision"),
		Title:  "Platform report for " + string(r.Audience),
		Period: "Week " + r.Period.Label,
		Days:   fmt.Sprintf("%s to %s, time zone %s", from.Format("Mon 2 Jan"), to.Add(-time.Nanosecond).Format("Mon 2 Jan 2006"), r.Period.Zone),
	}
	if r.Partial {
		p.Partial = "The week is not over: figures are as of " + r.Built.In(zone).Format("Mon 2 Jan 2006 15:04") + "."
	}
	p.Preheader = r.Headline.Changed
	p.Subject = subject(r)
	p.Keys = keys(r)
	for _, c := range r.Charts {
		p.Charts = append(p.Charts, chart{ID: c.ID, Title: c.Title, Point: c.Point})
	}
	p.Exceptions = r.Exceptions[:min(len(r.Exceptions), maxExceptions)]
	if n := len(r.Exceptions) - maxExceptions; n > 0 {
		p.MoreExceptions = fmt.Sprintf("%d more, less urgent, are not shown.", n)
	}
	for _, o := range r.Objectives[:min(len(r.Objectives), maxObjectives)] {
		p.Objectives = append(p.Objectives, viewObjective(r, o))
	}
	switch n := len(r.Objectives) - maxObjectives; {
	case len(r.Objectives) == 0:
		p.ObjectivesNote = "No objective is defined, so nothing can be said about stability."
	case n > 0:
		p.ObjectivesNote = fmt.Sprintf("%d more objectives have more of their error budget left.", n)
	}
	p.Sections = append(p.Sections, section{Title: "Adoption", Rows: rows(r, r.Adoption.Figures)})
	for _, ph := range r.Phases {
		s := section{Title: ph.Title, Rows: rows(r, ph.Rows)}
		if len(ph.Rows) == 0 {
			s.Note = "The journey map has no further figure for this phase and audience."
		}
		if ph.More > 0 {
			s.Note = fmt.Sprintf("%d more figures of this phase are on the pages.", ph.More)
		}
		p.Sections = append(p.Sections, s)
	}
	p.Followups = viewFollowups(r.Followups)
	p.Teams, p.TeamsNote = viewTeams(r.Adoption)
	p.Quality, p.Gaps = quality(r)
	p.Reading = reading(r)
	return p
}

func location(name string) *time.Location {
	if zone, err := time.LoadLocation(name); err == nil {
		return zone
	}
	return time.UTC
}

// subject says the two things that a reader wants to know before opening: adoption beside stability.
func subject(r reports.Report) string {
	text := "Platform report " + r.Period.Label
	if r.Org != "" {
		text = r.Org + " platform, " + r.Period.Label
	}
	if len(r.Adoption.Figures) > 0 && r.Adoption.Figures[0].Value != nil {
		f := r.Adoption.Figures[0]
		text += ": adoption " + reports.Value(*f.Value, f.Unit)
		if f.Change != nil && f.Doubt == "" {
			text += " (" + reports.Change(*f.Change, f.Unit) + ")"
		}
	}
	over := 0
	first := ""
	for _, o := range r.Objectives {
		if u := o.Used(); u != nil && *u > 1 {
			if over == 0 {
				first = o.Title
			}
			over++
		}
	}
	switch {
	case over == 1:
		text += ", " + first + " over its error budget"
	case over > 1:
		text += fmt.Sprintf(", %d objectives over their error budgets", over)
	case len(r.Objectives) > 0:
		text += ", no error budget exceeded"
	}
	if r.Partial {
		text += " (week not over)"
	}
	return text
}

// keys are the first two adoption figures and the smallest error budget.
func keys(r reports.Report) []key {
	var out []key
	for _, f := range r.Adoption.Figures[:min(2, len(r.Adoption.Figures))] {
		v := viewRow(r, f)
		k := key{Title: f.Title, Value: v.Value, Note: v.Change, Tone: v.ChangeTone}
		switch {
		case f.Value == nil:
			k.Note = v.ValueNote
		case v.ChangeNote != "":
			k.Note += ", " + v.ChangeNote
		}
		out = append(out, k)
	}
	for _, o := range r.Objectives {
		if o.Status == nil || o.Status.Remaining == nil {
			continue
		}
		k := key{Title: "Least error budget left", Value: reports.Minutes(*o.Status.RemainingMinutes), Tone: plain}
		k.Note = fmt.Sprintf("%s, of %s over %s", o.Title, reports.Minutes(o.Status.AllowedMinutes), o.Window)
		if *o.Status.Remaining <= 0 {
			k.Tone = bad
		}
		return append(out, k)
	}
	return out
}

func rows(r reports.Report, figures []reports.Figure) []row {
	var out []row
	for _, f := range figures {
		out = append(out, viewRow(r, f))
	}
	return out
}

func viewRow(r reports.Report, f reports.Figure) row {
	v := row{Title: f.Title, Owner: f.Owner, Basis: basis(f), Value: f.ValueText(), ChangeTone: plain, TargetTone: plain}
	if f.Value == nil {
		v.ValueNote = f.Missing
		if strings.Contains(f.Missing, "small group") {
			v.ValueNote += fmt.Sprintf(", fewer than %d people", r.MinGroup)
		}
	}
	v.Change, v.ChangeNote, v.ChangeTone = change(f)
	if f.Target != nil {
		v.Target = f.TargetText()
		switch f.State {
		case journey.StateMet:
			v.TargetNote, v.TargetTone = "met", good
		case journey.StateMissed:
			v.TargetNote, v.TargetTone = "missed", bad
		}
	}
	var parts []string
	for _, part := range f.Parts {
		text := part.Missing
		if part.Value != nil {
			text = reports.Value(*part.Value, f.Unit)
		}
		parts = append(parts, part.Name+" "+text)
	}
	v.Parts = strings.Join(parts, " · ")
	return v
}

// basis is what a figure stands on: sample size, interval, coverage.
func basis(f reports.Figure) string {
	out := []string{"n " + reports.Number(float64(f.N))}
	if f.Value == nil && f.Missing != "" && f.N == 0 {
		out = out[:0] // nothing was counted, or how many is part of what is withheld
	}
	if f.Low != nil && f.High != nil {
		low, high := reports.Pair(*f.Low, *f.High, f.Unit)
		out = append(out, "95% interval "+low+" to "+high)
	}
	if f.Coverage != nil {
		out = append(out, "coverage "+reports.Ratio(*f.Coverage))
	} else {
		out = append(out, "coverage not known")
	}
	return strings.Join(out, ", ")
}

func change(f reports.Figure) (text, note string, t tone) {
	switch {
	case f.Change == nil && f.Prior == nil:
		return "", "no week before", plain
	case f.Change == nil:
		return "", "was " + reports.Value(*f.Prior, f.Unit), plain
	}
	arrow := "▲ "
	switch {
	case *f.Change < 0:
		arrow = "▼ "
	case *f.Change == 0:
		return "=", "as before", plain
	}
	text = arrow + f.ChangeText()
	if f.Doubt != "" {
		return text, "not judged: " + f.Doubt, plain
	}
	switch {
	case f.Trend != journey.TrendBetter && f.Trend != journey.TrendWorse:
		return text, "", plain
	case !f.Notable:
		return text, "within its margin", plain
	case f.Trend == journey.TrendBetter:
		return text, "better", good
	}
	return text, "worse", bad
}

func viewObjective(r reports.Report, o reports.Objective) objective {
	v := objective{Title: o.Title, Owner: o.Owner, Basis: fmt.Sprintf("target %s over %s", reports.Ratio(o.Target), o.Window), Week: "–", WeekTone: plain, Left: "–", LeftTone: plain}
	if o.Week != nil && o.Week.SLI != nil {
		v.Week = reports.Ratio(*o.Week.SLI)
		if o.Prior != nil && o.Prior.SLI != nil {
			v.WeekNote = "before: " + reports.Ratio(*o.Prior.SLI)
		}
		if *o.Week.SLI < o.Target {
			v.WeekTone = bad
			v.WeekNote = joinWords(", ", "below target", v.WeekNote)
		}
	}
	if o.Week != nil && o.Week.Coverage != nil {
		v.WeekNote = joinWords(", ", v.WeekNote, "coverage "+reports.Ratio(*o.Week.Coverage))
	}
	if o.Fault != "" {
		v.LeftNote = o.Fault
		return v
	}
	if o.Status == nil || o.Status.Remaining == nil {
		v.LeftNote = "not measured"
		return v
	}
	s := o.Status
	v.Left = reports.Minutes(*s.RemainingMinutes)
	v.LeftNote = fmt.Sprintf("of %s, %s used, uptime %s", reports.Minutes(s.AllowedMinutes), reports.Ratio(*s.Consumed), ratio(s.SLI))
	if s.Coverage != nil {
		v.LeftNote += ", coverage " + reports.Ratio(*s.Coverage)
	}
	v.BarLeft = int(math.Round(100 * min(1, max(0, *s.Remaining))))
	v.BarUsed = 100 - v.BarLeft
	if *s.Remaining <= 0 {
		v.LeftTone = bad
	}
	for _, i := range o.Incidents[:min(len(o.Incidents), maxIncidents)] {
		v.Incidents = append(v.Incidents, "Incident "+i.String())
	}
	if n := len(o.Incidents) - maxIncidents; n > 0 {
		v.Incidents = append(v.Incidents, fmt.Sprintf("%d more incidents", n))
	}
	if r.Audience == reports.Consumers {
		v.Operations = operations(s, location(r.Period.Zone))
	}
	return v
}

// operations is what those on call want to know: alert states, burn rates, forecast, watermark.
func operations(s *slo.Status, zone *time.Location) []string {
	var alerts, burns []string
	for _, a := range s.Alerts {
		alerts = append(alerts, a.Severity+" "+string(a.State))
	}
	for _, b := range s.BurnRates {
		if b.Rate != nil {
			burns = append(burns, fmt.Sprintf("%s %s", slo.FormatDuration(b.Window), reports.Number(*b.Rate)))
		}
	}
	var out []string
	if len(alerts) > 0 {
		out = append(out, "Alerts: "+strings.Join(alerts, ", "))
	}
	if len(burns) > 0 {
		out = append(out, "Burn rates: "+strings.Join(burns, ", "))
	}
	switch {
	case s.Forecast.Exhausted || s.Remaining != nil && *s.Remaining <= 0:
		out = append(out, "The budget is used up")
	case s.Forecast.At != nil && s.Forecast.At.Sub(s.At) > s.Period.Length():
		out = append(out, "No end of the budget within "+slo.FormatDuration(s.Period.Length())+" at the rate of the last "+slo.FormatDuration(s.Forecast.Window))
	case s.Forecast.At != nil:
		out = append(out, "Budget ends "+s.Forecast.At.In(zone).Format("Mon 2 Jan 15:04"))
	case s.Forecast.Reason != "":
		out = append(out, "No end of the budget in sight: "+s.Forecast.Reason)
	}
	return append(out, "Measured up to "+s.At.In(zone).Format("Mon 2 Jan 15:04"))
}

func viewFollowups(list []reports.Followup) []followup {
	var out []followup
	for _, f := range list {
		v := followup{Title: cmp.Or(f.Class, "incidents without a class"), Verdict: string(f.Verdict), Text: f.Text, Tone: plain}
		switch f.Verdict {
		case slo.Improved:
			v.Tone = good
		case slo.Worsened:
			v.Tone = bad
		default:
			v.Reason = f.Reason
		}
		out = append(out, v)
	}
	return out
}

func viewTeams(a reports.Adoption) (lists []teams, note string) {
	if a.TeamsMissing != "" {
		return nil, "Which teams joined, fell silent or left is not known: " + a.TeamsMissing + "."
	}
	for _, l := range []struct {
		title string
		list  reports.TeamList
	}{{"Joined", a.Joined}, {"Came back", a.Returned}, {"Fell silent", a.Stalled}, {"Left", a.Left}} {
		t := teams{Title: l.title, Names: "none"}
		if l.list.Len() > 0 {
			t.Names = l.list.String()
		}
		lists = append(lists, t)
	}
	if a.Dormant > 0 {
		note = fmt.Sprintf("Eligible teams that were active once and silent for more than four weeks: %d.", a.Dormant)
	}
	return lists, note
}

func ratio(v *float64) string {
	if v == nil {
		return "undefined"
	}
	return reports.Ratio(*v)
}
