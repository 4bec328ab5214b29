package pipeline_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/kubevalue/kubevalue/schema"
)

// memory is a warehouse in memory that treats tokens as ClickHouse does: the first block of a token lands, all others under
// it vanish silently, whatever their rows. Its faults are the test's.
type memory struct {
	mu        sync.Mutex
	tokens    map[string]bool // that have landed
	tried     map[string]bool
	events    []schema.StoredEvent
	ids       map[uuid.UUID]time.Time
	slices    []schema.Slice
	feedback  []schema.Feedback
	incidents []schema.Incident

	consumption []schema.Consumption

	changes    []schema.ResourceChange
	quarantine map[string]schema.Quarantined
	keys       []schema.ActorKey
	aliases    map[uint64]schema.StoredAlias
	suppressed []schema.ActorKey
	inserts    int
	turns      turnMemory
	landing    sync.WaitGroup
}

func newMemory() *memory {
	return &memory{
		tokens: map[string]bool{}, tried: map[string]bool{}, ids: map[uuid.UUID]time.Time{}, quarantine: map[string]schema.Quarantined{}, aliases: map[uint64]schema.StoredAlias{},
	}
}

// client is what one pipeline sees of the warehouse. before and after run around every call, and fail it.
type client struct {
	m             *memory
	before, after func(ctx context.Context, op string) error
	refuse        func(e schema.StoredEvent) bool
}

// refused is an error for ever.
type refused struct{ error }

func (refused) Permanent() bool { return true }

var errFault = errors.New("the warehouse is away")

var (
	// errLater makes a call fail at once and land half a second later, as a statement does whose client went away.
	errLater = errors.New("timed out")
	// errThawed makes a call land although the caller's time is over, as one does that a frozen process sends when it goes on.
	errThawed = errors.New("thawed")
)

func (c *client) call(ctx context.Context, op string, f func() error) error {
	if c.before != nil {
		err := c.before(ctx, op)
		if errors.Is(err, errLater) {
			c.m.landing.Go(func() {
				time.Sleep(500 * time.Millisecond)
				c.m.mu.Lock()
				defer c.m.mu.Unlock()
				_ = f()
			})
		}
		if errors.Is(err, errThawed) {
			ctx, err = context.WithoutCancel(ctx), nil
		}
		if err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	c.m.mu.Lock()
	err := f()
	c.m.mu.Unlock()
	if err == nil && c.after != nil {
		err = c.after(ctx, op)
	}
	return err
}

func (c *client) fresh(token string) bool {
	known := c.m.tokens[token]
	c.m.tokens[token] = true
	return !known
}

// errLate refuses what arrives when its time is over.
var errLate = errors.New("the turn to store of who sent these rows is over")

// InsertEvents panics when a new token was used before.
func (c *client) InsertEvents(ctx context.Context, b schema.EventBlock) error {
	c.m.mu.Lock()
	tried := c.m.tried[b.Token]
	c.m.tried[b.Token] = true
	c.m.mu.Unlock()
	if tried && b.New {
		panic("the token " + b.Token + " was tried before")
	}
	rows := slices.Clone(b.Rows) // it may land when the caller's are others
	return c.call(ctx, "InsertEvents", func() error {
		if !b.Until.IsZero() && !time.Now().Before(b.Until) {
			return errLate
		}
		for _, r := range rows {
			if r.Time.Format("200601") != rows[0].Time.Format("200601") {
				return errors.New("a block of two partitions")
			}
			if c.refuse != nil && c.refuse(r) {
				return refused{fmt.Errorf("row %s does not fit", r.Object)}
			}
		}
		if len(rows) == 0 {
			return errors.New("an empty block")
		}
		if c.fresh(b.Token) {
			c.m.inserts++
			c.m.events = append(c.m.events, rows...)
		}
		return nil
	})
}

func (c *client) SeenEventIDs(ctx context.Context, ids []uuid.UUID, since time.Time) (map[uuid.UUID]struct{}, error) {
	seen := map[uuid.UUID]struct{}{}
	ids = slices.Clone(ids) // as they are sent: the answer may come when the pipeline has other uses for its own
	err := c.call(ctx, "SeenEventIDs", func() error {
		for _, id := range ids {
			if at, ok := c.m.ids[id]; ok && !at.Before(since) {
				seen[id] = struct{}{}
			}
		}
		return nil
	})
	return seen, err
}

func (c *client) InsertEventIDs(ctx context.Context, token string, ids []uuid.UUID, received []time.Time) error {
	ids, received = slices.Clone(ids), slices.Clone(received) // as in SeenEventIDs
	return c.call(ctx, "InsertEventIDs", func() error {
		if c.fresh(token) {
			for i, id := range ids {
				if at, ok := c.m.ids[id]; !ok || received[i].After(at) {
					c.m.ids[id] = received[i]
				}
			}
		}
		return nil
	})
}

func (c *client) CountEventIDs(ctx context.Context, _ time.Time) (n int, err error) {
	return n, c.call(ctx, "CountEventIDs", func() error { n = len(c.m.ids); return nil })
}

func (c *client) EventIDs(ctx context.Context, since time.Time, each func(halves []uint64)) error {
	return c.call(ctx, "EventIDs", func() error {
		for id, at := range c.m.ids {
			if !at.Before(since) {
				each([]uint64{binary.BigEndian.Uint64(id[:8])})
			}
		}
		return nil
	})
}

func (c *client) InsertSlices(ctx context.Context, token string, rows []schema.Slice) error {
	return c.call(ctx, "InsertSlices", func() error {
		if c.fresh(token) {
			c.m.slices = append(c.m.slices, rows...)
		}
		return nil
	})
}

func (c *client) InsertIncidents(ctx context.Context, token string, rows []schema.Incident) error {
	return c.call(ctx, "InsertIncidents", func() error {
		if c.fresh(token) {
			c.m.incidents = append(c.m.incidents, rows...)
		}
		return nil
	})
}

func (c *client) InsertFeedback(ctx context.Context, token string, rows []schema.Feedback) error {
	return c.call(ctx, "InsertFeedback", func() error {
		if c.fresh(token) {
			c.m.feedback = append(c.m.feedback, rows...)
		}
		return nil
	})
}

func (c *client) InsertConsumption(ctx context.Context, token string, rows []schema.Consumption) error {
	return c.call(ctx, "InsertConsumption", func() error {
		if c.fresh(token) {
			c.m.consumption = append(c.m.consumption, rows...)
		}
		return nil
	})
}

func (c *client) InsertResourceChanges(ctx context.Context, token string, rows []schema.ResourceChange) error {
	return c.call(ctx, "InsertResourceChanges", func() error {
		if c.fresh(token) {
			c.m.changes = append(c.m.changes, rows...)
		}
		return nil
	})
}

func (c *client) InsertQuarantine(ctx context.Context, rows []schema.Quarantined) error {
	return c.call(ctx, "InsertQuarantine", func() error {
		for _, r := range rows {
			c.m.quarantine[r.ID.String()+r.Time.String()] = r
		}
		return nil
	})
}

func (c *client) ActorKeys(ctx context.Context) (keys []schema.ActorKey, err error) {
	return keys, c.call(ctx, "ActorKeys", func() error {
		keys = append(keys, c.m.keys...)
		return nil
	})
}

func (c *client) InsertActorKeys(ctx context.Context, keys []schema.ActorKey) error {
	return c.call(ctx, "InsertActorKeys", func() error {
		c.m.keys = append(c.m.keys, keys...)
		return nil
	})
}

func (c *client) Aliases(ctx context.Context) (rows []schema.StoredAlias, err error) {
	return rows, c.call(ctx, "Aliases", func() error {
		for _, a := range c.m.aliases {
			rows = append(rows, a)
		}
		return nil
	})
}

func (c *client) InsertAliases(ctx context.Context, rows []schema.StoredAlias) error {
	return c.call(ctx, "InsertAliases", func() error {
		for _, a := range rows {
			if was, ok := c.m.aliases[a.Actor]; !ok || a.At.After(was.At) {
				c.m.aliases[a.Actor] = a
			}
		}
		return nil
	})
}

func (c *client) Suppressed(ctx context.Context) (keys []schema.ActorKey, err error) {
	return keys, c.call(ctx, "Suppressed", func() error {
		keys = append(keys, c.m.suppressed...)
		return nil
	})
}

func (c *client) InsertSuppressed(ctx context.Context, keys []schema.ActorKey) error {
	return c.call(ctx, "InsertSuppressed", func() error {
		c.m.suppressed = append(c.m.suppressed, keys...)
		return nil
	})
}

// Query knows the one question of the pipeline: ids of events by time of receipt.
func (c *client) Query(ctx context.Context, sql string, params map[string]any) (result schema.Result, err error) {
	return result, c.call(ctx, "Query", func() error {
		if !strings.Contains(sql, "SELECT id, received FROM events") {
			return fmt.Errorf("an unexpected question: %s", sql)
		}
		from, to, last := params["from"].(time.Time), params["to"].(time.Time), params["last"].(string)
		for _, e := range c.m.events {
			if !e.Received.Before(from) && !e.Received.After(to) && e.ID.String() > last {
				result.Rows = append(result.Rows, []any{e.ID, e.Received})
			}
		}
		sort.Slice(result.Rows, func(i, k int) bool {
			return result.Rows[i][0].(uuid.UUID).String() < result.Rows[k][0].(uuid.UUID).String()
		})
		return nil
	})
}

// stored counts the rows of each event.
func (m *memory) stored() map[uuid.UUID]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := map[uuid.UUID]int{}
	for _, e := range m.events {
		n[e.ID]++
	}
	return n
}
