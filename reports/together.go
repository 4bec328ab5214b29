package reports

import (
	"fmt"
	"strings"
	"time"
)

// budgetExceptions are what is wrong with the objectives' budgets. Budgets that one incident used up are one exception: there is one
// thing to decide.
func (b *builder) budgetExceptions() {
	usedUpBy := map[string][]Objective{}
	for _, o := range b.Objectives {
		if cause, ok := o.usedUpBy(); ok {
			usedUpBy[cause.ID] = append(usedUpBy[cause.ID], o)
		}
	}
	for _, o := range b.Objectives {
		cause, ok := o.usedUpBy()
		switch together := usedUpBy[cause.ID]; {
		case !ok || len(together) == 1:
			b.add(o.exception(b.o.Audience, b.o.Calendar.Zone))
		case o.Name == together[0].Name:
			b.add(usedUpTogether(cause, together, b.o.Calendar.Zone))
		}
	}
}

// usedUpBy is the one incident that most of a budget that is used up went to.
func (o Objective) usedUpBy() (Incident, bool) {
	if o.Status == nil || o.Status.Remaining == nil || *o.Status.Remaining > 0 {
		return Incident{}, false
	}
	incidents := o.Incidents
	if len(incidents) == 0 && len(o.Earlier) > 0 {
		incidents = o.Earlier[:1]
	}
	if len(incidents) != 1 || incidents[0].Share == nil || *incidents[0].Share < 0.5 {
		return Incident{}, false
	}
	return incidents[0], true
}

// namedTogether is how many objectives with one cause are told of one by one.
const namedTogether = 3

// usedUpTogether is the exception of several objectives with one cause.
func usedUpTogether(cause Incident, of []Objective, zone *time.Location) *Exception {
	titles, standings := make([]string, len(of)), make([]string, len(of))
	var back time.Time
	known := true
	for i, o := range of {
		mine, _ := o.usedUpBy()
		titles[i] = o.Title
		standings[i] = fmt.Sprintf("%s: %s of %s left over %s; of what was used, the incident took %s",
			o.Title, Minutes(*o.Status.RemainingMinutes), Minutes(o.Status.AllowedMinutes), o.Window, Ratio(*mine.Share))
		at := o.recovery(mine)
		known = known && !at.IsZero()
		if at.After(back) {
			back = at
		}
	}
	if more := len(of) - namedTogether; more > 0 {
		standings = append(standings[:namedTogether], fmt.Sprintf("%d more are in the table", more)) // the others stand in the table of objectives
	}
	what := cause
	what.Share = nil // it is another one for each of them
	e := &Exception{
		Act: true, Owner: of[0].Owner, Title: fmt.Sprintf("%d error budgets are used up, mostly by %s", len(of), cause.ID),
		Detail: fmt.Sprintf("%s, %s. %s.", what, cause.Start.In(zone).Format("Mon 2 Jan"), strings.Join(standings, ". ")),
	}
	until := "their error budgets have recovered"
	if known {
		day := back.In(zone).Format("Mon 2 Jan")
		e.Detail += " Unless more is used, there is budget again when the incident leaves the window on " + day + "."
		until = day + ", when there is error budget again"
	}
	e.Decision = "whether risky changes to " + names(titles, namedTogether) + " wait until " + until
	return e
}
