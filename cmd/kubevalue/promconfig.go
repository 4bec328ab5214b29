package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/common/config"

	"github.com/kubevalue/kubevalue/collectors/promquery"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/slo/openslo"
)

// PrometheusConfig is a Prometheus server that objectives ask.
type PrometheusConfig struct {
	// Name is what metricSourceRef says; sources without one ask the only server.
	Name   string       `yaml:"name"`
	URL    string       `yaml:"url"`
	Access AccessConfig `yaml:"access"`
	// Lag is how long after the end of a slice it is asked for.
	Lag Duration `yaml:"lag"`
}

// AccessConfig is how a server is reached; files are read again when they change.
type AccessConfig struct {
	TokenFile    string `yaml:"token_file"`
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"password_file"`
	CAFile       string `yaml:"ca_file"`
	CertFile     string `yaml:"cert_file"`
	KeyFile      string `yaml:"key_file"`
	ServerName   string `yaml:"server_name"`
	// InsecureSkipVerify accepts any certificate.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify"`
}

// http is the access as clients of Prometheus's own libraries take it.
func (c *Config) http(a AccessConfig) config.HTTPClientConfig {
	out := config.HTTPClientConfig{EnableHTTP2: true, TLSConfig: config.TLSConfig{
		CAFile: c.path(a.CAFile), CertFile: c.path(a.CertFile), KeyFile: c.path(a.KeyFile), ServerName: a.ServerName, InsecureSkipVerify: a.InsecureSkipVerify,
	}}
	if a.Username != "" {
		out.BasicAuth = &config.BasicAuth{Username: a.Username, PasswordFile: c.path(a.PasswordFile)}
	}
	if a.TokenFile != "" {
		out.Authorization = &config.Authorization{Type: "Bearer", CredentialsFile: c.path(a.TokenFile)}
	}
	return out
}

// checkAccess names what does not fit together.
func (c *Config) checkAccess(f *yamlFile, path string, a AccessConfig) {
	switch {
	case a.TokenFile != "" && a.Username != "":
		f.At(path+".token_file", "choose one: token_file, or username with password_file")
	case (a.Username == "") != (a.PasswordFile == ""):
		f.At(path+".username", "username and password_file go together")
	}
	if (a.CertFile == "") != (a.KeyFile == "") {
		f.At(path+".cert_file", "cert_file and key_file go together")
	}
}

func (c *Config) checkPrometheus(f *yamlFile) {
	seen := map[string]bool{}
	for i, p := range c.Prometheus {
		path := indexed("prometheus", i)
		if p.Name == "" && len(c.Prometheus) > 1 {
			f.At(path+".name", "one of several servers needs a name: objectives refer to it by metricSourceRef")
		} else if seen[p.Name] {
			f.At(path+".name", "%q stands here twice", p.Name)
		}
		seen[p.Name] = true
		if !httpURL(p.URL) {
			f.At(path+".url", "%q is no http(s) URL; write http://prometheus:9090", p.URL)
		}
		if p.Lag < 0 || p.Lag > Duration(time.Hour) {
			f.At(path+".lag", "%s is outside 0s..1h; 30s is the default", time.Duration(p.Lag))
		}
		c.checkAccess(f, path+".access", p.Access)
	}
}

// checkIdle doubts sources that no objective counts by: they are left alone, and nothing tells whether they can be reached.
func (c *Config) checkIdle(f *yamlFile) {
	if _, err := c.loadObjectives(); err != nil {
		return // checkObjectives has said so
	}
	if len(c.Scrapes) > 0 && len(c.scrapeIndicators) == 0 {
		c.doubts = append(c.doubts, f.fault("scrapes", "no objective counts by them, so no page is read: want one with metricSource {type: scrape}; `kubevalue slo control-plane` prints some"))
	}
	asked := map[string]bool{}
	for _, i := range c.promIndicators {
		asked[i.Server] = true
	}
	for i, p := range c.Prometheus {
		if !asked[p.Name] {
			c.doubts = append(c.doubts, f.fault(indexed("prometheus", i), "no objective asks it: want one with metricSource {type: Prometheus, spec: {query: …}}"))
		}
	}
}

// promIndicator reads an indicator of type Prometheus, with slices of a length, 0 for the usual one.
func (c *Config) promIndicator(ind openslo.Indicator, objective string, slice time.Duration) (promquery.Indicator, error) {
	out := promquery.Indicator{Name: ind.Name, Counter: ind.Counter, RawFailure: ind.RawType == "failure", Op: ind.Op, Value: ind.Value, Slice: slice}
	if out.Name == "" {
		out.Name = objective
	}
	servers := map[string]bool{}
	for _, s := range ind.Sources() {
		query, ok := s.Spec["query"].(string)
		if !ok {
			return out, fmt.Errorf("a metricSource of type Prometheus needs spec {query: PROMQL}")
		}
		for key := range s.Spec {
			if key != "query" {
				return out, fmt.Errorf("a metricSource of type Prometheus has spec {query: PROMQL}, and %q means nothing in it", key)
			}
		}
		for _, into := range []struct {
			of *openslo.MetricSource
			at *string
		}{{ind.Good, &out.Good}, {ind.Bad, &out.Bad}, {ind.Total, &out.Total}, {ind.Raw, &out.Raw}, {ind.Threshold, &out.Threshold}} {
			if into.of == s {
				*into.at = query
			}
		}
		name, err := c.serverOf(s.Ref, ind.Connection)
		if err != nil {
			return out, err
		}
		servers[name], out.Server = true, name
	}
	if len(servers) > 1 {
		return out, fmt.Errorf("its metric sources are on several Prometheus servers: want one for both")
	}
	out = out.WithDefaults()
	return out, out.Validate()
}

// promNames are the names of the configured servers.
func (c *Config) promNames() []string {
	var names []string
	for _, p := range c.Prometheus {
		if p.Name != "" {
			names = append(names, p.Name)
		}
	}
	return names
}

// serverOf is the name of the server that a metricSourceRef means: the configured one of that name, else the one whose url the
// connectionDetails of the DataSource have, else the only configured one.
func (c *Config) serverOf(ref string, connection map[string]any) (string, error) {
	var names []string
	for _, p := range c.Prometheus {
		if p.Name == ref && ref != "" {
			return ref, nil
		}
		names = append(names, p.Name)
	}
	if url, ok := connection["url"].(string); ok && ref != "" {
		if !httpURL(url) {
			return "", fmt.Errorf("the DataSource %q has the url %q, which is no http(s) URL", ref, url)
		}
		c.documentServers[ref] = url
		return ref, nil
	}
	switch {
	case len(names) == 0:
		return "", fmt.Errorf("it asks a Prometheus server, and none is configured: list it under prometheus, or give the DataSource connectionDetails {url: …}")
	case len(names) == 1:
		return names[0], nil
	case ref == "":
		return "", fmt.Errorf("which Prometheus server? name one by metricSourceRef: %s", strings.Join(names, ", "))
	}
	return "", fmt.Errorf("there is no Prometheus server %q in the configuration%s", ref, suggestion(ref, names))
}

// promSources are the configured servers.
func (c *Config) promSources() (map[string]promquery.Source, error) {
	out := map[string]promquery.Source{}
	for name, url := range c.documentServers {
		server, err := promquery.NewServer(url, c.http(AccessConfig{}))
		if err != nil {
			return nil, err
		}
		out[name] = promquery.Source{Ask: server.Ask}
	}
	for _, p := range c.Prometheus {
		server, err := promquery.NewServer(p.URL, c.http(p.Access))
		if err != nil {
			return nil, err
		}
		out[p.Name] = promquery.Source{Ask: server.Ask, Lag: time.Duration(p.Lag)}
	}
	return out, nil
}

// promQueries follows the objectives that ask Prometheus servers.
func (s *service) promQueries() (*promquery.Collector, error) {
	servers, err := s.cfg.promSources()
	if err != nil {
		return nil, err
	}
	known := func(ctx context.Context, q schema.SliceQuery) ([]schema.Slice, error) { return s.db.Slices(ctx, q) }
	return promquery.New(promquery.Config{
		Indicators: s.cfg.promIndicators, Servers: servers, Sink: s.pipe, Known: known, Now: s.now, Logger: s.log, Registerer: s.registry,
	})
}
