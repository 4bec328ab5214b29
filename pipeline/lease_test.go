package pipeline_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubevalue/kubevalue/pipeline"
)

// TestABusyReplicaLetsOthersTakeTheirTurn has one with much to store beside one with little.
func TestABusyReplicaLetsOthersTakeTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, lease := newMemory(), filepath.Join(t.TempDir(), "lease")
		slow := func(context.Context, string) error { time.Sleep(20 * time.Millisecond); return nil }
		open := func() *pipeline.Pipeline {
			cfg := config(t, &client{m: m, before: slow}, t.TempDir())
			cfg.Lease, cfg.MaxRows = lease, 1
			p, _ := start(t, cfg)
			return p
		}
		busy, quiet := open(), open()
		for i := range 200 {
			appendTo(t, busy, event(fmt.Sprint(i)))
		}
		time.Sleep(time.Second)
		began := time.Now()
		appendTo(t, quiet, event("quiet"))
		flush(t, quiet)
		if took := time.Since(began); took > time.Second {
			t.Errorf("the quiet replica waited %s for its turn", took)
		}
		if s := busy.Stats(); s.Records < 50 {
			t.Errorf("the busy replica has %d batches left: it was not busy", s.Records)
		}
		flush(t, busy)
	})
}
