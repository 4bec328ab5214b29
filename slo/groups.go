package slo

import "errors"

// ErrNoGroups is returned for a status over no groups.
var ErrNoGroups = errors.New("the objective has no groups to be evaluated for: no cluster or team has reported yet")

// GroupSums are the sums of one group, such as a cluster or a team, in the plan's segments.
type GroupSums struct {
	Group string
	Sums  []Sums
}

// GroupStatus is one objective evaluated for each group. Total pools all groups: every group expects each slice, events
// and slices add up, and minutes are those of groups. Worst has the least budget remaining (the first of equal ones);
// it is empty when no group's budget is defined, and Undefined lists the groups that it does not speak about.
type GroupStatus struct {
	Groups    []NamedStatus `json:"groups"`
	Total     Status        `json:"total"`
	Worst     string        `json:"worst"`
	Undefined []string      `json:"undefined,omitempty"`
}

// NamedStatus is one group's status.
type NamedStatus struct {
	Group  string `json:"group"`
	Status Status `json:"status"`
}

// EvaluateGroups evaluates one definition for each group and for all together. Without a group it returns ErrNoGroups, and a Total of which
// nothing was measured.
func (p *Plan) EvaluateGroups(groups []GroupSums) (GroupStatus, error) {
	var out GroupStatus
	if len(groups) == 0 {
		var err error
		if out.Total, err = p.Evaluate(make([]Sums, len(p.segments))); err != nil {
			return GroupStatus{}, err
		}
		return out, ErrNoGroups
	}
	pooled := make([]Sums, len(p.segments))
	least := 0.0
	for _, g := range groups {
		s, err := p.Evaluate(g.Sums)
		if err != nil {
			return GroupStatus{}, err
		}
		for i := range g.Sums {
			pooled[i] = pooled[i].Add(g.Sums[i])
		}
		out.Groups = append(out.Groups, NamedStatus{g.Group, s})
		switch {
		case s.Remaining == nil:
			out.Undefined = append(out.Undefined, g.Group)
		case out.Worst == "" || *s.Remaining < least:
			out.Worst, least = g.Group, *s.Remaining
		}
	}
	var err error
	out.Total, err = p.evaluate(pooled, int64(len(groups)))
	return out, err
}
