package analysis

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/kubevalue/kubevalue/journey"
)

func runSegments(ctx context.Context, s Source, a *arguments) (Result, error) {
	args, by := a.ranged(), a.string("by")
	if err := a.finish(); err != nil {
		return Result{}, err
	}
	found, err := s.Segments(ctx, args, by)
	out := Result{Columns: []string{"period", "segment", "active"}}
	for _, r := range found {
		out.Rows = append(out.Rows, []any{s.Calendar.FirstDay(r.Period), r.Segment, r.Active})
	}
	return out, err
}

func runBreadth(ctx context.Context, s Source, a *arguments) (Result, error) {
	args, offered := a.ranged(), a.named("offered")
	if len(offered) == 0 {
		a.fail("offered: want the event names of what is offered")
	}
	if len(args.Events) > 0 {
		a.fail("event does not apply to breadth: offered names the events")
	}
	if err := a.finish(); err != nil {
		return Result{}, err
	}
	found, err := s.Breadth(ctx, args, offered)
	out := Result{Columns: []string{"period", "used", "offered", "ratio", "entities", "median_per_entity"}}
	for _, r := range found {
		out.Rows = append(out.Rows, []any{s.Calendar.FirstDay(r.Period), r.Used, r.Offered, cell(r.Ratio), r.Entities, cell(r.Median)})
	}
	return out, err
}

func runTeams(ctx context.Context, s Source, a *arguments) (Result, error) {
	args := a.ranged()
	if args.Entity == Actors {
		a.fail("entity actor: teams are listed by name, persons never are")
	}
	if args.Grain == "" {
		args.Grain = journey.GrainDay
	}
	if a.err == nil && !s.Calendar.Period(args.Grain, args.From).To.Equal(args.To) {
		a.fail("from and to: want one %s", args.Grain)
	}
	if err := a.finish(); err != nil {
		return Result{}, err
	}
	states, _, err := s.TeamStates(ctx, args)
	out := Result{Columns: []string{"team", "state"}}
	for _, team := range slices.Sorted(maps.Keys(states)) {
		out.Rows = append(out.Rows, []any{team, string(states[team])})
	}
	return out, err
}

func runSurvey(ctx context.Context, s Source, a *arguments) (Result, error) {
	q := SurveyArgs{Args: a.ranged(), Kind: a.string("kind"), Survey: a.string("survey")}
	q.Invited, _ = a.int("invited")
	if q.Invited < 0 {
		a.fail("invited %d: want how many people were asked", q.Invited)
	}
	if len(q.Events) > 0 || q.Entity == Teams {
		a.fail("event and entity do not apply to a survey: answers are events named %s, by persons", SurveyEvent)
	}
	if err := a.finish(); err != nil {
		return Result{}, err
	}
	r, err := s.Survey(ctx, q)
	return Result{Value: map[string]any{
		"n": r.Answers, "invalid": r.Invalid, "invited": r.Invited, "response_rate": cell(r.ResponseRate),
		"score": cell(r.Score), "low": cell(r.Low), "high": cell(r.High), "favourable": r.Favourable, "unfavourable": r.Unfavourable,
	}}, err
}

func runReliability(ctx context.Context, s Source, a *arguments) (Result, error) {
	args, cause := a.ranged(), cmp.Or(Cause(a.string("cause")), AnyCause)
	if err := a.finish(); err != nil {
		return Result{}, err
	}
	r, err := s.Reliability(ctx, args, cause)
	out := Result{
		Columns: []string{"team", "hit", "hit_then_dormant", "spared", "spared_then_dormant"},
		Value: map[string]any{
			"hit": r.Hit, "hit_then_dormant": r.HitThenDormant, "spared": r.Spared, "spared_then_dormant": r.SparedThenDormant,
			"difference": cell(r.Difference), "low": cell(r.Low), "high": cell(r.High), "verdict": string(r.Verdict),
		},
	}
	for _, t := range r.Teams {
		out.Rows = append(out.Rows, []any{t.Team, t.Hit, t.HitThenDormant, t.Spared, t.SparedThenDormant})
	}
	return out, err
}
