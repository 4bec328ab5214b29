package chdb

import (
	"context"
	"time"
)

// killRetry is the time between two attempts to kill a statement, which may not
// have begun when the first is made.
const killRetry = 100 * time.Millisecond

// tagSetting holds a statement's tag, by which it is found again to be killed.
// It is a setting that nothing here reads (it is made for Redis and NATS), since
// a client may set log_comment and libchdb lets nobody choose a query's id.
const tagSetting = "stream_like_engine_insert_queue"

// killOnCancel kills the statement with the tag when ctx ends, that is when the
// client went away or the engine stops. It is the only way to stop a statement
// inside libchdb, whose own cancel needs a result that is not there yet. The
// returned function ends the watch.
func (h *handler) killOnCancel(ctx context.Context, tag string) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(ended)
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
		close(done)
		if !cancel() {
			<-ended
		}
	}
}

func (h *handler) kill(tag string) error {
	c, err := h.lib.connect(h.args)
	if err != nil {
		return err
	}
	defer c.close()
	r, err := c.exec(query{sql: "KILL QUERY WHERE Settings['" + tagSetting + "'] = " + quote(tag) + " ASYNC", format: "Null"})
	if err != nil {
		return err
	}
	r.close()
	return nil
}
