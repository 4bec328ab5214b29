package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/schema"
)

// inUTC is a configuration whose dates are in UTC.
func inUTC() *Config { return &Config{zone: time.UTC} }

// excluded records an exclusion.
func excluded(t *testing.T, s *objectiveSet, n newExclusion) schema.Exclusion {
	t.Helper()
	e, err := n.record(inUTC(), answerNow)
	if err == nil {
		e, err = s.addExclusion(t.Context(), e, n.Overlapping)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestAnExclusionOfThePastRevisesClosedPeriods(t *testing.T) {
	s := twoMonths(t)
	f := &figures{cfg: inUTC(), objectives: s, now: s.now, calendar: s.calendar}
	if _, err := s.recordDefinitions(t.Context()); err != nil {
		t.Fatal(err)
	}
	publishAll(t, s)
	s.now = func() time.Time { return answerNow.Add(time.Minute) }
	// Six bad hours of October, which nobody accounts for, were a drill that nobody had recorded.
	e := excluded(t, s, newExclusion{ID: "drill", Objectives: []string{"checkout"}, From: "2026-10-20T00:00:00Z", To: "2026-10-20T06:00:00Z", Reason: "disaster drill", Author: "ann"})
	changed, err := f.restated(t.Context(), e, e.From, e.To)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(changed.Restated.Revisions, ", "); got != "checkout in 2026-W43, checkout in 2026-10" {
		t.Errorf("revised %s", got)
	}
	golden(t, filepath.Join("testdata", "slo", "excluded.txt"), printed(t, changed))
	if used, how := usedIn(t, s, "2026-10", asPublished); !near(&used, 24/74.4) || how.Newest != "exclusion change (drill added by ann: disaster drill)" {
		t.Errorf("as published %v, %+v", used, how)
	}
	if used, _ := usedIn(t, s, "2026-10", latest); !near(&used, 18/73.8) {
		t.Errorf("latest %v, want 18 of (744 - 6)/10 hours", used)
	}

	// It was over earlier, and then it turns out that there was no drill.
	s.now = func() time.Time { return answerNow.Add(2 * time.Minute) }
	e, again, err := s.changeExclusion(t.Context(), "drill", schema.ExclusionEnded, hour("2026-10-20 04:00"), exclusionEnd{Reason: "over at four", Author: "bob"})
	if err != nil || !again.From.Equal(hour("2026-10-20 04:00")) || !again.To.Equal(hour("2026-10-20 06:00")) {
		t.Fatalf("counts again %v: %v", again, err)
	}
	if _, err := f.restated(t.Context(), e, again.From, again.To); err != nil {
		t.Fatal(err)
	}
	if used, _ := usedIn(t, s, "2026-10", latest); !near(&used, 20/74.) {
		t.Errorf("ended: %v", used)
	}
	s.now = func() time.Time { return answerNow.Add(3 * time.Minute) }
	if e, again, err = s.changeExclusion(t.Context(), "drill", schema.ExclusionWithdrawn, time.Time{}, exclusionEnd{Reason: "was an outage", Author: "cy"}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.restated(t.Context(), e, again.From, again.To); err != nil {
		t.Fatal(err)
	}
	p, err := s.period("2026-10")
	if err != nil {
		t.Fatal(err)
	}
	history, err := s.history(t.Context(), "checkout", p)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join("testdata", "slo", "restated.txt"), printed(t, history))
	list, err := s.exclusionList(t.Context(), "checkout")
	if err != nil {
		t.Fatal(err)
	}
	list.history = true
	golden(t, filepath.Join("testdata", "slo", "exclusions.txt"), printed(t, list))
	if list, err = s.exclusionList(t.Context(), "search"); err != nil || len(list.Exclusions) != 0 {
		t.Errorf("of another objective: %+v, %v", list, err)
	}
}

func TestConfiguredExclusionsThatOverlapCountOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kubevalue.yaml")
	if err := os.WriteFile(path, []byte(`exclusions:
  - {from: 2026-10-20T00:00:00Z, to: 2026-10-20T06:00:00Z, reason: drill, author: ann}
  - {from: 2026-10-20T04:00:00Z, to: 2026-10-20T10:00:00Z, objectives: [checkout], reason: network, author: bob}
  - {weekly: {days: [tuesday], from: "05:00", to: "07:00"}, reason: maintenance, author: ops}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := loadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	s := twoMonths(t)
	s.exclusions = cfg.exclusions()
	p, err := s.period("2026-10")
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.standings(t.Context(), "checkout", p, latest)
	if err != nil {
		t.Fatal(err)
	}
	// Tuesdays are the 6th, 13th, 20th and 27th; of the 20th ten hours are left out, of the others two each. 18 bad hours are left of 24.
	if got := all[0].Status; got.ExcludedSlices != 16 || got.ExpectedSlices != 744-16 || !near(got.Consumed, 18/72.8) || got.Spared.BadMinutes != 6*60 {
		t.Errorf("%d of %d slices excluded, consumed %v, %v minutes spared", got.ExcludedSlices, got.ExcludedSlices+got.ExpectedSlices, *got.Consumed, got.Spared.BadMinutes)
	}
}

func TestExclusionsThatAreRefused(t *testing.T) {
	s, _ := answerSet(t, hourly("checkout", "shop"), hourly("search", "shop"))
	s.exclusions = (&Config{zone: time.UTC, Exclusions: []ExclusionConfig{{
		Weekly: &WeeklyExclusionConfig{Days: []string{"sunday"}, From: "02:00", To: "04:00"}, Objectives: []string{"search"}, Reason: "maintenance", Author: "ops",
	}}}).exclusions()
	excluded(t, s, newExclusion{ID: "network", Objectives: []string{"checkout"}, From: "2026-12-01", To: "2026-12-02", Reason: "work", Author: "ann"})
	good := newExclusion{From: "2026-12-01", To: "2026-12-02", Reason: "r", Author: "a", Objectives: []string{"search"}}
	for name, c := range map[string]struct {
		change func(*newExclusion)
		want   string
	}{
		"no end":                  {func(n *newExclusion) { n.To = "" }, "needs from and to"},
		"reversed":                {func(n *newExclusion) { n.To = "2026-11-30" }, "to after from"},
		"empty":                   {func(n *newExclusion) { n.To = n.From }, "to after from"},
		"for ever":                {func(n *newExclusion) { n.To = "9999-12-31" }, "to: time 9999-12-31T00:00:00Z is out of range: use times from 1970 to 2099"},
		"since ever":              {func(n *newExclusion) { n.From = "1960-01-01" }, "from: time 1960-01-01T00:00:00Z is out of range"},
		"less than a millisecond": {func(n *newExclusion) { n.From, n.To = "2026-12-01T00:00:00.0001Z", "2026-12-01T00:00:00.0009Z" }, "to after from"},
		"no time":                 {func(n *newExclusion) { n.From = "soon" }, `from: "soon" is neither a date`},
		"no reason":               {func(n *newExclusion) { n.Reason = " " }, "needs a reason and an author"},
		"no author":               {func(n *newExclusion) { n.Author = "" }, "needs a reason and an author"},
		"a name with spaces":      {func(n *newExclusion) { n.ID = "a b" }, `id: "a b"`},
		"a name that is taken":    {func(n *newExclusion) { n.ID = "network" }, "exists since 2026-11-10 12:00 (UTC)"},
		"an unknown objective":    {func(n *newExclusion) { n.Objectives = []string{"serach"} }, `did you mean "search"?`},
		"over another":            {func(n *newExclusion) { n.Objectives = []string{"search", "checkout"} }, "it overlaps with network (2026-12-01 00:00 to 2026-12-02 00:00; work) on 2026-12-01 00:00"},
		"of all over another":     {func(n *newExclusion) { n.Objectives = nil }, "it overlaps with network"},
		"over one of every week":  {func(n *newExclusion) { n.To = "2026-12-07" }, "it overlaps with exclusions[0] (every sunday 02:00-04:00 UTC; maintenance) on 2026-12-06 02:00"},
		"weekly without days":     {func(n *newExclusion) { n.Weekly = &WeeklyExclusionConfig{From: "01:00", To: "02:00"} }, "weekly.days: a weekly exclusion needs days"},
		"weekly on no day": {func(n *newExclusion) {
			n.Weekly = &WeeklyExclusionConfig{Days: []string{"noday"}, From: "01:00", To: "02:00"}
		}, `weekly.days: "noday" is no day`},
		"weekly over midnight": {func(n *newExclusion) {
			n.Weekly = &WeeklyExclusionConfig{Days: []string{"monday"}, From: "23:00", To: "01:00"}
		}, "split a span over midnight in two"},
		"weekly in no zone": {func(n *newExclusion) {
			n.Weekly = &WeeklyExclusionConfig{Days: []string{"monday"}, From: "01:00", To: "02:00", Timezone: "Europe/Atlantis"}
		}, `unknown time zone "Europe/Atlantis"`},
		"weekly, valid for no time": {func(n *newExclusion) {
			n.To, n.Weekly = n.From, &WeeklyExclusionConfig{Days: []string{"monday"}, From: "01:00", To: "02:00"}
		}, "is not after from"},
		"weekly over another weekly": {func(n *newExclusion) {
			n.From, n.To, n.Weekly = "", "", &WeeklyExclusionConfig{Days: []string{"saturday-sunday"}, From: "03:00", To: "05:00"}
		}, "it overlaps with exclusions[0]"},
	} {
		n := good
		c.change(&n)
		e, err := n.record(inUTC(), answerNow)
		if err == nil {
			_, err = s.addExclusion(t.Context(), e, n.Overlapping)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	weekly := excluded(t, s, newExclusion{ID: "mondays", Weekly: &WeeklyExclusionConfig{Days: []string{"monday"}, From: "01:00", To: "02:00"}, To: "2026-12-01", Reason: "r", Author: "a"})
	if !weekly.From.Equal(answerNow) {
		t.Errorf("a weekly exclusion that does not say since when reaches back to %s", weekly.From)
	}
	excluded(t, s, newExclusion{ID: "beside", From: "2026-12-02", To: "2026-12-03", Reason: "r", Author: "a"})
	excluded(t, s, newExclusion{ID: "meant", From: "2026-12-01", To: "2026-12-03", Reason: "r", Author: "a", Overlapping: true})

	by := exclusionEnd{Reason: "r", Author: "a"}
	change := func(id string, what schema.ExclusionChange, at string, by exclusionEnd) error {
		when, err := inUTC().instant(at)
		if err == nil {
			_, _, err = s.changeExclusion(t.Context(), id, what, when, by)
		}
		return err
	}
	if err := change("meant", schema.ExclusionWithdrawn, "", by); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"nobody":              {change("network", schema.ExclusionEnded, "", exclusionEnd{Author: "a"}), "who says so, and why?"},
		"before it begins":    {change("network", schema.ExclusionEnded, "2026-12-01", by), "begins on 2026-12-01 00:00 (UTC), after that: withdraw it"},
		"after it ends":       {change("network", schema.ExclusionEnded, "2026-12-02", by), "ends on 2026-12-02 00:00 (UTC) already"},
		"taken back in part":  {change("network", schema.ExclusionWithdrawn, "2026-12-02", by), "leave the time out"},
		"a withdrawn one":     {change("meant", schema.ExclusionEnded, "2026-12-02", by), "was withdrawn on 2026-11-10 12:00 (UTC) by a"},
		"a configured one":    {change("exclusions[0]", schema.ExclusionEnded, "", by), "stands in the configuration"},
		"one that is unknown": {change("networks", schema.ExclusionEnded, "", by), `did you mean "network"?`},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, c.err, c.want)
		}
	}
}

// slowExclusions lets somebody else record a version first.
type slowExclusions struct {
	objectiveStore
	other func()
}

func (s slowExclusions) InsertExclusion(ctx context.Context, e schema.Exclusion) error {
	s.other()
	return s.objectiveStore.InsertExclusion(ctx, e)
}

func TestOfTwoChangesAtOnceOneIsRefused(t *testing.T) {
	s, db := answerSet(t, hourly("checkout", "shop"))
	excluded(t, s, newExclusion{ID: "network", From: "2026-12-01", To: "2026-12-03", Reason: "work", Author: "ann"})
	first, second := *s, *s
	second.now = func() time.Time { return answerNow.Add(time.Second) }
	second.store = slowExclusions{db, func() {
		if _, _, err := first.changeExclusion(t.Context(), "network", schema.ExclusionEnded, hour("2026-12-02 00:00"), exclusionEnd{Reason: "early", Author: "bob"}); err != nil {
			t.Error(err)
		}
	}}
	_, _, err := second.changeExclusion(t.Context(), "network", schema.ExclusionWithdrawn, time.Time{}, exclusionEnd{Reason: "mistake", Author: "cy"})
	var conflict conflictError
	if !errors.As(err, &conflict) || !strings.Contains(err.Error(), "at the same time") {
		t.Errorf("the later one: %v", err)
	}
	if e, err := s.recordedExclusion(t.Context(), "network"); err != nil || e.ChangedBy != "bob" {
		t.Errorf("holds %+v, %v", e, err)
	}
}

func TestExclusionsByTheAPI(t *testing.T) {
	t.Parallel()
	b := boot(t, "")
	token, other := b.token("people", collectors.EndpointExclusions), b.token("app", collectors.EndpointEvents)
	good := `{"id":"network","from":"2026-12-01T00:00:00Z","to":"2026-12-01T02:00:00Z","reason":"work","author":"ann"}`
	for _, c := range []struct {
		path, body, token string
		status            int
		contains          string
	}{
		{"", good, "", http.StatusUnauthorized, `"code":"unauthorized"`},
		{"", good, other, http.StatusForbidden, `"code":"forbidden"`},
		{"", `{"form":"2026-12-01"}`, token, http.StatusBadRequest, `unknown field \"form\"`},
		{"", `{"from":"2026-12-01","reason":"r","author":"a"}`, token, http.StatusBadRequest, "needs from and to"},
		{"", `{"from":"2026-12-01","to":"2026-12-02","objectives":["nowhere"],"reason":"r","author":"a"}`, token, http.StatusNotFound, `"code":"not_found"`},
		{"", good, token, http.StatusCreated, `"change":"added"`},
		{"", good, token, http.StatusConflict, "exists since"},
		{"", strings.Replace(good, "network", "again", 1), token, http.StatusConflict, "it overlaps with network"},
		{"/network/end", `{"at":"2026-12-01T01:00:00Z","reason":"early","author":"bob"}`, token, http.StatusOK, `"to":"2026-12-01T01:00:00Z"`},
		{"/network/end", `{"at":"soon","reason":"early","author":"bob"}`, token, http.StatusBadRequest, "neither a date"},
		{"/nowhere/withdraw", `{"reason":"r","author":"a"}`, token, http.StatusNotFound, "nowhere"},
		{"/network/withdraw", `{"reason":"r","author":"a"}`, token, http.StatusOK, `"change":"withdrawn"`},
		{"/network/withdraw", `{"reason":"r","author":"a"}`, token, http.StatusConflict, "was withdrawn"},
	} {
		got := b.post(exclusionsPath+c.path, c.body, "Authorization", bearer(c.token))
		if got.status != c.status || !strings.Contains(got.body, c.contains) {
			t.Errorf("%s %s: %d %s, want %d with %s", c.path, c.body, got.status, got.body, c.status, c.contains)
		}
	}
	if got := b.send(http.MethodGet, exclusionsPath, nil); got.status != http.StatusOK || !strings.Contains(got.body, `"state":"withdrawn","source":"recorded","history":[{"id":"network"`) {
		t.Errorf("the list: %d %s", got.status, got.body)
	}
}

// Errors of forms are questions that were asked wrongly: a 400, not a 503.
func TestFormsOfExclusionsAreBadRequests(t *testing.T) {
	_, err := newExclusion{}.record(inUTC(), answerNow)
	var bad dashboards.BadRequestError
	if !errors.As(err, &bad) || !strings.Contains(err.Error(), errUnbounded.Error()) || !strings.Contains(err.Error(), errNobody.Error()) {
		t.Errorf("all faults at once: %v", err)
	}
}
