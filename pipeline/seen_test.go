package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubevalue/kubevalue/pipeline"
)

// TestOnlyDoubtfulIDsAreLookedUp has a pipeline alone, then beside another one.
func TestOnlyDoubtfulIDsAreLookedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lookups atomic.Int64
		read := make(chan struct{}) // a filter is filled between two steps, never during one
		m, lease := newMemory(), filepath.Join(t.TempDir(), "lease")
		open := func(before func(context.Context, string) error) *pipeline.Pipeline {
			cfg := config(t, &client{m: m, before: before}, t.TempDir())
			cfg.Lease, cfg.Exclusive = lease, true
			p, _ := start(t, cfg)
			return p
		}
		p := open(func(ctx context.Context, op string) error {
			switch op {
			case "SeenEventIDs":
				lookups.Add(1)
			case "EventIDs":
				select {
				case <-read:
				case <-ctx.Done():
				}
			}
			return nil
		})
		var other *pipeline.Pipeline
		for _, step := range []struct {
			name    string
			pause   time.Duration
			others  string // an id that the other one stores before
			id      string
			lookups int64
			stored  int
		}{
			{"the first run, nothing is known yet", 0, "", "1", 1, 1},
			{"a new event", time.Second, "", "2", 0, 2},
			{"its copy", time.Second, "", "2", 1, 2},
			{"one that was stored before the filter was read", time.Second, "", "1", 1, 2},
			{"a new one after another replica stored one", time.Second, "3", "4", 1, 4},
			{"what the other replica stored", time.Second, "", "3", 1, 4},
			{"a new one, soon after", time.Second, "", "5", 1, 5},
			{"a new one, when the other has been quiet for a while: the filter is begun", time.Hour, "", "6", 1, 6},
			{"and a new one with it", time.Second, "", "7", 0, 7},
			{"it knows the other's", time.Second, "", "3", 1, 7},
			{"a day later it is made anew", 25 * time.Hour, "", "8", 0, 8},
			{"and knows all", time.Second, "", "8", 1, 8},
			{"a new one", time.Second, "", "9", 0, 9},
		} {
			time.Sleep(step.pause)
			if step.others != "" {
				if other == nil {
					other = open(nil)
				}
				appendTo(t, other, event(step.others))
				flush(t, other)
			}
			lookups.Store(0)
			appendTo(t, p, event(step.id))
			flush(t, p)
			synctest.Wait()
			select {
			case read <- struct{}{}:
			default: // none is being filled
			}
			if got := lookups.Load(); got != step.lookups {
				t.Errorf("%s: %d lookups, want %d", step.name, got, step.lookups)
			}
			if got := len(m.stored()); got != step.stored {
				t.Errorf("%s: %d events are stored, want %d", step.name, got, step.stored)
			}
		}
	})
}

// TestAStopBreaksTheReadingOfIDsOffInSilence: a command that stores something and ends warns nobody of what it no longer needs.
func TestAStopBreaksTheReadingOfIDsOffInSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		reading := false
		cfg := config(t, &client{m: newMemory(), before: func(ctx context.Context, op string) error {
			if op != "EventIDs" {
				return nil
			}
			reading = true
			<-ctx.Done()
			return errors.New("cancelled")
		}}, t.TempDir())
		cfg.Lease, cfg.Exclusive, cfg.Logger = filepath.Join(t.TempDir(), "lease"), true, slog.New(slog.NewTextHandler(&said, nil))
		p, stop := start(t, cfg)
		appendTo(t, p, event("1"))
		flush(t, p)
		synctest.Wait()
		if !reading {
			t.Fatal("no ids are being read")
		}
		stop()
		synctest.Wait()
		if strings.Contains(said.String(), "ids of stored events") {
			t.Error(said.String())
		}
	})
}
