package scrape

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/kubevalue/kubevalue/schema"
)

const textFormat = "text/plain; version=0.0.4"

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func reader(t *testing.T, of ...Indicator) *pages {
	t.Helper()
	all, err := NewCounters(of)
	if err != nil {
		t.Fatal(err)
	}
	return newPages(all, labels.FromStrings("job", "api", "instance", "a:1"), DefaultLimits)
}

var requests = Indicator{Name: "requests", Bad: `requests_total{job="api",code=~"5.."}`, Total: `requests_total{job="api"}`}

// page is one of requests by code; nothing for a code is no series.
func page(codes ...any) string {
	var b strings.Builder
	b.WriteString("# HELP requests_total All.\n# TYPE requests_total counter\nother_metric 3\n")
	for i := 0; i < len(codes); i += 2 {
		fmt.Fprintf(&b, "requests_total{code=\"%v\"} %v\n", codes[i], codes[i+1])
	}
	return b.String()
}

// TestIncreases reads page after page of one target, 15 seconds apart unless it says otherwise.
func TestIncreases(t *testing.T) {
	p := reader(t, requests)
	at := began
	for _, c := range []struct {
		name  string
		page  string
		later time.Duration
		want  string // bad/total, or - for nothing measured, or an error
	}{
		{"the first page has nothing to count from", page(200, 100), 0, "-"},
		{"plain", page(200, 110), 0, "0/10"},
		{"nothing happened", page(200, 110), 0, "0/0"},
		{"the first value of a new series counts", page(200, 120, 500, 3), 0, "3/13"},
		{"a restart", page(200, 7, 500, 1), 0, "1/8"},
		{"a series is away", page(200, 10), 0, "0/3"},
		{"it comes back and goes on", page(200, 10, 500, 3), 0, "2/2"},
		{"the same series twice: the first counts", page(200, 11, 200, 500, 500, 3), 0, "0/1"},
		{"NaN is no count", page(200, "NaN", 500, 4), 0, "1/1"},
		{"and counting goes on after it", page(200, 21, 500, 4), 0, "0/10"},
		{"nor is infinity", page(200, "+Inf", 500, 4), 0, "0/0"},
		{"nor what is negative", page(200, -5, 500, 4), 0, "0/0"},
		{"a broken page counts nothing", page(200, 30, 500, 4, 503, 9) + "requests_total{code=\n", 0, ErrNoPage.Error()},
		{"what it told counts with the next one", page(200, 31, 500, 4, 503, 9), 0, "9/19"},
		{"one page may be missing", page(200, 41, 500, 4, 503, 9), 30 * time.Second, "0/10"},
		{"after a longer gap counting begins anew", page(200, 1000, 500, 40, 503, 9, 504, 70), 2 * time.Minute, "-"},
		{"and goes on", page(200, 1001, 500, 40, 503, 9, 504, 71), 0, "1/2"},
		{"a sample that is older than five minutes is stale", fmt.Sprintf("requests_total{code=\"200\"} 5000 %d\n", began.Add(-time.Hour).UnixMilli()), 0, "-"},
		{"what it says is no increase later", page(200, 5001), 0, "0/1"},
		{"no series at all", "other 1\n", 0, "-"},
	} {
		if c.later == 0 {
			c.later = 15 * time.Second
		}
		at = at.Add(c.later)
		added, _, err := p.take([]byte(c.page), textFormat, at, gapOf(15*time.Second))
		got := "-"
		switch {
		case err != nil:
			got = err.Error()
		case added[0].measured:
			got = fmt.Sprintf("%v/%v", added[0].part, added[0].total)
		}
		if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestOpenMetrics(t *testing.T) {
	p := reader(t, requests)
	const om = "application/openmetrics-text; version=1.0.0"
	for i, n := range []int{5, 12} {
		text := fmt.Sprintf("# TYPE requests counter\nrequests_total{code=\"500\"} %d # {trace_id=\"x\"} 1\nrequests_created{code=\"500\"} 1\n# EOF\n", n)
		added, _, err := p.take([]byte(text), om, began.Add(time.Duration(i)*15*time.Second), gapOf(15*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 && added[0] != (events{7, 7, true}) {
			t.Errorf("counted %+v", added[0])
		}
	}
	if _, _, err := p.take([]byte("# TYPE requests counter\nrequests_total 1\n"), om, began, 0); !errors.Is(err, ErrNoPage) {
		t.Errorf("a page without its end: %v", err)
	}
}

func TestPagesThatAreNone(t *testing.T) {
	many := strings.Repeat("x", 100)
	for _, c := range []struct {
		name, body, contentType string
		limits                  Limits
		want                    error
	}{
		{"HTML", "<html>", "text/html", DefaultLimits, ErrNoPage},
		{"HTML that says it is text", "<html>", textFormat, DefaultLimits, ErrNoPage},
		{"no content type", "x 1\n", "", DefaultLimits, ErrNoPage},
		{"a number that is none", "x one\n", textFormat, DefaultLimits, ErrNoPage},
		{"too many series", "a 1\nb 1\nc 1\n", textFormat, Limits{1 << 20, 2, 100, 10}, ErrTooMuch},
		{"a series that is too long", "a{b=\"" + many + "\"} 1\n", textFormat, Limits{1 << 20, 2, 100, 10}, ErrTooMuch},
		{"too many labels", "a{b=\"1\",c=\"1\",d=\"1\"} 1\n", textFormat, Limits{1 << 20, 2, 100, 3}, ErrTooMuch},
	} {
		p := reader(t, requests)
		p.limits = c.limits
		if _, _, err := p.take([]byte(c.body), c.contentType, began, 0); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestAPageIsReceivedInPieces(t *testing.T) {
	for _, size := range []int{0, 1, pieceSize - 1, pieceSize, pieceSize + 1, 3*pieceSize + 7} {
		body := make([]byte, size)
		for i := range body {
			body[i] = byte(i * 31 >> 3)
		}
		var p pieces
		from := iotest.HalfReader(bytes.NewReader(body))
		if err := errors.Join(p.read(from, pieceSize), p.read(from, 3*pieceSize)); err != nil || p.size != int64(size) || !bytes.Equal(p.joined(), body) {
			t.Errorf("of %d bytes came %d: %v", size, p.size, err)
		}
		p.release()
	}
	var p pieces
	if err := p.read(bytes.NewReader(make([]byte, 100)), 10); err != nil || p.size != 10 {
		t.Errorf("%d bytes, %v", p.size, err)
	}
	if err := p.read(iotest.ErrReader(io.ErrClosedPipe), 10); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

func TestSeriesThatAreLongGoneAreForgotten(t *testing.T) {
	p := reader(t, requests)
	for i := range 400 { // 100 minutes
		text := fmt.Sprintf("requests_total{code=\"200\",pod=\"p%d\"} 1\n", i)
		if _, _, err := p.take([]byte(text), textFormat, began.Add(time.Duration(i)*15*time.Second), gapOf(15*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(p.known); n > 310 || n < 240 {
		t.Errorf("%d series are remembered, want those of the last hour and a quarter", n)
	}
}

// TestBoundsAreNumbers: the parser writes 1.0 where the page has 1, and people write what the page has.
func TestBoundsAreNumbers(t *testing.T) {
	for _, c := range []struct {
		selector string
		want     float64
	}{
		{`took_bucket{le="1"}`, 3}, {`took_bucket{le="1.0"}`, 3}, {`took_bucket{le=~"1|1[.]0"}`, 3}, {`took_bucket{le=~"1"}`, 3}, {`took_bucket{le="0.5"}`, 2},
		{`took_bucket{le!="1",le!="0.5"}`, 4}, {`took_bucket{le!~"1|0.5"}`, 4}, {`took_bucket{le="+Inf"}`, 4}, {`took_bucket{le="10"}`, 0},
	} {
		p := reader(t, Indicator{Name: "took", Good: c.selector, Total: "took_count"})
		var got []events
		for i := range 2 {
			text := fmt.Sprintf("# TYPE took histogram\ntook_bucket{le=\"0.5\"} %d\ntook_bucket{le=\"1\"} %d\ntook_bucket{le=\"+Inf\"} %d\ntook_sum 1\ntook_count %d\n", 2*i, 3*i, 4*i, 4*i)
			var err error
			if got, _, err = p.take([]byte(text), textFormat, began.Add(time.Duration(i)*15*time.Second), time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		if got[0].part != c.want || got[0].total != 4 {
			t.Errorf("%s: %v of %v, want %v of 4", c.selector, got[0].part, got[0].total, c.want)
		}
	}
}

// TestATargetThatMakesUpSeriesIsBounded: every page has other ones.
func TestATargetThatMakesUpSeriesIsBounded(t *testing.T) {
	for _, c := range []struct {
		name, series string
		forgets      bool
	}{{"that count for nothing", "other_%d_%d 1\n", false}, {"that are counted", "requests_total{code=\"200\",page=\"%d\",n=\"%d\"} 1\n", true}} {
		p := reader(t, requests)
		p.limits.Series = 100
		forgot, lost := false, 0.0
		for i := range 50 {
			var b strings.Builder
			fmt.Fprintf(&b, "requests_total{code=\"200\"} %d\n", 1000+i)
			for n := range 99 {
				fmt.Fprintf(&b, c.series, i, n)
			}
			if i%3 == 1 {
				b.WriteString("broken{\n")
			}
			added, trouble, _ := p.take([]byte(b.String()), textFormat, began.Add(time.Duration(i)*15*time.Second), time.Minute)
			forgot = forgot || trouble.forgotten > 0
			if len(added) > 0 && added[0].total > 500 {
				lost = added[0].total
			}
			if len(p.known) > 300 {
				t.Fatalf("%s: %d series are remembered after %d pages", c.name, len(p.known), i)
			}
		}
		if forgot != c.forgets || lost > 0 {
			t.Errorf("%s: counting began anew: %t, want %t; an old value counted as %v new events", c.name, forgot, c.forgets, lost)
		}
	}
}

func FuzzPage(f *testing.F) {
	f.Add([]byte(page(200, 1, 500, 2)), true)
	f.Add([]byte("# TYPE requests counter\nrequests_total 1\n# EOF\n"), false)
	c, err := NewCounters([]Indicator{requests})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte, plain bool) {
		p := newPages(c, labels.EmptyLabels(), DefaultLimits)
		contentType := textFormat
		if !plain {
			contentType = "application/openmetrics-text; version=1.0.0"
		}
		for i := range 2 {
			added, _, err := p.take(body, contentType, began.Add(time.Duration(i)*time.Second), time.Minute)
			if err == nil && (added[0].part < 0 || added[0].total < 0) {
				t.Errorf("counted %+v", added[0])
			}
		}
	})
}

// TestWhatCountsMean has the rule for good or bad events that exceed all events: a little is the time between two reads, more cannot be true.
func TestWhatCountsMean(t *testing.T) {
	good := Indicator{Name: "good", Good: "ok_total", Total: "all_total"}
	all, err := NewCounters([]Indicator{requests, good})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		indicator int
		counted   sum
		want      string // good/total, or _ for a gap
	}{
		{"bad events", 0, sum{Part: 3, Total: 10, Measured: true}, "7/10"},
		{"good events", 1, sum{Part: 3, Total: 10, Measured: true}, "3/10"},
		{"nothing happened", 1, sum{Measured: true}, "0/0"},
		{"no total", 1, sum{Part: 3}, "_"},
		{"a little more good than all", 1, sum{Part: 1001, Total: 1000, Measured: true}, "1000/1000"},
		{"a little more bad than all", 0, sum{Part: 1001, Total: 1000, Measured: true}, "0/1000"},
		{"one read late", 1, sum{Part: 4, Total: 3, Measured: true}, "3/3"},
		{"far more good than all", 1, sum{Part: 1011, Total: 1000, Measured: true}, "_"},
		{"far more bad than all", 0, sum{Part: 12, Total: 10, Measured: true}, "_"},
	} {
		s := all.slice(c.indicator, began, c.counted, began)
		got := "_"
		if s.State == schema.SliceMeasured {
			got = fmt.Sprintf("%v/%v", s.Good, s.Total)
		}
		if got != c.want || s.State == schema.SliceGap && s.Good+s.Total != 0 {
			t.Errorf("%s: %s, want %s: %+v", c.name, got, c.want, s)
		}
	}
}
