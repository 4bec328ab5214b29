package chdb

import (
	"context"
	"time"
)

// killRetry is the time between two attempts to kill a statement, which may not
// have begun when the first is made.
const killRetry = 100 * time.Millisecond

// killOnCancel kills the statement with the tag when ctx ends, that is when the
// client went away or the engine stops. It is the only way to stop a statement
// inside libchdb, whose own cancel needs a result that is not there yet. The
// returned function ends the watch.
func (h *handler) killOnCancel(ctx context.Context, tag string) (stop func()) {
	done := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		for {
			if err := h.kill(tag); err != nil {
				h.logger.Warn("killing a cancelled statement failed", "error", err)
			}
			select {
			case <-done:
				return
			case <-time.After(killRetry):
			}
		}
	})
	return func() {
		cancel()
		close(done)
	}
}

func (h *handler) kill(tag string) error {
	c, err := h.lib.connect(h.args)
	if err != nil {
		return err
	}
	defer c.close()
	r, err := c.exec(query{sql: "KILL QUERY WHERE startsWith(Settings['log_comment'], " + quote(tag) + ") ASYNC", format: "Null"})
	if err != nil {
		return err
	}
	r.close()
	return nil
}
