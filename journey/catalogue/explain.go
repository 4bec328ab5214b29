package catalogue

import (
	"context"
	"time"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/schema"
)

// Statement is one question that was put to the tables for a figure, with its answer.
type Statement struct {
	SQL    string         `json:"sql"`
	Params map[string]any `json:"params"`
	schema.Result
	Took time.Duration `json:"took"`
}

// Explanation is what a reader needs to check a figure: the definition, every statement with its parameters and what it
// returned, and the values made of it.
type Explanation struct {
	Metric     journey.Metric  `json:"metric"`
	Statements []Statement     `json:"statements"`
	Values     []journey.Value `json:"values"`
}

// Explain evaluates a request and shows how. Metrics of the SLO engine have no statements.
func (e Evaluator) Explain(ctx context.Context, r journey.Request) (Explanation, error) {
	m, err := e.Metric(r.Metric)
	if err != nil {
		return Explanation{}, err
	}
	out := Explanation{Metric: m}
	query := e.Query
	e.Query = func(ctx context.Context, sql string, params map[string]any) (schema.Result, error) {
		start := time.Now()
		result, err := query(ctx, sql, params)
		out.Statements = append(out.Statements, Statement{SQL: sql, Params: params, Result: result, Took: time.Since(start)})
		return result, err
	}
	out.Values, err = e.Evaluate(ctx, r)
	return out, err
}

// Remembering is an evaluator that puts no question to the tables twice, for the many figures of one report or page. It
// forgets nothing, so it is made anew for each of them.
func (e Evaluator) Remembering() Evaluator {
	e.Query = journey.Remember(e.Query)
	return e
}
