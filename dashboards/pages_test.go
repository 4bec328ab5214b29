package dashboards_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/analysis"
	"github.com/kubevalue/kubevalue/reports"
)

// page asks for a page of a service as a browser does.
func page(t *testing.T, cfg dashboards.Config, path string, edit func(*http.Request)) (code int, body string) {
	t.Helper()
	w := get(dashboards.New(cfg), http.MethodGet, path, func(r *http.Request) {
		r.Header.Set("Accept", "text/html,application/xhtml+xml")
		if edit != nil {
			edit(r)
		}
	})
	return w.Code, w.Body.String()
}

func expect(t *testing.T, path, body string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(body, want) {
			t.Errorf("%s lacks %q", path, want)
		}
	}
}

func TestEachPageSaysItAllWithoutCharts(t *testing.T) {
	for path, wants := range map[string][]string{
		"/":                        {`aria-label="from `, `scope="row"`, "Looked at by", "How to read it", "2026-W45", "withheld: small group"},
		"/?period=2026-11":         {"November 2026", "not over yet", "2026-10"},
		"/?period=2026-Q3":         {"Quarter 3 of 2026", "2026-Q4"},
		"/metric/C15":              {"Week 46 of 2026", "27 of 40", "53.5% to 80.5%", "WHERE 1 &lt; 2", "Europe/Berlin", "The band is the 95% interval.", "method: wilson", "version 1, stable"},
		"/metric/A1":               {"Parameters of this period", "<code>starts</code>", "1794178800000", "none for this figure"},
		"/objectives":              {"2 of 6 objectives within budget, 1 used up or with a firing alert, 1 on the way to be used up, 2 that cannot be judged.", "alert firing: ticket", "too little measured", "indicator probe/build has none", "at this rate used up on Thu 19 Nov", "What used the budgets"},
		"/objectives/api-eu":       {"−12%", "−4.84 min of 40.3 min over 28d", "INC-41", "etcd-latency", "69.4%", "Unattributed", "1 of 2 done", "announced upgrade (Runtime EU)", "error ratio = 45 bad / 40038 valid slices", "the nearest is ticket 3d/6h, at 106% of it", "From 100% to −12% of the budget. Bands with a name are 2 incidents."},
		"/objectives/broken":       {"indicator probe/build has none", "not computed"},
		"/adoption":                {"In 2026-W46, 27 of 40 eligible teams used the platform (67.5%); of the 33 that may choose, 22 did (66.7%).", "ledger", "1 too small to be named", "4 more eligible teams", "2 new, 21 retained, 2 resurrected", "From 13 in 2026-W21 to 27 in 2026-W46."},
		"/adoption?of=people":      {"193 retained", "cohorts of few people withheld."},
		"/adoption?period=2026-10": {"October 2026", "2025-11"},
		"/fleet":                   {"13 clusters in 4 regions; 11 report now, ap-south-dev, us-west-edge not.", "refused: the token has expired", "53 h ago", "v1.36.4", "alert firing: ticket"},
	} {
		code, body := page(t, sampleConfig(), path, nil)
		if code != http.StatusOK {
			t.Errorf("%s answered %d: %s", path, code, body)
		}
		expect(t, path, body, wants...)
	}
}

func TestMarkupIsWellFormedForReadersAndPolicy(t *testing.T) {
	ids := regexp.MustCompile(` id="([^"]+)"`)
	labelled := regexp.MustCompile(`aria-labelledby="([^"]+)"`)
	for _, path := range []string{"/", "/metric/C15", "/objectives", "/objectives/api-eu", "/adoption", "/fleet"} {
		_, body := page(t, sampleConfig(), path, nil)
		expect(t, path, body, `<html lang="en">`, `<a class="skip" href="#content">`, `<main id="content"`, "<header>", "<footer>", `<nav aria-label="Pages">`, `aria-current="page"`)
		seen := map[string]bool{}
		for _, m := range ids.FindAllStringSubmatch(body, -1) {
			if seen[m[1]] {
				t.Errorf("%s has two elements with the id %s", path, m[1])
			}
			seen[m[1]] = true
		}
		for _, m := range labelled.FindAllStringSubmatch(body, -1) {
			if !seen[m[1]] {
				t.Errorf("%s: nothing has the id %s, by which a section is labelled", path, m[1])
			}
		}
		for _, forbidden := range []string{" style=", "javascript:", "ZgotmplZ", "<no value>", "%!"} {
			if strings.Contains(body, forbidden) {
				t.Errorf("%s has %q", path, forbidden)
			}
		}
		for _, script := range regexp.MustCompile(`<script[^>]*>`).FindAllString(body, -1) {
			if !strings.Contains(script, ` src="/assets/`) && script != `<script type="application/json">` {
				t.Errorf("%s has the script %s, which its policy forbids", path, script)
			}
		}
		if n, m := strings.Count(body, "<th"), strings.Count(body, "<th scope=")+strings.Count(body, "<thead>"); n != m {
			t.Errorf("%s has %d header cells without a scope", path, n-m)
		}
	}
}

func TestPagesCarryAStrictPolicy(t *testing.T) {
	w := get(dashboards.New(sampleConfig()), http.MethodGet, "/adoption", nil)
	policy := w.Header().Get("Content-Security-Policy")
	expect(t, "the policy", policy, "default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'")
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
		t.Errorf("the policy is %q", policy)
	}
	if w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("pages may be kept: %q", w.Header().Get("Cache-Control"))
	}
}

func TestAssetsAreCompressedAndKeptByDigest(t *testing.T) {
	h := dashboards.New(sampleConfig())
	_, body := page(t, sampleConfig(), "/adoption", nil)
	addresses := regexp.MustCompile(`/assets/[a-z]+\.[a-z]+\?[0-9a-f]+`).FindAllString(body, -1)
	slices.Sort(addresses)
	if addresses = slices.Compact(addresses); len(addresses) != 4 {
		t.Fatalf("the page loads %v", addresses)
	}
	for _, address := range addresses {
		plain := get(h, http.MethodGet, address, nil)
		zipped := get(h, http.MethodGet, address, func(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip, br") })
		if plain.Code != http.StatusOK || zipped.Header().Get("Content-Encoding") != "gzip" || zipped.Body.Len() >= plain.Body.Len() {
			t.Errorf("%s: answered %d, %d bytes, %d compressed", address, plain.Code, plain.Body.Len(), zipped.Body.Len())
		}
		if kept := plain.Header().Get("Cache-Control"); !strings.Contains(kept, "immutable") {
			t.Errorf("%s may be kept: %q", address, kept)
		}
		name, _, _ := strings.Cut(address, "?")
		if kept := get(h, http.MethodGet, name, nil).Header().Get("Cache-Control"); kept != "no-cache" {
			t.Errorf("%s without its digest may be kept: %q", name, kept)
		}
		again := get(h, http.MethodGet, address, func(r *http.Request) { r.Header.Set("If-None-Match", plain.Header().Get("ETag")) })
		if again.Code != http.StatusNotModified || again.Body.Len() != 0 {
			t.Errorf("%s: asked again, answered %d with %d bytes", address, again.Code, again.Body.Len())
		}
	}
	if w := get(h, http.MethodGet, "/assets/secrets", nil); w.Code != http.StatusNotFound {
		t.Errorf("an unknown asset answered %d", w.Code)
	}
}

func TestPartsWithoutASourceSaySo(t *testing.T) {
	cfg := sampleConfig()
	cfg.Sources = dashboards.Sources{Journey: sampleJourney, Objectives: sampleObjectives, Metric: sampleMetric}
	for path, wants := range map[string][]string{
		"/":                  {"Journey map"},
		"/metric/C15":        {"Parameters of this period", "FROM activity"},
		"/objectives/api-eu": {"no source of the burn-down is connected", "kubevalue slo explain api-eu", "ticket 3d/6h"},
		"/adoption":          {"no source of adoption is connected", "no source of activity is connected", "no source of the lifecycle is connected", "no source of retention is connected", "no source of joined and left teams is connected"},
		"/fleet":             {"no source of clusters is connected"},
	} {
		code, body := page(t, cfg, path, nil)
		if code != http.StatusOK {
			t.Errorf("%s answered %d", path, code)
		}
		expect(t, path, body, wants...)
	}
	if w := get(dashboards.New(cfg), http.MethodGet, "/api/v1/metrics", nil); w.Code != http.StatusNotFound {
		t.Errorf("/api/v1/metrics answered %d without a catalogue", w.Code)
	}
}

func TestAFailingPartLeavesTheOthers(t *testing.T) {
	cfg := sampleConfig()
	broken := errors.New("the warehouse is away")
	cfg.Sources.Lifecycle = func(context.Context, analysis.Entity, dashboards.Span) ([]analysis.LifecycleRow, error) {
		return nil, broken
	}
	cfg.Sources.Teams = func(context.Context, string) (reports.Adoption, error) { return reports.Adoption{}, broken }
	cfg.Sources.Series = func(context.Context, []string, dashboards.Span) (map[string][]journey.Value, error) {
		return nil, broken
	}
	cfg.Sources.Statements = func(context.Context, string, string) ([]dashboards.Statement, error) { return nil, broken }
	for path, wants := range map[string][]string{
		"/":           {"At a glance", "67.5%"},
		"/adoption":   {"the lifecycle could not be computed now", "joined and left teams could not be computed now", "27 of 40 eligible teams"},
		"/metric/C15": {"the statements as they were run could not be computed now", "FROM activity"},
	} {
		code, body := page(t, cfg, path, nil)
		if code != http.StatusOK || strings.Contains(body, "warehouse") {
			t.Errorf("%s answered %d, or tells what only the log should: %t", path, code, strings.Contains(body, "warehouse"))
		}
		expect(t, path, body, wants...)
	}
}

// Each value leads to what it is made of: by cluster or team, by the statements of its definition, and by those behind its coverage.
func TestTheMetricPageExplainsItsValue(t *testing.T) {
	_, body := page(t, sampleConfig(), "/metric/C15?period=2026-W46&by=cluster", nil)
	expect(t, "/metric/C15", body, "By cluster", "withheld: small group", ">numerator<", ">denominator<", "FROM activity", "It returned 1 row in 34 ms",
		"coverage: the hours in which sources reported (13 rows", "1763334000000", "kubevalue metric explain C15", `href="/metric/C15?by=team&amp;period=2026-W46#split"`)
	order := []string{"ap-south-prod-a", "us-east-prod-a", "eu-central-prod-a", "withheld: small group", "numerator", "source_hours"}
	for i := 1; i < len(order); i++ {
		if strings.Index(body, order[i-1]) >= strings.Index(body, order[i]) {
			t.Errorf("%s does not come before %s: the worst is wanted first", order[i-1], order[i])
		}
	}
	_, body = page(t, sampleConfig(), "/metric/C15?by=nonsense", nil)
	expect(t, "an unknown dimension", body, "By cluster")
	cfg := sampleConfig()
	cfg.Sources.Split = func(context.Context, string, string, string) ([]journey.Value, error) { return nil, errors.New("away") }
	_, body = page(t, cfg, "/metric/C15", nil)
	expect(t, "a failing split", body, "the split by cluster could not be computed now", "How it is computed")
	_, body = page(t, sampleConfig(), "/metric/O3", nil)
	expect(t, "/metric/O3", body, "Error budget remaining, worst objective", "By objective", "the worst one")
}

func TestBrowsersGetProblemsAsPages(t *testing.T) {
	for path, want := range map[string]struct {
		code int
		text string
	}{
		"/metric/none":            {http.StatusNotFound, "the metric none does not exist"},
		"/objectives/<b>":         {http.StatusNotFound, "the objective &lt;b&gt; does not exist"},
		"/nowhere":                {http.StatusNotFound, "there is nothing at this address"},
		"/?period=2026-W60":       {http.StatusBadRequest, "2026-W60"},
		"/adoption?period=2026-W": {http.StatusBadRequest, "want a week"},
	} {
		code, body := page(t, sampleConfig(), path, nil)
		if code != want.code || !strings.Contains(body, "<h1>") {
			t.Errorf("%s answered %d %s", path, code, body)
		}
		expect(t, path, body, want.text)
	}
}

func TestVisitsAreCountedOfPeopleOnly(t *testing.T) {
	browser := func(r *http.Request) { r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0") }
	visits := func(path string, edit func(*http.Request)) []dashboards.Visit {
		var out []dashboards.Visit
		cfg := sampleConfig()
		cfg.UserHeader = "X-Forwarded-User"
		cfg.Sources.Visit = func(_ context.Context, v dashboards.Visit) { out = append(out, v) }
		page(t, cfg, path, func(r *http.Request) {
			browser(r)
			if edit != nil {
				edit(r)
			}
		})
		return out
	}
	for path, want := range map[string]string{"/": "journey", "/metric/C15": "metric/C15", "/objectives": "objectives", "/objectives/api-eu": "objective/api-eu", "/adoption": "adoption", "/fleet": "fleet"} {
		if got := visits(path, nil); len(got) != 1 || got[0] != (dashboards.Visit{Page: want}) {
			t.Errorf("%s: visits %+v, want one of %s", path, got, want)
		}
	}
	for _, path := range []string{"/metric/none", "/healthz", "/readyz", "/api/v1/journey", "/assets/style.css", "/nowhere", "/?period=nonsense"} {
		if got := visits(path, nil); len(got) != 0 {
			t.Errorf("%s: visits %+v, want none", path, got)
		}
	}
	for name, edit := range map[string]func(*http.Request){
		"a program":  func(r *http.Request) { r.Header.Set("User-Agent", "curl/8.14") },
		"a crawler":  func(r *http.Request) { r.Header.Set("User-Agent", "Mozilla/5.0 (compatible; Examplebot/2.1)") },
		"nobody":     func(r *http.Request) { r.Header.Del("User-Agent") },
		"a prefetch": func(r *http.Request) { r.Header.Set("Sec-Purpose", "prefetch;prerender") },
	} {
		if got := visits("/", edit); len(got) != 0 {
			t.Errorf("%s: visits %+v, want none", name, got)
		}
	}
	for name, c := range map[string]struct {
		path string
		edit func(*http.Request)
		want dashboards.Visit
	}{
		"a chosen perspective": {"/?for=management", nil, dashboards.Visit{Page: "journey", Role: "management"}},
		"a kept one":           {"/fleet", func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "kubevalue_perspective", Value: "management"}) }, dashboards.Visit{Page: "fleet", Role: "management"}},
		"a forged one":         {"/fleet", func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "kubevalue_perspective", Value: "A B"}) }, dashboards.Visit{Page: "fleet"}},
		"a name and password":  {"/", func(r *http.Request) { r.SetBasicAuth("ann", "secret") }, dashboards.Visit{Page: "journey", User: "ann"}},
		"a proxy":              {"/", func(r *http.Request) { r.Header.Set("X-Forwarded-User", "bob") }, dashboards.Visit{Page: "journey", User: "bob"}},
	} {
		if got := visits(c.path, c.edit); len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: visits %+v, want %+v", name, got, c.want)
		}
	}
}

func TestAPerspectiveIsKeptUntilAnotherIsChosen(t *testing.T) {
	h := dashboards.New(sampleConfig())
	w := get(h, http.MethodGet, "/?for=management", nil)
	if kept := w.Header().Get("Set-Cookie"); !strings.Contains(kept, "kubevalue_perspective=management") || !strings.Contains(kept, "HttpOnly") || !strings.Contains(kept, "SameSite=Lax") {
		t.Errorf("the choice is kept as %q", kept)
	}
	if strings.Contains(w.Body.String(), `<th scope="col">Platform developer`) || !strings.Contains(w.Body.String(), `<th scope="col">Management`) {
		t.Error("the map of management shows other columns, too")
	}
	if kept := get(h, http.MethodGet, "/?for=", nil).Header().Get("Set-Cookie"); !strings.Contains(kept, "Max-Age=0") {
		t.Errorf("everybody again is kept as %q", kept)
	}
	for _, path := range []string{"/", "/?for=a%20b"} {
		if kept := get(h, http.MethodGet, path, nil).Header().Get("Set-Cookie"); kept != "" {
			t.Errorf("%s keeps %q", path, kept)
		}
	}
}

func TestMetricsOverTheAPI(t *testing.T) {
	h := dashboards.New(sampleConfig())
	for path, want := range map[string]struct {
		code int
		text string
	}{
		"/api/v1/metrics": {http.StatusOK, `"id":"C15"`},
		"/api/v1/metrics/C15?period=2026-W46&periods=2":    {http.StatusOK, `"label":"2026-W45"`},
		"/api/v1/metrics/C15?periods=0":                    {http.StatusBadRequest, "want a number from 1 to 60"},
		"/api/v1/metrics/C15?periods=many":                 {http.StatusBadRequest, "want a number from 1 to 60"},
		"/api/v1/metrics/none":                             {http.StatusNotFound, "the metric none does not exist"},
		"/api/v1/metrics/C15?period=2026-W46&periods=1000": {http.StatusBadRequest, "want a number from 1 to 60"},
	} {
		w := get(h, http.MethodGet, path, nil)
		if w.Code != want.code || !strings.Contains(w.Body.String(), want.text) || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s answered %d %.300s, want %d with %s", path, w.Code, w.Body, want.code, want.text)
		}
	}
}

// jsonSchema is as much of JSON Schema as the document uses for what must be there.
type jsonSchema struct {
	Ref        string                `json:"$ref"`
	AllOf      []jsonSchema          `json:"allOf"`
	Required   []string              `json:"required"`
	Properties map[string]jsonSchema `json:"properties"`
	Items      *jsonSchema           `json:"items"`
}

func TestAnswersHaveWhatTheOpenAPIDocumentPromises(t *testing.T) {
	h := dashboards.New(sampleConfig())
	var document struct {
		Paths map[string]struct {
			Get struct {
				Responses map[string]struct {
					Content map[string]struct{ Schema jsonSchema }
				}
			}
		}
		Components struct{ Schemas map[string]jsonSchema }
	}
	if err := json.Unmarshal(get(h, http.MethodGet, "/api/v1/openapi.json", nil).Body.Bytes(), &document); err != nil {
		t.Fatal(err)
	}
	var check func(where string, s jsonSchema, value any)
	check = func(where string, s jsonSchema, value any) {
		if s.Ref != "" {
			s = document.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
			if len(s.Required) == 0 {
				t.Fatalf("%s refers to a schema that is missing or requires nothing", where)
			}
		}
		for _, part := range s.AllOf {
			check(where, part, value)
		}
		switch v := value.(type) {
		case map[string]any:
			for _, name := range s.Required {
				if _, ok := v[name]; !ok {
					t.Errorf("%s lacks %s", where, name)
				}
			}
			for name, p := range s.Properties {
				if inner, ok := v[name]; ok {
					check(where+"."+name, p, inner)
				}
			}
		case []any:
			for _, inner := range v {
				if s.Items != nil {
					check(where+"[]", *s.Items, inner)
				}
			}
		}
	}
	want := []string{"/clusters", "/journey", "/metrics", "/metrics/{id}", "/objectives", "/objectives/{name}", "/openapi.json",
		"/slo/attribute", "/slo/compare", "/slo/exclusions", "/slo/exclusions/{id}/end", "/slo/exclusions/{id}/withdraw",
		"/slo/explain", "/slo/followups", "/slo/revisions", "/slo/status", "/slo/value", "/targets"}
	if got := slices.Sorted(maps.Keys(document.Paths)); !slices.Equal(got, want) {
		t.Fatalf("the document has %v, the API has %v", got, want)
	}
	for path, operation := range document.Paths {
		if strings.HasPrefix(path, "/slo/") {
			continue // whoever wires the answers compares them with the document
		}
		address := "/api/v1" + strings.NewReplacer("{id}", "C15", "{name}", "api-eu").Replace(path)
		w := get(h, http.MethodGet, address, nil)
		var answer any
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%s answered %d: %v", address, w.Code, err)
		}
		check(address, operation.Get.Responses["200"].Content["application/json"].Schema, answer)
	}
	refused := get(h, http.MethodGet, "/api/v1/objectives/none", nil)
	var problem any
	if err := json.Unmarshal(refused.Body.Bytes(), &problem); err != nil {
		t.Fatal(err)
	}
	check("a refusal", jsonSchema{Ref: "#/components/schemas/Problem"}, problem)
}
