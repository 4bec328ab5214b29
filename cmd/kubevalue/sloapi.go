package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/slo"
)

// apiQuestion is a question of `kubevalue slo` as the API answers it, with the same arguments and the same JSON.
type apiQuestion struct {
	// defaults has all arguments that there are; one that starts with "!" must be given.
	defaults map[string]string
	ask      func(ctx context.Context, f *figures, a apiArguments) (any, error)
}

// apiArguments are the arguments of a question, all of them.
type apiArguments map[string]string

const mustBeGiven = "!"

var apiQuestions = map[string]apiQuestion{
	"status": {map[string]string{"objective": ""}, func(ctx context.Context, f *figures, a apiArguments) (any, error) {
		of, err := f.objectives.named(a["objective"])
		if err != nil {
			return nil, err
		}
		return f.objectives.withGroups(ctx, of)
	}},
	"compare": {map[string]string{"period": "month", "with": "previous", "latest": "false"}, func(ctx context.Context, f *figures, a apiArguments) (any, error) {
		p, with, v, err := a.periods(f.objectives)
		if err != nil {
			return nil, err
		}
		return f.objectives.compare(ctx, p, with, v)
	}},
	"attribute": {map[string]string{"objective": "", "period": rolling, "latest": "false"}, func(ctx context.Context, f *figures, a apiArguments) (any, error) {
		v, err := a.view()
		if err != nil {
			return nil, err
		}
		return f.objectives.attribute(ctx, a["objective"], a["period"], v)
	}},
	"followups": {map[string]string{"since": "", "longest": longestFollowup}, func(ctx context.Context, f *figures, a apiArguments) (any, error) {
		since, err := a.instant(f, "since")
		if err != nil {
			return nil, err
		}
		longest, err := slo.ParseDuration(a["longest"])
		if err != nil {
			return nil, dashboards.BadRequestError{Why: "longest: " + err.Error()}
		}
		return f.objectives.followups(ctx, since, longest)
	}},
	"value": {map[string]string{"period": "week", "with": "previous"}, func(ctx context.Context, f *figures, a apiArguments) (any, error) {
		p, with, _, err := a.periods(f.objectives)
		if err != nil {
			return nil, err
		}
		return f.objectives.value(ctx, p, with)
	}},
	"explain": {map[string]string{"objective": mustBeGiven, "at": "", "group": ""}, func(ctx context.Context, f *figures, a apiArguments) (any, error) {
		at, err := a.instant(f, "at")
		if err != nil {
			return nil, err
		}
		if at.IsZero() {
			at = f.now()
		}
		return f.objectives.explain(ctx, a["objective"], a["group"], at)
	}},
	"exclusions": {map[string]string{"objective": ""}, listExclusions},
	"revisions": {map[string]string{"objective": mustBeGiven, "period": "month"}, func(ctx context.Context, f *figures, a apiArguments) (any, error) {
		p, err := f.objectives.period(a["period"])
		if err != nil {
			return nil, err
		}
		return f.objectives.history(ctx, a["objective"], p)
	}},
}

// askBudgets answers a question of the API about budgets.
func (f *figures) askBudgets(ctx context.Context, name string, given map[string]string) (any, error) {
	q, known := apiQuestions[name]
	if !known {
		return nil, dashboards.NotFoundError{What: fmt.Sprintf("the question %q", name), Hint: suggestion(name, slices.Collect(maps.Keys(apiQuestions)))}
	}
	all := apiArguments(maps.Clone(q.defaults))
	names := slices.Sorted(maps.Keys(q.defaults))
	for argument, value := range given {
		if _, known := all[argument]; !known {
			return nil, dashboards.BadRequestError{Why: fmt.Sprintf("%s has no parameter %q%s", name, argument, suggestion(argument, names))}
		}
		all[argument] = value
	}
	for _, argument := range names {
		if all[argument] == mustBeGiven || all[argument] == "" && q.defaults[argument] == mustBeGiven {
			return nil, dashboards.BadRequestError{Why: fmt.Sprintf("%s needs the parameter %s", name, argument)}
		}
	}
	return q.ask(ctx, f, all)
}

// periods reads period and with, and latest where the question has it.
func (a apiArguments) periods(s *objectiveSet) (p, with journey.Period, v view, err error) {
	if v, err = a.view(); err != nil {
		return p, with, v, err
	}
	p, with, err = s.periods(a["period"], a["with"])
	return p, with, v, err
}

func (a apiArguments) view() (view, error) {
	text, has := a["latest"]
	if !has {
		return asPublished, nil
	}
	newest, err := strconv.ParseBool(text)
	if err != nil {
		return asPublished, dashboards.BadRequestError{Why: fmt.Sprintf("latest %q: want true or false", text)}
	}
	return view(newest), nil
}

func (a apiArguments) instant(f *figures, name string) (time.Time, error) {
	t, err := f.cfg.instant(a[name])
	if err != nil {
		return t, dashboards.BadRequestError{Why: name + ": " + err.Error()}
	}
	return t, nil
}
