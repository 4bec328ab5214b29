package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/pipeline"
	"github.com/kubevalue/kubevalue/schema"
)

func event(id string) schema.Event {
	return schema.Event{ID: id, Source: "s", Name: "n", Time: time.Now(), Actor: "ann@example.com", Object: id}
}

func events(n int) (list []schema.Event) {
	for i := range n {
		list = append(list, event(fmt.Sprint(i)))
	}
	return list
}

func appendTo(tb testing.TB, p *pipeline.Pipeline, list ...schema.Event) {
	tb.Helper()
	if err := p.Append(tb.Context(), schema.Batch{Events: list}); err != nil {
		tb.Fatal(err)
	}
}

func refusals(tb testing.TB, err error) []collectors.RecordError {
	tb.Helper()
	var batch *collectors.BatchError
	if !errors.As(err, &batch) {
		tb.Fatalf("got %v, want a *collectors.BatchError", err)
	}
	return batch.Records
}

func TestABadRecordRefusesItsBatchByIndex(t *testing.T) {
	m := newMemory()
	p, _ := start(t, config(t, &client{m: m}, t.TempDir()))
	list := events(4)
	list[1].Name = ""
	list[2].Time = time.Now().Add(-31 * 24 * time.Hour)
	bad := refusals(t, p.Append(t.Context(), schema.Batch{Events: list}))
	if len(bad) != 2 || bad[0].Index != 1 || bad[1].Index != 2 || !strings.Contains(bad[1].Error(), "scope backfill") {
		t.Errorf("got %v", bad)
	}
	flush(t, p)
	if len(m.events) != 0 {
		t.Errorf("%d events of a refused batch are stored", len(m.events))
	}
	list[1].Name = "n"
	if err := p.Append(t.Context(), schema.Batch{Events: list, Backfill: true}); err != nil {
		t.Errorf("backfill: %v", err)
	}
	if err := p.Append(t.Context(), schema.Batch{}); err != nil {
		t.Errorf("an empty batch: %v", err)
	}
	big := schema.Batch{Events: make([]schema.Event, pipeline.MaxBatch+2)}
	if bad = refusals(t, p.Append(t.Context(), big)); len(bad) != 2 || bad[0].Index != pipeline.MaxBatch {
		t.Errorf("%d refusals of a large batch", len(bad))
	}
	ahead := schema.Slice{Indicator: "i", Revision: "r", Start: time.Now().Add(time.Hour).Truncate(time.Minute), Seconds: 60, State: schema.SliceGap}
	if bad = refusals(t, p.Append(t.Context(), schema.Batch{Slices: []schema.Slice{ahead}})); !strings.Contains(bad[0].Error(), "lies in the future") {
		t.Errorf("a slice of the future: %v", bad)
	}
}

// TestDuplicatesCountOnce sends one event in every way in which it may come twice.
func TestDuplicatesCountOnce(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	one := func(edit func(*schema.Event)) schema.Event {
		e := schema.Event{ID: "42", Source: "s", Name: "n", Time: now.Add(-time.Hour), Received: now, Object: "first"}
		edit(&e)
		return e
	}
	for name, again := range map[string]func(*schema.Event){
		"the same":       func(*schema.Event) {},
		"another time":   func(e *schema.Event) { e.Time = now.Add(-20 * 24 * time.Hour) },
		"the future":     func(e *schema.Event) { e.Time = now.Add(100 * 24 * time.Hour) },
		"another name":   func(e *schema.Event) { e.Name, e.Actor = "m", "bob" },
		"received later": func(e *schema.Event) { e.Received = now.Add(time.Minute) },
		"nearly a week later": func(e *schema.Event) {
			e.Received, e.Time = now.Add(pipeline.DedupWindow), now.Add(pipeline.DedupWindow)
		},
	} {
		second := one(again)
		second.Object = "second"
		t.Run(name+", in one batch", func(t *testing.T) {
			m := newMemory()
			p, _ := start(t, config(t, &client{m: m}, t.TempDir()))
			appendTo(t, p, one(func(*schema.Event) {}), second)
			flush(t, p)
			onlyFirst(t, m, p)
		})
		t.Run(name+", in another batch", func(t *testing.T) {
			m := newMemory()
			p, _ := start(t, config(t, &client{m: m}, t.TempDir()))
			appendTo(t, p, one(func(*schema.Event) {}))
			flush(t, p)
			appendTo(t, p, second)
			flush(t, p)
			onlyFirst(t, m, p)
		})
		t.Run(name+", after a restart", func(t *testing.T) {
			m, dir := newMemory(), t.TempDir()
			p, stop := start(t, config(t, &client{m: m}, dir))
			appendTo(t, p, one(func(*schema.Event) {}))
			flush(t, p)
			stop()
			p, _ = start(t, config(t, &client{m: m}, dir))
			appendTo(t, p, second)
			flush(t, p)
			onlyFirst(t, m, p)
		})
		t.Run(name+", at another replica", func(t *testing.T) {
			m, lease := newMemory(), filepath.Join(t.TempDir(), "lease")
			var p *pipeline.Pipeline
			for _, e := range []schema.Event{one(func(*schema.Event) {}), second} {
				cfg := config(t, &client{m: m}, t.TempDir())
				cfg.Lease = lease
				p, _ = start(t, cfg)
				appendTo(t, p, e)
				flush(t, p)
			}
			onlyFirst(t, m, p)
		})
	}
}

func onlyFirst(t *testing.T, m *memory, p *pipeline.Pipeline) {
	t.Helper()
	if len(m.events) != 1 || m.events[0].Object != "first" {
		t.Errorf("stored: %+v", m.events)
	}
	if d := p.Stats().Duplicates; d != 1 {
		t.Errorf("%d duplicates are counted", d)
	}
}

func TestWhatIsNoDuplicateCounts(t *testing.T) {
	m := newMemory()
	p, _ := start(t, config(t, &client{m: m}, t.TempDir()))
	now := time.Now()
	week := now.Add(pipeline.DedupWindow + time.Second)
	for _, e := range []schema.Event{
		{ID: "1", Source: "s", Time: now, Received: now},
		{ID: "2", Source: "s", Time: now, Received: now},
		{ID: "1", Source: "t", Time: now, Received: now},
		{Source: "s", Time: now, Received: now}, // without an id each is an event
		{Source: "s", Time: now, Received: now},
		{ID: "1", Source: "s", Time: week, Received: week},
	} {
		e.Name = "n"
		appendTo(t, p, e, schema.Event{Source: "s", Name: "n", Time: e.Time, Received: e.Received})
		flush(t, p)
	}
	if len(m.events) != 12 || p.Stats().Duplicates != 0 {
		t.Errorf("%d events are stored, want 12; %d duplicates", len(m.events), p.Stats().Duplicates)
	}
}

func TestInOneBatchTheEarliestReceiptWins(t *testing.T) {
	m := newMemory()
	p, _ := start(t, config(t, &client{m: m}, t.TempDir()))
	now := time.Now().UTC().Truncate(time.Millisecond)
	list := make([]schema.Event, 3)
	for i, late := range []time.Duration{2 * time.Second, 0, time.Second} {
		list[i] = schema.Event{ID: "1", Source: "s", Name: "n", Time: now, Received: now.Add(late), Object: fmt.Sprint(i), Actor: fmt.Sprint("user", i)}
	}
	appendTo(t, p, list...)
	flush(t, p)
	if len(m.events) != 1 || m.events[0].Object != "1" || !m.events[0].Received.Equal(now) || m.events[0].Actor == 0 {
		t.Errorf("stored: %+v", m.events)
	}
}

func TestEventsFromTheFutureAreClampedAndMarked(t *testing.T) {
	m := newMemory()
	cfg := config(t, &client{m: m}, t.TempDir())
	cfg.Processor.ClockSkew = 2 * time.Second
	p, _ := start(t, cfg)
	now := time.Now().UTC().Truncate(time.Millisecond)
	for i, ahead := range []time.Duration{-time.Second, 0, 2 * time.Second, 2001 * time.Millisecond, 24 * 365 * time.Hour} {
		appendTo(t, p, schema.Event{ID: fmt.Sprint(i), Source: "s", Name: "n", Time: now.Add(ahead), Received: now})
	}
	flush(t, p)
	for i, e := range m.events {
		past := i == 0
		if e.Time.After(now) || e.Time.Before(now) != past || e.Clamped != (i >= 3) {
			t.Errorf("event %d: time %v, clamped %v", i, e.Time.Sub(now), e.Clamped)
		}
	}
}

func TestAttributesThatAreNotAllowedDoNotReachTheDisk(t *testing.T) {
	m, dir := newMemory(), t.TempDir()
	p, _ := start(t, config(t, &client{m: m}, dir))
	e := event("1")
	e.Attributes = map[string]string{"kept": "shown", "note": "a-secret-note"}
	appendTo(t, p, e)
	segments, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil || len(segments) != 1 {
		t.Fatal(segments, err)
	}
	b, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte("a-secret-note")) || !bytes.Contains(b, []byte("shown")) {
		t.Error("the spool has what it should not have, or lacks what it should have")
	}
	flush(t, p)
	if got := m.events[0].Attributes; len(got) != 1 || got["kept"] != "shown" {
		t.Errorf("stored: %v", got)
	}
}

func TestWhatTheWarehouseRefusesGoesToQuarantineAlone(t *testing.T) {
	for _, faults := range []bool{false, true} {
		t.Run(fmt.Sprintf("with other faults: %v", faults), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				var calls atomic.Int32
				c := &client{m: m, refuse: func(e schema.StoredEvent) bool { return e.Object == "13" || e.Object == "77" || e.Object == "78" }}
				if faults {
					c.after = func(context.Context, string) error {
						switch calls.Add(1) {
						case 1, 5, 20, 50, 85, 125, 170:
							return errFault
						}
						return nil
					}
				}
				p, stop := start(t, config(t, c, t.TempDir()))
				appendTo(t, p, events(100)...)
				flush(t, p)
				stop()
				if len(m.events) != 97 || len(m.stored()) != 97 {
					t.Errorf("%d rows of %d events, want 97", len(m.events), len(m.stored()))
				}
				held := map[string]bool{}
				for _, q := range m.quarantine {
					held[q.Payload] = true
					if q.Kind != "event" || q.Source != "s" || !strings.Contains(q.Payload, `"actor":"ann@example.com"`) || !strings.Contains(q.Reason, "does not fit") {
						t.Errorf("quarantined: %+v", q)
					}
				}
				if len(held) != 3 || len(m.quarantine) != 3 {
					t.Errorf("%d in quarantine, want 3", len(m.quarantine))
				}
				if s := p.Stats(); s.Inserted != 97 || s.Quarantined != 3 || s.Records != 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

func TestTwoReplicasAtOnce(t *testing.T) {
	m, lease := newMemory(), filepath.Join(t.TempDir(), "lease")
	var wg sync.WaitGroup
	var peers []*pipeline.Pipeline
	for range 2 {
		cfg := config(t, &client{m: m}, t.TempDir())
		cfg.Lease, cfg.MaxRows = lease, 300
		p, _ := start(t, cfg)
		peers = append(peers, p)
		wg.Go(func() {
			for i := range 50 {
				appendTo(t, p, events(100)[i:i+50]...)
			}
		})
	}
	wg.Wait()
	duplicates := uint64(0)
	for _, p := range peers {
		flush(t, p)
		duplicates += p.Stats().Duplicates
	}
	if len(m.events) != 99 || len(m.stored()) != 99 {
		t.Errorf("%d rows of %d events, want 99", len(m.events), len(m.stored()))
	}
	if duplicates != 2*50*50-99 {
		t.Errorf("%d duplicates, want %d", duplicates, 2*50*50-99)
	}
}

func TestNoNameReachesLogsOrErrors(t *testing.T) {
	var log bytes.Buffer
	m := newMemory()
	var calls atomic.Int32
	c := &client{m: m, refuse: func(e schema.StoredEvent) bool { return e.Object == "3" }, before: func(context.Context, string) error {
		if calls.Add(1) < 4 {
			return errFault
		}
		return nil
	}}
	cfg := config(t, c, t.TempDir())
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	p, stop := start(t, cfg)
	list := events(5)
	list[4].Object = string(make([]byte, 2000))
	if err := p.Append(t.Context(), schema.Batch{Events: list}); err == nil || strings.Contains(err.Error(), "ann") {
		t.Errorf("got %v", err)
	}
	appendTo(t, p, list[:4]...)
	flush(t, p)
	stop()
	if log.Len() == 0 || strings.Contains(log.String(), "ann@") {
		t.Errorf("log:\n%s", log.String())
	}
}

func TestProcessorStoresOnceByTokenAndById(t *testing.T) {
	m := newMemory()
	c := &client{m: m}
	p := pipeline.NewProcessor(config(t, c, t.TempDir()).Processor)
	now := time.Now().UTC()
	b := schema.Batch{Events: []schema.Event{
		{ID: "1", Source: "s", Name: "n", Time: now, Received: now}, {Source: "s", Name: "n", Time: now.AddDate(0, -2, 0), Received: now},
		{ID: "1", Source: "s", Name: "n", Time: now, Received: now},
	}}
	for try, want := range []pipeline.Outcome{{Events: 2, Duplicates: 1}, {Duplicates: 3}} {
		if got, err := p.Process(t.Context(), "token", b); err != nil || got != want {
			t.Errorf("try %d: %+v, %v; want %+v", try, got, err, want)
		}
	}
	if got, err := p.Process(t.Context(), "another", b); err != nil || got.Events != 1 {
		t.Errorf("under another token an event without id is another event: %+v, %v", got, err)
	}
	b.Events[0].Name = ""
	if bad := refusals(t, func() error { _, err := p.Process(t.Context(), "bad", b); return err }()); len(bad) != 1 || bad[0].Index != 0 {
		t.Errorf("%v", bad)
	}
}

func TestMetricsOfEveryStage(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := newMemory()
	cfg := config(t, &client{m: m}, t.TempDir())
	cfg.Registerer = reg
	p, _ := start(t, cfg)
	appendTo(t, p, event("1"), event("2"), event("1"))
	flush(t, p)
	if err := p.Append(t.Context(), schema.Batch{Events: []schema.Event{{}}}); err == nil {
		t.Fatal("no error")
	}
	want := `
# HELP kubevalue_pipeline_duplicates_total Events that were dropped because they, or a copy, were stored before.
# TYPE kubevalue_pipeline_duplicates_total counter
kubevalue_pipeline_duplicates_total 1
# HELP kubevalue_pipeline_refused_records_total Records that were refused, by reason.
# TYPE kubevalue_pipeline_refused_records_total counter
kubevalue_pipeline_refused_records_total{reason="error"} 0
kubevalue_pipeline_refused_records_total{reason="full"} 0
kubevalue_pipeline_refused_records_total{reason="invalid"} 1
kubevalue_pipeline_refused_records_total{reason="too_old"} 0
# HELP kubevalue_pipeline_spool_batches Batches that wait for the warehouse.
# TYPE kubevalue_pipeline_spool_batches gauge
kubevalue_pipeline_spool_batches 0
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "kubevalue_pipeline_duplicates_total", "kubevalue_pipeline_refused_records_total",
		"kubevalue_pipeline_spool_batches"); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(reg); err != nil || n < 15 {
		t.Errorf("%d series, %v", n, err)
	}
}

// TestRunsGrowWhileTheWarehouseIsBusy has the first insert wait until all is in the spool: what follows then goes in runs as large as
// they may be, in the order of receipt.
func TestRunsGrowWhileTheWarehouseIsBusy(t *testing.T) {
	const most, batch, batches = 200, 30, 40
	first, proceed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var runs []int
	m := newMemory()
	c := &client{m: m, before: func(ctx context.Context, op string) error {
		if op != "InsertEvents" {
			return nil
		}
		once.Do(func() { close(first) })
		select {
		case <-proceed:
		case <-ctx.Done():
		}
		return nil
	}, after: func(_ context.Context, op string) error {
		if op == "InsertEvents" {
			runs = append(runs, len(m.events))
		}
		return nil
	}}
	cfg := config(t, c, t.TempDir())
	cfg.MaxRows, cfg.Interval = most, time.Millisecond
	p, _ := start(t, cfg)
	all := events(batch * batches)
	appendTo(t, p, all[:batch]...)
	<-first
	for i := 1; i < batches; i++ {
		appendTo(t, p, all[i*batch:(i+1)*batch]...)
	}
	close(proceed)
	flush(t, p)
	if len(m.events) != len(all) {
		t.Fatalf("%d events are stored, want %d", len(m.events), len(all))
	}
	for i, e := range m.events {
		if want := schema.EventID(all[i].Source, all[i].ID); e.ID != want || e.Object != all[i].Object {
			t.Fatalf("row %d is %s of %q, want %s of %q", i, e.ID, e.Object, want, all[i].Object)
		}
	}
	for i := 1; i < len(runs)-1; i++ {
		if size := runs[i] - runs[i-1]; size != most/batch*batch {
			t.Errorf("run %d has %d events, want %d: %v", i, size, most/batch*batch, runs)
		}
	}
}
