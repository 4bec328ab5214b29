package promquery

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// tables is a sink that remembers the newest version of each slice, as the warehouse does.
type tables struct {
	mu     sync.Mutex
	slices map[time.Time]schema.Slice
	taken  int
	err    error
}

func (s *tables) Append(_ context.Context, b schema.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if s.slices == nil {
		s.slices = map[time.Time]schema.Slice{}
	}
	s.taken += len(b.Slices)
	for _, one := range b.Slices {
		s.slices[one.Start] = one
	}
	return nil
}

func (s *tables) known(_ context.Context, q schema.SliceQuery) ([]schema.Slice, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []schema.Slice
	for at := q.From; at.Before(q.To); at = at.Add(time.Minute) {
		if one, ok := s.slices[at]; ok && one.Revision == q.Revision {
			out = append(out, one)
		}
	}
	return out, nil
}

// numbers tells of good and total events per instant; an instant without a number has no sample.
type numbers struct {
	mu    sync.Mutex
	good  map[int64]float64
	total map[int64]float64
	err   error
	asked int
}

func (n *numbers) ask(_ context.Context, query string, r Range) (model.Matrix, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	if n.err != nil {
		return nil, n.err
	}
	from := n.total
	if strings.Contains(query, "good") {
		from = n.good
	}
	var stream model.SampleStream
	for at := r.First; !at.After(r.Last); at = at.Add(r.Step) {
		if v, ok := from[at.Unix()]; ok {
			stream.Values = append(stream.Values, model.SamplePair{Timestamp: model.TimeFromUnix(at.Unix()), Value: model.SampleValue(v)})
		}
	}
	if len(stream.Values) == 0 {
		return nil, nil
	}
	return model.Matrix{&stream}, nil
}

var events = Indicator{Name: "login", Server: "main", Good: "good", Total: "total"}

// at is a minute after the beginning of time in synctest.
func at(minute int) time.Time {
	return time.Date(2000, 1, 1, 0, minute, 0, 0, time.UTC)
}

func newCollector(t *testing.T, sink *tables, n *numbers) *Collector {
	t.Helper()
	c, err := New(Config{
		Indicators: []Indicator{events}, Servers: map[string]Source{"main": {Ask: n.ask}}, Sink: sink, Known: sink.known, CatchUp: 10 * time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func run(t *testing.T, c *Collector, length time.Duration) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	time.Sleep(length)
	synctest.Wait()
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func (s *tables) states(from, to int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := ""
	for m := from; m < to; m++ {
		one, ok := s.slices[at(m)]
		switch {
		case !ok:
			out += "?"
		case one.State == schema.SliceGap:
			out += "_"
		case one.Good < one.Total:
			out += "x"
		default:
			out += "o"
		}
	}
	return out
}

func TestSlicesAreAskedForAsTheyEndAndMissingOnesAreCaughtUpWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &numbers{good: map[int64]float64{}, total: map[int64]float64{}}
		for m := -30; m < 60; m++ {
			if m != -3 { // the slice that ends then has no samples
				n.total[at(m).Unix()] = 10
			}
			n.good[at(m).Unix()] = 10
		}
		n.good[at(2).Unix()] = 7
		sink := &tables{}
		run(t, newCollector(t, sink, n), 5*time.Minute+time.Second) // due at 30 s past the minute
		if got := sink.states(-12, 6); got != "?ooooooo_ooooxoo??" {
			t.Errorf("slices %s", got)
		}
		if one := sink.slices[at(1)]; one.Good != 7 || one.Total != 10 || one.Seconds != 60 || one.Revision != Revision(events) {
			t.Errorf("slice %+v", one)
		}

		time.Sleep(20 * time.Minute) // longer than it catches up with
		before := sink.taken
		run(t, newCollector(t, sink, n), time.Second)
		if got := sink.states(3, 26); got != "o"+strings.Repeat("?", 10)+strings.Repeat("o", 10)+"??" {
			t.Errorf("after the restart %s", got)
		}
		if sink.taken-before != 10 {
			t.Errorf("%d slices were handed over, want the 10 that were missing", sink.taken-before)
		}
	})
}

func TestAServerThatDoesNotAnswerLeavesSlicesDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &numbers{good: map[int64]float64{}, total: map[int64]float64{}}
		for m := -30; m < 60; m++ {
			n.good[at(m).Unix()], n.total[at(m).Unix()] = 1, 1
		}
		sink := &tables{}
		c := newCollector(t, sink, n)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		time.Sleep(2 * time.Minute)
		n.mu.Lock()
		n.err = errors.New("connection refused")
		n.mu.Unlock()
		time.Sleep(3 * time.Minute)
		if got := sink.states(0, 6); got != "o?????" {
			t.Errorf("while it is away: %s", got)
		}
		if s := c.Status(); len(s) != 1 || s[0].Indicator != events.Name || s[0].Server != "main" || time.Since(s[0].At) > time.Minute || s[0].Err == nil {
			t.Errorf("while it is away, the status is %+v", s)
		}
		n.mu.Lock()
		n.err = nil
		n.mu.Unlock()
		time.Sleep(time.Minute)
		if got := sink.states(0, 6); got != "ooooo?" {
			t.Errorf("when it is back: %s", got)
		}
		if s := c.Status(); s[0].Err != nil {
			t.Errorf("when it is back, the status is %+v", s)
		}
		sink.mu.Lock()
		sink.err = collectors.ErrFull
		sink.mu.Unlock()
		time.Sleep(3 * time.Minute)
		sink.mu.Lock()
		sink.err = nil
		sink.mu.Unlock()
		time.Sleep(time.Minute)
		if got := sink.states(0, 10); got != "ooooooooo?" {
			t.Errorf("when the sink has room again: %s", got)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestWhatNumbersMean(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	none := math.Float64frombits(0x7ff8_dead_beef_0001) // no sample
	bad := Indicator{Name: "i", Bad: "bad", Total: "total"}
	raw := Indicator{Name: "i", Raw: "x"}
	failing := Indicator{Name: "i", Raw: "x", RawFailure: true}
	below := Indicator{Name: "i", Threshold: "x", Op: "lt", Value: 0.5}
	counter := Indicator{Name: "i", Good: "good", Total: "total", Counter: true}
	for _, c := range []struct {
		name        string
		of          Indicator
		part, total float64
		stamp       float64 // seconds before the slice's end
		good, all   float64
		gap         bool
	}{
		{"plain", events, 3, 4, 0, 3, 4, false},
		{"nothing happened", events, 0, 0, 0, 0, 0, false},
		{"no series of total", events, 3, none, 0, 0, 0, true},
		{"no series of good", events, none, 4, 0, 0, 4, false},
		{"no series of bad", bad, none, 4, 0, 4, 4, false},
		{"bad", bad, 1, 4, 0, 3, 4, false},
		{"NaN in good", events, nan, 4, 0, 0, 0, true},
		{"NaN in total", events, 3, nan, 0, 0, 0, true},
		{"infinite", events, inf, inf, 0, 0, 0, true},
		{"negative good", events, -3, 4, 0, 0, 0, true},
		{"negative total", events, 0, -4, 0, 0, 0, true},
		{"good a little above total", events, 1001, 1000, 0, 1000, 1000, false},
		{"good far above total", events, 1100, 1000, 0, 0, 0, true},
		{"good where there was no event", events, 1, 0, 0, 0, 0, true},
		{"share", raw, 0.25, 0, 0, 0.25, 1, false},
		{"share in percent", raw, 99.5, 0, 0, 0, 0, true},
		{"share rounded up", raw, 1.0001, 0, 0, 1, 1, false},
		{"bad share", failing, 0.25, 0, 0, 0.75, 1, false},
		{"bad share in percent", failing, 1.5, 0, 0, 0, 0, true},
		{"no share", raw, none, 0, 0, 0, 0, true},
		{"threshold held", below, 0.4, 0, 0, 1, 1, false},
		{"threshold not held", below, 0.5, 0, 0, 0, 1, false},
		{"threshold of nothing", below, nan, 0, 0, 0, 0, true},
		{"fresh counter", counter, 3, 4, 15, 3, 4, false},
		{"counter of a scrape that was a little late", counter, 3, 4, 63, 3, 4, false},
		{"counter without a scrape in the slice", counter, 0, 0, 70, 0, 0, true},
		{"counter without any sample", counter, 0, 0, none, 0, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := compile(c.of)
			if err != nil {
				t.Fatal(err)
			}
			answers := map[role]map[int64]float64{}
			end := at(1).Unix()
			put := func(r role, v float64) {
				if math.Float64bits(v) != math.Float64bits(none) {
					answers[r] = map[int64]float64{end: v}
				}
			}
			put(roleTotal, c.total)
			put(rolePart, c.part)
			put(roleValue, c.part)
			if math.Float64bits(c.stamp) != math.Float64bits(none) {
				put(roleFresh, float64(end)-c.stamp)
			}
			got := p.slice(at(0), answers)
			want := schema.Slice{Indicator: c.of.Name, Revision: Revision(c.of), Start: at(0), Seconds: 60, Good: c.good, Total: c.all, State: schema.SliceMeasured}
			if c.gap {
				want.State = schema.SliceGap
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestIndicatorsThatCannotBeAsked(t *testing.T) {
	for _, c := range []struct {
		of   Indicator
		want string
	}{
		{Indicator{Name: "i"}, "want total with one of good and bad, or raw, or threshold"},
		{Indicator{Name: "i", Good: "a", Bad: "b", Total: "c"}, "want total with one of good and bad"},
		{Indicator{Good: "a", Total: "c"}, "name: want one"},
		{Indicator{Name: "i", Good: "a", Total: "c", Slice: 7 * time.Minute}, "slice 7m0s: want whole seconds that divide a day"},
		{Indicator{Name: "i", Good: "a{", Total: "c"}, `good: "a{" is no PromQL`},
		{Indicator{Name: "i", Good: "a[5m]", Total: "c"}, "gives a matrix: want one number per series"},
		{Indicator{Name: "i", Good: "rate(a[5m])", Total: "c", Counter: true}, "with counter: true want a counter's selector"},
		{Indicator{Name: "i", Good: "sum(a) / sum(b)", Total: "c", Counter: true}, "with counter: true want a counter's selector"},
		{Indicator{Name: "i", Good: "a offset 5m", Total: "c", Counter: true}, "with counter: true want a counter's selector"},
		{Indicator{Name: "i", Good: "a - b", Total: "c", Counter: true}, "with counter: true want a counter's selector"},
		{Indicator{Name: "i", Threshold: "a", Op: "eq"}, `op "eq": want lt, lte, gt or gte`},
	} {
		if err := c.of.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v; want %s", c.of, err, c.want)
		}
	}
	if _, err := New(Config{Sink: &tables{}, Known: (&tables{}).known, Indicators: []Indicator{events}}); err == nil || !strings.Contains(err.Error(), `there is no server "main"`) {
		t.Errorf("a server that nobody knows: %v", err)
	}
}

func TestTheRevisionIsOfWhatIsMeasured(t *testing.T) {
	other := events
	other.Good = "good{x=\"1\"}"
	named := events
	named.Name = "other"
	if Revision(events) == Revision(other) || Revision(events) != Revision(named) || Revision(events) != Revision(events.WithDefaults()) {
		t.Error("the revision does not follow the queries")
	}
}

// followed is what becomes of the ten minutes before a start, and of the three after it, on tables that are empty.
func followed(t *testing.T, measured func(minute int) bool) string {
	t.Helper()
	states := ""
	synctest.Test(t, func(t *testing.T) {
		n := &numbers{good: map[int64]float64{}, total: map[int64]float64{}}
		for m := -10; m < 10; m++ {
			if measured(m) {
				n.good[at(m+1).Unix()], n.total[at(m+1).Unix()] = 1, 1
			}
		}
		sink := &tables{}
		run(t, newCollector(t, sink, n), 3*time.Minute+40*time.Second)
		states = sink.states(-10, 3)
	})
	return states
}

func TestNobodyMeasuredBeforeTheFirstMeasurement(t *testing.T) {
	for name, c := range map[string]struct {
		measured func(minute int) bool
		want     string
	}{
		"a server that is some minutes old": {func(m int) bool { return m >= -4 && m != -2 }, "??????oo_oooo"},
		"a series that comes later":         {func(m int) bool { return m >= 1 }, "????????___oo"},
		"a query without any series":        {func(int) bool { return false }, "????????_____"},
		"a server that has it all":          {func(int) bool { return true }, "ooooooooooooo"},
	} {
		if got := followed(t, c.measured); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestALongOutageIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &numbers{good: map[int64]float64{at(0).Unix(): 1}, total: map[int64]float64{at(0).Unix(): 1}}
		var log bytes.Buffer
		sink := &tables{}
		c := newCollector(t, sink, n)
		c.cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		run(t, c, time.Minute)
		n.err = errors.New("refused")
		run(t, c, time.Hour)
		text := log.String()
		if strings.Count(text, "does not answer") != 1 || strings.Count(text, "too old to be caught up with") != 1 {
			t.Errorf("of an hour without an answer it says:\n%s", text)
		}
	})
}
