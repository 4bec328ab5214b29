package main

import (
	"context"
	"fmt"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// storeLeftover says when what an earlier service left in the spool is in the warehouse.
func (s *service) storeLeftover(ctx context.Context) error {
	if err := s.pipe.Flush(ctx); err != nil {
		return err // the end came first
	}
	close(s.stored)
	<-ctx.Done()
	return nil
}

// awaitLeftover returns when the warehouse knows what an earlier service left in the spool. Who combines what is known with what comes now asks
// first: what was told already would be told anew, in other words. It is an error when that takes longer than longest.
func (s *service) awaitLeftover(ctx context.Context, longest time.Duration) error {
	timer := time.NewTimer(longest)
	defer timer.Stop()
	select {
	case <-s.stored:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	}
	return fmt.Errorf("what an earlier service left in the spool is not in the warehouse yet: %d records wait", s.pipe.Stats().Records)
}

const (
	// leftoverForClusters is how long what is known of a cluster waits for the spool before the status of the cluster says so.
	leftoverForClusters = 20 * time.Second
	// leftoverForSenders is how long who waits for an answer does, before being told to come again.
	leftoverForSenders = 5 * time.Second
)

// liveResources are what is known of a cluster.
func (s *service) liveResources(ctx context.Context, cluster string) ([]schema.ResourceChange, error) {
	if err := s.awaitLeftover(ctx, leftoverForClusters); err != nil {
		return nil, err
	}
	return s.db.LiveResources(ctx, cluster)
}

// incidents are those that share an instant with [from, to), in their newest versions.
func (s *service) incidents(ctx context.Context, from, to time.Time) ([]schema.Incident, error) {
	if err := s.awaitLeftover(ctx, leftoverForSenders); err != nil {
		return nil, err
	}
	return s.db.Incidents(ctx, from, to)
}

// invitation is one to a survey; false: there is none.
func (s *service) invitation(ctx context.Context, id string) (schema.Feedback, bool, error) {
	if err := s.awaitLeftover(ctx, leftoverForSenders); err != nil {
		return schema.Feedback{}, false, err
	}
	rows, err := s.db.Feedback(ctx, schema.FeedbackInvitation, id)
	if err != nil || len(rows) == 0 {
		return schema.Feedback{}, false, err
	}
	return rows[0], true, nil
}

const (
	// longestBacklog is how long records may wait for the warehouse without it being said that what was measured is on its way.
	longestBacklog = 5 * time.Minute
	// longestCatchUp is how long that is said: a spool that is not stored by then is a reason to alert.
	longestCatchUp = 15 * time.Minute
)

// backlog is since when alerts were evaluated while what was measured was in the spool, as after the warehouse was away; zero: it is not.
type backlog struct{ since time.Time }

// holdsUp tells whether what was measured lately may be on its way; waits is how long the oldest record in the spool has waited, answers says that
// the warehouse could be asked: while it cannot, nothing is evaluated, and the time to catch up begins anew after it.
func (b *backlog) holdsUp(now time.Time, waits time.Duration, answers bool) bool {
	switch {
	case !answers, waits < longestBacklog:
		b.since = time.Time{}
		return false
	case b.since.IsZero():
		b.since = now
	}
	return now.Sub(b.since) < longestCatchUp
}
