package main

import (
	"context"
	"strings"

	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/catalogue"
)

// statements are what the tables are asked for a metric in a period, as `kubevalue metric explain` prints it, without what they
// answered: a page may be read by people who must not see what is withheld.
func (f *figures) statements(ctx context.Context, id, label string) ([]dashboards.Statement, error) {
	p, err := f.period(label)
	if err != nil {
		return nil, err
	}
	explained, err := f.evaluator.Explain(ctx, journey.Request{Metric: id, Periods: []journey.Period{p}})
	if err != nil {
		return nil, err
	}
	out := make([]dashboards.Statement, len(explained.Statements))
	for i, s := range explained.Statements {
		name, own := purpose(explained.Metric, s)
		out[i] = dashboards.Statement{Name: name, SQL: s.SQL, Supporting: !own, Rows: len(s.Rows), Took: s.Took, Parameters: map[string]string{}}
		for k, v := range s.Params {
			out[i].Parameters[k] = cellText(v)
		}
	}
	return out, nil
}

// purpose says what a statement computes; own: it is the metric's definition rather than what all metrics ask.
func purpose(m journey.Metric, s catalogue.Statement) (name string, own bool) {
	if m.SQL != nil {
		for _, part := range m.SQL.Statements() {
			if strings.Contains(s.SQL, part.SQL) {
				return part.Name, true
			}
		}
	}
	switch {
	case strings.Contains(s.SQL, "FROM source_hours"):
		return "coverage: the hours in which sources reported", false
	case strings.Contains(s.SQL, "FROM actor_aliases"):
		return "identities that were merged", false
	case strings.Contains(s.SQL, "AS cuts"):
		return "when the roster changed", false
	case m.Analysis != nil:
		return "facts of the analysis", true
	}
	return "sizes of the groups that the figure is about", false
}

// split is a metric in a period by one of its dimensions.
func (f *figures) split(ctx context.Context, id, label, by string) ([]journey.Value, error) {
	p, err := f.period(label)
	if err != nil {
		return nil, err
	}
	return f.answering()(ctx, journey.Request{Metric: id, Periods: []journey.Period{p}, By: by})
}
