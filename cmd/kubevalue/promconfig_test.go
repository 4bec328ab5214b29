package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/collectors/promquery"
)

const promObjective = `
apiVersion: openslo/v1
kind: SLO
metadata: {name: o}
spec:
  service: s
  budgetingMethod: Timeslices
  timeWindow: [{duration: 28d, isRolling: true}]
  indicator: {metadata: {name: i}, spec: {ratioMetric: {counter: true, good: {metricSource: {%s}}, total: {metricSource: {%s}}}}}
  objectives: [{target: 0.99, timeSliceTarget: 0.9, timeSliceWindow: 5m}]
`

// loadWith loads a configuration with an OpenSLO document.
func loadWith(t *testing.T, settings, document string) (*Config, error) {
	t.Helper()
	dir := t.TempDir()
	putText(t, filepath.Join(dir, "slo.yaml"), document)
	putText(t, filepath.Join(dir, "kubevalue.yaml"), settings+"objectives: {openslo: [slo.yaml]}\n")
	return loadConfig(filepath.Join(dir, "kubevalue.yaml"))
}

func TestObjectivesThatAskPrometheusServers(t *testing.T) {
	const two = "prometheus: [{name: a, url: \"http://127.0.0.1:1\"}, {name: b, url: \"http://127.0.0.1:2\"}]\n"
	plain := func(name string) string {
		return fmt.Sprintf(promObjective, "type: Prometheus, spec: {query: good"+name+"}", "type: Prometheus, spec: {query: total}")
	}
	of := func(server string) string {
		return "metricSourceRef: " + server + ", type: Prometheus, spec: {query: x}"
	}
	cfg, err := loadWith(t, "prometheus: [{url: \"http://127.0.0.1:1\"}]\n", plain(""))
	if err != nil {
		t.Fatal(err)
	}
	want := promquery.Indicator{Name: "i", Good: "good", Total: "total", Counter: true, Slice: 5 * time.Minute}
	if len(cfg.promIndicators) != 1 || cfg.promIndicators[0] != want {
		t.Errorf("asked for %+v", cfg.promIndicators)
	}
	for _, source := range []string{of("b"), "metricSourceRef: b, spec: {query: x}"} {
		cfg, err := loadWith(t, two, fmt.Sprintf(promObjective, source, source))
		if err != nil || len(cfg.warnings) != 0 || len(cfg.promIndicators) != 1 || cfg.promIndicators[0].Server != "b" {
			t.Errorf("%s: %v, warnings %v, asked for %+v", source, err, cfg.warnings, cfg.promIndicators)
		}
	}
	for _, c := range []struct{ settings, document, want string }{
		{"", plain(""), "none is configured: list it under prometheus"},
		{two, plain(""), "which Prometheus server? name one by metricSourceRef: a, b"},
		{two, fmt.Sprintf(promObjective, of("a"), of("b")), "several Prometheus servers"},
		{two, fmt.Sprintf(promObjective, of("aa"), of("aa")), `there is no Prometheus server "aa" in the configuration; did you mean "a"?`},
		{two, fmt.Sprintf(promObjective, of("a"), "metricSourceRef: a, type: Prometheus, spec: {promql: x}"), "needs spec {query: PROMQL}"},
		{two, fmt.Sprintf(promObjective, of("a"), "metricSourceRef: a, type: Prometheus, spec: {query: x, step: 5m}"), `"step" means nothing in it`},
		{two, fmt.Sprintf(promObjective, of("a"), "metricSourceRef: a, type: Prometheus, spec: {query: 'rate(x[5m])'}"), "with counter: true want a counter's selector"},
	} {
		if _, err := loadWith(t, c.settings, c.document); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n%s\ngot %v; want %s", c.settings, c.document, err, c.want)
		}
	}
}

func putText(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
