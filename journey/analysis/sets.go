package analysis

import (
	"context"

	"github.com/kubevalue/kubevalue/journey"
)

// ActiveRow is one period of Active.
type ActiveRow struct {
	Period journey.Period
	Active int
}

// Active counts the entities with at least one selected event in each period.
func (s Source) Active(ctx context.Context, a Args) ([]ActiveRow, error) {
	a, err := a.withDefaults()
	if err != nil {
		return nil, err
	}
	periods, err := s.completePeriods(a)
	if err != nil {
		return nil, err
	}
	p, err := s.people(ctx, a.Entity == Teams)
	if err != nil {
		return nil, err
	}
	entities, err := s.activity(ctx, a, p, periods)
	if err != nil {
		return nil, err
	}
	rows := make([]ActiveRow, len(periods))
	for i, period := range periods {
		rows[i].Period = period
	}
	for _, e := range entities {
		for _, i := range e.active {
			rows[i].Active++
		}
	}
	return rows, nil
}

// AdoptionRow is one period of Adoption.
type AdoptionRow struct {
	Period journey.Period
	// Active are those of the eligible that were active; Ratio is nil when nobody was eligible.
	Active, Eligible int
	Ratio            *float64
}

// Adoption is the share of the eligible entities that were active: A(p) and Elig(p) over Elig(p). An entity is eligible in
// a period when a roster entry of it overlaps the period. voluntary selects roster entries; nil: all.
func (s Source) Adoption(ctx context.Context, a Args, voluntary *bool) ([]AdoptionRow, error) {
	a, err := a.withDefaults()
	if err != nil {
		return nil, err
	}
	periods, err := s.completePeriods(a)
	if err != nil {
		return nil, err
	}
	p, err := s.people(ctx, true)
	if err != nil {
		return nil, err
	}
	entities, err := s.activity(ctx, a, p, periods)
	if err != nil {
		return nil, err
	}
	return adoption(periods, entities, func(period journey.Period) map[key]bool {
		return p.eligible(a.Entity, millis(period.From), millis(period.To), voluntary)
	}), nil
}

func adoption(periods []journey.Period, entities []entity, eligible func(journey.Period) map[key]bool) []AdoptionRow {
	active := make([][]key, len(periods))
	for _, e := range entities {
		for _, i := range e.active {
			active[i] = append(active[i], e.key)
		}
	}
	rows := make([]AdoptionRow, len(periods))
	for i, period := range periods {
		may := eligible(period)
		row := AdoptionRow{Period: period, Eligible: len(may)}
		for _, k := range active[i] {
			if may[k] {
				row.Active++
			}
		}
		row.Ratio = ratio(row.Active, row.Eligible)
		rows[i] = row
	}
	return rows
}

// ratio is undefined for a denominator of 0.
func ratio(numerator, denominator int) *float64 {
	if denominator == 0 {
		return nil
	}
	r := float64(numerator) / float64(denominator)
	return &r
}

// LifecycleRow is one period of Lifecycle. |A(p)| = New + Retained + Resurrected and |A(p-1)| = Retained + Dormant.
type LifecycleRow struct {
	Period journey.Period
	// New: active, with the first activity ever in this period. Retained: active in this period and the one before.
	// Resurrected: active now, not in the period before, but earlier. Dormant: active in the period before, not now.
	New, Retained, Resurrected, Dormant int
}

// QuickRatio is (new + resurrected) / dormant; nil when nobody went dormant.
func (r LifecycleRow) QuickRatio() *float64 { return ratio(r.New+r.Resurrected, r.Dormant) }

// Churn is dormant / active in the period before; nil when nobody was active then.
func (r LifecycleRow) Churn() *float64 { return ratio(r.Dormant, r.Retained+r.Dormant) }

// Lifecycle splits the active entities of each period by what they did before, and counts those that went dormant.
func (s Source) Lifecycle(ctx context.Context, a Args) ([]LifecycleRow, error) {
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
	before := s.Calendar.Previous(periods[0])
	withBefore := append([]journey.Period{before}, periods...)
	entities, err := s.activityWithFirsts(ctx, a, p, withBefore)
	if err != nil {
		return nil, err
	}
	return lifecycle(withBefore, entities), nil
}

// lifecycle takes one period more than it returns rows: the first one is only looked back to.
func lifecycle(periods []journey.Period, entities []entity) []LifecycleRow {
	rows := make([]LifecycleRow, len(periods))
	for i, period := range periods {
		rows[i].Period = period
	}
	for _, e := range entities {
		for n, i := range e.active {
			switch {
			case e.first == i:
				rows[i].New++
			case n > 0 && e.active[n-1] == i-1:
				rows[i].Retained++
			default:
				rows[i].Resurrected++
			}
			if i+1 < len(rows) && (n+1 == len(e.active) || e.active[n+1] != i+1) {
				rows[i+1].Dormant++
			}
		}
	}
	return rows[1:]
}

// StickinessRow says how many entities were active on exactly so many days of the window.
type StickinessRow struct {
	ActiveDays, Entities int
}

// Stickiness is the histogram of active days in the window of days before a.To (with 28: L28). Days that are not complete
// do not count; numbers of days that nobody has are left out.
func (s Source) Stickiness(ctx context.Context, a Args, days int) ([]StickinessRow, error) {
	if days < 1 {
		return nil, errNoWindow
	}
	a.Grain = journey.GrainDay
	for day, n := s.Calendar.Period(journey.GrainDay, a.To), 0; n <= days; n++ {
		a.From, day = day.From, s.Calendar.Previous(day)
	}
	rows, err := s.activeDays(ctx, a)
	if err != nil {
		return nil, err
	}
	var out []StickinessRow
	for n, count := range rows {
		if n > 0 && count > 0 {
			out = append(out, StickinessRow{n, count})
		}
	}
	return out, nil
}

// activeDays counts entities by their number of active days.
func (s Source) activeDays(ctx context.Context, a Args) ([]int, error) {
	a, err := a.withDefaults()
	if err != nil {
		return nil, err
	}
	periods, err := s.completePeriods(a)
	if err != nil {
		return nil, err
	}
	p, err := s.people(ctx, a.Entity == Teams)
	if err != nil {
		return nil, err
	}
	entities, err := s.activity(ctx, a, p, periods)
	if err != nil {
		return nil, err
	}
	counts := make([]int, len(periods)+1)
	for _, e := range entities {
		counts[len(e.active)]++
	}
	return counts, nil
}
