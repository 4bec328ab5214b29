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

// publisher is what a service remembers of publishing.
type publisher struct {
	// recorded says that the definitions are; since is the last time of publishing, old the last time that old periods were looked at.
	recorded   bool
	since, old time.Time
}

// publishing records what the objectives are defined as, publishes the figures of periods as they close, and appends revisions when
// late data, incidents, exclusions or changed definitions change them.
func (s *service) publishing(ctx context.Context) error {
	var p publisher
	for tick := time.NewTicker(publishEvery); ; {
		if err := s.publishDue(ctx, &p); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "figures of closed periods could not be published; it is tried again in an hour", "error", err)
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			return nil
		case <-tick.C:
		case <-s.restate:
		}
	}
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
	oldest := now.Add(-longestHistory)
	from := now.Add(-recheck)
	whole := now.Sub(p.old) >= recheckOld
	if whole {
		from = oldest
	}
	for _, e := range exclusions {
		if begin := e.From; !e.Recorded.Before(p.since) && begin.Before(from) {
			if begin.IsZero() {
				begin = oldest
			}
			from = begin
		}
	}
	done, err := objectives.publish(ctx, from)
	if done.Published+done.Revised > 0 {
		s.log.InfoContext(ctx, "figures of closed periods published", "published", done.Published, "revised", done.Revised)
	}
	if err != nil {
		return err
	}
	p.since = now
	if whole {
		p.old = now
	}
	return nil
}
