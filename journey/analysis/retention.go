package analysis

import (
	"context"
	"fmt"
	"sort"

	"github.com/kubevalue/kubevalue/journey"
)

// Mode says when an entity of a cohort counts as retained k periods later.
type Mode string

// The modes. None of them is called "rolling retention", which means different things to different people.
const (
	// Exact: active in that very period.
	Exact Mode = "exact"
	// OnOrAfter: active in that period or a later complete one of the range.
	OnOrAfter Mode = "on_or_after"
	// Bracket: active in any period from the i-th to the j-th after the cohort.
	Bracket Mode = "bracket"
)

// RetentionArgs are those of Retention.
type RetentionArgs struct {
	Args
	// Mode is Exact unless given.
	Mode Mode
	// Bracket are i and j of the mode Bracket, 0 <= i <= j.
	Bracket [2]int
	// Recurring makes cohorts of all that were active in a period, instead of those whose first activity ever was then.
	Recurring bool
}

// RetentionRow is one cohort. Cells[k] counts the entities of the cohort that were retained k periods later (with Bracket,
// Cells[0] is the one cell); only cells whose periods are complete and lie before the end of the range are there.
type RetentionRow struct {
	Cohort journey.Period
	Size   int
	Cells  []int
}

// Retention follows cohorts through the periods of the range.
func (s Source) Retention(ctx context.Context, r RetentionArgs) ([]RetentionRow, error) {
	a, err := r.withDefaults()
	if err != nil {
		return nil, err
	}
	switch r.Mode {
	case "":
		r.Mode = Exact
	case Exact, OnOrAfter:
	case Bracket:
		if r.Bracket[0] < 0 || r.Bracket[1] < r.Bracket[0] {
			return nil, fmt.Errorf("bracket %v: want [i, j] with 0 <= i <= j", r.Bracket)
		}
	default:
		return nil, fmt.Errorf("mode %q: want exact, on_or_after or bracket", r.Mode)
	}
	periods, err := s.completePeriods(a)
	if err != nil || len(periods) == 0 {
		return nil, err
	}
	p, err := s.people(ctx, a.Entity == Teams)
	if err != nil {
		return nil, err
	}
	read := s.activityWithFirsts
	if r.Recurring {
		read = s.activity
	}
	entities, err := read(ctx, a, p, periods)
	if err != nil {
		return nil, err
	}
	return retention(periods, entities, r), nil
}

func retention(periods []journey.Period, entities []entity, r RetentionArgs) []RetentionRow {
	n := len(periods)
	rows := make([]RetentionRow, n)
	for c := range rows {
		rows[c].Cohort = periods[c]
	}
	for _, e := range entities {
		if r.Recurring {
			for _, c := range e.active {
				rows[c].Size++
			}
		} else if 0 <= e.first && e.first < n {
			rows[e.first].Size++
		}
	}
	for c := range rows {
		if rows[c].Size > 0 {
			rows[c].Cells = make([]int, cellsOf(r, n-c))
		}
	}
	for _, e := range entities {
		if r.Recurring {
			for at, c := range e.active {
				count(rows[c].Cells, c, e.active[at:], r)
			}
		} else if 0 <= e.first && e.first < n {
			count(rows[e.first].Cells, e.first, e.active, r)
		}
	}
	return rows
}

// cellsOf is how many cells a cohort has of which it and as many periods after it are complete.
func cellsOf(r RetentionArgs, periods int) int {
	switch {
	case r.Mode != Bracket:
		return periods
	case r.Bracket[1] < periods:
		return 1
	}
	return 0
}

// count adds one entity of the cohort c to the cells; active are its periods, none before c.
func count(cells []int, c int, active []int, r RetentionArgs) {
	switch r.Mode {
	case Exact:
		for _, i := range active {
			cells[i-c]++
		}
	case OnOrAfter:
		for k := 0; k <= active[len(active)-1]-c; k++ {
			cells[k]++
		}
	case Bracket:
		at := sort.SearchInts(active, c+r.Bracket[0])
		if len(cells) == 1 && at < len(active) && active[at] <= c+r.Bracket[1] {
			cells[0]++
		}
	}
}

// Pooled is the share of entities retained k periods later over all cohorts that have the cell k, and their number; nil
// when there are none. Cohorts too young for the cell are left out of numerator and denominator alike.
func Pooled(rows []RetentionRow, k int) (share *float64, size int) {
	kept := 0
	for _, r := range rows {
		if k < len(r.Cells) {
			kept += r.Cells[k]
			size += r.Size
		}
	}
	return ratio(kept, size), size
}
