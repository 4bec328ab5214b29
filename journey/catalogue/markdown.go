package catalogue

import (
	"fmt"
	"strings"

	"github.com/kubevalue/kubevalue/journey"
)

// Markdown writes the page of the metrics, journey/METRICS.md.
func Markdown(metrics []journey.Metric) string {
	var b strings.Builder
	b.WriteString(`# Metrics

Generated from the files in journey/catalogue by ` + "`make generate`" + `; a test fails when it is stale. Ratios are 0..1, intervals hold 95%,
periods are calendar periods of the reporting zone. What a figure is worth is said beside it: n, the interval, the coverage.
Namespaces of Kubernetes itself are kube-system, kube-public, kube-node-lease and default.

| Metric | Unit | Good | Phase | For |
|---|---|---|---|---|
`)
	for _, m := range metrics {
		fmt.Fprintf(&b, "| [%s %s](#%s) | %s | %s | %s | %s |\n", m.ID, m.Title, anchor(m), m.Unit, m.Direction, m.Phase, readable(m.Perspectives))
	}
	for _, m := range metrics {
		page(&b, m)
	}
	return b.String()
}

// anchor is the name that Markdown viewers give the heading of a metric.
func anchor(m journey.Metric) string {
	title := strings.ToLower(m.ID + " " + m.Title)
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', '0' <= r && r <= '9', 'a' <= r && r <= 'z':
			return r
		}
		return -1
	}, title)
}

func readable(names []string) string {
	return strings.ReplaceAll(strings.Join(names, ", "), "_", " ")
}

func page(b *strings.Builder, m journey.Metric) {
	fmt.Fprintf(b, "\n## %s %s\n\n*%s*\n\n%s\n\n", m.ID, m.Title, m.Question, strings.TrimSpace(m.Definition))
	dimensions := "none"
	if len(m.Dimensions) > 0 {
		dimensions = strings.Join(m.Dimensions, ", ")
	}
	fmt.Fprintf(b, "- Unit: %s; good is %s. Phase %s, activity %s.\n", m.Unit, m.Direction, m.Phase, m.Activity)
	fmt.Fprintf(b, "- For: %s. Sources: %s. Dimensions: %s.\n", readable(m.Perspectives), strings.Join(m.Sources, ", "), dimensions)
	fmt.Fprintf(b, "- Interval: %s. Minimum sample: %d. Small groups: %s.\n", strings.ReplaceAll(string(m.Interval), "_", " "), m.MinSample, m.SmallGroup)
	fmt.Fprintf(b, "- Stability: %s, version %d.\n", m.Stability, m.Version)
	switch {
	case m.Analysis != nil:
		fmt.Fprintf(b, "- Computed by the analysis %s of %ss%s.\n", m.Analysis.Name, m.Analysis.Entity, within(m.Analysis))
	case m.Objective != nil:
		fmt.Fprintf(b, "- Taken from the SLO engine: %s, %s over the objectives.\n", m.Objective.Figure, m.Objective.Combine)
	case m.SQL != nil:
		for _, s := range m.SQL.Statements() {
			title := strings.ToUpper(s.Name[:1]) + s.Name[1:]
			if s.SQL == strings.TrimSpace(m.SQL.Sample) {
				title += ", of which the " + string(m.SQL.Statistic)
			}
			fmt.Fprintf(b, "\n%s:\n\n```sql\n%s\n```\n", title, s.SQL)
		}
	}
}

func within(a *journey.MetricAnalysis) string {
	if len(a.Reach) == 0 {
		return ""
	}
	start := "the first value event"
	if len(a.Start) > 0 {
		start = strings.Join(a.Start, ", ")
	}
	return fmt.Sprintf(": from %s to %s, within %s", start, strings.Join(a.Reach, ", "), a.Horizon)
}
