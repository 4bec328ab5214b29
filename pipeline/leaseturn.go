package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
)

// Turn is a lease in the warehouse, for replicas on any hosts; it ends by its time when its holder dies. It is not used concurrently.
type Turn interface {
	// Mine says whether it is this replica's turn, makes it so if it is nobody's, and makes it last for its whole length again.
	Mine(ctx context.Context) (bool, error)
	// GiveBack ends it.
	GiveBack(ctx context.Context)
	// Clock is the warehouse's, as Mine has seen it last, or behind; it never goes ahead of it.
	Clock() time.Time
	// State is what PutState has stored last, empty at first; both are for the holder of the turn. The warehouse refuses what arrives when
	// the turn is over.
	State(ctx context.Context) (string, error)
	PutState(ctx context.Context, state string) error
}

// turnSlack is how much of a turn may be over when an attempt begins.
const turnSlack = 10 * time.Second

// TurnLength is how long a Turn lasts at least, with attempts that are bounded by timeout, which are over then.
func TurnLength(timeout time.Duration) time.Duration { return timeout + leaseMargin + turnSlack }

const (
	turnPoll = 50 * time.Millisecond
	// turnRow is how often a replica may have its turn without a pause in which others find it free.
	turnRow   = 8
	turnPause = 4 * turnPoll
)

// errTurnLost means that another replica took this one for dead.
var errTurnLost = errors.New("pipeline: the turn to store was lost, or may be soon: this replica had stalled, or the warehouse answers slowly")

// turnHolder is a lease that is a turn.
type turnHolder struct {
	turn Turn
	// since is when the turn was asked for with success, left when it was given back last; row counts the turns without a pause.
	since, left time.Time
	row         int
}

// String says what it is.
func (*turnHolder) String() string { return "the turn to store into the warehouse" }

func (t *turnHolder) clock() time.Time { return t.turn.Clock() }

func (*turnHolder) ends() bool { return true }

// enter waits until the turn is free. Who had it many times in a row gives others the time to find it free.
func (t *turnHolder) enter(ctx context.Context) error {
	rested := turnPause - time.Since(t.left)
	switch {
	case rested <= 0:
		t.row = 0
	case t.row >= turnRow:
		t.row = 0
		if !collectors.Sleep(ctx, rested) {
			return ctx.Err()
		}
	}
	for {
		if mine, err := t.ask(ctx); mine || err != nil {
			return err
		}
		if !collectors.Sleep(ctx, turnPoll+rand.N(turnPoll)) {
			return ctx.Err()
		}
	}
}

func (t *turnHolder) ask(ctx context.Context) (bool, error) {
	asked := time.Now()
	mine, err := t.turn.Mine(ctx)
	if err != nil {
		return false, fmt.Errorf("pipeline: ask for the turn to store: %w", err)
	}
	if mine {
		t.since = asked
	}
	return mine, nil
}

// hold renews the turn when too much of it is over.
func (t *turnHolder) hold(ctx context.Context) error {
	if time.Since(t.since) <= turnSlack {
		return nil
	}
	mine, err := t.ask(ctx)
	if err == nil && (!mine || time.Since(t.since) > turnSlack) {
		err = errTurnLost
	}
	return err
}

func (t *turnHolder) leave(ctx context.Context) error {
	t.turn.GiveBack(ctx)
	t.left = time.Now()
	t.row++
	return nil
}

func (t *turnHolder) read(ctx context.Context) (noted, error) {
	text, err := t.turn.State(ctx)
	if err != nil {
		return noted{}, fmt.Errorf("pipeline: what replicas leave for each other: %w", err)
	}
	var n noted
	if text == "" {
		return n, nil
	}
	if err := json.Unmarshal([]byte(text), &n); err != nil {
		return noted{}, fmt.Errorf("pipeline: what replicas leave for each other in the warehouse is damaged: %w", err)
	}
	return n, nil
}

func (t *turnHolder) write(ctx context.Context, n noted) error {
	// It must not land when the turn is another's.
	ctx, cancel := context.WithTimeout(ctx, turnSlack)
	defer cancel()
	text, err := json.Marshal(n)
	if err == nil {
		err = t.turn.PutState(ctx, string(text))
	}
	if err != nil {
		return fmt.Errorf("pipeline: what replicas leave for each other: %w", err)
	}
	return nil
}
