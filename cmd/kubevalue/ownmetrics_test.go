package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/catalogue"
)

// ownMetric is a definition of a user's own, with a statement.
func ownMetric(id, sql string) string {
	return fmt.Sprintf(`id: %s
title: Own
question: Does it work?
definition: What a user counts.
unit: deploys
direction: up
phase: operation
activity: use
perspectives: [management]
sources: [usage]
sql: {value: %q}
dimensions: [team]
interval: none
min_sample: 0
small_group: show
stability: experimental
version: 1
`, id, sql)
}

func TestUsersOwnMetrics(t *testing.T) {
	m := newMeasuredPlatform(t, time.Date(2026, 1, 23, 12, 0, 0, 0, time.UTC), "")
	m.ingest(januaryRoster + ", " + januaryEvents)
	period, err := m.calendar.Parse("2026-W02", "")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ sql, refusal string }{
		"a good one":                {sql: "SELECT period, dim, count() AS value FROM acts WHERE name = 'deploy' GROUP BY period, dim"},
		"no column of states":       {sql: "SELECT period, dim, count() + 3 AS value FROM states WHERE kind = 'Namespace' GROUP BY period, dim UNION ALL SELECT {starts:Array(Int64)}[1], '', 3"},
		"names of relations":        {sql: "SELECT period, dim, count() AS value, 'costs' AS reclaimed FROM acts WHERE name = 'deploy' GROUP BY period, dim"},
		"a syntax error":            {"SELECT period, dim, count( AS value FROM acts", "Syntax error"},
		"an unknown column":         {"SELECT period, dim, colour AS value FROM acts", "colour"},
		"a statement that drops":    {"DROP TABLE events", "Syntax error"},
		"a way out of the brackets": {"SELECT 1 AS period, '' AS dim, 1 AS value); DROP TABLE events; SELECT (1", "Multi-statements"},
		"files":                     {"SELECT toInt64(1) AS period, '' AS dim, 1 AS value FROM file('/etc/passwd', 'LineAsString')", "run a query"},
		"other hosts":               {"SELECT toInt64(1) AS period, '' AS dim, 1 AS value FROM url('http://127.0.0.1:1/', 'LineAsString')", "run a query"},
		"too much memory":           {"SELECT toInt64(1) AS period, '' AS dim, length(range(toUInt64(materialize(400000000)))) AS value", "memory limit"},
		"an unbound parameter":      {"SELECT period, dim, count() AS value FROM acts WHERE name = {nam:String} GROUP BY period, dim", "nam"},
		"no column of that name":    {"SELECT period, dim, count() AS n FROM acts GROUP BY period, dim", `the statement returns no column "value"`},
		"a text for a value":        {"SELECT period, dim, 'many' AS value FROM acts GROUP BY period, dim", `column "value" is a string, want a number`},
	} {
		t.Run(name, func(t *testing.T) {
			own, err := catalogue.Parse([]byte(ownMetric("U1", c.sql)))
			if err != nil {
				t.Fatal(err)
			}
			e := m.evaluator
			e.Metrics = []journey.Metric{own}
			values, err := e.Evaluate(t.Context(), journey.Request{Metric: "U1", Periods: []journey.Period{period}})
			if c.refusal == "" {
				if err != nil || values[0].Value == nil || *values[0].Value != 3 {
					t.Fatalf("%+v, %v", values, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), "metric U1: ") || !strings.Contains(err.Error(), c.refusal) {
				t.Errorf("%v\nwant a refusal of metric U1 with %q", err, c.refusal)
			} else {
				t.Log(err)
			}
		})
	}
}

// Own metrics stand beside the built-in ones on the command line; a file that is wrong, or takes an id in use, is named.
func TestOwnMetricsInTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	config := write("kubevalue.yaml", "identity: {key_file: identity.key}\nwarehouse: {dsn: \"embedded:warehouse\"}\njourney: {metrics: [\"own-*.yaml\"]}\n")
	own := write("own-1.yaml", ownMetric("U1", "SELECT period, dim, count() AS value FROM acts GROUP BY period, dim"))
	code, listed, _ := program(t, "metric", "list", "--config", config)
	if code != 0 || !strings.Contains(listed, "\nU1 ") || !strings.Contains(listed, "\nC15 ") {
		t.Errorf("exit code %d\n%s", code, listed)
	}
	if code, shown, _ := program(t, "metric", "show", "U1", "--config", config); code != 0 || !strings.Contains(shown, "FROM acts GROUP BY") {
		t.Errorf("exit code %d\n%s", code, shown)
	}
	for text, want := range map[string]string{
		ownMetric("C15", "SELECT 1"): "the id C15 is taken",
		strings.Replace(ownMetric("U1", "SELECT 1"), "unit: deploys", "unti: deploys", 1):             `unknown field "unti"`,
		strings.Replace(ownMetric("U1", "SELECT 1"), "interval: none", "interval: wilson", 1):         `interval "wilson" does not fit`,
		strings.Replace(ownMetric("U1", "SELECT 1"), "dimensions: [team]", "dimensions: [colour]", 1): `dimension "colour"`,
	} {
		write("own-1.yaml", text)
		if code, _, stderr := program(t, "metric", "list", "--config", config); code != 1 || !strings.Contains(stderr, want) || !strings.Contains(stderr, own) {
			t.Errorf("exit code %d\n%s\nwant %q and the file's name", code, stderr, want)
		}
	}
}

// The engine takes settings of a subquery for good, readonly included.
func TestOwnMetricsHaveNoSettings(t *testing.T) {
	for sql, refused := range map[string]bool{
		"SELECT period, dim, count() AS value FROM (SELECT * FROM file('/etc/passwd', 'LineAsString') SETTINGS readonly = 0) GROUP BY period, dim": true,
		"SELECT period, dim, count() AS value FROM acts GROUP BY period, dim settings/**/max_threads = 1":                                          true,
		"SELECT period, dim, count() AS value FROM acts WHERE name = 'app_settings' GROUP BY period, dim":                                          false,
	} {
		_, err := catalogue.Parse([]byte(ownMetric("U1", sql)))
		if got := err != nil && strings.Contains(err.Error(), "SETTINGS"); got != refused {
			t.Errorf("%s: %v", sql, err)
		}
	}
}
