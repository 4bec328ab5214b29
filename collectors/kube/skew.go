package kube

import (
	"net/http"
	"sync"
	"time"
)

// maxSkew is how far the clock of a cluster may be off without being named: less shows in no figure.
const maxSkew = 5 * time.Second

// clock compares the clock of an API server with ours by the Date of its answers, which has whole seconds.
type clock struct {
	next http.RoundTripper

	mu    sync.Mutex
	ahead time.Duration
}

// RoundTrip passes a request on.
func (c *clock) RoundTrip(r *http.Request) (*http.Response, error) {
	asked := time.Now()
	resp, err := c.next.RoundTrip(r)
	if err == nil {
		if said, wrong := http.ParseTime(resp.Header.Get("Date")); wrong == nil {
			c.mu.Lock()
			c.ahead = skew(asked, said, time.Now())
			c.mu.Unlock()
		}
	}
	return resp, err
}

// skew is how far a clock is ahead of ours at least, negative when it is behind, if it showed a second between asked and answered.
func skew(asked, said, answered time.Time) time.Duration {
	switch {
	case said.After(answered):
		return said.Sub(answered)
	case said.Add(time.Second).Before(asked):
		return said.Add(time.Second).Sub(asked)
	}
	return 0
}

// skewed is how far the server's clock is ahead of ours, by its newest answer.
func (c *clock) skewed() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ahead
}
