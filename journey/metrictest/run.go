package metrictest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/analysis"
	"github.com/kubevalue/kubevalue/schema"
)

// Environment is what a case runs in: the real ingestion and the real tables.
type Environment interface {
	// Reset forgets everything that the case before left.
	Reset(ctx context.Context) error
	// Ingest takes the roster and the registries, then the aliases, then the events, in their order, without a limit on lateness, and the changes of
	// resources and the slices. The clock of ingestion is each event's Received. An error with a method Permanent() bool that returns true
	// is about the case, and fails it; any other is about the environment.
	Ingest(ctx context.Context, c Case) error
	// Query runs a read-only statement, as journey.QueryFunc does.
	Query(ctx context.Context, sql string, params map[string]any) (schema.Result, error)
}

// EvaluateFunc evaluates a metric of the catalogue for a case: with its settings, its now and its objectives.
type EvaluateFunc func(ctx context.Context, c Case, query journey.QueryFunc, r journey.Request) ([]journey.Value, error)

// Exit is what a command that runs files should exit with.
type Exit int

// The exit codes.
const (
	ExitPassed    Exit = 0
	ExitFailed    Exit = 1 // an expectation was not met, or could not be asked
	ExitMalformed Exit = 2 // a file cannot be read as cases
)

// Runner runs files of cases.
type Runner struct {
	// Open makes an environment in which nothing has happened, that knows nothing of the others.
	Open func(ctx context.Context) (Environment, error)
	// AtOnce is how many cases run at once, each in an environment of its own; 1 unless given.
	AtOnce   int
	Evaluate EvaluateFunc
	// Read reads a file and returns how to call it in messages; os.ReadFile and its path unless given.
	Read func(path string) (shown string, data []byte, err error)
}

func readFile(path string) (shown string, data []byte, err error) {
	data, err = os.ReadFile(path)
	return path, data, err
}

// Files runs all cases of the files and writes what failed, and a summary, to out. All files are parsed first: a malformed
// one is reported with line and column, and nothing runs. The error is about the environment, never about a case.
func (r Runner) Files(ctx context.Context, paths []string, out io.Writer) (Exit, error) {
	var cases []Case
	malformed := false
	read := r.Read
	if read == nil {
		read = readFile
	}
	for _, path := range paths {
		path, data, err := read(path)
		if err == nil {
			var parsed []Case
			parsed, err = Parse(path, data)
			cases = append(cases, parsed...)
		}
		if err != nil {
			malformed = true
			if _, err := fmt.Fprintln(out, err); err != nil {
				return ExitMalformed, err
			}
		}
	}
	if malformed {
		return ExitMalformed, nil
	}
	results, err := r.all(ctx, cases)
	if err != nil {
		return ExitFailed, err
	}
	failed := 0
	for _, failures := range results {
		if len(failures) > 0 {
			failed++
		}
		for _, f := range failures {
			if _, err := fmt.Fprintln(out, f); err != nil {
				return ExitFailed, err
			}
		}
	}
	_, err = fmt.Fprintf(out, "%d of %d tests passed\n", len(cases)-failed, len(cases))
	if failed > 0 {
		return ExitFailed, err
	}
	return ExitPassed, err
}

// all runs the cases, several at once, and returns their failures in their order.
func (r Runner) all(ctx context.Context, cases []Case) ([][]Failure, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	results := make([][]Failure, len(cases))
	var next atomic.Int64
	var working sync.WaitGroup
	for range min(max(r.AtOnce, 1), len(cases)) {
		working.Go(func() {
			environment, err := r.Open(ctx)
			if err != nil {
				cancel(err)
				return
			}
			for i := next.Add(1) - 1; int(i) < len(cases) && ctx.Err() == nil; i = next.Add(1) - 1 {
				failures, err := r.Case(ctx, environment, cases[i])
				if err != nil {
					cancel(err)
					return
				}
				results[i] = failures
			}
		})
	}
	working.Wait()
	return results, context.Cause(ctx)
}

// Failure is one expectation that was not met.
type Failure struct {
	Case        Case
	Expectation Expectation
	// Difference says where got and expected part; both are shown in full by String.
	Difference    string
	Expected, Got string
}

// String names the place in the file, the difference, and both answers in full.
func (f Failure) String() string {
	what := f.Case.Name
	if asked := f.Expectation.Analysis + f.Expectation.Metric; asked != "" {
		what += ": " + asked + " " + formatCell(f.Expectation.Args)
	}
	return fmt.Sprintf("FAIL %s:%d:%d: %s: %s\n  expected: %s\n  got:      %s", f.Case.File, f.Expectation.Line, f.Expectation.Column,
		what, f.Difference, indent(f.Expected), indent(f.Got))
}

func indent(s string) string { return strings.ReplaceAll(s, "\n", "\n            ") }

// Case ingests one case in an environment and asks its questions. The error is about the environment: it could not be reset or fed.
func (r Runner) Case(ctx context.Context, environment Environment, c Case) ([]Failure, error) {
	if err := environment.Reset(ctx); err != nil {
		return nil, fmt.Errorf("%s: reset the environment: %w", c.Name, err)
	}
	var refusal interface{ Permanent() bool }
	if err := environment.Ingest(ctx, c); errors.As(err, &refusal) && refusal.Permanent() {
		return []Failure{{Case: c, Expectation: Expectation{Line: c.Line, Column: c.Column}, Difference: "it cannot be stored", Expected: "a history", Got: fmt.Sprintf("error: %q", err)}}, nil
	} else if err != nil {
		return nil, fmt.Errorf("%s: ingest: %w", c.Name, err)
	}
	query := journey.Remember(environment.Query)
	var failures []Failure
	for _, e := range c.Expect {
		if f, ok := r.ask(ctx, c, e, query); !ok {
			f.Case, f.Expectation = c, e
			failures = append(failures, f)
		}
	}
	return failures, nil
}

func (r Runner) ask(ctx context.Context, c Case, e Expectation, query journey.QueryFunc) (Failure, bool) {
	result, err := r.answer(ctx, c, e, query)
	switch {
	case e.Error != "" && err == nil:
		return Failure{Difference: "not refused", Expected: fmt.Sprintf("error: %q", e.Error), Got: formatResult(result)}, false
	case e.Error != "":
		if !strings.Contains(err.Error(), e.Error) {
			return Failure{Difference: "refused with another text", Expected: fmt.Sprintf("error: %q", e.Error), Got: fmt.Sprintf("error: %q", err)}, false
		}
		return Failure{}, true
	case err != nil:
		return Failure{Difference: "refused", Expected: formatExpected(e), Got: fmt.Sprintf("error: %q", err)}, false
	}
	var difference string
	if e.Value != nil {
		difference = e.compareValue(result.Value)
	} else {
		difference = e.compareRows(result)
	}
	return Failure{Difference: difference, Expected: formatExpected(e), Got: formatResult(result)}, difference == ""
}

func (r Runner) answer(ctx context.Context, c Case, e Expectation, query journey.QueryFunc) (analysis.Result, error) {
	if e.Analysis != "" {
		source := analysis.Source{Query: query, Calendar: c.Settings.Calendar, Now: c.Now, NotValue: c.Settings.NotValue, Objectives: c.Input.Figures}
		return analysis.Run(ctx, source, e.Analysis, e.Args)
	}
	request, err := e.request(c.Settings.Calendar)
	if err != nil {
		return analysis.Result{}, err
	}
	if r.Evaluate == nil {
		return analysis.Result{}, errors.New("no catalogue is at hand")
	}
	values, err := r.Evaluate(ctx, c, query, request)
	if err != nil {
		return analysis.Result{}, err
	}
	if len(values) != 1 {
		return analysis.Result{}, fmt.Errorf("the metric has %d values, not one", len(values))
	}
	return analysis.Result{Value: figures(values[0])}, nil
}

// request turns the arguments of a metric into a question: period, grain, and a value for each dimension to restrict.
func (e Expectation) request(calendar journey.Calendar) (journey.Request, error) {
	request := journey.Request{Metric: e.Metric, Filter: map[string]string{}}
	grain := journey.Grain("")
	if g, ok := e.Args["grain"]; ok {
		var err error
		if grain, err = journey.ParseGrain(fmt.Sprint(g)); err != nil {
			return request, err
		}
	}
	label, ok := e.Args["period"]
	if !ok {
		return request, errors.New("period is missing: want 2026-W02, 2026-01, 2026-Q1 or a first day with a grain")
	}
	period, err := calendar.Parse(fmt.Sprint(label), grain)
	if err != nil {
		return request, err
	}
	request.Periods = []journey.Period{period}
	for _, name := range slices.Sorted(maps.Keys(e.Args)) {
		if name != "period" && name != "grain" {
			request.Filter[name] = fmt.Sprint(e.Args[name])
		}
	}
	return request, nil
}

// figureKeys are the keys of figures.
var figureKeys = slices.Sorted(maps.Keys(figures(journey.Value{})))

// figures are the keys of a metric's value that a case can expect.
func figures(v journey.Value) map[string]any {
	return map[string]any{
		"value": plain(v.Value), "numerator": plain(v.Numerator), "denominator": plain(v.Denominator), "n": v.N,
		"low": plain(v.Low), "high": plain(v.High), "coverage": plain(v.Coverage), "partial": v.Partial,
		"withheld": v.Withheld, "unit": v.Unit, "version": v.Version,
	}
}

func plain(v *float64) any {
	if v == nil {
		return nil
	}
	return *v
}

func (e Expectation) compareValue(got map[string]any) string {
	for _, k := range slices.Sorted(maps.Keys(e.Value)) {
		v, known := got[k]
		if !known {
			return fmt.Sprintf("there is no key %q: known are %s", k, strings.Join(slices.Sorted(maps.Keys(got)), ", "))
		}
		if !e.agree(e.Value[k], v) {
			return fmt.Sprintf("%s: expected %s, got %s", k, formatCell(e.Value[k]), formatCell(v))
		}
	}
	return ""
}

func (e Expectation) compareRows(got analysis.Result) string {
	if got.Value != nil && got.Columns == nil {
		return "it has a value, not rows"
	}
	for i := range max(len(e.Rows), len(got.Rows)) {
		switch {
		case i >= len(got.Rows):
			return fmt.Sprintf("row %d is missing: expected %s", i+1, formatCell(e.Rows[i]))
		case i >= len(e.Rows):
			return fmt.Sprintf("row %d was not expected: got %s", i+1, formatCell(got.Rows[i]))
		case len(e.Rows[i]) != len(got.Rows[i]):
			return fmt.Sprintf("row %d: expected %d cells, got %d", i+1, len(e.Rows[i]), len(got.Rows[i]))
		}
		for j, want := range e.Rows[i] {
			if !e.agree(want, got.Rows[i][j]) {
				return fmt.Sprintf("row %d, cell %d: expected %s, got %s", i+1, j+1, formatCell(want), formatCell(got.Rows[i][j]))
			}
		}
	}
	return ""
}

// agree compares a cell. null agrees with undefined only, and a number with a number that is near enough.
func (e Expectation) agree(want, got any) bool {
	w, wantNumber := asNumber(want)
	g, gotNumber := asNumber(got)
	if !wantNumber || !gotNumber {
		return want == got
	}
	allowed := math.Max(1e-6*math.Abs(w), 1e-6)
	if e.Tolerance != nil {
		allowed = *e.Tolerance
	}
	return math.Abs(g-w) <= allowed
}

func asNumber(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int:
		return float64(v), true
	}
	return 0, false
}
