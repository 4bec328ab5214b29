package probe

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// memorySink keeps what it is given; before fail lets one through, it may refuse.
type memorySink struct {
	mu     sync.Mutex
	slices []schema.Slice
	fail   func(b schema.Batch) error
}

func (s *memorySink) Append(_ context.Context, b schema.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		if err := s.fail(b); err != nil {
			return err
		}
	}
	s.slices = append(s.slices, b.Slices...)
	return nil
}

func (s *memorySink) taken() []schema.Slice {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]schema.Slice(nil), s.slices...)
}

var target = Target{Name: "shop", Kind: KindTCP, Address: "127.0.0.1:1", Interval: 10 * time.Second}

// start runs a collector in the bubble and gives the function that stops it and says how it ended.
func start(t *testing.T, cfg Config) (stop func() error) {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	return func() error { cancel(); return <-ended }
}

func good(context.Context, Target) Result { return Result{Good: true} }
func bad(context.Context, Target) Result  { return Result{Err: errors.New("refused")} }

// slice is the expected slice that begins at an offset from the bubble's midnight.
func slice(at time.Duration, good, total float64) schema.Slice {
	s := schema.Slice{
		Indicator: "shop", Revision: Revision(target), Start: midnight().Add(at), Seconds: 60,
		Good: good, Total: total, State: schema.SliceMeasured,
	}
	if total == 0 {
		s.State = schema.SliceGap
	}
	return s
}

// midnight is when a bubble's clock begins.
func midnight() time.Time { return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) }

func compare(t *testing.T, want, got []schema.Slice) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(schema.Slice{}, "Version"), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("slices differ (-want +got):\n%s", diff)
	}
	for _, s := range got {
		if gap := s.Version == uint64(s.Start.UnixMilli()); gap != (s.State == schema.SliceGap) {
			t.Errorf("version %d of a slice that begins at %d and is %s: only a gap gives way to what another service has measured", s.Version, s.Start.UnixMilli(), s.State)
		}
	}
}

func TestTriesOfAMinuteMakeASlice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &memorySink{}
		tries := 0
		var at []time.Time
		stop := start(t, Config{Targets: []Target{target}, Sink: sink, Try: func(context.Context, Target) Result {
			at = append(at, time.Now())
			tries++
			time.Sleep(300 * time.Millisecond) // a slow answer must not shift the next try
			return Result{Good: tries != 2}
		}})
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if n := len(sink.taken()); n != 0 {
			t.Errorf("%d slices before the first has ended", n)
		}
		time.Sleep(61*time.Second + time.Second)
		synctest.Wait()
		got := sink.taken()
		compare(t, []schema.Slice{slice(0, 5, 6), slice(time.Minute, 6, 6)}, got)
		if want := uint64(midnight().Add(time.Minute).UnixMilli()); got[0].Version != want {
			t.Errorf("version %d, want the time of writing %d", got[0].Version, want)
		}
		for i, when := range at[:12] {
			if want := midnight().Add(time.Duration(i) * 10 * time.Second); !when.Equal(want) {
				t.Errorf("try %d at %s, want %s", i, when, want)
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestAStartWithinASliceWaitsForTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(25 * time.Second)
		sink := &memorySink{}
		stop := start(t, Config{Targets: []Target{target}, Sink: sink, Try: good})
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		compare(t, []schema.Slice{slice(time.Minute, 6, 6)}, sink.taken())
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestAStopHandsOverTheSliceUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &memorySink{}
		stop := start(t, Config{Targets: []Target{target}, Sink: sink, Try: bad})
		time.Sleep(25 * time.Second)
		if err := stop(); err != nil {
			t.Error(err)
		}
		compare(t, []schema.Slice{slice(0, 0, 3)}, sink.taken())
	})
}

func TestAStopBeforeTheFirstTryHandsOverNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Second)
		sink := &memorySink{}
		stop := start(t, Config{Targets: []Target{target}, Sink: sink, Try: good})
		time.Sleep(time.Second)
		if err := stop(); err != nil {
			t.Error(err)
		}
		compare(t, nil, sink.taken())
	})
}

func TestATryThatCouldNotBeMadeCountsNowhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &memorySink{}
		registry := prometheus.NewRegistry()
		minute := func() int { return int(time.Since(midnight()) / time.Minute) }
		stop := start(t, Config{Targets: []Target{target}, Sink: sink, Registerer: registry, Try: func(context.Context, Target) Result {
			if minute() == 1 || time.Now().Second() == 20 {
				return Result{Err: ErrNotTried}
			}
			return Result{Good: true}
		}})
		time.Sleep(2*time.Minute + time.Second)
		synctest.Wait()
		compare(t, []schema.Slice{slice(0, 5, 5), slice(time.Minute, 0, 0)}, sink.taken())
		err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP kubevalue_probe_tries_total Tries of a target, by result; those not tried say nothing about the target.
# TYPE kubevalue_probe_tries_total counter
kubevalue_probe_tries_total{group="",result="good",target="shop"} 6
kubevalue_probe_tries_total{group="",result="not_tried",target="shop"} 7
`), "kubevalue_probe_tries_total")
		if err != nil {
			t.Error(err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestAHangingTargetIsStoppedWithTheCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &memorySink{}
		hang := func(ctx context.Context, _ Target) Result {
			if time.Now().Second() < 20 {
				return Result{Good: true}
			}
			<-ctx.Done()
			return Result{Err: errors.Join(ErrNotTried, ctx.Err())}
		}
		stop := start(t, Config{Targets: []Target{target}, Sink: sink, Try: hang})
		time.Sleep(24 * time.Second)
		if err := stop(); err != nil {
			t.Error(err)
		}
		compare(t, []schema.Slice{slice(0, 2, 2)}, sink.taken())
	})
}

func TestAClockThatJumpsLeavesAGapAndNoDoubles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var jump time.Duration
		now := func() time.Time { mu.Lock(); defer mu.Unlock(); return time.Now().Add(jump) }
		sink := &memorySink{}
		stop := start(t, Config{Targets: []Target{target}, Sink: sink, Now: now, Try: good})
		time.Sleep(25 * time.Second)
		mu.Lock()
		jump = 10*time.Minute + 7*time.Second // as after a suspension, at 00:10:32
		mu.Unlock()
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		compare(t, []schema.Slice{slice(0, 3, 3), slice(11*time.Minute, 6, 6), slice(12*time.Minute, 6, 6)}, sink.taken())
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestAFullSinkLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := true
		sink := &memorySink{fail: func(schema.Batch) error {
			if full {
				return collectors.ErrFull
			}
			return nil
		}}
		stop := start(t, Config{Targets: []Target{target}, Sink: sink, Try: good})
		time.Sleep(3*time.Minute + time.Second)
		synctest.Wait()
		sink.mu.Lock()
		full = false
		sink.mu.Unlock()
		time.Sleep(31 * time.Second)
		synctest.Wait()
		compare(t, []schema.Slice{slice(0, 6, 6), slice(time.Minute, 6, 6), slice(2*time.Minute, 6, 6)}, sink.taken())
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestASinkThatStaysFullIsReportedAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &memorySink{fail: func(schema.Batch) error { return collectors.ErrFull }}
		stop := start(t, Config{Targets: []Target{target}, Sink: sink, Try: good})
		time.Sleep(time.Second)
		if err := stop(); !errors.Is(err, collectors.ErrFull) {
			t.Errorf("error %v, want %v", err, collectors.ErrFull)
		}
	})
}

func TestARefusedSliceDoesNotHoldUpOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &memorySink{fail: func(b schema.Batch) error {
			for i, s := range b.Slices {
				if s.Indicator == "odd" {
					return &collectors.BatchError{Records: []collectors.RecordError{{Kind: "slice", Index: i, Err: errors.New("odd")}}}
				}
			}
			return nil
		}}
		odd := target
		odd.Name = "odd"
		stop := start(t, Config{Targets: []Target{odd, target}, Sink: sink, Try: good})
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		compare(t, []schema.Slice{slice(0, 6, 6)}, sink.taken())
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestStatusShowsTheNewestTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{Targets: []Target{target}, Sink: &memorySink{}, Try: bad})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		time.Sleep(11 * time.Second)
		s := c.Status()
		if len(s) != 1 || !s[0].At.Equal(midnight().Add(10*time.Second)) || s[0].Last.Err == nil {
			t.Errorf("status %+v", s)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestAlignUp(t *testing.T) {
	for _, c := range []struct {
		at   string
		step time.Duration
		want string
	}{
		{"2026-11-16T09:00:00Z", time.Minute, "2026-11-16T09:00:00Z"},
		{"2026-11-16T09:00:00.000000001Z", time.Minute, "2026-11-16T09:01:00Z"},
		{"2026-11-16T09:00:59Z", time.Minute, "2026-11-16T09:01:00Z"},
		{"1970-01-01T00:00:01Z", 7 * time.Second, "1970-01-01T00:00:07Z"},
		{"1969-12-31T23:59:59Z", time.Minute, "1970-01-01T00:00:00Z"},
	} {
		at, err := time.Parse(time.RFC3339Nano, c.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := alignUp(at, c.step).Format(time.RFC3339Nano); got != c.want {
			t.Errorf("alignUp(%s, %s) = %s, want %s", c.at, c.step, got, c.want)
		}
	}
}

func TestAChangeIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		n := 0
		stop := start(t, Config{Targets: []Target{target}, Sink: &memorySink{}, Logger: slog.New(slog.NewTextHandler(&log, nil)), Try: func(context.Context, Target) Result {
			if n++; n > 3 && n < 9 {
				return Result{Err: errors.New("refused")}
			}
			return Result{Good: true}
		}})
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if text := log.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "answers=false error=refused") || !strings.Contains(text, "answers=true") {
			t.Errorf("it says:\n%s", text)
		}
	})
}
