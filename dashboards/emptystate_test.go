package dashboards_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/journey"
)

// A fleet of which only audit events are known says so once, rather than by columns of dashes.
func TestAFleetThatIsNotWatchedSaysSo(t *testing.T) {
	cfg := sampleConfig()
	fleet := func(silent int) {
		cfg.Sources.Fleet = func(context.Context) ([]dashboards.Cluster, error) {
			var out []dashboards.Cluster
			for i := range 8 {
				c := dashboards.Cluster{Name: fmt.Sprintf("c%d", i), Region: "eu", LastContact: at.Add(-time.Minute), Namespaces: new(7)}
				if i < silent {
					c.LastContact = at.Add(-time.Hour)
				}
				out = append(out, c)
			}
			return out, nil
		}
	}
	for silent, want := range map[int]string{
		0: "8 clusters in 1 region; all of them report.", 2: "6 report now, c0, c1 not.", 6: "2 report now, c0, c1, c2, c3 and 2 more do not.", 8: "none of them reports now.",
	} {
		fleet(silent)
		_, body := page(t, cfg, "/fleet", nil)
		expect(t, "/fleet", body, want, "Versions, nodes and workloads are not known", "Active namespaces")
		for _, column := range []string{"Measured, last 7 days", ">Nodes<", ">Workloads<", ">Age<", ">Version<"} {
			if strings.Contains(body, column) {
				t.Errorf("a fleet that is not watched has the column %s", column)
			}
		}
	}
}

// A budget that lasts for months at the present rate is no warning.
func TestAFarForecastIsNoWarning(t *testing.T) {
	for days, want := range map[int]string{10: "at this rate used up on", 40: "within budget", 200: "within budget"} {
		cfg := sampleConfig()
		detail := func(ctx context.Context, name string) (dashboards.ObjectiveDetail, error) {
			d, err := sampleObjective(ctx, name)
			if d.Status != nil {
				s := *d.Status
				s.Alerts, s.Remaining, s.LowCoverage = nil, new(0.5), false
				s.Forecast.At, s.Forecast.Exhausted = new(s.At.AddDate(0, 0, days)), false
				d.Status = &s
			}
			return d, err
		}
		cfg.Sources.Objective = detail
		_, body := page(t, cfg, "/objectives/api-eu", nil)
		expect(t, fmt.Sprintf("used up in %d days", days), body, want)
		if far := strings.Contains(body, "lasts for more than a quarter"); far != (days == 200) {
			t.Errorf("used up in %d days: more than a quarter %v", days, far)
		}
	}
}

// Bars of one length say nothing: values that hardly differ have none.
func TestASplitIntoEqualPartsHasNoBars(t *testing.T) {
	for spread, bars := range map[float64]bool{0.001: false, 0.2: true} {
		cfg := sampleConfig()
		cfg.Sources.Split = func(ctx context.Context, id, period, by string) ([]journey.Value, error) {
			values, err := sampleSplit(ctx, id, period, by)
			for i := range values {
				values[i].Value, values[i].Withheld = new(0.999-spread*float64(i)), ""
			}
			return values[:3], err
		}
		_, body := page(t, cfg, "/metric/C15", nil)
		_, split, _ := strings.Cut(body, `id="split"`)
		split, _, _ = strings.Cut(split, "</section>")
		if got := strings.Contains(split, `class="bar"`); got != bars {
			t.Errorf("values that differ by %v: bars %v, want %v", spread, got, bars)
		}
	}
}
