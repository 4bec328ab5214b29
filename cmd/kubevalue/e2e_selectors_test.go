//go:build e2e

package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/common/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/kubevalue/kubevalue/collectors/scrape"
	"github.com/kubevalue/kubevalue/schema"
)

// checkSelectors looks on the real pages for what the objectives of a control plane select: Good and Total must match series, and of Bad,
// which nothing may match as long as nothing fails, all but the label that tells of the failure.
func (s *scraping) checkSelectors(t *testing.T) {
	t.Helper()
	var series []pageSeries
	for _, job := range []string{"apiserver", "scheduler", "controller-manager", "etcd"} {
		series = append(series, s.seriesOf(t, job)...)
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
			if n, _ := matching(series, matchers, what == "bad"); n == 0 {
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

// pageSeries is a series of a page with its value.
type pageSeries struct {
	labels.Labels
	value float64
}

// matching counts the series that have what all matchers want, and adds up their values. Where outcomes need not match, their labels must
// be there.
func matching(page []pageSeries, matchers []*labels.Matcher, anyOutcome bool) (n int, sum float64) {
	for _, series := range page {
		ok := true
		for _, m := range matchers {
			if anyOutcome && outcomes[m.Name] {
				ok = ok && series.Has(m.Name)
				continue
			}
			ok = ok && m.Matches(series.Get(m.Name))
		}
		if ok {
			n++
			sum += series.value
		}
	}
	return n, sum
}

// onPages is what the pages of components, which are told by objective, say at this moment of the objectives that count by them.
func (s *scraping) onPages(t *testing.T, jobs map[string]string) map[string]schema.Slice {
	t.Helper()
	sums := map[string]schema.Slice{}
	for _, ind := range s.cfg.scrapeIndicators {
		job := jobs[ind.Name]
		if job == "" {
			continue
		}
		page := s.seriesOf(t, job)
		value := func(selector string) float64 {
			matchers, err := parser.NewParser(parser.Options{}).ParseMetricSelector(selector)
			must(t, "parse "+selector, err)
			_, sum := matching(page, matchers, false)
			return sum
		}
		sum := schema.Slice{Total: value(ind.Total)}
		if ind.Good != "" {
			sum.Good = value(ind.Good)
		} else {
			sum.Good = sum.Total - value(ind.Bad)
		}
		sums[ind.Name] = sum
	}
	if len(sums) != len(jobs) {
		t.Fatalf("not all of %v are objectives", jobs)
	}
	return sums
}

// awaitAsOnPages waits until the slices of objectives have counted at least what happened on the pages since before, and no more than the
// pages have ever counted: how much of it is good is for the components to say, since it depends on the machine.
func (s *scraping) awaitAsOnPages(t *testing.T, jobs map[string]string, before map[string]schema.Slice) {
	t.Helper()
	for objective, after := range s.onPages(t, jobs) {
		then := before[objective]
		good, bad := after.Good-then.Good, (after.Total-after.Good)-(then.Total-then.Good)
		if good+bad == 0 {
			t.Errorf("%s: nothing happened on the page of %s", objective, jobs[objective])
		}
		var sum schema.Slice
		eventually(t, objective+" is counted", func() error {
			if sum = s.sums(t, objective); sum.Good < good || sum.Total-sum.Good < bad {
				return fmt.Errorf("%v good of %v, want %v good and %v bad, or more", sum.Good, sum.Total, good, bad)
			}
			return nil
		})
		if most := s.onPages(t, map[string]string{objective: jobs[objective]})[objective]; sum.Good > most.Good || sum.Total-sum.Good > most.Total-most.Good {
			t.Errorf("%s: %v good of %v, and %s has counted %v of %v only", objective, sum.Good, sum.Total, jobs[objective], most.Good, most.Total)
		}
		t.Logf("%s: %v good of %v", objective, sum.Good, sum.Total)
	}
}

// seriesOf fetches the page of a component as a job does, and parses it.
func (s *scraping) seriesOf(t *testing.T, job string) (all []pageSeries) {
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
		_, _, value := p.Series()
		all = append(all, pageSeries{b.Labels(), value})
	}
}
