package catalogue_test

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/catalogue"
)

var update = flag.Bool("update", false, "write the generated files")

func load(t *testing.T) []journey.Metric {
	t.Helper()
	metrics, err := catalogue.Load()
	if err != nil {
		t.Fatal(err)
	}
	return metrics
}

func TestThePageOfMetricsIsFresh(t *testing.T) {
	const file = "../METRICS.md"
	want := catalogue.Markdown(load(t))
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(got), want); diff != "" {
		t.Errorf("%s is stale; `make generate` renews it:\n%s", file, diff)
	}
}

// Every metric is asked for in some case of the corpus with a value.
func TestEveryMetricHasACase(t *testing.T) {
	var corpus strings.Builder
	files, err := os.ReadDir("../testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile("../testdata/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		corpus.Write(data)
	}
	for _, m := range load(t) {
		if !regexp.MustCompile(`metric: ` + m.ID + `, args: \{.*value: \{.*value: -?[0-9]`).MatchString(corpus.String()) {
			t.Errorf("no case expects a value of %s", m.ID)
		}
	}
}

func TestOrder(t *testing.T) {
	var ids []string
	for _, m := range load(t) {
		ids = append(ids, m.ID)
	}
	got := strings.Join(ids, " ")
	if !strings.HasPrefix(got, "A1 A2 A3") || !strings.Contains(got, "C9 C10 C11") || !strings.HasSuffix(got, "X5 X6 X7 X8 X9 X10 X11 X12") {
		t.Errorf("the metrics come as %s", got)
	}
}

const good = `
id: T1
title: A title
question: A question?
definition: A definition.
unit: people
direction: up
phase: operation
activity: use
perspectives: [management]
sources: [usage]
sql:
  value: SELECT period, dim, count() AS value FROM acts GROUP BY period, dim
interval: none
min_sample: 0
small_group: show
stability: stable
version: 1
`

func TestRefusedDefinitions(t *testing.T) {
	if _, err := catalogue.Parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new, want string }{
		"an unknown key":         {"version: 1", "version: 1\nvresion: 2", "[19:1] unknown field \"vresion\""},
		"no question":            {"question: A question?", "question: ''", "question is missing"},
		"a bad unit":             {"unit: people", "unit: People!", `unit "People!"`},
		"a bad direction":        {"direction: up", "direction: sideways", `direction "sideways"`},
		"no version":             {"version: 1", "version: 0", "version 0"},
		"a numerator alone":      {"  value: ", "  numerator: ", "numerator and denominator belong together"},
		"two ways":               {"interval: none", "objective: {figure: sli, combine: worst}\ninterval: none", "exactly one of sql, analysis and objective"},
		"an interval of ratios":  {"interval: none", "interval: wilson", `interval "wilson" does not fit`},
		"an unknown dimension":   {"interval: none", "dimensions: [planet]\ninterval: none", `dimension "planet"`},
		"a sample without one":   {"  value: ", "  statistic: mean\n  value: ", "sample and statistic belong together"},
		"an analysis unknown":    {"sql:\n  value: SELECT period, dim, count() AS value FROM acts GROUP BY period, dim", "analysis: {name: guess, entity: actor}", `analysis.name "guess"`},
		"a figure unknown":       {"sql:\n  value: SELECT period, dim, count() AS value FROM acts GROUP BY period, dim", "objective: {figure: luck, combine: worst}", `objective.figure "luck"`},
		"an average of ratios":   {"sql:\n  value: SELECT period, dim, count() AS value FROM acts GROUP BY period, dim", "objective: {figure: burn_rate, combine: pooled}", `objective.combine "pooled"`},
		"a small-group rule":     {"small_group: show", "small_group: maybe", `small_group "maybe"`},
		"an id that is a phrase": {"id: T1", "id: my metric", `id "my metric"`},
		"a stability not known":  {"stability: stable", "stability: solid", `stability "solid"`},
		"nobody who looks at it": {"perspectives: [management]", "perspectives: []", "perspectives is empty"},
		"nothing it comes from":  {"sources: [usage]", "sources: []", "sources is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := catalogue.Parse([]byte(strings.Replace(good, c.old, c.new, 1)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestFileNamesAreIDs(t *testing.T) {
	_, err := catalogue.LoadFS(fstest.MapFS{"T2.yaml": {Data: []byte(good)}})
	if err == nil || !strings.Contains(err.Error(), `T2.yaml: id "T1": want the file's name`) {
		t.Errorf("got %v", err)
	}
}
