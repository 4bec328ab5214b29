package dashboards_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/kubevalue/kubevalue/dashboards"
)

func TestTheMetricPageShowsWhatWasPublishedAndWhyItWasRevised(t *testing.T) {
	code, body := page(t, sampleConfig(), "/metric/C15?period=2026-W46", nil)
	if code != 200 {
		t.Fatalf("answered %d", code)
	}
	_, values, found := strings.Cut(body, `id="values"`)
	values, rest, _ := strings.Cut(values, `aria-labelledby="how"`)
	if !found || rest == "" {
		t.Fatal("there is no section of values")
	}
	expect(t, "the values", values, "Published: 10 of these 12 periods. Revised: 1.", "<td>not yet</td>", "<td>5 Nov 2026</td>",
		`<td>as 55%, 29 Oct 2026</td>`, "Thu 29 Oct 2026 00:00 CET", "Mon 2 Nov 2026 00:00 CET", "<td>late data</td>", "the period closed", "version 1")
	if n := strings.Count(values, "2026-W43"); n != 3 { // the value and two revisions
		t.Errorf("2026-W43 is named %d times among the values, want 3", n)
	}
	if strings.Contains(values, "as 65%,") || strings.Count(values, ", 29 Oct 2026") != 1 {
		t.Error("what was published as it is shown is repeated")
	}
}

func TestAMetricPageWithoutPublishedValues(t *testing.T) {
	cfg := sampleConfig()
	cfg.Sources.Published = nil
	_, body := page(t, cfg, "/metric/C15", nil)
	if strings.Contains(body, ">Published<") || strings.Contains(body, "Revisions") {
		t.Error("speaks of published values that are not connected")
	}
	cfg.Sources.Published = func(context.Context, string, string, int) ([]dashboards.Revision, error) { return nil, nil }
	_, body = page(t, cfg, "/metric/C15", nil)
	expect(t, "nothing published", body, "Published: 0 of these 12 periods.", "not yet")
	cfg.Sources.Published = func(context.Context, string, string, int) ([]dashboards.Revision, error) {
		return nil, errors.New("away")
	}
	_, body = page(t, cfg, "/metric/C15", nil)
	expect(t, "a failing source", body, "what was published could not be computed now", "27 of 40")
}
