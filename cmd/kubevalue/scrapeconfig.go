package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/collectors/kube"
	"github.com/kubevalue/kubevalue/collectors/remotewrite"
	"github.com/kubevalue/kubevalue/collectors/scrape"
	"github.com/kubevalue/kubevalue/slo/openslo"
)

// ScrapeConfig is a job: targets whose metrics pages are read in the same way.
type ScrapeConfig struct {
	Job string `yaml:"job"`
	// Targets are URLs, or host:port with Scheme and Path; Files are globs of lists of targets in the format of Prometheus' file_sd.
	Targets []string `yaml:"targets"`
	Files   []string `yaml:"files"`
	// Kubernetes adds the pods of watched clusters, and the endpoints of Services, that ask for it by the annotation prometheus.io/scrape: "true".
	Kubernetes *AnnotatedConfig  `yaml:"kubernetes"`
	Scheme     string            `yaml:"scheme"`
	Path       string            `yaml:"path"`
	Labels     map[string]string `yaml:"labels"`
	// Interval lies between two pages, and Timeout bounds the reading of one.
	Interval Duration     `yaml:"interval"`
	Timeout  Duration     `yaml:"timeout"`
	Access   AccessConfig `yaml:"access"`
	// MaxBody and MaxSeries bound a page; one that is larger counts as not read.
	MaxBody   Size `yaml:"max_body"`
	MaxSeries int  `yaml:"max_series"`
	// MaxTargets bounds the targets that are read, 1000 unless given: those of Kubernetes are as many as others annotate. Those that are listed, in
	// targets or files, count, and are all read.
	MaxTargets int `yaml:"max_targets"`
}

// AnnotatedConfig says which pods and Services may ask for metrics pages to be read.
type AnnotatedConfig struct {
	// Clusters are the watched ones whose pods and Services may, Namespaces theirs; empty: all.
	Clusters   []string `yaml:"clusters"`
	Namespaces []string `yaml:"namespaces"`
}

// found are the pages among all that are asked for. One of a cluster that several ask for is read for the first of them: it would count twice.
func (a AnnotatedConfig) found(all []kube.Target) []scrape.Found {
	var out []scrape.Found
	seen := map[[2]string]bool{}
	for _, t := range all {
		page := [2]string{t.Cluster, t.URL}
		if seen[page] || !among(a.Clusters, t.Cluster) || !among(a.Namespaces, t.Namespace) {
			continue
		}
		seen[page] = true
		labels := map[string]string{"cluster": t.Cluster, "namespace": t.Namespace, "pod": t.Pod}
		if t.Service != "" {
			labels = map[string]string{"cluster": t.Cluster, "namespace": t.Namespace, "service": t.Service}
		}
		out = append(out, scrape.Found{Address: t.URL, Labels: labels})
	}
	return out
}

// among says whether a list has a name, or has none and so means all.
func among(names []string, name string) bool { return len(names) == 0 || slices.Contains(names, name) }

// scrapeJob is a job as it is run; annotated lists the pages of watched clusters that are asked for.
func (c *Config) scrapeJob(s ScrapeConfig, annotated func() []kube.Target) scrape.Job {
	j := scrape.Job{
		Name: s.Job, Targets: s.Targets, Scheme: s.Scheme, Path: s.Path, Labels: s.Labels,
		Interval: time.Duration(s.Interval), Timeout: time.Duration(s.Timeout), Access: c.http(s.Access), Limits: scrape.DefaultLimits,
		MaxTargets: s.MaxTargets,
	}
	for _, file := range s.Files {
		j.Files = append(j.Files, c.path(file))
	}
	if s.Kubernetes != nil {
		j.Discover = func() []scrape.Found { return s.Kubernetes.found(annotated()) }
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
		for _, err := range each(c.scrapeJob(s, nil).Validate()) {
			f.At(path, "%v", err)
		}
		c.checkAccess(f, path+".access", s.Access)
		c.checkAnnotated(f, path, s)
	}
}

// checkAnnotated refuses clusters that nobody watches, and credentials that everybody who may annotate something could ask for.
func (c *Config) checkAnnotated(f *yamlFile, path string, s ScrapeConfig) {
	if s.Kubernetes == nil {
		return
	}
	watched := c.kubeClusters()
	if len(watched) == 0 {
		f.At(path+".kubernetes", "no cluster is watched: give one a kubeconfig under clusters")
	}
	for i, name := range s.Kubernetes.Clusters {
		at := slices.IndexFunc(watched, func(w kube.ClusterConfig) bool { return w.Name == name })
		switch {
		case at < 0:
			f.At(indexed(path+".kubernetes.clusters", i), "%q is no watched cluster: give it a kubeconfig under clusters", name)
		case !watched[at].FindsTargets():
			f.At(indexed(path+".kubernetes.clusters", i), "%q has neither Pod nor both Service and EndpointSlice among its kinds: nothing of it can be found", name)
		}
	}
	if len(s.Kubernetes.Namespaces) == 0 && (s.Access.TokenFile != "" || s.Access.Username != "" || s.Access.CertFile != "") {
		f.At(path+".access", "every pod and every endpoint of a Service that asks for it would be sent these credentials: name the namespaces that are trusted under kubernetes")
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
func (s *service) remoteWrite(memory *collectors.BodyMemory) (*remotewrite.Receiver, error) {
	return remotewrite.New(remotewrite.Config{
		Indicators: s.cfg.writtenIndicators, Authenticate: s.tokens.Authenticate, Sink: s.pipe, Limits: s.cfg.limits(remotewrite.DefaultLimits),
		Memory: memory, Now: s.now, Logger: s.log, Registerer: s.registry, State: s.cfg.stateFile("remotewrite.json"),
	})
}

// scrapes reads the metrics pages of the configured targets.
func (s *service) scrapes(annotated func() []kube.Target) (*scrape.Collector, error) {
	var jobs []scrape.Job
	for _, j := range s.cfg.Scrapes {
		jobs = append(jobs, s.cfg.scrapeJob(j, annotated))
	}
	return scrape.New(scrape.Config{
		Jobs: jobs, Indicators: s.cfg.scrapeIndicators, Sink: s.pipe, Now: s.now, Logger: s.log, Registerer: s.registry,
		State: s.cfg.stateFile("scrape.json"),
	})
}
