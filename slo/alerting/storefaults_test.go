package alerting

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubevalue/kubevalue/slo"
)

// TestWhatCouldNotBeSavedIsRemembered has a store that fails from the third minute to the tenth, while a condition with a hold of five
// minutes is met: the alert begins on time, and once.
func TestWhatCouldNotBeSavedIsRemembered(t *testing.T) {
	for name, c := range map[string]struct{ load, save bool }{
		"it can be read only":    {load: false, save: true},
		"it does nothing at all": {load: true, save: true},
		"it can be written only": {load: true, save: false},
	} {
		t.Run(name, func(t *testing.T) {
			clock, store, out := &clock{start}, &memory{}, &sent{}
			m := newManager(store, clock, Options{}, out)
			for minute := range 20 {
				store.loadFails, store.saveErr = nil, nil
				away := minute >= 3 && minute < 10
				if away && c.load {
					store.loadFails = errors.New("away")
				}
				if away && c.save {
					store.saveErr = errors.New("full")
				}
				clock.now = start.Add(time.Duration(minute) * time.Minute)
				err := m.Tick(t.Context(), []Input{{Objective: "login", Status: pairStatus(clock.now, slo.Firing, 5*time.Minute, 0)}})
				if (err != nil) != away {
					t.Fatalf("minute %d: %v", minute, err)
				}
				switch got := out.last(); {
				case minute < 5 && len(got) != 0, minute >= 5 && (len(got) != 1 || !got[0].StartsAt.Equal(start.Add(5*time.Minute))):
					t.Errorf("minute %d: sent %+v", minute, got)
				}
			}
		})
	}
}

// TestWhatAnotherReplicaSavedIsTaken has a replica that could not save, and another one that stepped the memory meanwhile.
func TestWhatAnotherReplicaSavedIsTaken(t *testing.T) {
	c, store, out := &clock{start}, &memory{}, &sent{}
	first, second := newManager(store, c, Options{}, out), newManager(store, c, Options{}, &sent{})
	status := func(state slo.AlertState) []Input {
		return []Input{{Objective: "login", Status: pairStatus(c.now, state, 0, 0)}}
	}
	if err := first.Tick(t.Context(), status(slo.Inactive)); err != nil {
		t.Fatal(err)
	}
	store.saveErr = errors.New("full")
	c.now = start.Add(time.Minute)
	if err := first.Tick(t.Context(), status(slo.Firing)); err == nil {
		t.Fatal("nothing failed")
	}
	store.saveErr = nil
	c.now = start.Add(2 * time.Minute)
	if err := second.Tick(t.Context(), status(slo.Firing)); err != nil {
		t.Fatal(err)
	}
	c.now = start.Add(3 * time.Minute)
	if err := first.Tick(t.Context(), status(slo.Firing)); err != nil {
		t.Fatal(err)
	}
	if got := out.last(); len(got) != 1 || !got[0].StartsAt.Equal(start.Add(2*time.Minute)) {
		t.Errorf("sent %+v, want what the other replica tells", got)
	}
}

// TestADamagedStoreDoesNotTakeTheMemoryOfARunningService: what fires is neither dropped nor told anew.
func TestADamagedStoreDoesNotTakeTheMemoryOfARunningService(t *testing.T) {
	c, store, out := &clock{start}, &memory{loadFails: fmt.Errorf("%w: torn", ErrDamaged)}, &sent{}
	m := newManager(store, c, Options{}, out)
	for minute, damaged := range []bool{true, false, true, true, false} {
		store.loadFails = nil
		if damaged {
			store.loadFails = fmt.Errorf("%w: torn", ErrDamaged)
		}
		c.now = start.Add(time.Duration(minute) * time.Minute)
		if err := m.Tick(t.Context(), []Input{{Objective: "login", Status: pairStatus(c.now, slo.Firing, 0, 0)}}); err != nil {
			t.Fatal(err)
		}
		if got := out.last(); len(got) != 1 || !got[0].StartsAt.Equal(start) {
			t.Errorf("minute %d: sent %+v", minute, got)
		}
	}
}

// TestSlowTicksDoNotStretchAHold has a machine that is so busy that it looks only every few minutes, and not always in time.
func TestSlowTicksDoNotStretchAHold(t *testing.T) {
	for every, want := range map[time.Duration]time.Duration{
		time.Minute: 5 * time.Minute, 130 * time.Second: 390 * time.Second, 4 * time.Minute: 8 * time.Minute, 245 * time.Second: 490 * time.Second,
	} {
		b := &bench{T: t, clock: clock{start}}
		for b.now.Before(start.Add(time.Hour)) {
			if b.tick(Input{Objective: "login", Status: pairStatus(b.now, slo.Firing, 5*time.Minute, 0)}) != "" {
				break
			}
			b.now = b.now.Add(every)
		}
		if got := b.now.Sub(start); got != want {
			t.Errorf("with a tick every %s it fires after %s, want %s", every, got, want)
		}
	}
}

// TestAClockThatWasAheadOfSlicesOfAnHour has watermarks, which are always behind the time, here by an hour.
func TestAClockThatWasAheadOfSlicesOfAnHour(t *testing.T) {
	b := &bench{T: t, clock: clock{start.Add(24 * time.Hour)}}
	status := func(state slo.AlertState) Input {
		return Input{Objective: "login", Status: pairStatus(b.now.Add(-time.Hour), state, 2*time.Minute, 0)}
	}
	b.expect("ahead", "", status(slo.Firing))
	b.now = b.now.Add(2 * time.Minute)
	b.expect("ahead, held", Burn, status(slo.Firing))
	b.now = start
	b.expect("right, frozen", Burn, status(slo.Frozen))
	b.expect("right", Burn+" ended", status(slo.Inactive))
	b.now = start.Add(16 * time.Minute)
	b.expect("begins", "", status(slo.Firing))
	b.now = start.Add(18 * time.Minute)
	b.expect("holds", Burn, status(slo.Firing))
}

// notingHangs are claims that answer, but do not note what has become of a delivery.
type notingHangs struct{}

func (notingHangs) Claim(context.Context, string, time.Time) (bool, error) { return true, nil }

func (notingHangs) Delivered(ctx context.Context, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}

func (h notingHangs) Release(ctx context.Context, id string) error { return h.Delivered(ctx, id) }

// answering answers all requests with a status.
type answering int

func (a answering) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: int(a), Status: http.StatusText(int(a)), Body: http.NoBody}, nil
}

// TestNotingADeliveryTakesNotForEver has tables that hang when a webhook has answered.
func TestNotingADeliveryTakesNotForEver(t *testing.T) {
	for _, answer := range []answering{http.StatusOK, http.StatusServiceUnavailable} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			w := &Webhook{Name: "chat", URL: "http://chat.example", Client: &http.Client{Transport: answer}, Claims: notingHangs{}}
			err := w.Send(t.Context(), began, alertsNamed(1))
			if took := time.Since(began); err == nil || !strings.Contains(err.Error(), context.DeadlineExceeded.Error()) || took != noteTimeout {
				t.Errorf("after %s: %v", took, err)
			}
		})
	}
}
