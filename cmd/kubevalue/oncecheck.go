package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// onceHour is the hour of the reporting zone in which it is checked, every night, that each event is stored once.
	onceHour = 3
	// onceReach is how long before now the events were received that are looked at.
	onceReach = 48 * time.Hour
)

// checkingOnce looks every night for events that are stored twice. A lease keeps replicas from storing the same event, but cannot hold back
// one that stalls for longer than the lease lasts, while a statement of it is on its way.
func (s *service) checkingOnce(ctx context.Context) error {
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "kubevalue_events_stored_twice",
		Help: "Rows of events, received in the last two days, that have the id of another one, as the nightly check found.",
	})
	if err := s.registry.Register(gauge); err != nil {
		return err
	}
	for {
		timer := time.NewTimer(untilNight(s.now().In(s.cfg.zone)))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		s.checkOnce(ctx, gauge)
	}
}

// untilNight is how long it is until the next check.
func untilNight(now time.Time) time.Duration {
	next := time.Date(now.Year(), now.Month(), now.Day(), onceHour, 0, 0, 0, now.Location())
	if !next.After(now) {
		next = time.Date(now.Year(), now.Month(), now.Day()+1, onceHour, 0, 0, 0, now.Location())
	}
	return next.Sub(now)
}

func (s *service) checkOnce(ctx context.Context, gauge prometheus.Gauge) {
	copies, err := s.db.StoredTwice(ctx, s.now().Add(-onceReach), time.Duration(s.cfg.Spool.MaxLateness))
	if err != nil {
		if ctx.Err() == nil {
			s.log.WarnContext(ctx, "it could not be checked whether each event is stored once: the next night tries again", "error", err)
		}
		return
	}
	gauge.Set(float64(copies))
	if copies > 0 {
		s.log.ErrorContext(ctx, "events are stored twice, and count twice", "rows", copies)
	}
}
