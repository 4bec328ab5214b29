package analysis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/interval"
)

// Verdict says what the figures allow to conclude.
type Verdict string

// The verdicts of Reliability.
const (
	MoreDormancy Verdict = "teams fell silent more often after incidents"
	LessDormancy Verdict = "teams fell silent less often after incidents"
	CannotTell   Verdict = "cannot tell"
)

// DormancyCounts are periods in which a team was active, and how many of them were followed by one in which it was not.
type DormancyCounts struct {
	// Hit periods had an incident, or a burnt budget, where the team worked, Spared ones had neither.
	Hit, HitThenDormant       int
	Spared, SparedThenDormant int
}

// TeamDormancy is what one team went through.
type TeamDormancy struct {
	Team string
	DormancyCounts
}

// Cause is what Reliability sets dormancy beside.
type Cause string

// The causes.
const (
	AnyCause  Cause = "any"
	Incidents Cause = "incident"
	Budgets   Cause = "budget" // an objective that had used all of its error budget at the end of the period
)

// ReliabilityResult sets dormancy beside incidents and burnt budgets.
type ReliabilityResult struct {
	Teams []TeamDormancy
	DormancyCounts
	// Difference is the share of hit periods that were followed by dormancy less that of the spared ones; nil unless there are both.
	// Low and High bound its 95% interval (Newcombe's), in which the periods of one team count as independent, which they are not
	// quite: the true interval is rather wider.
	Difference, Low, High *float64
	Verdict               Verdict
}

const incidentsSQL = `SELECT service, objectives, toUnixTimestamp64Milli(start) AS from, if(resolved IS NULL, {now:Int64}, toUnixTimestamp64Milli(assumeNotNull(resolved))) AS to
FROM incidents FINAL
WHERE start < fromUnixTimestamp64Milli({until:Int64}, 'UTC') AND (resolved IS NULL OR resolved > fromUnixTimestamp64Milli({since:Int64}, 'UTC'))`

// Reliability asks, per team, whether incidents or burnt budgets preceded dormancy: of the periods in which a team was active it compares
// those with one to those without. An incident concerns the teams that worked, in that period, on a cluster which it names as an objective
// or, without objectives, as its service; an error budget those on a cluster which its objective's label cluster, name or service names. What
// names no cluster at all concerns every team. A verdict is given only if the interval of the difference leaves 0 out; it speaks of sequence,
// not of cause.
func (s Source) Reliability(ctx context.Context, a Args, cause Cause) (ReliabilityResult, error) {
	r := ReliabilityResult{Verdict: CannotTell}
	if !slices.Contains([]Cause{AnyCause, Incidents, Budgets}, cause) {
		return r, fmt.Errorf("cause %q: want any, incident or budget", cause)
	}
	if cause == Budgets && s.Objectives == nil {
		return r, errors.New("cause budget: no objectives are known")
	}
	if a.Entity == Actors {
		return r, errors.New("entity actor: incidents are set beside teams, not persons")
	}
	a.Entity = Teams
	a, err := a.withDefaults()
	if err != nil {
		return r, err
	}
	periods, err := s.completePeriods(a)
	if err != nil || len(periods) == 0 {
		return r, err
	}
	p, err := s.people(ctx, true)
	if err != nil {
		return r, err
	}
	periods = append([]journey.Period{s.Calendar.Previous(periods[0])}, periods...)
	entities, err := s.activity(ctx, a, p, periods)
	if err != nil {
		return r, err
	}
	byCluster, err := s.activityBy(ctx, a, p, periods, "cluster")
	if err != nil {
		return r, err
	}
	hits := concerns{map[int]bool{}, map[string]map[int]bool{}}
	if cause != Budgets {
		if err := s.incidents(ctx, periods, byCluster, hits); err != nil {
			return r, err
		}
	}
	if cause != Incidents && s.Objectives != nil {
		if err := s.burnt(ctx, periods, byCluster, hits); err != nil {
			return r, err
		}
	}
	for _, e := range entities {
		t := TeamDormancy{Team: e.team}
		for _, i := range e.active {
			if i+1 < len(periods) {
				t.count(hits.concerned(e.team, i), !slices.Contains(e.active, i+1))
			}
		}
		if t.Hit+t.Spared > 0 {
			r.Teams = append(r.Teams, t)
			r.Hit, r.HitThenDormant = r.Hit+t.Hit, r.HitThenDormant+t.HitThenDormant
			r.Spared, r.SparedThenDormant = r.Spared+t.Spared, r.SparedThenDormant+t.SparedThenDormant
		}
	}
	slices.SortFunc(r.Teams, func(x, y TeamDormancy) int { return cmp.Compare(x.Team, y.Team) })
	r.judge()
	return r, nil
}

func (c *DormancyCounts) count(hit, dormant bool) {
	then := 0
	if dormant {
		then = 1
	}
	if hit {
		c.Hit, c.HitThenDormant = c.Hit+1, c.HitThenDormant+then
	} else {
		c.Spared, c.SparedThenDormant = c.Spared+1, c.SparedThenDormant+then
	}
}

func (r *ReliabilityResult) judge() {
	d, low, high, ok := interval.Difference(float64(r.HitThenDormant), float64(r.Hit), float64(r.SparedThenDormant), float64(r.Spared))
	if !ok {
		return
	}
	r.Difference, r.Low, r.High = &d, &low, &high
	switch {
	case low > 0:
		r.Verdict = MoreDormancy
	case high < 0:
		r.Verdict = LessDormancy
	}
}

// concerns knows which teams incidents concerned in which period.
type concerns struct {
	all   map[int]bool
	teams map[string]map[int]bool
}

func (c concerns) concerned(team string, period int) bool {
	return c.all[period] || c.teams[team][period]
}

// incidents reads those that overlap the periods. What counts as a cluster is what events of the periods name as one.
func (s Source) incidents(ctx context.Context, periods []journey.Period, byCluster map[string][]entity, c concerns) error {
	params := map[string]any{"now": millis(s.Now), "since": millis(periods[0].From), "until": millis(periods[len(periods)-1].To)}
	err := s.rows(ctx, incidentsSQL, params, func(r row) {
		names := column[[]string](r, 1)
		if len(names) == 0 {
			names = []string{r.string(0)}
		}
		for i, p := range periods {
			if r.int64(2) < millis(p.To) && r.int64(3) > millis(p.From) {
				c.name(names, byCluster, i)
			}
		}
	})
	if err != nil {
		return fmt.Errorf("read incidents: %w", err)
	}
	return nil
}

// burnt asks which objectives had nothing left of their error budgets at the ends of the periods.
func (s Source) burnt(ctx context.Context, periods []journey.Period, byCluster map[string][]entity, c concerns) error {
	for i, p := range periods {
		all, err := s.Objectives(ctx, p, s.Now)
		if err != nil {
			return fmt.Errorf("read error budgets of %s: %w", p.Label, err)
		}
		for _, o := range all {
			if o.BudgetRemaining != nil && *o.BudgetRemaining <= 0 {
				c.name([]string{cmp.Or(o.Labels["cluster"], o.Objective), o.Service}, byCluster, i)
			}
		}
	}
	return nil
}

// name notes the teams that worked in a period on the clusters that are among the names; without any, all teams.
func (c concerns) name(names []string, byCluster map[string][]entity, period int) {
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == "" || byCluster[name] == nil })
	if len(names) == 0 {
		c.all[period] = true
	}
	for _, name := range names {
		c.note(byCluster[name], period)
	}
}

func (c concerns) note(entities []entity, period int) {
	for _, e := range entities {
		if !slices.Contains(e.active, period) {
			continue
		}
		if c.teams[e.team] == nil {
			c.teams[e.team] = map[int]bool{}
		}
		c.teams[e.team][period] = true
	}
}
