package slotest

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kubevalue/kubevalue/slo"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata")

func sources(t *testing.T, pattern string) []Source {
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
		out = append(out, Source{filepath.Base(name), text})
	}
	return out
}

func TestCorpusPasses(t *testing.T) {
	var out bytes.Buffer
	result := Run(context.Background(), &out, sources(t, "../testdata/*.yaml"))
	if result.ExitCode() != 0 {
		t.Fatal(out.String())
	}
	t.Log(out.String())
}

func TestFailuresAndMalformedFilesSayWhatIsWrong(t *testing.T) {
	for _, file := range sources(t, "testdata/*.yaml") {
		t.Run(file.Name, func(t *testing.T) {
			var out bytes.Buffer
			result := Run(context.Background(), &out, []Source{file})
			got := fmt.Sprintf("exit %d\n%s", result.ExitCode(), out.String())
			golden := filepath.Join("testdata", strings.TrimSuffix(file.Name, ".yaml")+".out")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("output differs, renew with go test ./slo/slotest -update (-want +got):\n%s", diff)
			}
		})
	}
}

// another evaluator over the plan's sums, with a fault on demand.
func bySums(alter func(s *slo.Status) error) Evaluator {
	return Evaluator{Name: "sums", Load: func(_ context.Context, c Case) (Evaluate, error) {
		return func(_ context.Context, req slo.Request) (slo.Status, error) {
			in := c.Series[req.Objective.Name]
			if composite := req.Objective.Composite; composite != nil {
				combined, err := composite.Slices(req.Grid, c.Series)
				if err != nil {
					return slo.Status{}, err
				}
				in = combined
			}
			p, err := slo.NewPlan(req)
			if err != nil {
				return slo.Status{}, err
			}
			sums := make([]slo.Sums, len(p.Segments()))
			for _, s := range in {
				for i, seg := range p.Segments() {
					if s.State == slo.Measured && !s.Start.Before(seg.From) && s.Start.Before(seg.To) {
						sums[i].Measured++
						sums[i].Good += s.Good
						sums[i].Total += s.Total
						if s.Total > 0 {
							sums[i].Valid++
							sums[i].BadFraction += (s.Total - s.Good) / s.Total
							if s.Good/s.Total >= req.Objective.GoodFrom() {
								sums[i].GoodSlices++
							}
						}
					}
				}
			}
			status, err := p.Evaluate(sums)
			if err == nil && alter != nil {
				err = alter(&status)
			}
			return status, err
		}, nil
	}}
}

func TestEveryEvaluatorMustAgree(t *testing.T) {
	files := sources(t, "../testdata/basics.yaml")
	for name, c := range map[string]struct {
		alter func(*slo.Status) error
		want  string
	}{
		"agrees":            {nil, ""},
		"differs":           {func(s *slo.Status) error { s.MeasuredSlices++; return nil }, "measured_slices: slices say 11, sums says 12"},
		"misses a value":    {func(s *slo.Status) error { s.SLI = nil; return nil }, "sli: want 0.990909, got null (by sums)"},
		"cannot be reached": {func(*slo.Status) error { return errors.New("connection refused") }, "sums: failed: connection refused"},
		"alerts differ": {func(s *slo.Status) error {
			s.Alerts = []slo.SeverityStatus{{Severity: "page", State: slo.Firing}}
			return nil
		}, "alert page: slices say inactive, sums says firing"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			result := Run(context.Background(), &out, files, bySums(c.alter))
			if (c.want == "") != (result.ExitCode() == 0) || !strings.Contains(out.String(), c.want) {
				t.Errorf("exit %d, want %q in:\n%s", result.ExitCode(), c.want, out.String())
			}
		})
	}
}

func TestCorpusPassesBySumsOfSegments(t *testing.T) {
	var out bytes.Buffer
	result := Run(context.Background(), &out, sources(t, "../testdata/*.yaml"), bySums(nil))
	if result.ExitCode() != 0 || result.Passed < 60 {
		t.Fatal(out.String())
	}
}

func FuzzRun(f *testing.F) {
	for _, pattern := range []string{"testdata/*.yaml", "../testdata/*.yaml"} {
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
		if strings.Count(string(text), "*") > 20 {
			return // copies by the million are slow, not wrong
		}
		var out bytes.Buffer
		result := Run(context.Background(), &out, []Source{{Name: "f", Text: text}}, bySums(nil))
		if strings.Contains(out.String(), "sums says") {
			t.Errorf("evaluators disagree on\n%s\n%s", text, out.String())
		}
		if result.ExitCode() == 0 && result.Passed == 0 {
			t.Error("a file without tests passed")
		}
	})
}
