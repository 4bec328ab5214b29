package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/kubevalue/kubevalue/collectors/remotewrite"
	"github.com/kubevalue/kubevalue/collectors/scrape"
	"github.com/kubevalue/kubevalue/slo/openslo"
)

// ScrapeConfig is a job: targets whose metrics pages are read in the same way.
type ScrapeConfig struct {
	Job string `yaml:"job"`
	// Targets are URLs, or host:port with Scheme and Path; Files are globs of lists of targets in the format of Prometheus' file_sd.
	Targets []string          `yaml:"targets"`
	Files   []string          `yaml:"files"`
	Scheme  string            `yaml:"scheme"`
	Path    string            `yaml:"path"`
	Labels  map[string]string `yaml:"labels"`
	// Interval lies between two pages, and Timeout bounds the reading of one.
	Interval Duration     `yaml:"interval"`
	Timeout  Duration     `yaml:"timeout"`
	Access   AccessConfig `yaml:"access"`
	// MaxBody and MaxSeries bound a page; one that is larger counts as not read.
	MaxBody   Size `yaml:"max_body"`
	MaxSeries int  `yaml:"max_series"`
}

// scrapeJob is a job as it is run.
func (c *Config) scrapeJob(s ScrapeConfig) scrape.Job {
	j := scrape.Job{
		Name: s.Job, Targets: s.Targets, Scheme: s.Scheme, Path: s.Path, Labels: s.Labels,
		Interval: time.Duration(s.Interval), Timeout: time.Duration(s.Timeout), Access: c.http(s.Access), Limits: scrape.DefaultLimits,
	}
	for _, file := range s.Files {
		j.Files = append(j.Files, c.path(file))
	}
	if s.MaxBody != 0 {
		j.Limits.Body = int64(s.MaxBody)
	}
	if s.MaxSeries != 0 {
		j.Limits.Series = s.MaxSeries
	}
	return j.WithDefaults()
}

func (c *Config) checkScrapes(f *yamlFile) {
	seen := map[string]bool{}
	for i, s := range c.Scrapes {
		path := indexed("scrapes", i)
		if seen[s.Job] {
			f.At(path+".job", "%q stands here twice", s.Job)
		}
		seen[s.Job] = true
		for _, err := range each(c.scrapeJob(s).Validate()) {
			f.At(path, "%v", err)
		}
		c.checkAccess(f, path+".access", s.Access)
	}
}

// scraped is an indicator that counts by the counters of scraped targets.
func (from *sliceSources) scraped(ind openslo.Indicator, o openslo.Objective) (indicator, time.Duration, error) {
	if len(from.cfg.Scrapes) == 0 {
		return indicator{}, 0, errors.New("it counts by the counters of scraped targets, and none is configured: list them under scrapes")
	}
	return counterIndicator(ind, o, from.counted)
}

// counterIndicator reads an indicator whose sources are selectors of counters, and adds it to those of its kind.
func counterIndicator(ind openslo.Indicator, o openslo.Objective, into map[string]scrape.Indicator) (indicator, time.Duration, error) {
	kind := ind.Type()
	if !ind.Counter || ind.Total == nil {
		return indicator{}, 0, fmt.Errorf("a metricSource of type %s counts events by counters: want ratioMetric with counter: true, total, and good or bad", kind)
	}
	out := scrape.Indicator{Name: orElse(ind.Name, o.Definition.Name), Slice: o.SliceWindow}
	for _, part := range []struct {
		of *openslo.MetricSource
		at *string
	}{{ind.Good, &out.Good}, {ind.Bad, &out.Bad}, {ind.Total, &out.Total}} {
		if part.of == nil {
			continue
		}
		query, ok := part.of.Spec["query"].(string)
		if !ok || len(part.of.Spec) != 1 {
			return indicator{}, 0, fmt.Errorf("a metricSource of type %s has spec {query: SELECTOR}, e.g. requests_total{code=~\"5..\"}", kind)
		}
		*part.at = query
	}
	out = out.WithDefaults()
	if err := out.Validate(); err != nil {
		return indicator{}, 0, err
	}
	at := indicator{Name: out.Name, Revision: scrape.Revision(out)}
	into[at.Name+"\x00"+at.Revision] = out
	return at, out.Slice, nil
}

// remoteWrite counts what Prometheus servers send.
func (s *service) remoteWrite() (*remotewrite.Receiver, error) {
	return remotewrite.New(remotewrite.Config{
		Indicators: s.cfg.writtenIndicators, Authenticate: s.tokens.Authenticate, Sink: s.pipe, Limits: s.cfg.limits(remotewrite.DefaultLimits),
		Now: s.now, Logger: s.log, Registerer: s.registry,
	})
}

// scrapes reads the metrics pages of the configured targets.
func (s *service) scrapes() (*scrape.Collector, error) {
	var jobs []scrape.Job
	for _, j := range s.cfg.Scrapes {
		jobs = append(jobs, s.cfg.scrapeJob(j))
	}
	return scrape.New(scrape.Config{
		Jobs: jobs, Indicators: s.cfg.scrapeIndicators, Sink: s.pipe, Now: s.now, Logger: s.log, Registerer: s.registry,
	})
}
