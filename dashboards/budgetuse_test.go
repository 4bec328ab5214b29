package dashboards_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/slo"
)

func TestTheBadTimeOfAllObjectivesIsGroupedByIncident(t *testing.T) {
	cfg := sampleConfig()
	part := func(id string, consumed, minutes float64) slo.AttributionPart {
		return slo.AttributionPart{ID: id, Class: "etcd-latency", Cause: slo.Own, Consumed: consumed, BadMinutes: minutes}
	}
	parts := map[string][]slo.AttributionPart{
		"a": {part("INC-1", 0.3, 12), part("INC-2", 0.1, 4), part("INC-3", 0, 0), {ID: slo.Unattributed, Consumed: 0.5, BadMinutes: 20}},
		"b": {part("INC-1", 0.75, 30)},
	}
	cfg.Sources.Objectives = func(context.Context) ([]dashboards.Objective, error) {
		out := []dashboards.Objective{{Name: "broken", Error: "it is"}}
		for _, name := range []string{"a", "b", "c"} {
			o := dashboards.Objective{Name: name, Status: sampleStatus(name, 0.999, 0.5)}
			if parts[name] != nil {
				o.Status.Attribution = &slo.Attribution{Parts: parts[name]}
			}
			out = append(out, o)
		}
		return out, nil
	}
	_, body := page(t, cfg, "/objectives", nil)
	_, body, _ = strings.Cut(body, `id="uses"`)
	order := []string{"INC-1", ">b</a> 75%", ">a</a> 30%", "42 min", "INC-2", "4 min", "Unattributed", ">a</a> 50%", "20 min"}
	at := 0
	for _, want := range order {
		i := strings.Index(body[at:], want)
		if i < 0 {
			t.Fatalf("%q does not come where it should in\n%s", want, body)
		}
		at += i
	}
	if strings.Contains(body, "INC-3") {
		t.Error("an incident that used nothing is listed")
	}
	for i := range 20 {
		parts["a"] = append(parts["a"], part(fmt.Sprintf("MANY-%02d", i), 0.01, 1))
	}
	_, body = page(t, cfg, "/objectives", nil)
	expect(t, "many incidents", body, "11 incidents with less bad time are not shown", "MANY-08", "Unattributed")
	if strings.Contains(body, "MANY-09") {
		t.Error("more incidents than said are shown")
	}
	parts = nil
	if _, body = page(t, cfg, "/objectives", nil); strings.Contains(body, "What used the budgets") {
		t.Error("says what used budgets of which nothing was used")
	}
}
