package pipeline_test

import (
	"context"
	"time"

	"github.com/kubevalue/kubevalue/pipeline"
)

// turnMemory is what a warehouse in memory knows of a turn.
type turnMemory struct {
	holder *memoryTurn
	until  time.Time
	state  string
}

// memoryTurn is a turn in such a warehouse, as one client sees it.
type memoryTurn struct {
	c      *client
	length time.Duration
	end    time.Time // as this client knows it
}

func (m *memory) turn(c *client, timeout time.Duration) pipeline.Turn {
	return &memoryTurn{c: c, length: pipeline.TurnLength(timeout)}
}

func (t *memoryTurn) Mine(ctx context.Context) (bool, error) {
	mine, asked := false, time.Now()
	err := t.c.call(ctx, "Mine", func() error {
		m := t.c.m
		if mine = m.turns.holder == t || !time.Now().Before(m.turns.until); mine {
			m.turns.holder, m.turns.until = t, time.Now().Add(t.length)
		}
		return nil
	})
	if err != nil { // it may be done later
		return false, err
	}
	if mine {
		t.end = asked.Add(t.length)
	}
	return mine, nil
}

func (t *memoryTurn) GiveBack(ctx context.Context) {
	_ = t.c.call(ctx, "GiveBack", func() error {
		if m := t.c.m; m.turns.holder == t {
			m.turns.holder, m.turns.until = nil, time.Time{}
		}
		return nil
	})
}

func (*memoryTurn) Clock() time.Time { return time.Now() }

func (t *memoryTurn) State(ctx context.Context) (string, error) {
	state := ""
	err := t.c.call(ctx, "State", func() error { state = t.c.m.turns.state; return nil })
	if err != nil {
		return "", err
	}
	return state, nil
}

func (t *memoryTurn) PutState(ctx context.Context, state string) error {
	return t.c.call(ctx, "PutState", func() error {
		if !time.Now().Before(t.end) {
			return errLate
		}
		t.c.m.turns.state = state
		return nil
	})
}
