package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/collectors/kube"
	"github.com/kubevalue/kubevalue/collectors/scrape"
)

func TestAPageThatSeveralAskForIsReadOnce(t *testing.T) {
	all := []kube.Target{
		{Cluster: "a", Namespace: "shop", Pod: "web", URL: "http://10.0.0.1/metrics"},
		{Cluster: "a", Namespace: "bank", Service: "till", URL: "http://10.0.0.2/metrics"},
		{Cluster: "a", Namespace: "shop", Service: "web", URL: "http://10.0.0.1/metrics"},
		{Cluster: "a", Namespace: "shop", Service: "web", URL: "http://10.0.0.2/metrics"},
		{Cluster: "a", Namespace: "shop", Service: "web-headless", URL: "http://10.0.0.2/metrics"},
		{Cluster: "b", Namespace: "shop", Pod: "web", URL: "http://10.0.0.1/metrics"}, // another one of the same address
		{Cluster: "c", Namespace: "shop", Pod: "web", URL: "http://10.0.0.3/metrics"},
	}
	got := AnnotatedConfig{Clusters: []string{"a", "b"}, Namespaces: []string{"shop"}}.found(all)
	want := []scrape.Found{
		{Address: "http://10.0.0.1/metrics", Labels: map[string]string{"cluster": "a", "namespace": "shop", "pod": "web"}},
		{Address: "http://10.0.0.2/metrics", Labels: map[string]string{"cluster": "a", "namespace": "shop", "service": "web"}},
		{Address: "http://10.0.0.1/metrics", Labels: map[string]string{"cluster": "b", "namespace": "shop", "pod": "web"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("found pages differ (-want +got):\n%s", diff)
	}
}

func TestControlPlaneObjectivesAreUnderstood(t *testing.T) {
	for source, settings := range map[string]string{
		"scrape":     "scrapes: [{job: apiserver, targets: [\"127.0.0.1:1\"]}]\n",
		"prometheus": "prometheus: [{url: \"http://127.0.0.1:1\"}]\n",
	} {
		var out, fault bytes.Buffer
		if code := run(t.Context(), []string{"slo", "control-plane", "--source", source}, &out, &fault); code != 0 {
			t.Fatal(fault.String())
		}
		cfg, err := loadWith(t, settings, out.String())
		if err != nil {
			t.Fatal(err)
		}
		if n := len(cfg.scrapeIndicators) + len(cfg.promIndicators); n != 8 || len(cfg.warnings) != 0 {
			t.Errorf("%s: %d indicators, warnings %v", source, n, cfg.warnings)
		}
	}
}

func TestObjectivesThatCountByScrapedCounters(t *testing.T) {
	const scrapes = "scrapes: [{job: a, targets: [\"127.0.0.1:1\"]}]\n"
	document := func(counter, query string) string {
		of := "type: scrape, spec: {" + query + "}"
		return strings.Replace(fmt.Sprintf(promObjective, of, of), "counter: true", "counter: "+counter, 1)
	}
	for _, c := range []struct{ settings, document, want string }{
		{"", document("true", "query: x"), "none is configured: list them under scrapes"},
		{scrapes, document("false", "query: x"), "want ratioMetric with counter: true"},
		{scrapes, document("true", "promql: x"), "has spec {query: SELECTOR}"},
		{scrapes, document("true", "query: 'sum(x)'"), "is no selector"},
	} {
		if _, err := loadWith(t, c.settings, c.document); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n%s\ngot %v; want %s", c.settings, c.document, err, c.want)
		}
	}
}

func TestSourcesThatNobodyAsksAreDoubted(t *testing.T) {
	const scrapes, servers = "scrapes: [{job: a, targets: [\"127.0.0.1:1\"]}]\n", "prometheus: [{name: main, url: \"http://127.0.0.1:1\"}, {name: idle, url: \"http://127.0.0.1:2\"}]\n"
	const byScrape, byServer = "type: scrape, spec: {query: x}", "metricSourceRef: main, type: Prometheus, spec: {query: x}"
	const unread, unasked = "scrapes: no objective counts by them, so no page is read", "prometheus[1]: no objective asks it"
	for name, c := range map[string]struct {
		settings, source string
		want             []string
	}{
		"scraped":          {scrapes, byScrape, nil},
		"asked":            {servers, byServer, []string{unasked}},
		"another is":       {scrapes + servers, byServer, []string{unread, unasked}},
		"nothing is asked": {scrapes + servers, byScrape, []string{"prometheus[0]: no objective asks it", unasked}},
	} {
		cfg, err := loadWith(t, c.settings, fmt.Sprintf(promObjective, c.source, c.source))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		told := cfg.told()
		if len(told) != len(c.want) {
			t.Errorf("%s: told is %q, want %q", name, told, c.want)
			continue
		}
		for i, want := range c.want {
			if !strings.Contains(told[i], want) {
				t.Errorf("%s: told is %q, want %q", name, told[i], want)
			}
		}
	}
}
