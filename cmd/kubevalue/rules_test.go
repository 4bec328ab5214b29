package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/kubevalue/kubevalue/collectors"
)

type alertRule struct {
	Alert, Expr         string
	Labels, Annotations map[string]string
}

type ruleFile struct {
	Groups []struct{ Rules []alertRule }
}

func (f ruleFile) all() (all []alertRule) {
	for _, g := range f.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// TestAlertRulesAskForMetricsThatExist compares the rules with what a service that has been used says on /metrics.
func TestAlertRulesAskForMetricsThatExist(t *testing.T) {
	t.Parallel()
	nobody := filepath.Join(t.TempDir(), "kubeconfig")
	const unreachable = `{apiVersion: v1, kind: Config, clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}], contexts: [{name: c, context: {cluster: c}}], current-context: c}`
	if err := os.WriteFile(nobody, []byte(unreachable), 0o600); err != nil {
		t.Fatal(err)
	}
	b := boot(t, fmt.Sprintf(`probes: [{name: self, url: "http://127.0.0.1:1", interval: 10s, slice: 1m}]
clusters: [{name: nobody, kubeconfig: %q}]
scrapes: [{job: a, targets: ["127.0.0.1:1"]}]
prometheus: [{url: "http://127.0.0.1:1"}]
`, nobody))
	token := b.token("web", collectors.EndpointEvents, collectors.EndpointAudit)
	b.post("/v1/events", `{"name":"a"}`, "Authorization", bearer(token))
	b.post("/audit/prod", auditList, "Authorization", bearer(token))
	b.flush()
	exposed := b.send(http.MethodGet, "/metrics", nil)
	for end := time.Now().Add(5 * time.Minute); !strings.Contains(exposed.body, "kubevalue_kube_synced{") && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		exposed = b.send(http.MethodGet, "/metrics", nil) // the watches of a cluster begin when it is clear what is known of it
	}
	have := map[string]bool{"up": true}
	for _, name := range regexp.MustCompile(`(?m)^([a-z_]+)[{ ]`).FindAllStringSubmatch(exposed.body, -1) {
		have[name[1]] = true
	}
	var rules ruleFile
	var out bytes.Buffer
	if code := run(t.Context(), []string{"rules"}, &out, &out); code != 0 {
		t.Fatalf("kubevalue rules: exit %d, %s", code, out.String())
	}
	if err := yaml.Unmarshal(out.Bytes(), &rules); err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, rule := range rules.all() {
		expr, err := parser.NewParser(parser.Options{}).ParseExpr(rule.Expr)
		if err != nil {
			t.Fatalf("%s: %v", rule.Alert, err)
		}
		for _, selector := range parser.ExtractSelectors(expr) {
			for _, m := range selector {
				if m.Name == model.MetricNameLabel {
					asked++
					if !have[m.Value] {
						t.Errorf("%s asks for %s, which nobody exposes", rule.Alert, m.Value)
					}
				}
			}
		}
		if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" || rule.Labels["severity"] == "" {
			t.Errorf("%s: an alert needs a summary, what to do, and a severity", rule.Alert)
		}
	}
	if asked < 10 {
		t.Fatalf("the rules ask for %d metrics", asked)
	}
}

// TestAlertRulesWithPromtool runs rules_test.yaml where Debian's Prometheus is there; the end-to-end tests install it.
func TestAlertRulesWithPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Log("promtool is not installed: the rules were only parsed")
		return
	}
	for _, args := range [][]string{{"check", "rules", "rules.yaml"}, {"test", "rules", "rules_test.yaml"}} {
		out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "SUCCESS") {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
