package main

import (
	"context"
	"time"
)

// publishEvery is how often closed periods are looked for, and recheck how long after their end late data is looked for as often. Older
// periods are looked at every recheckOld.
const (
	publishEvery = time.Hour
	recheck      = 120 * 24 * time.Hour
	recheckOld   = 24 * time.Hour
)

// rechecks remembers when closed periods were looked at.
type rechecks struct {
	// last is the last time, old the last time that old periods were looked at, too.
	last, old time.Time
}

// from is since when closed periods are to be looked at now.
func (r *rechecks) from(now time.Time) time.Time {
	if now.Sub(r.old) >= recheckOld {
		return now.Add(-longestHistory)
	}
	return now.Add(-recheck)
}

// looked notes that they were.
func (r *rechecks) looked(now time.Time) {
	if now.Sub(r.old) >= recheckOld {
		r.old = now
	}
	r.last = now
}

// publisher is what a service remembers of publishing.
type publisher struct {
	rechecks
	recorded bool // whether the definitions are
}

// everyHour publishes again and again, also when wake says so.
func (s *service) everyHour(ctx context.Context, what string, wake <-chan struct{}, publish func(context.Context) error) error {
	for tick := time.NewTicker(publishEvery); ; {
		if err := publish(ctx); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "closed periods could not be published; it is tried again in an hour", "what", what, "error", err)
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			return nil
		case <-tick.C:
		case <-wake:
		}
	}
}

// publishing records what the objectives are defined as, publishes the figures of periods as they close, and appends revisions when
// late data, incidents, exclusions or changed definitions change them.
func (s *service) publishing(ctx context.Context) error {
	var p publisher
	return s.everyHour(ctx, "figures of objectives", s.restate, func(ctx context.Context) error { return s.publishDue(ctx, &p) })
}

// publishDue publishes what may have changed: in periods of the last months, in those that exclusions touch that were recorded since the
// last time, and once a day in all of the last two years.
func (s *service) publishDue(ctx context.Context, p *publisher) error {
	objectives, now := s.figures.objectives, s.now()
	if !p.recorded {
		if _, err := objectives.recordDefinitions(ctx); err != nil {
			return err
		}
		p.recorded = true
	}
	exclusions, err := objectives.store.Exclusions(ctx)
	if err != nil {
		return err
	}
	from := p.from(now)
	for _, e := range exclusions {
		if begin := e.From; !e.Recorded.Before(p.last) && begin.Before(from) {
			if begin.IsZero() {
				begin = now.Add(-longestHistory)
			}
			from = begin
		}
	}
	done, err := objectives.publish(ctx, from)
	if done.Published+done.Revised > 0 {
		s.log.InfoContext(ctx, "figures of closed periods published", "published", done.Published, "revised", done.Revised)
	}
	if err == nil {
		p.looked(now)
	}
	return err
}
