package openslo

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/kubevalue/kubevalue/slo"
	"github.com/kubevalue/kubevalue/slo/yamlfile"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata")

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs, renew with go test ./slo/openslo -update (-want +got):\n%s", path, diff)
	}
}

func corpus(t *testing.T, pattern string) []Source {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("no files for %s: %v", pattern, err)
	}
	var out []Source
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".out") {
			continue
		}
		out = append(out, Source{Name: filepath.Base(name), Text: text})
	}
	return out
}

// describe lists what the engine gets.
func describe(t *testing.T, objectives []Objective) string {
	t.Helper()
	var b strings.Builder
	for _, o := range objectives {
		window := o.Definition.Window.String()
		o.Definition.Window = slo.Window{}
		text, err := json.MarshalIndent(o, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s over %s\n%s\n", o.Definition.Name, window, text)
	}
	return b.String()
}

func TestGoodDocumentsMean(t *testing.T) {
	for _, src := range corpus(t, "testdata/good/*") {
		t.Run(src.Name, func(t *testing.T) {
			result, err := Import([]Source{src}, false)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for _, w := range result.Warnings {
				fmt.Fprintf(&b, "warning: %s\n", w)
			}
			golden(t, filepath.Join("testdata/good", src.Name+".out"), b.String()+describe(t, result.Objectives))

			// Strictly, the warnings of mistakes are what is refused, and nothing else.
			strict, err := Import([]Source{src}, true)
			var refused Findings
			errors.As(err, &refused)
			both := slices.Concat(strict.Warnings, refused)
			both.sort()
			if diff := cmp.Diff(result.Warnings, both, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("warnings and strict refusals differ (-warnings +refusals):\n%s", diff)
			}
		})
	}
}

func TestBadDocumentsAreRefused(t *testing.T) {
	for _, src := range corpus(t, "testdata/bad/*") {
		t.Run(src.Name, func(t *testing.T) {
			result, err := Import([]Source{src}, src.Name == "empty.yaml")
			var refused Findings
			if !errors.As(err, &refused) || len(result.Objectives) > 0 {
				t.Fatalf("accepted: %v", err)
			}
			golden(t, filepath.Join("testdata/bad", src.Name+".out"), err.Error()+"\n")
		})
	}
}

var sameDocument = cmp.Options{
	cmpopts.EquateEmpty(),
	cmpopts.IgnoreUnexported(Object[ServiceSpec]{}, Object[DataSourceSpec]{}, Object[SLISpec]{}, Object[NotificationSpec]{}, Object[ConditionSpec]{},
		Object[PolicySpec]{}, Object[SLOSpec]{}, Ref[PolicySpec]{}, Ref[ConditionSpec]{}, Ref[NotificationSpec]{}),
}

func TestExportIsReadAsTheSame(t *testing.T) {
	for _, src := range corpus(t, "testdata/good/*") {
		first, err := Import([]Source{src}, false)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := Export(&out, first.Document); err != nil {
			t.Fatal(err)
		}
		second, err := Import([]Source{{Name: src.Name, Text: out.Bytes()}}, false)
		if err != nil {
			t.Fatalf("%s: %v\n%s", src.Name, err, out.String())
		}
		if diff := cmp.Diff(first.Document, second.Document, sameDocument); diff != "" {
			t.Errorf("%s (-before +after):\n%s\n%s", src.Name, diff, out.String())
		}
		ignorePlace := cmpopts.IgnoreFields(Objective{}, "File", "Line")
		if diff := cmp.Diff(first.Objectives, second.Objectives, ignorePlace, cmpopts.EquateEmpty(), cmp.Comparer(sameZone)); diff != "" {
			t.Errorf("%s (-before +after):\n%s", src.Name, diff)
		}
	}
}

func sameZone(a, b *time.Location) bool { return a.String() == b.String() }

func TestObjectivesSurviveOpenSLO(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := slo.Objective{
			Name: "o", Target: rapid.SampledFrom([]float64{0.9, 0.99, 0.9995, 0.123}).Draw(t, "target"),
			MinCoverage: rapid.SampledFrom([]float64{0.9, 0, 1}).Draw(t, "coverage"),
		}
		o.Window = slo.RollingWindow(time.Duration(rapid.IntRange(60, 100_000).Draw(t, "minutes")) * time.Minute)
		if rapid.Bool().Draw(t, "calendar") {
			zone, _ := slo.LoadZone("Europe/Berlin")
			o.Window = slo.CalendarWindow(rapid.SampledFrom([]slo.Unit{slo.Day, slo.Week, slo.Month, slo.Quarter, slo.Year}).Draw(t, "unit"), zone)
			if rapid.Bool().Draw(t, "anchored") {
				o.Window.Count = rapid.IntRange(1, 3).Draw(t, "count")
				o.Window.Anchor = time.Date(2024, 1, rapid.IntRange(1, 60).Draw(t, "day"), 0, 0, rapid.IntRange(0, 86399).Draw(t, "second"), 0, time.UTC)
			}
		}
		indicators := map[string]SLISpec{"o": probeSLI("p")}
		if rapid.Bool().Draw(t, "composite") {
			o.Composite = &slo.Composite{Kind: rapid.SampledFrom([]slo.CompositeKind{slo.Weighted, slo.AnyDown}).Draw(t, "kind"),
				Of: []slo.Child{{Name: "a", Weight: 2, TimeSliceTarget: 1}, {Name: "b", Weight: 0.5, TimeSliceTarget: 1}}}
			if o.Composite.Kind == slo.AnyDown {
				o.Composite.Of[1].TimeSliceTarget = rapid.SampledFrom([]float64{1, 0.95}).Draw(t, "child's target")
			}
			indicators = map[string]SLISpec{"a": probeSLI("p"), "b": probeSLI("q")}
		} else {
			o.Method = rapid.SampledFrom([]slo.BudgetingMethod{slo.Occurrences, slo.Timeslices, slo.RatioTimeslices}).Draw(t, "method")
			o.TimeSliceTarget = 1
			if o.Method == slo.Timeslices {
				o.TimeSliceTarget = rapid.SampledFrom([]float64{1, 0.95}).Draw(t, "slice target")
			}
			o.MinEvents = rapid.SampledFrom([]float64{0, 10}).Draw(t, "events")
			if o.Method != slo.Occurrences {
				o.Missing = rapid.SampledFrom([]slo.MissingPolicy{"", slo.MissingBad}).Draw(t, "missing")
			}
		}
		if rapid.Bool().Draw(t, "alerts") {
			o.Alerts = []slo.AlertWindow{
				{Severity: "page", Long: time.Hour, Short: 5 * time.Minute, Factor: 1.1, For: 2 * time.Minute, KeepFiringFor: 90 * time.Second},
				{Severity: "ticket", Long: time.Hour, Short: time.Hour, Factor: 1},
			}[:rapid.IntRange(0, 2).Draw(t, "pairs")]
		}
		exported, err := FromObjective(o, "svc", time.Minute, indicators)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := Export(&out, Document{SLOs: []Object[SLOSpec]{exported}}); err != nil {
			t.Fatal(err)
		}
		result, err := Import([]Source{{Name: "x", Text: out.Bytes()}}, false)
		if err != nil || len(result.Objectives) != 1 || !result.Objectives[0].AlertNoData {
			t.Fatalf("%v\n%s", err, out.String())
		}
		got := result.Objectives[0].Definition
		// An export names the natural start of a period.
		now := time.Date(2026, 4, 2, 0, 0, 0, 0, time.UTC)
		if a, b := o.Window.Period(now), got.Window.Period(now); !a.From.Equal(b.From) || !a.To.Equal(b.To) {
			t.Fatalf("period %s became %s\n%s", a, b, out.String())
		}
		got.Window, o.Window = slo.Window{}, slo.Window{}
		if diff := cmp.Diff(o, got); diff != "" {
			t.Fatalf("(-before +after):\n%s\n%s", diff, out.String())
		}
	})
}

func probeSLI(probe string) SLISpec {
	return SLISpec{RatioMetric: &RatioMetric{
		Raw: &Metric{MetricSource{Type: "kubevalue", Spec: map[string]any{"probe": probe}}}, RawType: "success",
	}}
}

func TestExportRefusesWhatOpenSLOCannotSay(t *testing.T) {
	o := slo.Objective{Name: "o", Target: 0.9, Window: slo.RollingWindow(90 * time.Second), Method: slo.Occurrences}
	_, err := FromObjective(o, "svc", 10*time.Second, map[string]SLISpec{})
	for _, want := range []string{"window of 1m30s", "slice of 10s", "no indicator \"o\""} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in %v", want, err)
		}
	}
}

func TestReferencesAcrossFilesAndLinesInsideOfFiles(t *testing.T) {
	sli := Source{Name: "sli.yaml", Text: []byte("apiVersion: openslo/v1\nkind: SLI\nmetadata: {name: up}\nspec: {ratioMetric: {raw: {metricSource: {type: kubevalue, spec: {probe: p}}}, rawType: success}}\n")}
	text := "apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: a}\nspec:\n  service: s\n  indicatorRef: up\n  timeWindow: [{duration: 7d, isRolling: true}]\n  budgetingMethod: Occurrences\n  objectives: [{target: 0.9, hope: 1}]\n"
	result, err := Import([]Source{{Name: "slo.yaml", Text: []byte(text), FirstLine: 101}, sli}, false)
	if err != nil {
		t.Fatal(err)
	}
	if probe, ok := result.Objectives[0].Indicator.Probe(); !ok || probe != "p" {
		t.Errorf("probe %q", probe)
	}
	if len(result.Warnings) != 1 || !strings.HasPrefix(result.Warnings[0].Error(), "slo.yaml:109:30: an objective has no field \"hope\"") {
		t.Errorf("warnings %v", result.Warnings)
	}
	var fault *yamlfile.Fault
	if _, err := Import([]Source{{Name: "x", Text: []byte("a: [")}}, false); err == nil || errors.As(err, &fault) {
		t.Errorf("syntax errors are findings, got %v", err)
	}
}

func FuzzImport(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.yaml", "testdata/bad/*.yaml", "testdata/good/*.json"} {
		names, _ := filepath.Glob(pattern)
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		result, err := Import([]Source{{Name: "f", Text: text}}, false)
		if err != nil {
			return
		}
		for _, o := range result.Objectives {
			if err := o.Definition.Validate(); err != nil {
				t.Errorf("an imported objective is not valid: %v", err)
			}
		}
	})
}
