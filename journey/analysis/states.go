package analysis

import (
	"context"

	"github.com/kubevalue/kubevalue/journey"
)

// TeamState is where a team stands in a period.
type TeamState string

// The states of teams. Joined: active for the first time ever. Returned: active, not in the period before. Active: in both. Stalled:
// eligible and silent, with activity in one of the four periods before. Dormant: eligible and silent for longer. Left: no longer
// eligible and silent. Absent: eligible, and never active.
const (
	TeamJoined   TeamState = "joined"
	TeamReturned TeamState = "returned"
	TeamActive   TeamState = "active"
	TeamStalled  TeamState = "stalled"
	TeamDormant  TeamState = "dormant"
	TeamLeft     TeamState = "left"
	TeamAbsent   TeamState = "absent"
)

// stalledPeriods is how many periods before a stalled team's silence may have lasted at most.
const stalledPeriods = 4

// TeamStates says, by name, where each team stands in the period that holds a.From.
func (s Source) TeamStates(ctx context.Context, a Args) (map[string]TeamState, journey.Period, error) {
	a, err := a.withDefaults()
	if err != nil {
		return nil, journey.Period{}, err
	}
	p := s.Calendar.Period(a.Grain, a.From)
	rows, err := s.TeamRows(ctx, a, p)
	if err != nil {
		return nil, p, err
	}
	recent := p
	for range stalledPeriods {
		recent = s.Calendar.Previous(recent)
	}
	out := map[string]TeamState{}
	for _, t := range rows {
		switch {
		case t.Active && !t.First.Before(p.From):
			out[t.Team] = TeamJoined
		case t.Active && !t.ActiveBefore:
			out[t.Team] = TeamReturned
		case t.Active:
			out[t.Team] = TeamActive
		case t.Last.IsZero():
			out[t.Team] = TeamAbsent
		case !t.Eligible:
			out[t.Team] = TeamLeft
		case !t.Last.Before(recent.From):
			out[t.Team] = TeamStalled
		default:
			out[t.Team] = TeamDormant
		}
	}
	return out, p, nil
}
