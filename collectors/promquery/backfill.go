package promquery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// BackfillConfig says which slices Backfill fetches, and where they go.
type BackfillConfig struct {
	Indicator Indicator
	Ask       Ask
	Sink      collectors.Sink
	Known     Known
	// From and To bound the starts of the slices, half-open; they are moved to the beginnings of slices.
	From, To time.Time
	// Progress is told after every chunk how many slices have been asked for; nil: nobody wants to know.
	Progress func(asked int)
	// Timeout bounds one question, and Now is time.Now when nil.
	Timeout time.Duration
	Now     func() time.Time
}

// BackfillSummary counts slices.
type BackfillSummary struct {
	// Asked are all of the period, Measured and Gaps those that were handed over. Left out are those that are known already, and gaps
	// before the first one that was measured: nobody measured then.
	Asked, Measured, Gaps int
}

// attempts bound how often a question is asked that is not answered.
const attempts = 5

// Backfill fetches the slices of a period in chunks. A chunk that fails ends it; those before it are handed over, and another run leaves
// them out. The summary is valid together with an error.
func Backfill(ctx context.Context, cfg BackfillConfig) (BackfillSummary, error) {
	var sum BackfillSummary
	p, err := compile(cfg.Indicator)
	if err != nil {
		return sum, err
	}
	defaults := Config{Timeout: cfg.Timeout, Now: cfg.Now}.withDefaults()
	f := fetcher{ask: cfg.Ask, known: cfg.Known, timeout: defaults.Timeout, now: defaults.Now}
	began := false
	for from, end := p.floor(cfg.From), p.floor(cfg.To); from.Before(end); {
		to := earlier(from.Add(chunk*p.Slice), end)
		found, err := backoff.Retry(ctx, func() ([]schema.Slice, error) {
			found, err := f.fetch(ctx, p, from, to)
			if err != nil && Refused(err) {
				err = backoff.Permanent(err)
			}
			return found, err
		}, backoff.WithMaxTries(attempts))
		if err != nil {
			return sum, fmt.Errorf("backfill %s: %w", p.Name, err)
		}
		if !began {
			found, began = fromFirstMeasured(found)
		}
		if err := handOver(ctx, cfg.Sink, found); err != nil {
			return sum, fmt.Errorf("backfill %s: %w", p.Name, err)
		}
		sum.count(found, int(to.Sub(from)/p.Slice))
		if cfg.Progress != nil {
			cfg.Progress(sum.Asked)
		}
		from = to
	}
	return sum, nil
}

// fromFirstMeasured leaves out the gaps before the first slice that was measured; false: none was.
func fromFirstMeasured(found []schema.Slice) ([]schema.Slice, bool) {
	for i, s := range found {
		if s.State == schema.SliceMeasured {
			return found[i:], true
		}
	}
	return nil, false
}

// handOver waits for a full sink.
func handOver(ctx context.Context, sink collectors.Sink, found []schema.Slice) error {
	if len(found) == 0 {
		return nil
	}
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := sink.Append(ctx, schema.Batch{Slices: found, Backfill: true})
		if err != nil && !errors.Is(err, collectors.ErrFull) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithMaxElapsedTime(0))
	return err
}

func (s *BackfillSummary) count(found []schema.Slice, asked int) {
	s.Asked += asked
	for _, f := range found {
		if f.State == schema.SliceMeasured {
			s.Measured++
		} else {
			s.Gaps++
		}
	}
}
