package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/kubevalue/kubevalue/journey"
)

// memo remembers answers for a while, so that a page that many people open is computed once. Figures carry the instant at which they were
// computed, so nobody mistakes a remembered one for a fresh one.
type memo[T any] struct {
	now  func() time.Time
	mu   sync.Mutex
	kept map[string]remembered[T]
}

type remembered[T any] struct {
	value T
	until time.Time
}

// memoSize bounds the entries; a full memo starts anew.
const memoSize = 10_000

func newMemo[T any](now func() time.Time) *memo[T] {
	return &memo[T]{now: now, kept: map[string]remembered[T]{}}
}

// get returns what is remembered under a key, or asks and remembers the answer for as long as keep says. Errors are not remembered.
func (m *memo[T]) get(key string, keep time.Duration, ask func() (T, error)) (T, error) {
	m.mu.Lock()
	r, ok := m.kept[key]
	m.mu.Unlock()
	if ok && m.now().Before(r.until) {
		return r.value, nil
	}
	value, err := ask()
	if err != nil {
		return value, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.kept) >= memoSize {
		clear(m.kept)
	}
	m.kept[key] = remembered[T]{value, m.now().Add(keep)}
	return value, nil
}

// How long figures are remembered: those of a period that is over hardly change, those of one under way do.
const (
	keepComplete = 5 * time.Minute
	keepPartial  = 30 * time.Second
)

func keepFor(p journey.Period, now time.Time) time.Duration {
	if p.Complete(now) {
		return keepComplete
	}
	return keepPartial
}

// remembering answers a request for values from memory where it can.
func remembering(m *memo[[]journey.Value], evaluate journey.EvaluateFunc) journey.EvaluateFunc {
	return func(ctx context.Context, r journey.Request) ([]journey.Value, error) {
		key, err := json.Marshal(r)
		if err != nil || len(r.Periods) == 0 {
			return evaluate(ctx, r)
		}
		values, err := m.get(string(key), keepFor(r.Periods[len(r.Periods)-1], m.now()), func() ([]journey.Value, error) { return evaluate(ctx, r) })
		return slices.Clone(values), err // whoever asks may change their order
	}
}

// rememberingObjectives does the same for the figures of objectives in a period.
func rememberingObjectives(now func() time.Time, figures journey.ObjectivesFunc) journey.ObjectivesFunc {
	m := newMemo[[]journey.ObjectiveFigure](now)
	return func(ctx context.Context, p journey.Period, at time.Time) ([]journey.ObjectiveFigure, error) {
		key := fmt.Sprintf("%s %d %d", p.Grain, p.From.UnixMilli(), p.To.UnixMilli())
		return m.get(key, keepFor(p, at), func() ([]journey.ObjectiveFigure, error) { return figures(ctx, p, at) })
	}
}
