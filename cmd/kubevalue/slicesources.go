package main

import (
	"maps"
	"slices"
	"time"

	"github.com/kubevalue/kubevalue/collectors/probe"
	"github.com/kubevalue/kubevalue/collectors/promquery"
	"github.com/kubevalue/kubevalue/collectors/scrape"
	"github.com/kubevalue/kubevalue/slo/openslo"
)

// sliceSources knows where the slices of objectives come from.
type sliceSources struct {
	cfg    *Config
	probes map[string]probe.Target
	// promql are the indicators that Prometheus servers are asked for, by name and revision: objectives may share one.
	promql map[string]promquery.Indicator
	// counted are those that count by the counters of scraped targets.
	counted map[string]scrape.Indicator
	// written are those that count by the counters that Prometheus servers send.
	written map[string]scrape.Indicator
}

func (c *Config) sliceSources() *sliceSources {
	c.documentServers = map[string]string{}
	from := &sliceSources{cfg: c, probes: map[string]probe.Target{}, promql: map[string]promquery.Indicator{}, counted: map[string]scrape.Indicator{}, written: map[string]scrape.Indicator{}}
	for _, p := range c.Probes {
		from.probes[p.Name] = c.target(p)
	}
	return from
}

// prometheus is an indicator that a Prometheus server is asked for.
func (from *sliceSources) prometheus(ind openslo.Indicator, o openslo.Objective) (indicator, time.Duration, error) {
	asked, err := from.cfg.promIndicator(ind, o.Definition.Name, o.SliceWindow)
	if err != nil {
		return indicator{}, 0, err
	}
	at := indicator{Name: asked.Name, Revision: promquery.Revision(asked)}
	from.promql[at.Name+"\x00"+at.Revision] = asked
	return at, asked.Slice, nil
}

// inOrder are the values of a map, in order of its keys.
func inOrder[V any](of map[string]V) []V {
	var out []V
	for _, key := range slices.Sorted(maps.Keys(of)) {
		out = append(out, of[key])
	}
	return out
}
