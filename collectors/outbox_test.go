package collectors_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// shelf is a sink that keeps the numbers of what it took, unless fail says otherwise.
type shelf struct {
	fail                         func(schema.Batch) error
	changes, slices, consumption []int
}

func (s *shelf) Append(_ context.Context, b schema.Batch) error {
	if s.fail != nil {
		if err := s.fail(b); err != nil {
			return err
		}
	}
	for _, c := range b.Changes {
		s.changes = append(s.changes, int(*c.Value))
	}
	for _, c := range b.Slices {
		s.slices = append(s.slices, int(c.Version))
	}
	for _, c := range b.Consumption {
		s.consumption = append(s.consumption, int(c.Seconds))
	}
	return nil
}

// numbered is a batch of n records of each kind, numbered from first.
func numbered(first, n int) schema.Batch {
	var b schema.Batch
	for i := first; i < first+n; i++ {
		b.Changes = append(b.Changes, schema.ResourceChange{Value: new(float64(i))})
		b.Slices = append(b.Slices, schema.Slice{Version: uint64(i)})
		b.Consumption = append(b.Consumption, schema.Consumption{Start: time.UnixMilli(int64(i)), Seconds: float64(i)})
	}
	return b
}

func numbers(first, n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = first + i
	}
	return all
}

func TestAnOutboxHandsEverythingOverOnceInItsOrder(t *testing.T) {
	const most = 20_000
	rapid.Check(t, func(rt *rapid.T) {
		s, put := &shelf{}, 0
		fails := rapid.SliceOfN(rapid.Bool(), 0, 6).Draw(rt, "fails")
		s.fail = func(b schema.Batch) error {
			if b.Len() > 5_000 {
				rt.Fatalf("a batch of %d records", b.Len())
			}
			if len(fails) == 0 {
				return nil
			}
			fail := fails[0]
			if fails = fails[1:]; fail {
				return collectors.ErrFull
			}
			return nil
		}
		o := collectors.NewOutbox(collectors.OutboxConfig{Sink: s, MaxHeld: most, MaxChanges: most})
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, 2_500), 1, 3).Draw(rt, "puts") {
			o.Put(numbered(put, n))
			put += n
			_ = o.Drain(t.Context()) // it may be refused
		}
		for o.Drain(t.Context()) != nil {
			continue
		}
		for kind, got := range map[string][]int{"changes": s.changes, "slices": s.slices, "consumption": s.consumption} {
			if !slices.Equal(numbers(0, put), got) {
				rt.Fatalf("%s arrived in another order or number: %v, want 0 to %d", kind, got, put-1)
			}
		}
	})
}

func TestAnOutboxDropsTheOldestMeasurementsAndNoChange(t *testing.T) {
	s, dropped := &shelf{}, map[string]int{}
	o := collectors.NewOutbox(collectors.OutboxConfig{
		Sink: s, MaxHeld: 10, MaxChanges: 10, Dropped: func(reason string, n int) { dropped[reason] += n },
	})
	o.Put(numbered(0, 12))
	o.Put(numbered(12, 3))
	if err := o.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := [][]int{s.changes, s.slices, s.consumption}
	if diff := cmp.Diff([][]int{numbers(0, 15), numbers(5, 10), numbers(5, 10)}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int{"slice": 5, "consumption": 5}, dropped); diff != "" {
		t.Error(diff)
	}
}

// Sums of an hour are told again and again while it lasts: those that later ones replace take no place of those of hours that have ended.
func TestAnOutboxHoldsOnlyTheLastSumsOfAnHour(t *testing.T) {
	s, dropped := &shelf{}, map[string]int{}
	o := collectors.NewOutbox(collectors.OutboxConfig{
		Sink: s, MaxHeld: 8, MaxChanges: 10, Dropped: func(reason string, n int) { dropped[reason] += n },
	})
	for hour := range int64(4) {
		for told := range 12 {
			seconds := float64(100*hour) + float64(told)
			o.Put(schema.Batch{Consumption: []schema.Consumption{
				{Start: time.UnixMilli(hour), Team: "a", Seconds: seconds}, {Start: time.UnixMilli(hour), Team: "b", Seconds: seconds},
			}})
		}
	}
	s.fail = func(schema.Batch) error { // more is told while it is handed over
		s.fail = nil
		o.Put(schema.Batch{Consumption: []schema.Consumption{{Start: time.UnixMilli(3).In(time.FixedZone("", 3600)), Team: "b", Seconds: 312}}})
		return collectors.ErrFull
	}
	if err := o.Drain(t.Context()); !errors.Is(err, collectors.ErrFull) {
		t.Fatal(err)
	}
	if err := o.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{11, 11, 111, 111, 211, 211, 311, 312}, s.consumption); diff != "" {
		t.Errorf("other sums than the last ones of each hour arrived (-want +got):\n%s", diff)
	}
	if dropped["consumption"] > 0 {
		t.Errorf("dropped %v", dropped)
	}
}

func TestAnOutboxLeavesOutWhatIsRefused(t *testing.T) {
	dropped := map[string]int{}
	s := &shelf{fail: func(b schema.Batch) error {
		if b.Len() < 9 {
			return nil
		}
		return &collectors.BatchError{Records: []collectors.RecordError{
			{Kind: "change", Index: 0, Err: errors.New("odd")}, {Kind: "slice", Index: 1, Err: errors.New("odd")}, {Kind: "consumption", Index: 2, Err: errors.New("odd")},
		}}
	}}
	o := collectors.NewOutbox(collectors.OutboxConfig{Sink: s, MaxHeld: 10, MaxChanges: 10, Dropped: func(reason string, n int) { dropped[reason] += n }})
	o.Put(numbered(0, 3))
	if err := o.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]int{{1, 2}, {0, 2}, {0, 1}}, [][]int{s.changes, s.slices, s.consumption}); diff != "" {
		t.Error(diff)
	}
	if dropped["refused"] != 3 {
		t.Errorf("dropped %v", dropped)
	}
}

func TestAnOutboxTriesAgainUntilTheSinkTakesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var tries []time.Duration
		s := &shelf{}
		s.fail = func(schema.Batch) error {
			tries = append(tries, time.Since(begin))
			if time.Since(begin) < time.Minute {
				return collectors.ErrFull
			}
			return nil
		}
		o := collectors.NewOutbox(collectors.OutboxConfig{Sink: s, MaxHeld: 10, MaxChanges: 1})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); o.Run(ctx) }()
		o.Put(numbered(0, 1))
		o.AwaitRoom() // until the sink has taken it
		if waited := time.Since(begin); waited < time.Minute {
			t.Errorf("there was room after %s", waited)
		}
		cancel()
		<-ended
		const ms = time.Millisecond
		if diff := cmp.Diff([]time.Duration{100 * ms, 1100 * ms, 3100 * ms, 7100 * ms, 15100 * ms, 31100 * ms, 61100 * ms}, tries); diff != "" {
			t.Error(diff)
		}
		o.Put(numbered(0, 1))
		go func() { time.Sleep(time.Second); o.Close() }()
		o.AwaitRoom()
	})
}

func TestWhatAnOutboxCannotHandOverInTheEndIsCounted(t *testing.T) {
	s := &shelf{fail: func(schema.Batch) error { return collectors.ErrFull }}
	dropped := map[string]int{}
	o := collectors.NewOutbox(collectors.OutboxConfig{
		Sink: s, MaxHeld: 10, MaxChanges: 10, Dropped: func(reason string, records int) { dropped[reason] += records },
	})
	o.Put(numbered(0, 2))
	err := o.Drain(t.Context())
	if !errors.Is(err, collectors.ErrFull) || !strings.Contains(err.Error(), "the last 6 records") {
		t.Errorf("the end says %v, want that 6 records are lost since the sink is full", err)
	}
	if diff := cmp.Diff(map[string]int{"end": 6}, dropped); diff != "" {
		t.Error(diff)
	}
}
