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

	limit, shared *limit
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

// Charge takes n events from the token's rate and from the one that all tokens share, or takes nothing and fails with a
// *RateLimitError. A batch larger than the burst (a second's worth, at least minBurst) passes when a burst is there, and its rest is
// owed: later requests wait.
func (g Grant) Charge(n int) error {
	if n <= 0 {
		return nil
	}
	undo, err := g.shared.take(n)
	if err != nil {
		return err
	}
	if _, err := g.limit.take(n); err != nil {
		undo()
		return err
	}
	return nil
}

// minBurst lets the usual batch of a slow sender through in one piece.
const minBurst = 1000

// RateLimitError is ErrRateLimited with the time after which a retry can succeed.
type RateLimitError struct {
	RetryAfter time.Duration
	// Shared says that the rate of all tokens together is used up, not the token's own.
	Shared bool
}

// Error says how long to wait.
func (e *RateLimitError) Error() string {
	whose := ErrRateLimited.Error()
	if e.Shared {
		whose = "the rate of all tokens together is used up"
	}
	return fmt.Sprintf("%s: retry after %s", whose, e.RetryAfter.Round(time.Millisecond))
}

// Is makes errors.Is find ErrRateLimited.
func (e *RateLimitError) Is(target error) bool { return target == ErrRateLimited }

// limit is a rate, shared by all grants that it was given to. A nil limit takes everything.
type limit struct {
	limiter *rate.Limiter
	now     func() time.Time
	shared  bool
}

func newLimit(perSecond float64, now func() time.Time) *limit {
	if perSecond <= 0 {
		return nil
	}
	burst := max(minBurst, int(perSecond))
	return &limit{limiter: rate.NewLimiter(rate.Limit(perSecond), burst), now: now}
}

// take takes n events; undo gives them back.
func (l *limit) take(n int) (undo func(), err error) {
	if l == nil {
		return func() {}, nil
	}
	now, burst := l.now(), l.limiter.Burst()
	first := l.limiter.ReserveN(now, min(n, burst))
	if wait := first.DelayFrom(now); wait > 0 {
		first.CancelAt(now)
		return nil, &RateLimitError{RetryAfter: wait, Shared: l.shared}
	}
	taken := []*rate.Reservation{first}
	for n -= burst; n > 0; n -= burst {
		taken = append(taken, l.limiter.ReserveN(now, min(n, burst)))
	}
	return func() {
		for _, r := range slices.Backward(taken) {
			r.CancelAt(now)
		}
	}, nil
}

// free fails while more is owed than was let through.
func (l *limit) free() error {
	if l == nil {
		return nil
	}
	now := l.now()
	if have := l.limiter.TokensAt(now); have < 1 {
		wait := time.Duration((1 - have) / float64(l.limiter.Limit()) * float64(time.Second))
		return &RateLimitError{RetryAfter: wait, Shared: l.shared}
	}
	return nil
}
