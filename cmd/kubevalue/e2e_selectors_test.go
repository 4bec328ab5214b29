//go:build e2e

package main

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/common/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/kubevalue/kubevalue/collectors/scrape"
)

// checkSelectors looks on the real pages for what the objectives of a control plane select: Good and Total must match series, and of Bad,
// which nothing may match as long as nothing fails, all but the label that tells of the failure.
func (s *scraping) checkSelectors(t *testing.T) {
	t.Helper()
	pages := map[string][]labels.Labels{}
	for _, job := range []string{"apiserver", "scheduler", "controller-manager", "etcd"} {
		pages[job] = s.seriesOf(t, job)
	}
	checked := 0
	for _, ind := range s.cfg.scrapeIndicators {
		for what, selector := range map[string]string{"good": ind.Good, "bad": ind.Bad, "total": ind.Total} {
			if selector == "" || ind.Name == "policies" || ind.Name == "talks" || strings.HasPrefix(ind.Name, "kubelet") {
				continue
			}
			matchers, err := parser.NewParser(parser.Options{}).ParseMetricSelector(selector)
			must(t, "parse "+selector, err)
			checked++
			if n := matching(pages, matchers, what == "bad"); n == 0 {
				t.Errorf("%s: %s of %s matches no series of the real pages", ind.Name, selector, what)
			} else {
				t.Logf("%s: %s matches %d series", ind.Name, selector, n)
			}
		}
	}
	if checked != 14 {
		t.Errorf("%d selectors were checked, want two of each of 7 objectives", checked)
	}
}

// outcomes are the labels that tell of failures.
var outcomes = map[string]bool{"code": true, "grpc_code": true, "result": true}

// matching counts the series that have what all matchers want. Where outcomes need not match, their labels must be there.
func matching(pages map[string][]labels.Labels, matchers []*labels.Matcher, anyOutcome bool) (n int) {
	for _, page := range pages {
		for _, l := range page {
			ok := true
			for _, m := range matchers {
				if anyOutcome && outcomes[m.Name] {
					ok = ok && l.Has(m.Name)
					continue
				}
				ok = ok && m.Matches(l.Get(m.Name))
			}
			if ok {
				n++
			}
		}
	}
	return n
}

// seriesOf fetches the page of a component as a job does, and parses it.
func (s *scraping) seriesOf(t *testing.T, job string) (all []labels.Labels) {
	t.Helper()
	var j scrape.Job
	for _, c := range s.cfg.Scrapes {
		if c.Job == job {
			j = s.cfg.scrapeJob(c, nil)
		}
	}
	client, err := config.NewClientFromConfig(j.Access, job)
	must(t, "make a client for "+job, err)
	resp, err := client.Get(j.Targets[0])
	must(t, "get the page of "+job, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, "read the page of "+job, err)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s answered %s: %s", job, resp.Status, tail(string(body), 300))
	}
	p, err := textparse.New(body, resp.Header.Get("Content-Type"), labels.NewSymbolTable(), textparse.ParserOptions{})
	must(t, "parse the page of "+job, err)
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		must(t, "parse the page of "+job, err)
		if entry != textparse.EntrySeries {
			continue
		}
		var l labels.Labels
		p.Labels(&l)
		b := labels.NewBuilder(l)
		b.Set("job", job)
		all = append(all, b.Labels())
	}
}
