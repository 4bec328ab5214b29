package reports

import (
	"slices"
	"time"
)

// StalledWeeks is how many weeks before the period a team may have been active last to count as stalled; before, it is dormant.
const StalledWeeks = 4

// teams sorts the teams into joined, returned, stalled, left and dormant.
func (b *builder) teams() {
	if b.src.Teams == nil {
		b.Adoption.TeamsMissing = "no roster is connected"
		return
	}
	teams, err := b.src.Teams(b.ctx, b.period, b.Previous)
	if err != nil {
		b.Quality.Failed++
		b.Adoption.TeamsMissing = "could not be computed"
		return
	}
	b.Adoption.Sort(teams, b.period.From, b.weeks[len(b.weeks)-1-StalledWeeks].From, b.o.MinGroup)
}

// Sort fills the lists of teams for a period that begins at from; recent is the beginning of the StalledWeeks before it. Teams of fewer
// than minGroup people are counted, not named.
func (a *Adoption) Sort(teams []TeamUse, from, recent time.Time, minGroup int) {
	slices.SortFunc(teams, func(x, y TeamUse) int { return compareNames(x.Team, y.Team) })
	for _, t := range teams {
		a.sort(t, from, recent, minGroup)
	}
}

// sort puts a team where it belongs: from is the beginning of the period, recent that of the weeks in which a stalled team was active.
func (a *Adoption) sort(t TeamUse, from, recent time.Time, minGroup int) {
	switch {
	case t.Active && !t.First.Before(from):
		a.Joined.add(t, minGroup)
	case t.Active && !t.ActiveBefore:
		a.Returned.add(t, minGroup)
	case t.Active, t.Last.IsZero():
	case t.EligibleBefore && !t.Eligible:
		a.Left.add(t, minGroup)
	case t.Eligible && !t.Last.Before(recent):
		a.Stalled.add(t, minGroup)
	case t.Eligible:
		a.Dormant++
	}
}

// add names a team, unless it is so small that its name would point at persons.
func (l *TeamList) add(t TeamUse, minGroup int) {
	if t.Members < minGroup {
		l.Withheld++
		return
	}
	l.Names = append(l.Names, t.Team)
}
