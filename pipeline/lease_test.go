package pipeline_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubevalue/kubevalue/pipeline"
)

// onEitherLease runs a test with replicas that share a file, and with replicas that share the warehouse only.
func onEitherLease(t *testing.T, test func(t *testing.T, share func(cfg *pipeline.Config, c *client))) {
	t.Run("file", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			lease := filepath.Join(t.TempDir(), "lease")
			test(t, func(cfg *pipeline.Config, _ *client) { cfg.Lease = lease })
		})
	})
	t.Run("turn", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			test(t, func(cfg *pipeline.Config, c *client) { cfg.Turn = c.m.turn(c, pipeline.DefaultTimeout) })
		})
	})
}

// TestABusyReplicaLetsOthersTakeTheirTurn has one with much to store beside one with little.
func TestABusyReplicaLetsOthersTakeTheirTurn(t *testing.T) {
	onEitherLease(t, func(t *testing.T, share func(*pipeline.Config, *client)) {
		m := newMemory()
		slow := func(context.Context, string) error { time.Sleep(20 * time.Millisecond); return nil }
		open := func() *pipeline.Pipeline {
			c := &client{m: m, before: slow}
			cfg := config(t, c, t.TempDir())
			share(&cfg, c)
			cfg.MaxRows = 1
			p, _ := start(t, cfg)
			return p
		}
		busy, quiet := open(), open()
		for i := range 120 {
			appendTo(t, busy, event(fmt.Sprint(i)))
		}
		time.Sleep(time.Second)
		began := time.Now()
		appendTo(t, quiet, event("quiet"))
		flush(t, quiet)
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("the quiet replica waited %s for its turn", took)
		}
		if s := busy.Stats(); s.Records < 50 {
			t.Errorf("the busy replica has %d batches left: it was not busy", s.Records)
		}
		flush(t, busy)
	})
}

// TestWhatIsDoneExclusivelyMayTakeLong has something done that takes longer than any attempt to store.
func TestWhatIsDoneExclusivelyMayTakeLong(t *testing.T) {
	onEitherLease(t, func(t *testing.T, share func(*pipeline.Config, *client)) {
		m := newMemory()
		c := &client{m: m}
		cfg := config(t, c, t.TempDir())
		share(&cfg, c)
		p, _ := start(t, cfg)
		mine := &client{m: m}
		own := pipeline.Config{Processor: pipeline.ProcessorConfig{Store: mine}}
		share(&own, mine)
		err := pipeline.Exclusively(t.Context(), own, func(ctx context.Context) error {
			appendTo(t, p, event("1"))
			time.Sleep(2 * time.Minute)
			if n := len(m.stored()); n > 0 {
				t.Errorf("%d events were stored meanwhile", n)
			}
			return ctx.Err()
		})
		if err != nil {
			t.Error(err)
		}
		flush(t, p)
	})
}

// TestWhatIsDoneExclusivelyEndsWithItsTurn has another replica take this one for dead.
func TestWhatIsDoneExclusivelyEndsWithItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		mine, other := &client{m: m}, &client{m: m}
		own := pipeline.Config{Processor: pipeline.ProcessorConfig{Store: mine}, Turn: m.turn(mine, pipeline.DefaultTimeout)}
		err := pipeline.Exclusively(t.Context(), own, func(ctx context.Context) error {
			m.mu.Lock()
			m.turns = turnMemory{}
			m.mu.Unlock()
			if ok, err := m.turn(other, pipeline.DefaultTimeout).Mine(ctx); !ok || err != nil {
				t.Fatal(ok, err)
			}
			<-ctx.Done()
			return ctx.Err()
		})
		if err == nil || !strings.Contains(err.Error(), "the turn to store was lost") {
			t.Errorf("error %v", err)
		}
	})
}

// TestAFrozenReplicaStoresNothingWhenItGoesOn freezes one between its look at the ids and its insert, until another one has taken it for dead
// and has stored the same events.
func TestAFrozenReplicaStoresNothingWhenItGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		frozen, froze := make(chan struct{}), false
		freezing := func(_ context.Context, op string) error {
			if op != "InsertEvents" || froze {
				return nil
			}
			froze = true
			close(frozen)
			time.Sleep(2 * pipeline.TurnLength(pipeline.DefaultTimeout))
			return errThawed
		}
		open := func(before func(context.Context, string) error) *pipeline.Pipeline {
			c := &client{m: m, before: before}
			cfg := config(t, c, t.TempDir())
			cfg.Turn = m.turn(c, pipeline.DefaultTimeout)
			p, _ := start(t, cfg)
			return p
		}
		stalls, other := open(freezing), open(nil)
		appendTo(t, stalls, event("both"), event("its own"))
		<-frozen
		appendTo(t, other, event("both"), event("the other's"))
		flush(t, other)
		flush(t, stalls)
		for id, n := range m.stored() {
			if n != 1 {
				t.Errorf("event %s is stored %d times", id, n)
			}
		}
		if n := len(m.stored()); n != 3 || len(m.ids) != 3 {
			t.Errorf("%d events and %d ids, want 3", n, len(m.ids))
		}
		if s := stalls.Stats(); s.Retried != 1 {
			t.Errorf("the one that froze: %+v, want one more try", s)
		}
	})
}
