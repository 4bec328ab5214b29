package main

import (
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/slo"
)

// budgetAPI is the API over the two months.
func budgetAPI(t *testing.T) http.Handler {
	t.Helper()
	s := twoMonths(t)
	price := slo.Price{Service: "shop", Currency: "EUR"}
	for i := range price.PerMinute {
		price.PerMinute[i] = 2
	}
	s.pricing = []pricing{{service: "shop", objective: "checkout", prices: []slo.Price{price}}}
	if _, err := s.publish(t.Context(), answerNow.Add(-longestHistory)); err != nil {
		t.Fatal(err)
	}
	f := &figures{objectives: s, cfg: &Config{zone: time.UTC}, now: s.now}
	return dashboards.New(dashboards.Config{
		Sources: dashboards.Sources{Budgets: f.askBudgets}, Metrics: http.NotFoundHandler(), Logger: slog.New(slog.DiscardHandler), Now: s.now,
	})
}

// answered is the body of an answer.
func answered(t *testing.T, h http.Handler, address string) (code int, body map[string]any) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1"+address, http.NoBody))
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	return w.Code, body
}

// documented compares a value with a schema of the OpenAPI document: what it requires is there, and a list is never null.
func documented(t *testing.T, where string, schemas, schema map[string]any, value any) {
	t.Helper()
	if ref, ok := schema["$ref"].(string); ok {
		name := ref[strings.LastIndex(ref, "/")+1:]
		inner, ok := schemas[name].(map[string]any)
		if !ok {
			t.Fatalf("%s refers to the schema %s, which is missing", where, name)
		}
		schema = inner
	}
	parts, _ := schema["allOf"].([]any)
	for _, part := range parts {
		documented(t, where, schemas, part.(map[string]any), value)
	}
	switch v := value.(type) {
	case nil:
		if schema["type"] == "array" {
			t.Errorf("%s is null, not an empty list", where)
		}
	case []any:
		if items, ok := schema["items"].(map[string]any); ok {
			for _, item := range v {
				documented(t, where+"[]", schemas, items, item)
			}
		}
	case map[string]any:
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if _, ok := v[name.(string)]; !ok {
				t.Errorf("%s lacks %s", where, name)
			}
		}
		properties, _ := schema["properties"].(map[string]any)
		for name, p := range properties {
			if inner, ok := v[name]; ok {
				documented(t, where+"."+name, schemas, p.(map[string]any), inner)
			}
		}
	}
}

func TestQuestionsAboutBudgetsAreAnsweredAsDocumented(t *testing.T) {
	h := budgetAPI(t)
	_, document := answered(t, h, "/openapi.json")
	schemas := document["components"].(map[string]any)["schemas"].(map[string]any)
	paths := document["paths"].(map[string]any)
	for question, q := range apiQuestions {
		operation, ok := paths["/slo/"+question].(map[string]any)
		if !ok {
			t.Errorf("the document lacks /slo/%s", question)
			continue
		}
		get := operation["get"].(map[string]any)
		var parameters []string
		list, _ := get["parameters"].([]any)
		for _, p := range list {
			p := p.(map[string]any)
			if ref, ok := p["$ref"].(string); ok {
				p = document["components"].(map[string]any)["parameters"].(map[string]any)[ref[strings.LastIndex(ref, "/")+1:]].(map[string]any)
			}
			name := p["name"].(string)
			parameters = append(parameters, name)
			if needed := p["required"] == true; needed != (q.defaults[name] == mustBeGiven) {
				t.Errorf("%s: the document says that %s is needed: %v", question, name, needed)
			}
		}
		if want := slices.Sorted(maps.Keys(q.defaults)); !slices.Equal(slices.Sorted(slices.Values(parameters)), want) {
			t.Errorf("%s has the parameters %v, the document says %v", question, want, parameters)
		}
		address := "/slo/" + question
		if q.defaults["objective"] == mustBeGiven {
			address += "?objective=checkout"
		}
		code, body := answered(t, h, address)
		if code != http.StatusOK {
			t.Errorf("%s answered %d: %v", address, code, body)
			continue
		}
		schema := get["responses"].(map[string]any)["200"].(map[string]any)["content"].(map[string]any)["application/json"].(map[string]any)["schema"].(map[string]any)
		documented(t, question, schemas, schema, body)
	}
}

func TestAnswersOfTheAPIHaveTheFigures(t *testing.T) {
	h := budgetAPI(t)
	for address, wants := range map[string][]string{
		"/slo/compare?period=2026-10":                             {`"label":"2026-09"`, `"INC-1"`, `"state":"closed"`},
		"/slo/attribute?objective=checkout&period=2026-10":        {`"upstream":0.25`, `"own":0.5`, `"revision":1`},
		"/slo/value?period=2026-10":                               {`"currency":"EUR"`, `"unpriced":[]`},
		"/slo/explain?objective=checkout&at=2026-10-06T00:00:00Z": {`"indicator":"checkout"`},
		"/slo/revisions?objective=checkout&period=2026-10":        {`"reason":"closed"`},
		"/slo/status?objective=search":                            {`"name":"search"`, `"remaining_minutes":4032`},
		"/slo/followups?longest=30d":                              {`"incidents":4`},
	} {
		code, body := answered(t, h, address)
		text, _ := json.Marshal(body)
		for _, want := range wants {
			if code != http.StatusOK || !strings.Contains(string(text), want) {
				t.Errorf("%s answered %d without %s: %s", address, code, want, text)
			}
		}
	}
}

func TestQuestionsOfTheAPIThatAreRefused(t *testing.T) {
	h := budgetAPI(t)
	for address, want := range map[string]string{
		"/slo/guess":                             `the question "guess" does not exist; known here: attribute, compare`,
		"/slo/compare?peroid=2026-10":            `did you mean "period"?`,
		"/slo/compare?period=2026-10&period=w":   "period is given twice",
		"/slo/compare?period=2030-01":            "still to come",
		"/slo/compare?latest=perhaps":            `latest "perhaps": want true or false`,
		"/slo/explain":                           "explain needs the parameter objective",
		"/slo/explain?objective=":                "explain needs the parameter objective",
		"/slo/explain?objective=chekout":         `"chekout"`,
		"/slo/explain?objective=checkout&at=now": `at: "now" is neither a date`,
		"/slo/followups?longest=90":              "longest: ",
		"/slo/followups?since=2030-01-01":        "must be in the past",
		"/slo/value?with=2026-09":                "but the grain is",
		"/slo/attribute?period=fortnight":        "want a week",
	} {
		code, body := answered(t, h, address)
		message, _ := body["message"].(string)
		if code != http.StatusBadRequest && code != http.StatusNotFound || !strings.Contains(message, want) {
			t.Errorf("%s answered %d %q, want %q", address, code, message, want)
		}
	}
}
