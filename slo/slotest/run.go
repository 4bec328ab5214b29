package slotest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/slo"
	"github.com/kubevalue/kubevalue/slo/yamlfile"
)

// Source is a file of tests: its name, for messages, and its text.
type Source struct {
	Name string
	Text []byte
}

// Evaluator is a second way to compute a status, such as over tables and SQL. Load stores a case's slices and returns
// how to evaluate requests on them: the case's own request with At and BurnWindows set. It is called only for cases
// that the engine accepts; its errors fail the test.
type Evaluator struct {
	Name string
	Load func(ctx context.Context, c Case) (Evaluate, error)
}

// Evaluate computes the status of a loaded case.
type Evaluate func(ctx context.Context, req slo.Request) (slo.Status, error)

// Result counts what a run found.
type Result struct {
	Passed    int // tests
	Failed    int // tests
	Malformed int // files
}

// ExitCode is that of `kubevalue slo test`: 0 when all passed, 1 when a test failed, 2 when a file is malformed.
func (r Result) ExitCode() int {
	switch {
	case r.Malformed > 0:
		return 2
	case r.Failed > 0:
		return 1
	}
	return 0
}

// Run runs the tests of all files through the pure engine and the other evaluators, and writes failures and a summary
// to out. A malformed file is reported with line and column and none of its tests run; the other files do.
func Run(ctx context.Context, out io.Writer, files []Source, others ...Evaluator) Result {
	var result Result
	for _, file := range files {
		tests, faults := parseFile(file)
		for _, t := range tests {
			faults = append(faults, t.unexpectedFaults()...)
		}
		if len(faults) > 0 {
			result.Malformed++
			slices.SortStableFunc(faults, byPlace)
			for _, f := range faults {
				fmt.Fprintln(out, f)
			}
			continue
		}
		for _, t := range tests {
			for _, w := range t.warnings {
				fmt.Fprintf(out, "warning: %s\n", w)
			}
			report := t.run(ctx, slices.Clone(others))
			if report == "" {
				result.Passed++
				continue
			}
			result.Failed++
			fmt.Fprintf(out, "FAIL %s:%d: %s\n%s", file.Name, t.line, t.name, report)
		}
	}
	fmt.Fprintf(out, "%d passed, %d failed", result.Passed, result.Failed)
	if result.Malformed > 0 {
		fmt.Fprintf(out, ", %d malformed files", result.Malformed)
	}
	fmt.Fprintln(out)
	return result
}

// byPlace orders faults by line and column.
func byPlace(a, b error) int {
	var x, y *yamlfile.Fault
	if !errors.As(a, &x) || !errors.As(b, &y) {
		return 0
	}
	return cmp.Or(cmp.Compare(x.Line, y.Line), cmp.Compare(x.Column, y.Column))
}

// unexpectedFaults are those of the test's form that no expected error is about.
func (t test) unexpectedFaults() []error {
	var out []error
	for _, f := range t.faults {
		if !slices.ContainsFunc(t.expect, func(e expectation) bool { return e.refusal != nil && strings.Contains(f.Error(), *e.refusal) }) {
			out = append(out, f)
		}
	}
	return out
}

// pure is the engine on raw slices.
var pure = Evaluator{Name: "slices", Load: func(_ context.Context, c Case) (Evaluate, error) {
	return func(_ context.Context, req slo.Request) (slo.Status, error) {
		if req.Objective.Composite == nil {
			return slo.Evaluate(req, c.Series[req.Objective.Name])
		}
		combined, err := req.Objective.Composite.Slices(req.Grid, c.Series)
		if err != nil {
			return slo.Status{}, err
		}
		return slo.Evaluate(req, combined)
	}, nil
}}

// run returns what is wrong, nothing when the test passes.
func (t test) run(ctx context.Context, others []Evaluator) string {
	var b strings.Builder
	for i := range others {
		others[i] = others[i].once()
	}
	for _, e := range t.expect {
		problems := t.expectation(ctx, e, others)
		if len(problems) == 0 {
			continue
		}
		fmt.Fprintf(&b, "  at %s, line %d:\n", t.moment(e.at), e.line)
		for _, p := range problems {
			fmt.Fprintf(&b, "    %s\n", p)
		}
		b.WriteString(t.around(e.at))
	}
	return b.String()
}

// moment writes a time with its offset from start.
func (t test) moment(at time.Time) string {
	return fmt.Sprintf("%s (%s)", slo.FormatDuration(at.Sub(t.kase.Request.Grid.Origin)), at.UTC().Format(time.RFC3339))
}

// expectation lists how one expectation is missed.
func (t test) expectation(ctx context.Context, e expectation, others []Evaluator) []string {
	req := t.kase.Request
	req.At, req.BurnWindows = e.at, e.burn
	status, err := t.evaluate(ctx, pure, req)
	if e.refusal != nil {
		return matchRefusal(*e.refusal, err)
	}
	if err != nil {
		return []string{"refused: " + err.Error()}
	}
	problems := t.compare(pure.Name, e, status)
	for _, other := range others {
		second, err := t.evaluate(ctx, other, req)
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s: failed: %v", other.Name, err))
			continue
		}
		problems = append(problems, t.compare(other.Name, e, second)...)
		problems = append(problems, disagreements(other.Name, status, second)...)
	}
	return problems
}

// once loads a case at its first use only.
func (e Evaluator) once() Evaluator {
	var evaluate Evaluate
	load := e.Load
	e.Load = func(ctx context.Context, c Case) (Evaluate, error) {
		var err error
		if evaluate == nil {
			evaluate, err = load(ctx, c)
		}
		return evaluate, err
	}
	return e
}

func matchRefusal(want string, err error) []string {
	switch {
	case err == nil:
		return []string{fmt.Sprintf("error: want a refusal containing %q, got none", want)}
	case !strings.Contains(err.Error(), want):
		return []string{fmt.Sprintf("error: want a refusal containing %q, got %q", want, err)}
	}
	return nil
}

func (t test) evaluate(ctx context.Context, with Evaluator, req slo.Request) (slo.Status, error) {
	if wrong := append(slices.Clone(t.faults), t.refusals...); len(wrong) > 0 {
		// What the engine says about the rest belongs to the answer, too, unless there is no definition.
		defined := req.Objective.Method != "" || req.Objective.Composite != nil
		if _, err := slo.NewPlan(req); err != nil && len(t.faults) == 0 && defined {
			wrong = append(wrong, err)
		}
		return slo.Status{}, slo.Faults(wrong)
	}
	evaluate, err := with.Load(ctx, t.kase)
	if err != nil {
		return slo.Status{}, err
	}
	return evaluate(ctx, req)
}

func (t test) compare(by string, e expectation, s slo.Status) []string {
	var out []string
	for _, c := range e.checks {
		if got := c.got(s); !c.want.agrees(got, t.tolerance) {
			out = append(out, fmt.Sprintf("%s: want %s, got %s (by %s)", c.name, c.want, got, by))
		}
	}
	return out
}

// disagreements compares two evaluators on everything that a test can expect.
func disagreements(by string, a, b slo.Status) []string {
	checks := []check{{name: "partial", got: partial}, {name: "exhausted_at", got: exhaustedAt}}
	for name, got := range figures {
		checks = append(checks, check{name: name, got: got})
	}
	for _, rate := range a.BurnRates {
		checks = append(checks, check{name: "burn_rate of " + slo.FormatDuration(rate.Window), got: func(s slo.Status) value {
			r, _ := s.BurnRate(rate.Window)
			return value{number: r.Rate}
		}})
	}
	for _, alert := range append(slices.Clone(a.Alerts), b.Alerts...) {
		checks = append(checks, check{name: "alert " + alert.Severity, got: func(s slo.Status) value {
			return value{word: string(s.Alert(alert.Severity))}
		}})
	}
	if a.Attribution != nil {
		for _, part := range a.Attribution.Parts {
			checks = append(checks, check{name: "attribution to " + part.ID, got: func(s slo.Status) value {
				if s.Attribution == nil {
					return value{}
				}
				share, _ := s.Attribution.Share(part.ID)
				return number(share)
			}})
		}
	}
	slices.SortFunc(checks, func(x, y check) int { return strings.Compare(x.name, y.name) })
	var out []string
	for _, c := range checks {
		if first, second := c.got(a), c.got(b); !first.agrees(second, nil) {
			out = append(out, fmt.Sprintf("%s: slices say %s, %s says %s", c.name, first, by, second))
		}
	}
	return out
}
