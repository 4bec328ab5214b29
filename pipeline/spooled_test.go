package pipeline_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/pipeline"
	"github.com/kubevalue/kubevalue/pipeline/spool"
	"github.com/kubevalue/kubevalue/schema"
)

func TestDamageInTheSpoolGoesToQuarantineAndTheRestGoesOn(t *testing.T) {
	m, dir := newMemory(), t.TempDir()
	p, stop := start(t, config(t, &client{m: m, before: func(context.Context, string) error { return errFault }}, dir))
	for i := range 5 {
		appendTo(t, p, event(fmt.Sprint(i)))
	}
	stop()
	path := filepath.Join(dir, fmt.Sprintf("%020d.seg", 1))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, []byte("ann@example.com"))
	b[at] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	p, _ = start(t, config(t, &client{m: m}, dir))
	flush(t, p)
	if len(m.events) != 4 {
		t.Errorf("%d events are stored, want 4", len(m.events))
	}
	if len(m.quarantine) != 1 {
		t.Fatalf("%d in quarantine, want 1", len(m.quarantine))
	}
	for _, q := range m.quarantine {
		raw, err := base64.StdEncoding.DecodeString(q.Payload)
		if err != nil || q.Kind != "segment" || !bytes.Contains(raw, []byte("nn@example.com")) || !strings.Contains(q.Reason, "checksum") {
			t.Errorf("%+v, %v", q, err)
		}
	}
	if saved, _ := filepath.Glob(filepath.Join(dir, "damaged", "*.bin")); len(saved) != 1 {
		t.Errorf("saved beside the spool: %v", saved)
	}
}

func TestARecordCutOffByACrashIsReported(t *testing.T) {
	m, dir := newMemory(), t.TempDir()
	p, stop := start(t, config(t, &client{m: m, before: func(context.Context, string) error { return errFault }}, dir))
	appendTo(t, p, event("1"))
	appendTo(t, p, event("2"))
	stop()
	path := filepath.Join(dir, fmt.Sprintf("%020d.seg", 1))
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()-1); err != nil {
		t.Fatal(err)
	}
	p, _ = start(t, config(t, &client{m: m}, dir))
	flush(t, p)
	if len(m.events) != 1 || len(m.quarantine) != 1 {
		t.Errorf("%d events and %d in quarantine, want 1 and 1", len(m.events), len(m.quarantine))
	}
}

func TestAppendDoesNotWaitForAHangingWarehouse(t *testing.T) {
	m := newMemory()
	hang := func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }
	c := &client{m: m, before: hang}
	p, stop := start(t, config(t, c, t.TempDir()))
	var slowest time.Duration
	for i := range 200 {
		began := time.Now()
		appendTo(t, p, event(fmt.Sprint(i)))
		slowest = max(slowest, time.Since(began))
	}
	t.Logf("the slowest of 200 appends took %s", slowest)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := p.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "200 records still wait") {
		t.Errorf("flush: %v", err)
	}
	if s := p.Stats(); s.Records != 200 || s.Oldest <= 0 {
		t.Errorf("%+v", s)
	}
	stop()
}

// away is a client whose warehouse is away, until it is back.
func away(m *memory) (c *client, back func()) {
	var returned atomic.Bool
	return &client{m: m, before: func(context.Context, string) error {
		if returned.Load() {
			return nil
		}
		return errFault
	}}, func() { returned.Store(true) }
}

func TestAnHourWithoutWarehouse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		c, back := away(m)
		cfg := config(t, c, t.TempDir())
		cfg.Interval, cfg.MaxRows = time.Second, 500
		p, _ := start(t, cfg)
		for minute := range 60 {
			list := events(100)
			for i := range list {
				list[i].ID = fmt.Sprint(minute, "-", i)
			}
			appendTo(t, p, list...)
			time.Sleep(time.Minute)
		}
		if s := p.Stats(); s.Oldest < 59*time.Minute || s.Records != 60 || s.Retried < 300 {
			t.Errorf("%+v", s)
		}
		back()
		flush(t, p)
		if len(m.events) != 6000 || len(m.stored()) != 6000 {
			t.Errorf("%d events are stored, want 6000", len(m.events))
		}
		if m.inserts > 14 {
			t.Errorf("%d inserts for 6000 events of an hour", m.inserts)
		}
	})
}

func TestInsertsAreAboutOneASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		cfg := config(t, &client{m: m}, t.TempDir())
		cfg.Interval = time.Second
		p, _ := start(t, cfg)
		began := time.Now()
		for i := range 1000 {
			appendTo(t, p, event(fmt.Sprint(i)))
			time.Sleep(20 * time.Millisecond)
		}
		flush(t, p)
		if seconds := int(time.Since(began).Seconds()); m.inserts < seconds-2 || m.inserts > seconds+2 {
			t.Errorf("%d inserts in %d seconds", m.inserts, seconds)
		}
		time.Sleep(time.Second)
		if lag := p.Stats().Lag; lag > 2*time.Second {
			t.Errorf("lag %s", lag)
		}
	})
}

func TestAFullSpoolRefusesAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		c, back := away(m)
		cfg := config(t, c, t.TempDir())
		cfg.MaxBytes = 100 << 10
		p, _ := start(t, cfg)
		acked, refused := 0, 0
		for i := 0; refused < 10; i++ {
			list := events(100)
			for k := range list {
				list[k].ID = fmt.Sprintf("%d-%d-%x", i, k, i*7919*k)
			}
			switch err := p.Append(t.Context(), schema.Batch{Events: list}); {
			case err == nil:
				acked += len(list)
			case errors.Is(err, collectors.ErrFull):
				refused++
			default:
				t.Fatal(err)
			}
		}
		back()
		flush(t, p)
		if len(m.events) != acked {
			t.Errorf("%d events are stored, %d were acknowledged", len(m.events), acked)
		}
		appendTo(t, p, event("after"))
	})
}

func TestTooOldASpoolRefusesAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		c, back := away(m)
		cfg := config(t, c, t.TempDir())
		cfg.MaxAge = time.Hour
		p, _ := start(t, cfg)
		appendTo(t, p, event("1"))
		time.Sleep(time.Hour - time.Minute)
		appendTo(t, p, event("2"))
		time.Sleep(2 * time.Minute)
		if err := p.Append(t.Context(), schema.Batch{Events: events(1)}); !errors.Is(err, collectors.ErrFull) {
			t.Errorf("after more than an hour: %v", err)
		}
		back()
		flush(t, p)
		appendTo(t, p, event("3"))
	})
}

// TestARunThatEndsWhereASegmentBeginsTakesNoMore seals a run as it is when a new segment has no records yet: what is appended to that
// segment later is no part of the run, under whose token it would vanish.
func TestARunThatEndsWhereASegmentBeginsTakesNoMore(t *testing.T) {
	m, dir := newMemory(), t.TempDir()
	for _, id := range []string{"1", "2"} { // each process begins a segment
		p, err := pipeline.New(config(t, &client{m: m}, dir))
		if err != nil {
			t.Fatal(err)
		}
		appendTo(t, p, event(id))
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s, err := spool.Open(spool.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	r := s.NewReader(s.Cursor())
	defer r.Close()
	first, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	run := spool.Manifest{First: s.Cursor(), Batch: first.Batch}
	second, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	if run.End = second.First; run.End.Segment != 2 {
		t.Fatalf("the second record lies at %v, want it in the second segment", run.End)
	}
	if err := errors.Join(s.Seal(run), s.Close()); err != nil {
		t.Fatal(err)
	}
	p, _ := start(t, config(t, &client{m: m}, dir))
	flush(t, p)
	if len(m.events) != 2 || m.inserts != 2 {
		t.Errorf("%d events by %d inserts, want 2 by 2", len(m.events), m.inserts)
	}
}
