package metrictest_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubevalue/kubevalue/journey/metrictest"
	"github.com/kubevalue/kubevalue/schema"
)

// nothing is an environment in which nothing ever happened.
type nothing struct{}

func (nothing) Reset(context.Context) error                   { return nil }
func (nothing) Ingest(context.Context, metrictest.Case) error { return nil }
func (nothing) Query(context.Context, string, map[string]any) (schema.Result, error) {
	return schema.Result{}, nil
}

func run(t *testing.T, text string) (metrictest.Exit, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "case.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	exit, err := metrictest.Runner{Open: func(context.Context) (metrictest.Environment, error) { return nothing{}, nil }}.Files(t.Context(), []string{file}, &out)
	if err != nil {
		t.Fatal(err)
	}
	return exit, strings.ReplaceAll(out.String(), file, "case.yaml")
}

func TestMalformedFilesAreRefusedWithLineAndColumn(t *testing.T) {
	const head = "tests:\n  - name: a\n    now: 2026-01-10T00:00:00Z\n"
	const expect = "    expect: [{analysis: active, rows: []}]\n"
	for name, c := range map[string]struct{ text, want string }{
		"no YAML":                {"tests: [", "case.yaml:1:8: "},
		"a tab":                  {"tests:\n\t- name: a\n", "case.yaml:2:1: "},
		"empty":                  {"# nothing\n", "case.yaml:1:1: the file is empty"},
		"no tests":               {"settings: {timezone: UTC}\n", "case.yaml:1:1: tests is missing"},
		"an empty list":          {"tests: []\n", "case.yaml:1:1: tests is missing or empty"},
		"an empty refusal":       {head + "    expect: [{analysis: active, error: ''}]\n", "case.yaml:4:40: error is empty"},
		"a negative tolerance":   {head + "    expect: [{analysis: active, rows: [], tolerance: -1}]\n", "case.yaml:4:54: tolerance -1: want 0 or more"},
		"tests that are no list": {"tests: 3\n", "case.yaml:1:8: tests: want a list, got a number"},
		"an unknown key":         {head + "    evnets: []\n" + expect, `case.yaml:4:5: unknown key "evnets"`},
		"no now":                 {"tests:\n  - name: a\n" + expect, "case.yaml:2:5: now is missing"},
		"a now that is no time":  {"tests:\n  - name: a\n    now: soon\n" + expect, `case.yaml:3:10: now: "soon"`},
		"no expectation":         {head, "case.yaml:2:5: expect is missing or empty"},
		"an event without time":  {head + "    events:\n      - {actor: ann, name: deploy}\n" + expect, "case.yaml:5:10: time is missing"},
		"an event without name":  {head + "    events: [{time: 2026-01-05, actor: ann}]\n" + expect, "case.yaml:4:15: name is missing"},
		"a bad outcome":          {head + "    events: [{time: 2026-01-05, name: x, outcome: great}]\n" + expect, `case.yaml:4:51: outcome "great"`},
		"a bad kind":             {head + "    events: [{time: 2026-01-05, name: x, actor_kind: cat}]\n" + expect, `case.yaml:4:54: actor_kind "cat"`},
		"a number for a text":    {head + "    events: [{time: 2026-01-05, name: x, value: much}]\n" + expect, `case.yaml:4:49: value: want a number, got string "much"`},
		"a reversed membership":  {head + "    roster: [{team: a, from: 2026-01-05, to: 2026-01-04}]\n" + expect, "case.yaml:4:15: from 2026-01-05 is not before to 2026-01-04"},
		"an unknown zone":        {"settings: {timezone: Mars/Base}\n" + head + expect, `case.yaml:1:22: timezone "Mars/Base"`},
		"an unknown weekday":     {"settings: {week_start: someday}\n" + head + expect, `case.yaml:1:24: week_start "someday"`},
		"both kinds of question": {head + "    expect: [{analysis: active, metric: C15, rows: []}]\n", "case.yaml:4:15: want either analysis or metric"},
		"two kinds of answer":    {head + "    expect: [{analysis: active, rows: [], error: x}]\n", "case.yaml:4:15: want exactly one of rows, value and error"},
		"no answer":              {head + "    expect: [{analysis: active}]\n", "case.yaml:4:15: want exactly one of rows, value and error"},
		"rows that are no lists": {head + "    expect: [{analysis: active, rows: [1]}]\n", "case.yaml:4:40: rows: want a list of lists"},
		"an alias without to":    {head + "    aliases: [{from: a}]\n" + expect, "case.yaml:4:16: to is missing"},
		"a negative duration":    {head + "    events: [{time: 2026-01-05, name: x, duration_ms: -5}]\n" + expect, "case.yaml:4:55: duration_ms -5: want 0 or more"},
		"a number without end":   {head + "    expect: [{analysis: active, rows: [[.inf]]}]\n", "case.yaml:4:41: .inf is no finite number"},
		"rows of a metric":       {head + "    expect: [{metric: C15, rows: [[1]]}]\n", "case.yaml:4:34: rows: a metric has a value"},
		"a key of no value":      {head + "    expect: [{metric: C15, value: {valeu: 1}}]\n", `case.yaml:4:36: unknown key "valeu": known are coverage, denominator`},
		"a key given twice":      {head + "    now: 2026-01-11T00:00:00Z\n" + expect, "case.yaml:4:5: "},
		"an anchor that is none": {head + "    events: *none\n" + expect, "case.yaml:4:13: "},
	} {
		t.Run(name, func(t *testing.T) {
			exit, out := run(t, c.text)
			if exit != metrictest.ExitMalformed || !strings.Contains(out, c.want) {
				t.Errorf("exit %d with\n%s\nwant 2 with %q", exit, out, c.want)
			}
		})
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	_, out := run(t, "tests:\n  - name: a\n    evnets: []\n    expect: [{rows: [1]}]\n")
	for _, want := range []string{"unknown key", "now is missing", "either analysis or metric", "list of lists"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}

func TestAMissingFileIsMalformed(t *testing.T) {
	var out strings.Builder
	exit, err := metrictest.Runner{Open: func(context.Context) (metrictest.Environment, error) { return nothing{}, nil }}.Files(t.Context(), []string{"testdata/nowhere.yaml"}, &out)
	if err != nil || exit != metrictest.ExitMalformed || !strings.Contains(out.String(), "nowhere.yaml") {
		t.Errorf("exit %d, error %v, output %s", exit, err, out.String())
	}
}

func TestFilesAreCalledAsTheirReaderSays(t *testing.T) {
	var out strings.Builder
	r := metrictest.Runner{
		Open: func(context.Context) (metrictest.Environment, error) { return nothing{}, nil },
		Read: func(string) (string, []byte, error) {
			return "stdin", []byte("tests:\n  - name: a\n    now: 2026-01-10T00:00:00Z\n    expect: [{nalysis: active}]\n"), nil
		},
	}
	exit, err := r.Files(t.Context(), []string{"-"}, &out)
	if err != nil || exit != metrictest.ExitMalformed || !strings.Contains(out.String(), "stdin:4:15: ") {
		t.Errorf("exit %d, error %v, output %s", exit, err, out.String())
	}
}

func TestFailuresShowExpectedAndGot(t *testing.T) {
	exit, out := run(t, `tests:
  - name: passes
    now: 2026-01-10T00:00:00Z
    expect:
      - {analysis: active, args: {grain: day, from: 2026-01-05, to: 2026-01-06}, rows: [[2026-01-05, 0]]}
  - name: fails
    now: 2026-01-10T00:00:00Z
    expect:
      - analysis: active
        args: {grain: day, from: 2026-01-05, to: 2026-01-07}
        rows: [[2026-01-05, 0], [2026-01-06, 3]]
      - {analysis: active, args: {grain: day, from: 2026-01-05, to: 2026-01-06}, rows: []}
      - {analysis: active, args: {grain: day, from: 2026-01-05, to: 2026-01-06}, rows: [[2026-01-05, null]]}
      - {analysis: active, args: {grain: day, from: 2026-01-05, to: 2026-01-06}, rows: [[2026-01-05]]}
      - {analysis: active, args: {grain: day, from: 2026-01-05, to: 2026-01-06}, error: not aligned}
      - {analysis: active, args: {grain: hour, from: 2026-01-05, to: 2026-01-06}, error: not aligned}
      - {analysis: active, args: {grain: hour, from: 2026-01-05, to: 2026-01-06}, rows: []}
      - {analysis: time_to_value, args: {start: a, reach: b, horizon: 1d, from: 2026-01-05, to: 2026-01-06}, value: {n: 0, median_seconds: 0}}
      - {analysis: time_to_value, args: {start: a, reach: b, horizon: 1d, from: 2026-01-05, to: 2026-01-06}, value: {mean: 0}}
`)
	if exit != metrictest.ExitFailed {
		t.Errorf("exit %d", exit)
	}
	for _, want := range []string{
		`FAIL case.yaml:9:9: fails: active {from: 2026-01-05, grain: day, to: 2026-01-07}: row 2, cell 2: expected 3, got 0
  expected: [2026-01-05, 0]
            [2026-01-06, 3]
  got:      [2026-01-05, 0]
            [2026-01-06, 0]`,
		"case.yaml:12:10: fails: active {from: 2026-01-05, grain: day, to: 2026-01-06}: row 1 was not expected: got [2026-01-05, 0]",
		"row 1, cell 2: expected null, got 0",
		"row 1: expected 1 cells, got 2",
		"not refused",
		"refused with another text",
		`error: "grain \"hour\": want day, week, month or quarter"`,
		"median_seconds: expected 0, got null",
		`there is no key "mean"`,
		"1 of 2 tests passed",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}

// What a case delivers is what its environment sees: in order, and nothing after now.
func TestDelivery(t *testing.T) {
	cases, err := metrictest.Parse("case.yaml", []byte(`
settings: {timezone: Europe/Berlin}
tests:
  - name: a
    now: 2026-01-10T00:00:00
    base: &base {name: deploy, team: a}
    events: []
    expect: [{analysis: active, rows: []}]
`))
	if err == nil || !strings.Contains(err.Error(), `unknown key "base"`) {
		t.Errorf("an unknown key gives %v and %v", cases, err)
	}
	cases, err = metrictest.Parse("case.yaml", []byte(`
settings: {timezone: Europe/Berlin}
tests:
  - name: a
    now: 2026-01-10T00:00:00
    events:
      - &late {time: 2026-01-06, actor: late, name: deploy, received: 2026-01-08T00:00:00Z, value: 1e3}
      - {<<: *late, time: 2026-01-05, actor: early, received: 2026-01-05}
      - {<<: *late, actor: never, received: 2026-01-09T23:00:00.001Z}
      - {<<: *late, actor: 42, received: 2026-01-09T23:00:00Z}
    expect: [{analysis: active, rows: []}]
`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range cases[0].Input.Events {
		got = append(got, e.Actor)
		if e.Value == nil || *e.Value != 1000 || e.Name != "deploy" {
			t.Errorf("%s has the value %v and the name %s", e.Actor, e.Value, e.Name)
		}
	}
	if strings.Join(got, " ") != "early late 42" {
		t.Errorf("delivered %v", got)
	}
}

// unstorable refuses a case, and says whether that is the case's fault.
type unstorable struct {
	nothing
	permanent bool
}

type refusal struct{ permanent bool }

func (refusal) Error() string     { return "the year is too early" }
func (r refusal) Permanent() bool { return r.permanent }

func (u unstorable) Ingest(context.Context, metrictest.Case) error {
	return fmt.Errorf("ingest: %w", refusal{u.permanent})
}

func TestACaseThatCannotBeStoredFailsAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "case.yaml")
	text := "tests:\n" + strings.Repeat("  - {name: a, now: 2026-01-10, expect: [{analysis: active, rows: []}]}\n", 3)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, permanent := range []bool{true, false} {
		var out strings.Builder
		open := func(context.Context) (metrictest.Environment, error) { return unstorable{permanent: permanent}, nil }
		exit, err := metrictest.Runner{Open: open, AtOnce: 2}.Files(t.Context(), []string{file}, &out)
		if permanent && (err != nil || !strings.Contains(out.String(), "case.yaml:4:6: a: it cannot be stored") || !strings.Contains(out.String(), "0 of 3 tests passed")) {
			t.Errorf("error %v with\n%s", err, out.String())
		}
		if exit != metrictest.ExitFailed || !permanent && err == nil {
			t.Errorf("permanent %t: exit %d, error %v", permanent, exit, err)
		}
	}
}
