package dashboards

import (
	"cmp"
	"slices"

	"github.com/kubevalue/kubevalue/reports"
	"github.com/kubevalue/kubevalue/slo"
)

// useRow is what one incident, or none, used of the budgets of all objectives in their present windows.
type useRow struct {
	// ID is empty for what no incident accounts for.
	ID, Class, Origin string
	// Objectives are those that it hit, the one that lost most of its budget first.
	Objectives []useOf
	// Minutes is the bad time, added up over the objectives.
	Minutes string
	minutes float64
}

// useOf is what an incident used of one objective's budget.
type useOf struct {
	Name, Href, Consumed string
	consumed             float64
}

// Bounds of what the page of all objectives says of incidents.
const (
	maxUses  = 12
	maxUseOf = 4
)

// usesOf groups what was used of the objectives' budgets by incident, the most bad time first, and what no incident accounts for last.
// It leaves out those with the least when there are more than maxUses, and says how many.
func usesOf(all []objectiveRow) (uses []useRow, more int) {
	byID := map[string]*useRow{}
	for _, o := range all {
		if o.Status == nil || o.Status.Attribution == nil {
			continue
		}
		for _, p := range o.Status.Attribution.Parts {
			row := byID[p.ID]
			if row == nil {
				row = &useRow{ID: p.ID, Class: p.Class, Origin: string(p.Cause)}
				byID[p.ID] = row
			}
			if p.BadMinutes > 0 {
				row.minutes += p.BadMinutes
				row.Objectives = append(row.Objectives, useOf{o.Name, o.Href, reports.Ratio(p.Consumed), p.Consumed})
			}
		}
	}
	var out []useRow
	for _, row := range byID {
		if row.minutes == 0 {
			continue
		}
		row.Minutes = reports.Minutes(row.minutes)
		slices.SortFunc(row.Objectives, func(a, b useOf) int { return cmp.Or(cmp.Compare(b.consumed, a.consumed), cmp.Compare(a.Name, b.Name)) })
		out = append(out, *row)
	}
	slices.SortFunc(out, func(a, b useRow) int {
		return cmp.Or(order(a.ID == slo.Unattributed, b.ID == slo.Unattributed), cmp.Compare(b.minutes, a.minutes), cmp.Compare(a.ID, b.ID))
	})
	for i := range out {
		if out[i].ID == slo.Unattributed {
			out[i].ID = ""
		}
	}
	if more = max(0, len(out)-maxUses); more > 0 {
		out = slices.Delete(out, maxUses-1, maxUses-1+more)
	}
	return out, more
}

// Shown are the objectives that are named, More is how many there are besides.
func (u useRow) Shown() []useOf { return u.Objectives[:min(len(u.Objectives), maxUseOf)] }

// More is how many objectives Shown leaves out.
func (u useRow) More() int { return max(0, len(u.Objectives)-maxUseOf) }
