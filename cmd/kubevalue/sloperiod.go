package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/schema"
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
	case !now.Before(p.To.Add(max(s.closeAfter, s.maxLag))):
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
	return p, s.answerable(p)
}

// answerable refuses a period of the future, and one before times that tables can hold.
func (s *objectiveSet) answerable(p journey.Period) error {
	if !p.Begun(s.now()) {
		return dashboards.BadRequestError{Why: fmt.Sprintf("period %s begins on %s, which is still to come", p.Label, p.From.In(s.calendar.Zone).Format(time.DateOnly))}
	}
	if p.From.Before(earliest) {
		return dashboards.BadRequestError{Why: fmt.Sprintf("period %s begins before 1970, when there was nothing to measure", p.Label)}
	}
	return nil
}

// earliest is the first time that the engine knows.
var earliest = time.Unix(0, 0)

// periods reads --period and --with.
func (s *objectiveSet) periods(period, with string) (p, other journey.Period, err error) {
	if p, err = s.period(period); err != nil {
		return p, other, err
	}
	other, err = s.other(p, with)
	return p, other, err
}

// other reads what --with says: previous, year-ago, or the label of a period of the same grain.
func (s *objectiveSet) other(p journey.Period, text string) (journey.Period, error) {
	switch text {
	case "previous":
		previous := s.calendar.Previous(p)
		return previous, s.answerable(previous)
	case "year-ago":
		ago := s.calendar.YearAgo(p)
		return ago, s.answerable(ago)
	}
	with, err := s.calendar.Parse(text, p.Grain)
	if err != nil {
		return with, dashboards.BadRequestError{Why: fmt.Sprintf("%v; or previous, or year-ago", err)}
	}
	if with.From.Equal(p.From) {
		return with, dashboards.BadRequestError{Why: fmt.Sprintf("period %s cannot be compared with itself", p.Label)}
	}
	return with, s.answerable(with)
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
	// Published is set when the figures are those of a closed period, as they were published.
	Published *publishedAs `json:"published,omitempty"`

	defined configuredObjective
}

// publishedAs says which of the revisions of a figure is shown.
type publishedAs struct {
	Revision uint32 `json:"revision"`
	// Revisions is how many there are; Reason is the shown one's, Newest the last one's.
	Revisions  uint32    `json:"revisions"`
	Reason     string    `json:"reason"`
	Newest     string    `json:"newest_reason"`
	Definition string    `json:"definition"`
	ComputedAt time.Time `json:"computed_at"`
}

// view says which figures of a closed period are wanted: as they were published first, or as they would be computed now.
type view bool

const (
	asPublished view = false
	latest      view = true
)

// named lists the configured objectives that a question is about: the one of that name, or all when it is empty.
func (s *objectiveSet) named(name string) ([]configuredObjective, error) {
	return objectiveNamed(s.all, name)
}

// standings are the statuses of objectives in a calendar period, in order of name, against the budget of that period. An empty name
// stands for all of them. Figures of a closed period that were not published are computed.
func (s *objectiveSet) standings(ctx context.Context, name string, p journey.Period, v view) ([]standing, error) {
	of, err := s.defined(ctx, p, name)
	if err != nil {
		return nil, err
	}
	published := map[string][]schema.Published{}
	if v == asPublished && s.answerPeriod(p).State == periodClosed {
		if published, err = s.revisions(ctx, p); err != nil {
			return nil, err
		}
	}
	out := make([]standing, len(of))
	var compute []configuredObjective
	var at []int
	for i, o := range of {
		out[i] = standing{Objective: o.Definition.Name, Service: o.Service, defined: o}
		revisions := published[o.Definition.Name]
		if len(revisions) == 0 {
			compute, at = append(compute, o), append(at, i)
			continue
		}
		first, last := revisions[0], revisions[len(revisions)-1]
		status, err := publishedStatus(first)
		if err != nil {
			return nil, err
		}
		out[i].Status = &status
		out[i].Published = &publishedAs{first.Revision, last.Revision, first.Reason, last.Reason, first.Version, first.ComputedAt}
	}
	answers, err := s.computed(ctx, compute, p)
	for k, a := range answers {
		out[at[k]].set(a)
	}
	return out, err
}

// computed are the statuses of objectives in a calendar period from what the tables have now.
func (s *objectiveSet) computed(ctx context.Context, of []configuredObjective, p journey.Period) ([]answer, error) {
	qs, err := s.questionsIn(ctx, of, p)
	if err != nil {
		return nil, err
	}
	if err := s.addIncidents(ctx, qs); err != nil {
		return nil, err
	}
	return evaluateAll(ctx, s.store, qs)
}

// set fills in what the engine said.
func (s *standing) set(a answer) {
	if a.err != nil {
		s.Fault = a.err.Error()
	} else {
		s.Status = &a.status
	}
}

// remarks are what a reader has to know about where the figures come from.
func (s standing) remarks() []string {
	var out []string
	if s.Fault != "" {
		out = append(out, s.Fault)
	}
	if p := s.Published; p != nil && p.Revisions > p.Revision {
		out = append(out, fmt.Sprintf("as published on %s (UTC); revised since then, last for %s: --latest shows it", timeText(p.ComputedAt), p.Newest))
	}
	return out
}

var errNothingYet = errors.New("nothing has been measured of the period yet")

// questionsIn are about objectives in a calendar period, up to what has been measured of it.
func (s *objectiveSet) questionsIn(ctx context.Context, of []configuredObjective, p journey.Period) ([]question, error) {
	over := slices.Clone(of)
	for i := range over {
		over[i].Definition = over[i].Definition.Over(s.window(p))
	}
	qs, err := s.questions(ctx, over, p.To)
	for i := range qs {
		qs[i].o = of[i]
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
