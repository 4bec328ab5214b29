package chdb

import (
	"errors"
	"net/http/httptest"
	"os"
	"strings"
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

func TestABusyEngineSaysWhenToComeBack(t *testing.T) {
	h := &handler{running: make(chan struct{}), waiting: make(chan struct{})}
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader("SELECT 1")))
	header := answer.Header()
	if answer.Code != 503 || header.Get("Retry-After") != "1" || header.Get("X-ClickHouse-Exception-Code") != "202" {
		t.Errorf("got %d, %v: %s", answer.Code, header, answer.Body)
	}
	answer = httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), "GET", "/ping", nil))
	if answer.Code != 200 || answer.Body.String() != "Ok.\n" {
		t.Errorf("ping: %d %s", answer.Code, answer.Body)
	}
}

func TestTheMemoryLimitIsConfigured(t *testing.T) {
	for _, tc := range []struct {
		bytes uint64
		want  string
	}{
		{123456789, "<max_server_memory_usage>123456789</max_server_memory_usage>"},
		{0, "<max_server_memory_usage>" + DefaultMemoryForTest() + "</max_server_memory_usage>"},
	} {
		dir := t.TempDir()
		args, err := engineArgs(ServeConfig{DataDir: dir, MaxMemoryBytes: tc.bytes})
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(dir + "/engine.xml")
		if err != nil || !strings.Contains(string(text), tc.want) || args[1] != "--config-file="+dir+"/engine.xml" {
			t.Errorf("%d bytes: %q, %s, %v", tc.bytes, args, text, err)
		}
	}
}
