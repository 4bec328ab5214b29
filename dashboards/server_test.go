package dashboards_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/slo"
)

func shown(period string) (journey.Shown, error) {
	if period == "nonsense" {
		return journey.Shown{}, dashboards.BadRequestError{Why: `period "nonsense" is none`}
	}
	week := journey.Calendar{Zone: time.UTC, WeekStart: time.Monday}.Period(journey.GrainWeek, at.AddDate(0, 0, -7))
	metric := journey.Metric{ID: "C15", Title: "Adoption of eligible teams", Unit: "ratio"}
	return journey.Shown{
		Map: journey.Map{
			Perspectives: []journey.Perspective{{ID: "management", Title: "Management", Customer: true}},
			Phases:       []journey.Phase{{ID: "creation", Title: "Creation", Activities: []journey.Activity{{ID: "adopt", Title: "Adopt <the platform>"}, {ID: "pay", Title: "Pay"}}}},
		},
		Period: week,
		Cells: []journey.ShownCell{
			{Phase: "creation", Activity: "adopt", Perspective: "management", Figures: []journey.ShownFigure{{
				Metric: metric, Place: journey.CellMetric{Metric: "C15", Expect: journey.DirectionUp, Target: new(0.5)}, State: journey.StateMet, Trend: journey.TrendBetter,
				Value: journey.Value{Metric: "C15", Period: week, Unit: "ratio", Value: new(0.625), N: 8, Coverage: new(0.97), Previous: &journey.Value{Value: new(0.5)}},
			}}},
			{Phase: "creation", Activity: "pay", Perspective: "management", Gap: "no prices yet"},
		},
	}, nil
}

func server(t *testing.T, authorize dashboards.Authorize) http.Handler {
	t.Helper()
	return dashboards.New(dashboards.Config{
		Sources: dashboards.Sources{
			Journey: func(_ context.Context, period string) (journey.Shown, error) { return shown(period) },
			Objectives: func(context.Context) ([]dashboards.Objective, error) {
				return []dashboards.Objective{
					{Name: "api", Service: "clusters", Window: "28d", Status: &slo.Status{Objective: "api", Target: 0.999, At: at, Figures: slo.Figures{SLI: new(0.9995), Consumed: new(0.5), Remaining: new(0.5)}}},
					{Name: "broken", Error: "its slices cannot be read"},
				}, nil
			},
			Metric: func(_ context.Context, id, _ string, _ int) (journey.Metric, []journey.Value, error) {
				if id != "C15" {
					return journey.Metric{}, nil, dashboards.NotFoundError{What: "the metric " + id}
				}
				return journey.Metric{ID: "C15", Title: "Adoption", SQL: &journey.MetricSQL{Numerator: "SELECT 1 < 2"}}, []journey.Value{{Value: new(0.5), Unit: "ratio"}}, nil
			},
		},
		Doors:     []dashboards.Door{{Method: http.MethodPost, Path: "/v1/events", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })}},
		Authorize: authorize,
		Health:    func(context.Context) map[string]string { return map[string]string{"warehouse": "away"} },
		Metrics:   http.NotFoundHandler(),
		Logger:    slog.New(slog.DiscardHandler),
		Now:       func() time.Time { return at },
	})
}

func get(h http.Handler, method, path string, edit func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), method, path, http.NoBody)
	if edit != nil {
		edit(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestThePagesShowFiguresWithTheirContext(t *testing.T) {
	h := server(t, nil)
	for path, wants := range map[string][]string{
		"/":                 {"62.5%", "&#43;12 pp", "better", "target met", "at least 50%", "n 8", "measured 97%", "Week 46 of 2026", "Mon 9 Nov to Sun 15 Nov 2026", "time zone UTC", "no prices yet", "1 target met, 0 targets missed; 1 cell still without a figure.", "Adopt &lt;the platform&gt;", `href="/metric/C15?period=2026-W46"`},
		"/metric/C15":       {"SELECT 1 &lt; 2", "50%"},
		"/objectives":       {"99.95%", "99.9%", "28d", "its slices cannot be read", "Mon 16 Nov 2026 08:00 UTC", "1 of 2 objectives within budget, 1 that cannot be judged."},
		"/assets/style.css": {"prefers-color-scheme"},
	} {
		w := get(h, http.MethodGet, path, nil)
		if w.Code != http.StatusOK {
			t.Errorf("%s answered %d: %s", path, w.Code, w.Body)
		}
		for _, want := range wants {
			if !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s lacks %q", path, want)
			}
		}
		for _, foreign := range []string{"http://", "https://", "<script", " style="} {
			if strings.Contains(w.Body.String(), foreign) {
				t.Errorf("%s refers to %q: pages load nothing from elsewhere", path, foreign)
			}
		}
	}
}

func TestTheAPIAnswersWithOneEnvelope(t *testing.T) {
	h := server(t, nil)
	for path, tc := range map[string]struct {
		code int
		want string
	}{
		"/api/v1/journey":                 {http.StatusOK, `"label":"2026-W46"`},
		"/api/v1/journey?period=nonsense": {http.StatusBadRequest, `"code":"bad_request"`},
		"/api/v1/objectives":              {http.StatusOK, `"budget_remaining":0.5`},
		"/api/v1/objectives/api":          {http.StatusOK, `"name":"api"`},
		"/api/v1/objectives/none":         {http.StatusNotFound, "the objective none does not exist"},
		"/api/v1/nothing":                 {http.StatusNotFound, `"code":"not_found"`},
		"/readyz":                         {http.StatusServiceUnavailable, `"warehouse":"away"`},
	} {
		w := get(h, http.MethodGet, path, nil)
		if w.Code != tc.code || !strings.Contains(w.Body.String(), tc.want) || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s answered %d %s, want %d with %s", path, w.Code, w.Body, tc.code, tc.want)
		}
	}
	for _, path := range []string{"/api/v1/nothing", "/api/v1/journey?period=nonsense", "/readyz"} {
		var problem struct{ Status, Code, Message string }
		w := get(h, http.MethodGet, path, nil)
		if err := json.Unmarshal(w.Body.Bytes(), &problem); err != nil || problem.Status != "error" || problem.Code == "" || problem.Message == "" {
			t.Errorf("%s answered %s, want status, code and message", path, w.Body)
		}
	}
	if w := get(h, http.MethodDelete, "/api/v1/journey", nil); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("DELETE answered %d", w.Code)
	}
}

// Who asks for a page gets one when something is wrong, too; who asks for JSON gets that.
func TestFaultsComeInTheFormThatWasAskedFor(t *testing.T) {
	h := server(t, nil)
	accept := func(value string) func(*http.Request) { return func(r *http.Request) { r.Header.Set("Accept", value) } }
	const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	for _, tc := range []struct {
		path, accept, form string
		code               int
	}{
		{"/metric/C99", browser, "text/html; charset=utf-8", http.StatusNotFound},
		{"/metric/C99", "*/*", "text/html; charset=utf-8", http.StatusNotFound},
		{"/metric/C99", "", "text/html; charset=utf-8", http.StatusNotFound},
		{"/metric/C99", "application/json", "application/json; charset=utf-8", http.StatusNotFound},
		{"/?period=nonsense", browser, "text/html; charset=utf-8", http.StatusBadRequest},
		{"/nowhere", browser, "text/html; charset=utf-8", http.StatusNotFound},
		{"/api/v1/objectives/none", browser, "text/html; charset=utf-8", http.StatusNotFound},
		{"/api/v1/objectives/none", "*/*", "application/json; charset=utf-8", http.StatusNotFound},
		{"/v1/events", browser, "text/html; charset=utf-8", http.StatusMethodNotAllowed},
	} {
		w := get(h, http.MethodGet, tc.path, accept(tc.accept))
		if w.Code != tc.code || w.Header().Get("Content-Type") != tc.form {
			t.Errorf("%s for %q answered %d as %s, want %d as %s", tc.path, tc.accept, w.Code, w.Header().Get("Content-Type"), tc.code, tc.form)
		}
	}
}

func TestReadingNeedsATokenWhereThatIsConfigured(t *testing.T) {
	h := server(t, func(_ context.Context, token string) error {
		if token != "secret" {
			return errors.New("no")
		}
		return nil
	})
	for _, path := range []string{"/", "/objectives", "/metric/C15", "/api/v1/journey", "/metrics"} {
		if w := get(h, http.MethodGet, path, nil); w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), "62.5") {
			t.Errorf("%s answered %d without a token", path, w.Code)
		}
	}
	for name, edit := range map[string]func(*http.Request){
		"bearer": func(r *http.Request) { r.Header.Set("Authorization", "Bearer secret") },
		"basic":  func(r *http.Request) { r.SetBasicAuth("anybody", "secret") },
	} {
		if w := get(h, http.MethodGet, "/", edit); w.Code != http.StatusOK {
			t.Errorf("%s: answered %d", name, w.Code)
		}
	}
	if w := get(h, http.MethodGet, "/healthz", nil); w.Code != http.StatusOK {
		t.Errorf("/healthz answered %d: a kubelet has no token", w.Code)
	}
	if w := get(h, http.MethodPost, "/v1/events", nil); w.Code != http.StatusAccepted {
		t.Errorf("a door answered %d: doors authenticate for themselves", w.Code)
	}
}
