package chdb

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestTooManyRequestsWaitAndAreTurnedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &handler{running: make(chan struct{}, 1), waiting: make(chan struct{}, 2), patience: 10 * time.Second}
		leave, err := h.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		type outcome struct {
			err   error
			after time.Duration
			leave func()
		}
		second, begin := make(chan outcome), time.Now()
		enter := func() {
			leave, err := h.enter(t.Context())
			second <- outcome{err, time.Since(begin), leave}
		}
		go enter()
		synctest.Wait()
		_, err = h.enter(t.Context()) // the queue is full: no wait at all
		busy, ok := errors.AsType[*exception](err)
		if !ok || busy.code != codeTooManyQueries || busy.status() != 503 || time.Since(begin) != 0 {
			t.Errorf("above the queue: %v after %s", err, time.Since(begin))
		}
		if got := <-second; got.err == nil || got.after != h.patience {
			t.Errorf("in the queue: %v after %s", got.err, got.after)
		}
		go enter()
		time.Sleep(time.Second)
		leave()
		got := <-second
		if got.err != nil {
			t.Fatalf("in the queue, with a place that becomes free: %v", got.err)
		}
		got.leave()
		if len(h.running) != 0 || len(h.waiting) != 0 {
			t.Errorf("%d places and %d in the queue are not given back", len(h.running), len(h.waiting))
		}
	})
}
