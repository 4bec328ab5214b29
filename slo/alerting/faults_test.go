package alerting

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubevalue/kubevalue/slo"
)

// bench ticks managers that share a memory, each tick a new one, as if the service were restarted all the time.
type bench struct {
	*testing.T
	clock
	memory
	options Options
}

// tick returns the names of the alerts that fire, then what has ended.
func (b *bench) tick(inputs ...Input) string {
	b.Helper()
	out := &sent{}
	if err := newManager(&b.memory, &b.clock, b.options, out).Tick(b.Context(), inputs); err != nil {
		b.Fatal(err)
	}
	var names []string
	for _, a := range out.last() {
		name := strings.TrimSuffix(a.Key.Name+"/"+a.Key.Group, "/")
		if !a.Firing() {
			name += " ended"
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

func (b *bench) expect(when, want string, inputs ...Input) {
	b.Helper()
	if got := b.tick(inputs...); got != want {
		b.Errorf("%s: sent %q, want %q", when, got, want)
	}
}

// neverMeasured is the status of an objective of which there is no slice, in a service that started some time ago.
func neverMeasured(at time.Time, up time.Duration, options Options) Input {
	s := &slo.Status{Objective: "login", At: at, Since: at.Add(-up), LowCoverage: true}
	for _, w := range options.BurnWindows() {
		s.BurnRates = append(s.BurnRates, slo.BurnRate{Window: w, Coverage: new(0.0)})
	}
	return Input{Objective: "login", Status: s}
}

func TestARestartDoesNotEndTheAlertThatNothingWasEverMeasured(t *testing.T) {
	b := &bench{T: t, clock: clock{start}, options: Default()}
	b.expect("just started", "", neverMeasured(start, time.Minute, b.options))
	b.expect("after a while", NoData, neverMeasured(start, 15*time.Minute, b.options))
	b.now = start.Add(time.Minute)
	b.expect("after a restart", NoData, neverMeasured(b.now, 0, b.options))
	measured := neverMeasured(b.now, time.Minute, b.options)
	measured.Status.BurnRates[0].Coverage = new(0.1)
	b.expect("somebody measures", NoData+" ended", measured)
}

// TestWhatIsOnItsWayIsNotMissing: the warehouse was away, and what was measured meanwhile is not stored yet.
func TestWhatIsOnItsWayIsNotMissing(t *testing.T) {
	b := &bench{T: t, clock: clock{start}, options: Default()}
	silent := neverMeasured(start, time.Hour, b.options)
	later := silent
	later.OnItsWay = true
	b.expect("while it is stored", "", later)
	b.expect("nothing was measured", NoData, silent)
	b.expect("it may be on its way", NoData, later)
	vanished := neverMeasured(start, 48*time.Hour, b.options)
	vanished.Group, vanished.MayVanish, vanished.OnItsWay = "eu", true, true
	if b.options.gone(vanished) {
		t.Error("a group is gone while its measurements may be on their way")
	}
}

// TestAClockThatWasAhead has a service whose clock was a day ahead when an alert began, or ended: once the clock is right, alerts go on.
func TestAClockThatWasAhead(t *testing.T) {
	day := 24 * time.Hour
	status := func(at time.Time, state slo.AlertState) Input {
		return Input{Objective: "login", Status: pairStatus(at, state, 0, 0)}
	}
	t.Run("began", func(t *testing.T) {
		b := &bench{T: t, clock: clock{start.Add(day)}}
		b.expect("ahead", Burn, status(b.now, slo.Firing))
		b.now = start
		out := &sent{}
		if err := newManager(&b.memory, &b.clock, b.options, out).Tick(t.Context(), []Input{status(start, slo.Firing)}); err != nil {
			t.Fatal(err)
		}
		if got := out.last(); len(got) != 1 || got[0].StartsAt.After(start) {
			t.Errorf("an alert that is to come: %+v", got)
		}
		b.expect("right", Burn+" ended", status(start.Add(time.Minute), slo.Inactive))
	})
	t.Run("ended", func(t *testing.T) {
		b := &bench{T: t, clock: clock{start}}
		b.expect("right", Burn, status(start, slo.Firing))
		b.now = start.Add(day)
		b.expect("ahead", Burn+" ended", status(b.now, slo.Inactive))
		b.now = start.Add(time.Minute)
		out := &sent{}
		if err := newManager(&b.memory, &b.clock, b.options, out).Tick(t.Context(), []Input{status(b.now, slo.Inactive)}); err != nil {
			t.Fatal(err)
		}
		if got := out.last(); len(got) != 1 || got[0].EndsAt.After(b.now) {
			t.Errorf("an end that is to come: %+v", got)
		}
		b.now = start.Add(2 * time.Minute)
		b.expect("right again", Burn, status(b.now, slo.Firing))
	})
	t.Run("another replica's, a little", func(t *testing.T) {
		b := &bench{T: t, clock: clock{start.Add(time.Minute)}}
		b.expect("ahead", Burn, status(b.now, slo.Firing))
		b.now = start
		out := &sent{}
		if err := newManager(&b.memory, &b.clock, b.options, out).Tick(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if got := out.last(); len(got) != 1 || got[0].EndsAt.Before(got[0].StartsAt) {
			t.Errorf("ends before it begins: %+v", got)
		}
	})
}

// TestANewPeriodDoesNotEndTheAlertOfASilentGroup has a cluster that falls silent while it burns its budget, just before a month ends: the new
// month knows nothing of it.
func TestANewPeriodDoesNotEndTheAlertOfASilentGroup(t *testing.T) {
	for name, c := range map[string]struct {
		vanish      bool
		after, want string
	}{
		"one since it was measured":      {true, "a minute", Burn + "/eu"},
		"one since it was measured, day": {true, "a day", Burn + "/eu ended"},
		"one that was taken out":         {false, "a minute", Burn + "/eu ended"},
	} {
		t.Run(name, func(t *testing.T) {
			b := &bench{T: t, clock: clock{start}, options: Options{GoneAfter: 24 * time.Hour}}
			all := func() Input {
				return Input{Objective: "login", Status: pairStatus(b.now, slo.Inactive, 0, 0), GroupsMayVanish: c.vanish}
			}
			b.expect("burning", Burn+"/eu", all(), Input{Objective: "login", Group: "eu", Status: pairStatus(b.now, slo.Firing, 0, 0), MayVanish: c.vanish})
			b.now = start.Add(map[string]time.Duration{"a minute": time.Minute, "a day": 24 * time.Hour}[c.after])
			b.expect("after "+c.after, c.want, all())
			if c.want == Burn+"/eu" {
				b.expect("another severity now", Burn+"/eu ended", all(), Input{Objective: "login", Group: "eu", Status: &slo.Status{At: b.now}, MayVanish: true})
				b.expect("burning again", Burn+"/eu", all(), Input{Objective: "login", Group: "eu", Status: pairStatus(b.now, slo.Firing, 0, 0), MayVanish: true})
				b.expect("the objective is gone", Burn+"/eu ended")
			}
		})
	}
}

// TestABudgetThatHoversIsToldOfOnce has a budget whose end comes and goes with single slices.
func TestABudgetThatHoversIsToldOfOnce(t *testing.T) {
	b := &bench{T: t, clock: clock{start}, options: Options{ExhaustedSeverity: "ticket", ForecastSeverity: "ticket", ForecastWithin: time.Hour, BudgetKeepFiringFor: 15 * time.Minute}}
	status := func(exhausted bool, in time.Duration) Input {
		s := &slo.Status{Objective: "login", At: b.now, Forecast: slo.Forecast{Exhausted: exhausted}}
		if !exhausted {
			s.Forecast.At = new(b.now.Add(in))
		}
		return Input{Objective: "login", Status: s}
	}
	for range 20 {
		b.expect("used up", Exhausted, status(true, 0))
		b.now = b.now.Add(time.Minute)
		b.expect("not quite", Exhausted, status(false, 2*time.Hour))
		b.now = b.now.Add(10 * time.Minute)
	}
	b.now = b.now.Add(4 * time.Minute)
	b.expect("there is some again", Exhausted+" ended, "+Forecast, status(false, time.Hour))
	b.now = b.now.Add(14 * time.Minute)
	b.expect("a little later than soon", Exhausted+" ended, "+Forecast, status(false, time.Hour+time.Minute))
}

// punctual notices that it is called when the tick's time is over.
type punctual struct {
	sent
	late bool
}

func (p *punctual) Send(ctx context.Context, now time.Time, alerts []Alert) error {
	p.late = p.late || ctx.Err() != nil
	return p.sent.Send(ctx, now, alerts)
}

// hanging does not answer before the tick gives up on it.
type hanging struct{}

func (hanging) Send(ctx context.Context, _ time.Time, _ []Alert) error {
	<-ctx.Done()
	return ctx.Err()
}

func (hanging) LoadAlerts(ctx context.Context) ([]Record, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (hanging) SaveAlerts(ctx context.Context, _ []Record) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestWhoHangsDoesNotKeepTheOthersFromBeingTold has a webhook that does not answer, and tables that do not: Alertmanager is resent what fires long
// before it takes it for ended, four minutes after it was told last.
func TestWhoHangsDoesNotKeepTheOthersFromBeingTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &punctual{}
		m := NewManager(Config{Store: &memory{}, Senders: []Sender{hanging{}, out}, Now: time.Now})
		for i := range 3 {
			began := time.Now()
			err := m.Tick(t.Context(), []Input{{Objective: "login", Status: pairStatus(began, slo.Firing, 0, 0)}})
			if err == nil || out.late || len(out.ticks) != i+1 || len(out.last()) != 1 {
				t.Fatalf("tick %d: sent %+v, %v", i, out.ticks, err)
			}
			if took := time.Since(began); took > 2*time.Minute {
				t.Errorf("tick %d took %s", i, took)
			}
			m.cfg.Store = hanging{} // once it was loaded
		}
	})
}

func TestAddressesOfReceiversAreNotInErrors(t *testing.T) {
	shared := &claims{ids: map[string]time.Time{}, now: func() time.Time { return start }}
	webhook := &Webhook{Name: "chat", URL: "https://chat.example/hooks/S3CRET", Client: &http.Client{Transport: &refusing{}}, Claims: shared}
	manager := &Alertmanager{URLs: []string{"https://me:S3CRET@am.example/prefix"}, Client: &http.Client{Transport: &refusing{}}, Attempts: 1}
	for name, send := range map[string]func() error{
		"webhook https://chat.example: ":                  func() error { return webhook.Send(t.Context(), start, alertsNamed(1)) },
		"alertmanager https://me:xxxxx@am.example/prefix": func() error { return manager.Send(t.Context(), start, alertsNamed(1)) },
	} {
		if err := send(); err == nil || strings.Contains(err.Error(), "S3CRET") || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("%s: %v", name, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := webhook.Send(ended, start, alertsNamed(1000)); err == nil || !strings.Contains(err.Error(), "1000 alerts were not looked at") {
		t.Errorf("after the tick has ended: %v", err)
	}
	if n := len(shared.ids); n != 0 {
		t.Errorf("%d claims are held", n)
	}
}
