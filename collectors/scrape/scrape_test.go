package scrape

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/config"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

type sink struct {
	mu     sync.Mutex
	slices []schema.Slice
	err    error
}

func (s *sink) Append(_ context.Context, b schema.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.slices = append(s.slices, b.Slices...)
	}
	return s.err
}

func (s *sink) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func TestSlicesAreClosedAfterTheirEndAndKeptForAFullSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{}
		c, err := New(Config{Indicators: []Indicator{requests}, Sink: s})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		c.restore()
		running.Go(func() { c.handOver(ctx) })
		synctest.Wait()
		start := time.Now().UTC() // midnight
		addAt := func(at time.Time, part, total float64) {
			c.sums.Add(Use{0, true}, at, total, time.Now())
			c.sums.Add(Use{0, false}, at, part, time.Now())
		}
		add := func(part, total float64) { addAt(time.Now(), part, total) }
		time.Sleep(10 * time.Second)
		add(1, 10) // two targets
		add(2, 20)
		time.Sleep(60 * time.Second)
		s.fail(collectors.ErrFull)
		add(0, 5)
		addAt(start.Add(59*time.Second), 1, 1) // of the first slice, which is not closed yet
		time.Sleep(20 * time.Second)
		if len(s.slices) != 0 {
			t.Errorf("a full sink took %v", s.slices)
		}
		s.fail(nil)
		time.Sleep(2 * time.Minute) // nothing comes: a gap
		stop()
		running.Wait()
		want := []schema.Slice{
			{Good: 27, Total: 31, State: schema.SliceMeasured}, {Good: 5, Total: 5, State: schema.SliceMeasured}, {State: schema.SliceGap},
		}
		for i := range want {
			want[i].Indicator, want[i].Revision, want[i].Seconds, want[i].Start = "requests", Revision(requests), 60, start.Add(time.Duration(i)*time.Minute)
		}
		for i := range s.slices {
			if gap := s.slices[i].Version == uint64(s.slices[i].Start.UnixMilli()); gap != (s.slices[i].State == schema.SliceGap) {
				t.Errorf("slice %d has version %d: only a gap gives way to what another service has counted", i, s.slices[i].Version)
			}
			s.slices[i].Version = 0
		}
		if diff := cmp.Diff(want, s.slices); diff != "" {
			t.Errorf("slices differ (-want +got):\n%s", diff)
		}
	})
}

// serving is a target that counts requests, behind a bearer token.
func serving(t *testing.T, body func(w http.ResponseWriter, r *http.Request)) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(body))
	t.Cleanup(server.Close)
	return server
}

func TestPagesAreFetchedWithinLimits(t *testing.T) {
	endless := func(w http.ResponseWriter, _ *http.Request) {
		block := []byte(strings.Repeat("requests_total{code=\"200\"} 1\n", 1000))
		for range 1_000_000 {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}
	hanging := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	guarded := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" || !strings.Contains(r.Header.Get("Accept"), "openmetrics") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", textFormat)
		_, _ = w.Write([]byte(page(200, 1)))
	}
	for _, c := range []struct {
		name   string
		serve  http.HandlerFunc
		access config.HTTPClientConfig
		want   string
	}{
		{"gigabytes", endless, config.HTTPClientConfig{}, ErrTooMuch.Error()},
		{"hanging", hanging, config.HTTPClientConfig{}, "deadline exceeded"},
		{"without the token", guarded, config.HTTPClientConfig{}, "status 401: want 200"},
		{"with the token", guarded, config.HTTPClientConfig{Authorization: &config.Authorization{Type: "Bearer", CredentialsFile: token}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			collector, err := New(Config{Sink: &sink{}, Indicators: []Indicator{requests}, Jobs: []Job{{
				Name: "api", Targets: []string{serving(t, c.serve).URL}, Access: c.access, Interval: 2 * time.Second, Timeout: 300 * time.Millisecond,
				Limits: Limits{Body: 1 << 20, Series: 100, SeriesBytes: 1000, Labels: 10},
			}}})
			if err != nil {
				t.Fatal(err)
			}
			got, err := collector.fetch(t.Context(), collector.jobs[0], collector.jobs[0].Targets[0])
			if c.want == "" && (err != nil || string(got.body) != page(200, 1)) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %d bytes and %v, want %q", len(got.body), err, c.want)
			}
		})
	}
}

// What a target is like that sends something else than a metrics page is said by its status; what can be counted of it is.
func TestTheStatusSaysWhatIsWrongWithATarget(t *testing.T) {
	says := func(contentType, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			_, _ = w.Write([]byte(text))
		}
	}
	for name, test := range map[string]struct {
		serve      http.HandlerFunc
		err        string
		series     int
		passedOver int
	}{
		"good":             {says(textFormat, page(200, 1)), "", 2, 0},
		"a login page":     {says("text/html", "<!doctype html><title>Sign in</title>"), ErrNoPage.Error(), 0, 0},
		"gigabytes":        {says(textFormat, strings.Repeat(page(200, 1), 10_000)), ErrTooMuch.Error(), 0, 0},
		"NaN":              {says(textFormat, page(200, 1)+`requests_total{code="500"} NaN`+"\n"), "", 3, 1},
		"duplicate series": {says(textFormat, page(200, 1)+page(200, 7)), "", 2, 1},
		"away":             {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, "status 502: want 200", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			limits := DefaultLimits
			limits.Body = 100_000
			registry := prometheus.NewPedanticRegistry()
			c, err := New(Config{
				Sink: &sink{}, Indicators: []Indicator{requests}, Jobs: []Job{{Name: "api", Targets: []string{serving(t, test.serve).URL}, Limits: limits}}, Registerer: registry,
			})
			if err != nil {
				t.Fatal(err)
			}
			found, _, _ := c.jobs[0].discovered()
			for _, target := range found {
				_ = c.read(t.Context(), c.jobs[0], target, newPages(c.counters, target.labels, limits))
			}
			all := c.Status()
			if len(all) != 1 {
				t.Fatalf("%d targets have a status", len(all))
			}
			s := all[0]
			if s.Job != "api" || s.Instance == "" || s.At.IsZero() || s.Series != test.series || s.PassedOver != test.passedOver || (s.Err == nil) != (test.err == "") ||
				s.Err != nil && !strings.Contains(s.Err.Error(), test.err) {
				t.Errorf("%+v, want %d series, %d passed over, error %q", s, test.series, test.passedOver, test.err)
			}
			failing := map[bool]int{false: 1}[test.err == ""]
			if err := testutil.GatherAndCompare(registry, strings.NewReader(fmt.Sprintf(`
# HELP kubevalue_scrape_targets Targets, by whether their page could be read at the newest try: ok or failing; or left_out, as there are too many.
# TYPE kubevalue_scrape_targets gauge
kubevalue_scrape_targets{scrape_job="api",state="failing"} %d
kubevalue_scrape_targets{scrape_job="api",state="left_out"} 0
kubevalue_scrape_targets{scrape_job="api",state="ok"} %d
`, failing, 1-failing)), "kubevalue_scrape_targets"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTargetsAreFoundInFiles(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("a.json", `[{"targets": ["10.0.0.1:6443", "https://10.0.0.2/m"], "labels": {"cluster": "eu", "__meta_x": "y"}}]`)
	put("b.yaml", "- targets: [10.0.0.3:6443]\n")
	j := Job{
		Name: "api", Targets: []string{"10.0.0.1:6443"}, Files: []string{filepath.Join(dir, "*")}, Scheme: "https", Labels: map[string]string{"tier": "1"},
		Discover: func() []Found { return []Found{{"http://10.0.0.4:8080/m", map[string]string{"pod": "web"}}} },
	}.WithDefaults()
	found, odd, err := j.discovered()
	if err != nil || len(odd) > 0 {
		t.Fatal(err, odd)
	}
	var got []string
	for key := range found {
		got = append(got, key)
	}
	want := map[string]bool{
		`https://10.0.0.1:6443/metrics {instance="10.0.0.1:6443", job="api", tier="1"}`:               true,
		`https://10.0.0.1:6443/metrics {cluster="eu", instance="10.0.0.1:6443", job="api", tier="1"}`: true,
		`https://10.0.0.2/m {cluster="eu", instance="10.0.0.2", job="api", tier="1"}`:                 true,
		`http://10.0.0.4:8080/m {instance="10.0.0.4:8080", job="api", pod="web", tier="1"}`:           true,
		`https://10.0.0.3:6443/metrics {instance="10.0.0.3:6443", job="api", tier="1"}`:               true,
	}
	if len(got) != len(want) {
		t.Errorf("found %q", got)
	}
	for _, key := range got {
		if !want[key] {
			t.Errorf("found %s", key)
		}
	}
	put("c.json", "<html>")
	put("d.yaml", "- targets: [\"ftp://x\"]\n")
	found, odd, err = j.discovered()
	if len(found) != len(want) || err == nil || !strings.Contains(err.Error(), "c.json is no list") || len(odd) != 1 || !strings.Contains(odd[0].Error(), "ftp://x") {
		t.Errorf("%d targets, %v, %v", len(found), odd, err)
	}
}

func TestJobsAndIndicatorsThatCannotBe(t *testing.T) {
	_, err := New(Config{Sink: &sink{}, Jobs: []Job{
		{Name: "", Interval: time.Millisecond},
		{Name: "a", Targets: []string{"http://user:pw@x/metrics"}, Timeout: time.Minute},
		{Name: "c", Targets: []string{"x:1"}, MaxTargets: -1},
	}, Indicators: []Indicator{{Name: "i"}, {Good: "a{", Total: "sum(b)", Slice: 7 * time.Minute}}})
	for _, want := range []string{
		"name: want one: it is the label job", "targets: want some, or files", "interval 1ms: want 1s to 1h", "timeout 1m0s: want more than 0",
		"max_targets -1: want at least 1", "has no password in it", "want total with one of good and bad", `total: "sum(b)" is no selector`, "slice 7m0s",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
	if err != nil && strings.Contains(err.Error(), "pw") {
		t.Error("a password is in the message")
	}
}

func TestTheWholeWay(t *testing.T) {
	var mu sync.Mutex
	n := 0
	server := serving(t, func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		n += 10
		w.Header().Set("Content-Type", textFormat)
		_, _ = w.Write([]byte(page(200, n, 500, n/10)))
	})
	s := &sink{}
	c, err := New(Config{Sink: s, Indicators: []Indicator{requests}, Jobs: []Job{{Name: "api", Targets: []string{server.URL}}}})
	if err != nil {
		t.Fatal(err)
	}
	found, _, err := c.jobs[0].discovered()
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	for _, target := range found {
		p := newPages(c.counters, target.labels, DefaultLimits)
		for range 3 {
			if err := c.read(t.Context(), c.jobs[0], target, p); err != nil {
				t.Fatal(err)
			}
		}
	}
	var total events
	for _, e := range c.sums.open {
		total.part, total.total = total.part+e.Part, total.total+e.Total
	}
	if total.part != 2 || total.total != 22 {
		t.Errorf("counted %+v", total)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := c.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
