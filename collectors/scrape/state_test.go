package scrape

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// life is a collector between a start and a kill, with a clock that the test sets and a target whose pages it hands in.
type life struct {
	*Collector
	p *pages
}

// lives begins one after the other on one state file and one sink.
type lives struct {
	t     *testing.T
	now   time.Time
	state string
	sink  *sink
}

func (l *lives) begin(of ...Indicator) life {
	l.t.Helper()
	c, err := New(Config{Indicators: of, Sink: l.sink, Now: func() time.Time { return l.now }, State: l.state})
	if err != nil {
		l.t.Fatal(err)
	}
	c.restore()
	return life{c, c.pagesOf(&job{Job: Job{Limits: DefaultLimits}}, "target", target{url: "http://x", labels: labels.FromStrings("job", "api")})}
}

// read hands in a page at a second, after which slices are closed, saved and handed over, or, with killed, only some of it.
func (l *lives) read(one life, second int, body string, steps ...func()) {
	l.t.Helper()
	l.now = time.Unix(int64(second), 0).UTC()
	if _, err := one.count(one.p, fetched{body: []byte(body), contentType: textFormat}, l.now, 40*time.Second); err != nil {
		l.t.Fatal(err)
	}
	for _, step := range steps {
		step()
	}
}

// told are the newest slices by their start in seconds: good/total, or _ for a gap.
func (l *lives) told() map[int64]string {
	out := map[int64]string{}
	for _, s := range l.sink.slices {
		out[s.Start.Unix()] = "_"
		if s.State == schema.SliceMeasured {
			out[s.Start.Unix()] = fmt.Sprintf("%v/%v", s.Good, s.Total)
		}
	}
	return out
}

func TestAKillLosesNothingAndCountsNothingTwice(t *testing.T) {
	l := &lives{t: t, now: time.Unix(0, 0).UTC(), state: filepath.Join(t.TempDir(), "scrape.json"), sink: &sink{}}
	one := l.begin(requests)
	send := func() { one.sums.HandOver(t.Context(), l.sink, l.now, one.cfg.Logger) }
	full := func() { one.save(); send() }
	l.read(one, 5, page(200, 100, 500, 0), full)
	l.read(one, 20, page(200, 110, 500, 1), full)
	l.read(one, 35, page(200, 120, 500, 2))          // killed before it is saved: the next page has it
	one = l.begin(requests)                          //
	l.read(one, 50, page(200, 140, 500, 2), full)    //
	l.read(one, 65, page(200, 150, 500, 2), full)    //
	l.read(one, 80, page(200, 160, 500, 5), func() { // killed after the first minute was handed over
		one.save()
		send()
	})
	one = l.begin(requests)
	l.read(one, 95, page(200, 170, 500, 5), func() { // killed when the slice was saved, before it was handed over
		one.save()
	})
	one = l.begin(requests)
	l.read(one, 110, page(200, 180, 500, 5), full)
	l.read(one, 125, page(200, 190, 500, 5), full)
	l.read(one, 140, page(200, 200, 500, 5), full)
	want := map[int64]string{0: "40/42", 60: "40/43"}
	if diff := cmp.Diff(want, l.told()); diff != "" {
		t.Errorf("slices differ (-want +got):\n%s", diff)
	}

	l.now = time.Unix(200, 0) // away for longer than two pages: counting begins anew, with a gap
	one = l.begin(requests)
	l.read(one, 205, page(200, 300, 500, 50), full)
	l.read(one, 220, page(200, 310, 500, 50), full)
	l.read(one, 320, page(200, 320, 500, 50), full)
	want[120], want[180], want[240] = "20/20", "10/10", "_"
	if diff := cmp.Diff(want, l.told()); diff != "" {
		t.Errorf("after a long break, slices differ (-want +got):\n%s", diff)
	}
}

func TestWhatWasSavedIsOfOtherIndicatorsOrDamaged(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"another indicator": func(string) error { return nil },
		"damaged":           func(path string) error { return os.WriteFile(path, []byte("{"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			l := &lives{t: t, now: time.Unix(0, 0).UTC(), state: filepath.Join(t.TempDir(), "scrape.json"), sink: &sink{}}
			first, second := Indicator{Name: "errors", Bad: `requests_total{code="500"}`, Total: `requests_total{code="500"}`}, requests
			if name == "damaged" {
				first = requests
			}
			one := l.begin(first)
			l.read(one, 5, page(200, 100, 500, 7), one.save)
			if err := damage(l.state); err != nil {
				t.Fatal(err)
			}
			one = l.begin(second)
			l.read(one, 20, page(200, 110, 500, 8))
			l.read(one, 35, page(200, 120, 500, 9), one.save)
			l.read(one, 80, page(200, 120, 500, 9), func() { one.sums.HandOver(t.Context(), l.sink, l.now, one.cfg.Logger) })
			if diff := cmp.Diff(map[int64]string{0: "10/11"}, l.told()); diff != "" {
				t.Errorf("slices differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSlicesThatNobodyTookOutliveTheProcess(t *testing.T) {
	l := &lives{t: t, now: time.Unix(0, 0).UTC(), state: filepath.Join(t.TempDir(), "scrape.json"), sink: &sink{err: collectors.ErrFull}}
	one := l.begin(requests)
	l.read(one, 5, page(200, 100, 500, 0))
	l.read(one, 20, page(200, 110, 500, 1))
	l.read(one, 80, page(200, 110, 500, 1), func() { one.sums.HandOver(t.Context(), l.sink, l.now, one.cfg.Logger) }, one.save)
	l.sink.fail(nil)
	one = l.begin(requests)
	one.sums.HandOver(t.Context(), l.sink, l.now, one.cfg.Logger)
	if diff := cmp.Diff(map[int64]string{0: "10/11"}, l.told()); diff != "" {
		t.Errorf("slices differ (-want +got):\n%s", diff)
	}
}
