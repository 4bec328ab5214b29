package analysis

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/interval"
)

// columnSlotsSQL is slotsSQL, apart for each value of a column.
const columnSlotsSQL = `SELECT toString(%[1]s) AS value, actor, actor_team, arraySort(groupUniqArray(roundDown(toUnixTimestamp64Milli(time), {slots:Array(Int64)}))) AS slots
FROM events
WHERE %[2]s
GROUP BY value, actor, actor_team`

// activityBy is activity apart for each value of a column of events: cluster or persona.
func (s Source) activityBy(ctx context.Context, a Args, p people, periods []journey.Period, column string) (map[string][]entity, error) {
	starts := make([]int64, len(periods))
	for i, period := range periods {
		starts[i] = millis(period.From)
	}
	end := millis(periods[len(periods)-1].To)
	slots := append(slices.Clone(starts), p.cuts(starts[0], end)...)
	slices.Sort(slots)
	w := s.selection(a)
	w.during(starts[0], end)
	w.params["slots"] = slices.Compact(slots)
	found := map[string]*sets{}
	err := s.rows(ctx, fmt.Sprintf(columnSlotsSQL, column, w), w.params, func(r row) {
		value, actor, team := r.string(0), p.one(r.uint64(1)), r.string(2)
		if found[value] == nil {
			found[value] = newSets(a.MinMembers, len(periods))
		}
		for _, slot := range r.int64s(3) {
			for _, k := range p.entities(a.Entity, actor, team, slot) {
				found[value].add(k, slotOf(starts, slot), actor)
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read activity by %s: %w", column, err)
	}
	out := map[string][]entity{}
	for value, s := range found {
		out[value] = s.entities()
	}
	return out, nil
}

// Segments that the active entities can be split by.
const (
	ByPersona = "persona"
	ByCohort  = "cohort"
)

// BeforeRange is the cohort of entities whose first activity ever lies before the range.
const BeforeRange = "before"

// SegmentRow is how many entities of a segment were active in a period.
type SegmentRow struct {
	Period journey.Period
	// Segment is a persona (empty: not known) or the first day of the period of the first activity ever (or BeforeRange).
	Segment string
	Active  int
}

// Segments splits the active entities of each period by persona, as the events name it, or by cohort. An entity that acted as two
// personas counts in both. Segments without anybody in a period are left out.
func (s Source) Segments(ctx context.Context, a Args, by string) ([]SegmentRow, error) {
	a, err := a.withDefaults()
	if err != nil {
		return nil, err
	}
	periods, err := s.completePeriods(a)
	if err != nil || len(periods) == 0 {
		return nil, err
	}
	p, err := s.people(ctx, a.Entity == Teams)
	if err != nil {
		return nil, err
	}
	var segments map[string][]entity
	switch by {
	case ByPersona:
		segments, err = s.activityBy(ctx, a, p, periods, "persona")
	case ByCohort:
		segments, err = s.cohorts(ctx, a, p, periods)
	default:
		return nil, fmt.Errorf("by %q: want persona or cohort", by)
	}
	if err != nil {
		return nil, err
	}
	var out []SegmentRow
	for i, period := range periods {
		for _, name := range slices.Sorted(maps.Keys(segments)) {
			row := SegmentRow{Period: period, Segment: name}
			for _, e := range segments[name] {
				if slices.Contains(e.active, i) {
					row.Active++
				}
			}
			if row.Active > 0 {
				out = append(out, row)
			}
		}
	}
	return out, nil
}

// cohorts are the entities by the first day of the period of their first activity ever.
func (s Source) cohorts(ctx context.Context, a Args, p people, periods []journey.Period) (map[string][]entity, error) {
	entities, err := s.activityWithFirsts(ctx, a, p, periods)
	if err != nil {
		return nil, err
	}
	out := map[string][]entity{}
	for _, e := range entities {
		name := BeforeRange
		if e.first >= 0 {
			name = s.Calendar.FirstDay(periods[e.first])
		}
		out[name] = append(out[name], e)
	}
	return out, nil
}

// BreadthRow says how much of what is offered was used in a period.
type BreadthRow struct {
	Period journey.Period
	// Used are the offered capabilities that anybody used; Ratio is Used / Offered, nil when nothing is offered.
	Used, Offered int
	Ratio         *float64
	// Entities used at least one, and half of them at most Median capabilities; nil without entities.
	Entities int
	Median   *float64
}

// Breadth counts distinct capabilities, each given by the name of the event that says that it was used, whatever its outcome.
func (s Source) Breadth(ctx context.Context, a Args, offered []string) ([]BreadthRow, error) {
	a, err := a.withDefaults()
	if err != nil {
		return nil, err
	}
	periods, err := s.completePeriods(a)
	if err != nil || len(periods) == 0 {
		return nil, err
	}
	p, err := s.people(ctx, a.Entity == Teams)
	if err != nil {
		return nil, err
	}
	slices.Sort(offered)
	offered = slices.Compact(offered)
	a.Events = offered
	byName, err := s.activityBy(ctx, a, p, periods, "name")
	if err != nil {
		return nil, err
	}
	used := make([]map[key]int, len(periods))
	rows := make([]BreadthRow, len(periods))
	for i, period := range periods {
		used[i], rows[i] = map[key]int{}, BreadthRow{Period: period, Offered: len(offered)}
		for _, entities := range byName {
			anybody := 0
			for _, e := range entities {
				if slices.Contains(e.active, i) {
					used[i][e.key]++
					anybody = 1
				}
			}
			rows[i].Used += anybody
		}
		rows[i].Ratio, rows[i].Entities = ratio(rows[i].Used, len(offered)), len(used[i])
		rows[i].Median = medianOf(slices.Collect(maps.Values(used[i])))
	}
	return rows, nil
}

func medianOf(counts []int) *float64 {
	sample := make([]float64, len(counts))
	for i, n := range counts {
		sample[i] = float64(n)
	}
	if median, ok := interval.Median(sample); ok {
		return &median
	}
	return nil
}
