package analysis

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Result is what an analysis found, as rows, as one named set of figures, or both. Cells are string, int, float64, or
// nil for undefined.
type Result struct {
	Columns []string
	Rows    [][]any
	Value   map[string]any
}

// Run runs an analysis by name with loosely typed arguments, as they come from YAML, a query string or flags. Unknown
// names, unknown arguments and arguments out of range are errors.
func Run(ctx context.Context, s Source, name string, raw map[string]any) (Result, error) {
	run, ok := analyses[name]
	if !ok {
		return Result{}, fmt.Errorf("unknown analysis %q: want one of %s", name, strings.Join(Names(), ", "))
	}
	return run(ctx, s, &arguments{raw: raw, calendar: s.Calendar, asked: map[string]bool{}})
}

// Names lists the analyses.
func Names() []string { return slices.Sorted(maps.Keys(analyses)) }

type runner func(context.Context, Source, *arguments) (Result, error)

var analyses = map[string]runner{
	"active":        runActive,
	"adoption":      runAdoption,
	"lifecycle":     runLifecycle,
	"quick_ratio":   runQuickRatio,
	"retention":     runRetention,
	"funnel":        runFunnel,
	"stickiness":    runStickiness,
	"time_to_value": runTimeToValue,
	"activation":    runActivation,
	"breadth":       runBreadth,
	"segments":      runSegments,
	"teams":         runTeams,
	"survey":        runSurvey,
	"reliability":   runReliability,
}

func cell(v *float64) any {
	if v == nil {
		return nil
	}
	return *v
}

func runActive(ctx context.Context, s Source, a *arguments) (Result, error) {
	args := a.ranged()
	if err := a.finish(); err != nil {
		return Result{}, err
	}
	found, err := s.Active(ctx, args)
	out := Result{Columns: []string{"period", "active"}}
	for _, r := range found {
		out.Rows = append(out.Rows, []any{s.Calendar.FirstDay(r.Period), r.Active})
	}
	return out, err
}

func runAdoption(ctx context.Context, s Source, a *arguments) (Result, error) {
	args, voluntary := a.ranged(), a.bool("voluntary")
	if err := a.finish(); err != nil {
		return Result{}, err
	}
	found, err := s.Adoption(ctx, args, voluntary)
	out := Result{Columns: []string{"period", "active", "eligible", "ratio"}}
	for _, r := range found {
		out.Rows = append(out.Rows, []any{s.Calendar.FirstDay(r.Period), r.Active, r.Eligible, cell(r.Ratio)})
	}
	return out, err
}

func runLifecycle(ctx context.Context, s Source, a *arguments) (Result, error) {
	args := a.ranged()
	if err := a.finish(); err != nil {
		return Result{}, err
	}
	found, err := s.Lifecycle(ctx, args)
	out := Result{Columns: []string{"period", "new", "retained", "resurrected", "dormant"}}
	for _, r := range found {
		out.Rows = append(out.Rows, []any{s.Calendar.FirstDay(r.Period), r.New, r.Retained, r.Resurrected, r.Dormant})
	}
	return out, err
}

func runQuickRatio(ctx context.Context, s Source, a *arguments) (Result, error) {
	args := a.ranged()
	if err := a.finish(); err != nil {
		return Result{}, err
	}
	found, err := s.Lifecycle(ctx, args)
	out := Result{Columns: []string{"period", "quick_ratio", "churn"}}
	for _, r := range found {
		out.Rows = append(out.Rows, []any{s.Calendar.FirstDay(r.Period), cell(r.QuickRatio()), cell(r.Churn())})
	}
	return out, err
}

func runRetention(ctx context.Context, s Source, a *arguments) (Result, error) {
	r := RetentionArgs{Args: a.ranged(), Mode: Mode(a.string("mode"))}
	switch cohorts := a.string("cohorts"); cohorts {
	case "", "first":
	case "recurring":
		r.Recurring = true
	default:
		a.fail("cohorts %q: want first or recurring", cohorts)
	}
	a.bracket(&r)
	if err := a.finish(); err != nil {
		return Result{}, err
	}
	found, err := s.Retention(ctx, r)
	out := Result{Columns: []string{"cohort", "size", "k0", "k1", "…"}}
	if r.Mode == Bracket {
		out.Columns = []string{"cohort", "size", fmt.Sprintf("k%d_to_k%d", r.Bracket[0], r.Bracket[1])}
	}
	for _, c := range found {
		line := []any{s.Calendar.FirstDay(c.Cohort), c.Size}
		for _, kept := range c.Cells {
			line = append(line, kept)
		}
		out.Rows = append(out.Rows, line)
	}
	return out, err
}

func (a *arguments) bracket(r *RetentionArgs) {
	v, given := a.get("bracket")
	if given != (r.Mode == Bracket) {
		a.fail("bracket [i, j] belongs to the mode bracket, and only to it")
		return
	}
	if !given {
		return
	}
	bounds, ok := v.([]any)
	if !ok || len(bounds) != 2 {
		a.fail("bracket %v: want [i, j]", v)
		return
	}
	for i, b := range bounds {
		n, err := asInt(b)
		if err != nil {
			a.fail("bracket %v: want two whole numbers", v)
			return
		}
		r.Bracket[i] = n
	}
}

func runFunnel(ctx context.Context, s Source, a *arguments) (Result, error) {
	f := FunnelArgs{Args: a.ranged(), Steps: a.named("steps"), Window: a.duration("window")}
	switch order := a.string("order"); order {
	case "", "ordered":
	case "strict":
		f.Strict = true
	default:
		a.fail("order %q: want ordered or strict", order)
	}
	if len(f.Events) > 0 {
		a.fail("event does not apply to a funnel: its steps name the events")
	}
	if err := a.finish(); err != nil {
		return Result{}, err
	}
	found, err := s.Funnel(ctx, f)
	out := Result{Columns: []string{"step", "entities", "median_seconds_from_first"}}
	for _, r := range found {
		out.Rows = append(out.Rows, []any{r.Step, r.Entities, cell(r.MedianSeconds)})
	}
	return out, err
}

func runStickiness(ctx context.Context, s Source, a *arguments) (Result, error) {
	args := a.common()
	days := a.days("window")
	if _, given := a.get("from"); given {
		a.fail("from does not apply to stickiness: the window ends at to and has its own length")
	}
	if args.Grain != "" && args.Grain != "day" {
		a.fail("grain %s does not apply to stickiness: it counts days", args.Grain)
	}
	if err := a.finish(); err != nil {
		return Result{}, err
	}
	found, err := s.Stickiness(ctx, args, days)
	out := Result{Columns: []string{"active_days", "entities"}}
	for _, r := range found {
		out.Rows = append(out.Rows, []any{r.ActiveDays, r.Entities})
	}
	return out, err
}

// days reads a number of days, 28 or 28d.
func (a *arguments) days(name string) int {
	v, given := a.get(name)
	if !given {
		a.fail("%s is missing: want a number of days", name)
		return 0
	}
	if n, err := asInt(v); err == nil {
		return n
	}
	d, err := ParseDuration(fmt.Sprint(v))
	if err != nil || d%(24*time.Hour) != 0 {
		a.fail("%s %v: want a number of days, 28 or 28d", name, v)
	}
	return int(d / (24 * time.Hour))
}

func (a *arguments) timeToValue() TimeToValueArgs {
	t := TimeToValueArgs{Args: a.ranged(), Start: a.named("start"), Reach: a.named("reach"), Horizon: a.duration("horizon")}
	if len(t.Events) > 0 {
		a.fail("event does not apply here: start and reach name the events")
	}
	if len(t.Start) == 0 || len(t.Reach) == 0 {
		a.fail("start and reach: want event names in both")
	}
	return t
}

func runTimeToValue(ctx context.Context, s Source, a *arguments) (Result, error) {
	t := a.timeToValue()
	if err := a.finish(); err != nil {
		return Result{}, err
	}
	found, err := s.TimeToValue(ctx, t)
	return Result{Value: map[string]any{
		"n": found.N, "reached": found.Reached, "censored": found.Censored,
		"median_seconds": cell(found.Median), "low": cell(found.Low), "high": cell(found.High),
	}}, err
}

func runActivation(ctx context.Context, s Source, a *arguments) (Result, error) {
	t := a.timeToValue()
	if err := a.finish(); err != nil {
		return Result{}, err
	}
	found, err := s.Activation(ctx, t)
	return Result{Value: map[string]any{
		"n": found.Mature, "activated": found.Activated, "ratio": cell(found.Ratio), "low": cell(found.Low), "high": cell(found.High),
	}}, err
}
