package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/slo"
)

// defaultCloseAfter is how long after its end a period takes late data before its figures are published.
const defaultCloseAfter = 3 * 24 * time.Hour

// periodState says how final a period's figures are.
type periodState string

// The states: an open period is under way, a closing one has ended and still takes late data, a closed one changes by revisions only.
const (
	periodOpen    periodState = "open"
	periodClosing periodState = "closing"
	periodClosed  periodState = "closed"
)

// answerPeriod is the calendar period that an answer is about.
type answerPeriod struct {
	journey.Period
	State periodState `json:"state"`
}

func (s *objectiveSet) answerPeriod(p journey.Period) answerPeriod {
	out := answerPeriod{Period: p, State: periodOpen}
	switch now := s.now(); {
	case !now.Before(p.To.Add(s.closeAfter)):
		out.State = periodClosed
	case p.Complete(now):
		out.State = periodClosing
	}
	return out
}

// period reads what --period says: week, month or quarter for the last one that has ended, current (a month) or current-week,
// current-month, current-quarter for the one under way, or a label such as 2026-10, 2026-W46, 2026-Q4 or 2026-10-31.
func (s *objectiveSet) period(text string) (journey.Period, error) {
	if g := journey.Grain(text); units[g] != "" {
		return s.calendar.Last(g, 1, s.now())[0], nil
	}
	if text == "current" {
		return s.calendar.Period(journey.GrainMonth, s.now()), nil
	}
	if grain, ok := strings.CutPrefix(text, "current-"); ok && units[journey.Grain(grain)] != "" {
		return s.calendar.Period(journey.Grain(grain), s.now()), nil
	}
	p, err := s.calendar.Parse(text, "")
	if err != nil {
		return p, dashboards.BadRequestError{Why: fmt.Sprintf("%v; or week, month, quarter for the last one that has ended, or current, current-week, current-quarter", err)}
	}
	if p.From.After(s.now()) {
		return p, dashboards.BadRequestError{Why: fmt.Sprintf("period %s begins on %s, which is still to come", p.Label, p.From.In(s.calendar.Zone).Format(time.DateOnly))}
	}
	return p, nil
}

// other reads what --with says: previous, year-ago, or the label of a period of the same grain.
func (s *objectiveSet) other(p journey.Period, text string) (journey.Period, error) {
	switch text {
	case "previous":
		return s.calendar.Previous(p), nil
	case "year-ago":
		return s.calendar.YearAgo(p), nil
	}
	with, err := s.calendar.Parse(text, p.Grain)
	if err != nil {
		return with, dashboards.BadRequestError{Why: fmt.Sprintf("%v; or previous, or year-ago", err)}
	}
	if with.From.Equal(p.From) {
		return with, dashboards.BadRequestError{Why: fmt.Sprintf("period %s cannot be compared with itself", p.Label)}
	}
	return with, nil
}

// window is the calendar window of which p is a period, weeks beginning on the day that the organisation chose.
func (s *objectiveSet) window(p journey.Period) slo.Window {
	w := slo.CalendarWindow(units[p.Grain], s.calendar.Zone)
	w.Anchor = p.From.In(s.calendar.Zone)
	return w
}

// standing is an objective's status in a period, or why there is none.
type standing struct {
	Objective string      `json:"objective"`
	Service   string      `json:"service"`
	Status    *slo.Status `json:"status"`
	// Fault says why there is no status.
	Fault string `json:"fault,omitempty"`
}

// named lists the objectives that a question is about: the one of that name, or all.
func (s *objectiveSet) named(name string) ([]configuredObjective, error) {
	if name == "" {
		return s.all, nil
	}
	var names []string
	for _, o := range s.all {
		if o.Definition.Name == name {
			return []configuredObjective{o}, nil
		}
		names = append(names, o.Definition.Name)
	}
	return nil, fmt.Errorf("%w%s", dashboards.NotFoundError{What: fmt.Sprintf("the objective %q", name)}, suggestion(name, names))
}

// standings are the statuses of objectives in a calendar period, in their order, against the budget of that period.
func (s *objectiveSet) standings(ctx context.Context, of []configuredObjective, p journey.Period) ([]standing, error) {
	qs, err := s.questionsIn(ctx, of, p)
	if err != nil {
		return nil, err
	}
	if err := s.addIncidents(ctx, qs); err != nil {
		return nil, err
	}
	answers, err := evaluateAll(ctx, s.store, qs)
	if err != nil {
		return nil, err
	}
	out := make([]standing, len(of))
	for i, o := range of {
		out[i] = standingOf(o, answers[i])
	}
	return out, nil
}

func standingOf(o configuredObjective, a answer) standing {
	out := standing{Objective: o.Definition.Name, Service: o.Service}
	if a.err != nil {
		out.Fault = a.err.Error()
	} else {
		out.Status = &a.status
	}
	return out
}

var errNothingYet = errors.New("nothing has been measured of the period yet")

// questionsIn are about objectives in a calendar period, up to what has been measured of it.
func (s *objectiveSet) questionsIn(ctx context.Context, of []configuredObjective, p journey.Period) ([]question, error) {
	qs, err := s.questions(ctx, of, p.To)
	for i := range qs {
		qs[i].req.Objective = qs[i].req.Objective.Over(s.window(p))
		if !p.From.Before(qs[i].req.At) {
			qs[i].err = errNothingYet
		}
	}
	return qs, err
}

// String is the period with its bounds, zone and state, for headings.
func (p answerPeriod) String() string {
	zone, err := time.LoadLocation(p.Zone)
	if err != nil {
		zone = time.UTC
	}
	state := map[periodState]string{periodOpen: "under way: partial", periodClosing: "ended, still taking late data", periodClosed: "closed"}[p.State]
	return fmt.Sprintf("%s (%s to %s %s, %s)", p.Label, clockText(p.From, zone), clockText(p.To, zone), p.Zone, state)
}

// clockText is a time as the clocks of a zone show it.
func clockText(t time.Time, zone *time.Location) string { return t.In(zone).Format("2006-01-02 15:04") }
