package collectors

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

// Authenticate finds the grant of a bearer token for one of Endpoints. It fails with ErrUnauthorized, ErrForbidden or
// ErrRateLimited; the token is in none of the errors.
type Authenticate func(ctx context.Context, token, endpoint string) (Grant, error)

// Grant is what the holder of a token may do.
type Grant struct {
	// Name is the token's own name, unique among the tokens, fit for logs.
	Name string `json:"name"`
	// Source is the namespace of the ids of the events sent with the token: schema.Event.Source.
	Source string `json:"source"`
	// Endpoints are the endpoints that the token is good for; there is at least one.
	Endpoints []string `json:"endpoints"`
	// Teams are the teams that events may name; empty: any.
	Teams []string `json:"teams,omitempty"`
	// Clusters are the clusters that events may come from; empty: any.
	Clusters []string `json:"clusters,omitempty"`
	// Rate bounds the events per second; 0: no limit of its own.
	Rate float64 `json:"rate,omitempty"`
	// Backfill lifts the limit on late events.
	Backfill bool `json:"backfill,omitempty"`
	// Expires is the first instant at which the token is no longer good.
	Expires time.Time `json:"expires"`

	limit *limit
}

// AllowsEndpoint says whether the token is good for the endpoint.
func (g Grant) AllowsEndpoint(endpoint string) bool { return slices.Contains(g.Endpoints, endpoint) }

// AllowsTeam says whether events may name the team; no team at all is always allowed.
func (g Grant) AllowsTeam(team string) bool {
	return team == "" || len(g.Teams) == 0 || slices.Contains(g.Teams, team)
}

// AllowsCluster says whether events may come from the cluster.
func (g Grant) AllowsCluster(cluster string) bool {
	return len(g.Clusters) == 0 || slices.Contains(g.Clusters, cluster)
}

// Charge takes n events from the token's rate, or takes nothing and fails with a *RateLimitError. A batch larger than
// the burst (a second's worth, at least minBurst) passes when a burst is there, and its rest is owed: later requests wait.
func (g Grant) Charge(n int) error {
	if g.limit == nil || n <= 0 {
		return nil
	}
	return g.limit.take(n)
}

// minBurst lets the usual batch of a slow sender through in one piece.
const minBurst = 1000

// RateLimitError is ErrRateLimited with the time after which a retry can succeed.
type RateLimitError struct {
	RetryAfter time.Duration
}

// Error says how long to wait.
func (e *RateLimitError) Error() string {
	return fmt.Sprintf("%v: retry after %s", ErrRateLimited, e.RetryAfter.Round(time.Millisecond))
}

// Is makes errors.Is find ErrRateLimited.
func (e *RateLimitError) Is(target error) bool { return target == ErrRateLimited }

// limit is the rate of one token, shared by all grants that it gave out.
type limit struct {
	limiter *rate.Limiter
	now     func() time.Time
}

func newLimit(perSecond float64, now func() time.Time) *limit {
	if perSecond <= 0 {
		return nil
	}
	burst := max(minBurst, int(perSecond))
	return &limit{limiter: rate.NewLimiter(rate.Limit(perSecond), burst), now: now}
}

func (l *limit) take(n int) error {
	now, burst := l.now(), l.limiter.Burst()
	first := l.limiter.ReserveN(now, min(n, burst))
	if wait := first.DelayFrom(now); wait > 0 {
		first.CancelAt(now)
		return &RateLimitError{RetryAfter: wait}
	}
	for n -= burst; n > 0; n -= burst {
		l.limiter.ReserveN(now, min(n, burst))
	}
	return nil
}

// free fails while the token owes for events that it was let through with.
func (l *limit) free() error {
	now := l.now()
	if have := l.limiter.TokensAt(now); have < 1 {
		wait := time.Duration((1 - have) / float64(l.limiter.Limit()) * float64(time.Second))
		return &RateLimitError{RetryAfter: wait}
	}
	return nil
}
