package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/kubevalue/kubevalue/pipeline"
	"github.com/kubevalue/kubevalue/schema"
)

// world is a warehouse with one or two replicas in front of it, their crashes, and what senders were told.
type world struct {
	t     *rapid.T
	root  string
	m     *memory
	peers []*replica
	acked map[uuid.UUID]bool
	sent  int
	// turns says that the replicas share no file: their lease is in the warehouse.
	turns bool
}

type replica struct {
	w      *world
	dir    string
	c      *client
	p      *pipeline.Pipeline
	cancel context.CancelFunc
	done   chan struct{}

	mu sync.Mutex
	// fates of the next call of an operation; none: it works.
	fates map[string]fate
	dead  bool
}

// fate is what becomes of a call.
type fate int

const (
	failsBefore fate = iota
	failsAfter       // done, but the caller does not learn it
	diesBefore
	diesAfter
	landsLater // the caller gives up, the warehouse does not
	freezes    // for longer than any turn lasts, and goes on
	fateCount
)

// freeze is longer than a turn lasts with a timeout of a second.
const freeze = 40 * time.Second

var errDead = errors.New("this process is no more")

func (r *replica) meet(op string, after bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dead {
		return errDead
	}
	f, ok := r.fates[op]
	if !ok || after != (f == failsAfter || f == diesAfter) {
		return nil
	}
	delete(r.fates, op)
	switch f {
	case failsBefore, failsAfter:
		return errFault
	case landsLater:
		return errLater
	case freezes:
		return errThawed
	}
	r.dead = true
	return errDead
}

func (r *replica) start() {
	r.dead = false
	r.c = &client{
		m: r.w.m,
		before: func(_ context.Context, op string) error {
			time.Sleep(10 * time.Millisecond) // what another replica does meanwhile is what this is about
			err := r.meet(op, false)
			if errors.Is(err, errThawed) {
				time.Sleep(freeze)
			}
			return err
		},
		after: func(_ context.Context, op string) error { return r.meet(op, true) },
	}
	cfg := config(nopTB{}, r.c, r.dir)
	cfg.Interval, cfg.MaxRows, cfg.Timeout = 50*time.Millisecond, 8, time.Second
	if r.w.turns {
		cfg.Turn = r.w.m.turn(r.c, cfg.Timeout)
	} else {
		cfg.Lease, cfg.Exclusive = filepath.Join(r.w.root, "lease"), true
	}
	p, err := pipeline.New(cfg)
	if err != nil {
		r.w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.p, r.cancel, r.done = p, cancel, make(chan struct{})
	go func() {
		defer close(r.done)
		_ = p.Run(ctx)
	}()
}

// stop ends the replica as kill -9 does: nothing more reaches the warehouse.
func (r *replica) stop() {
	r.mu.Lock()
	r.dead = true
	r.mu.Unlock()
	r.cancel()
	<-r.done
	if err := r.p.Close(); err != nil {
		r.w.t.Fatal(err)
	}
}

// nopTB stands where no test is at hand.
type nopTB struct{ testing.TB }

func (nopTB) Helper() {}

func (w *world) send(t *rapid.T) {
	r := w.peers[rapid.IntRange(0, len(w.peers)-1).Draw(t, "replica")]
	var b schema.Batch
	for range rapid.IntRange(1, 6).Draw(t, "events") {
		w.sent++
		b.Events = append(b.Events, schema.Event{
			ID: fmt.Sprint(rapid.IntRange(1, 12).Draw(t, "id")), Source: "s", Name: "n", Object: fmt.Sprint(w.sent),
			Actor: fmt.Sprint("user", rapid.IntRange(0, 3).Draw(t, "actor")),
			Time:  time.Now().AddDate(0, -rapid.IntRange(0, 2).Draw(t, "months"), 0),
		})
	}
	b.Backfill = true
	if err := r.p.Append(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	for _, e := range b.Events {
		w.acked[schema.EventID(e.Source, e.ID)] = true
	}
}

// landing are the operations that the warehouse may still do when their caller has gone: questions do nothing then, and new surrogates may
// give a person two if their process dies in between.
var landing = []string{"InsertEvents", "InsertEventIDs", "Mine", "PutState", "GiveBack"}

func (w *world) upset(t *rapid.T) {
	r := w.peers[rapid.IntRange(0, len(w.peers)-1).Draw(t, "replica")]
	ops := []string{"SeenEventIDs", "InsertEvents", "InsertEvents", "InsertEventIDs", "InsertActorKeys", "ActorKeys"}
	if w.turns {
		ops = append(ops, "Mine", "State", "PutState", "GiveBack")
	} else {
		ops = append(ops, "EventIDs", "CountEventIDs")
	}
	op := rapid.SampledFrom(ops).Draw(t, "op")
	f := fate(rapid.IntRange(0, int(fateCount)-1).Draw(t, "fate"))
	switch {
	case f == landsLater && !slices.Contains(landing, op):
		f = failsAfter
	case f == freezes && (op != "InsertEvents" || !w.turns):
		f = failsBefore
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fates[op] = f
}

func (w *world) wait(t *rapid.T) {
	time.Sleep(time.Duration(rapid.IntRange(1, 1500).Draw(t, "ms")) * time.Millisecond)
}

func (w *world) restart(t *rapid.T) {
	r := w.peers[rapid.IntRange(0, len(w.peers)-1).Draw(t, "replica")]
	r.stop()
	r.start()
}

// check never finds an event twice.
func (w *world) check(t *rapid.T) {
	for id, n := range w.m.stored() {
		if n != 1 || !w.acked[id] {
			t.Fatalf("event %s is stored %d times (acknowledged: %v)", id, n, w.acked[id])
		}
	}
}

// settle lets everything through, and finds each acknowledged event once.
func (w *world) settle(t *rapid.T) {
	for _, r := range w.peers {
		r.mu.Lock()
		clear(r.fates)
		r.mu.Unlock()
		r.stop()
		r.start()
	}
	for _, r := range w.peers {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		if err := r.p.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	w.m.landing.Wait()
	w.check(t)
	if stored := w.m.stored(); len(stored) != len(w.acked) {
		var missing []uuid.UUID
		for id := range w.acked {
			if stored[id] == 0 {
				missing = append(missing, id)
			}
		}
		t.Fatalf("%d events are stored, %d were acknowledged: %v are missing, quarantine %+v", len(stored), len(w.acked), missing, w.m.quarantine)
	}
	if len(w.m.ids) != len(w.acked) {
		t.Fatalf("%d ids for %d events", len(w.m.ids), len(w.acked))
	}
	actors := map[uint64]bool{}
	for _, e := range w.m.events {
		actors[e.Actor] = true
	}
	if len(actors) > 4 || actors[0] {
		t.Fatalf("4 people have the surrogates %v", actors)
	}
}

// bubbled hides the deadline of a test, which is of another clock.
type bubbled struct{ rapid.TB }

func testOnce(t *testing.T, replicas int, turns bool) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(bubbled{t}, func(t *rapid.T) {
			base := os.TempDir()
			if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
				base = "/dev/shm" // crashes of processes need no disk
			}
			root, err := os.MkdirTemp(base, "pipeline-*")
			if err != nil {
				t.Fatal(err)
			}
			w := &world{t: t, root: root, m: newMemory(), acked: map[uuid.UUID]bool{}, turns: turns}
			defer os.RemoveAll(root)
			for i := range replicas {
				r := &replica{w: w, dir: filepath.Join(root, fmt.Sprint(i)), fates: map[string]fate{}}
				w.peers = append(w.peers, r)
				r.start()
			}
			defer func() {
				for _, r := range w.peers {
					r.stop()
				}
			}()
			t.Repeat(map[string]func(*rapid.T){"send": w.send, "upset": w.upset, "wait": w.wait, "restart": w.restart, "": w.check})
			w.settle(t)
		})
	})
}

func TestEachAcknowledgedEventOnce(t *testing.T) { testOnce(t, 1, false) }

func TestEachAcknowledgedEventOnceBehindTwoReplicas(t *testing.T) { testOnce(t, 2, false) }

func TestEachAcknowledgedEventOnceBehindTwoHosts(t *testing.T) { testOnce(t, 2, true) }
