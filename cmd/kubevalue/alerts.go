package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/slo"
	"github.com/kubevalue/kubevalue/slo/alerting"
)

// alerting evaluates all objectives at every interval and tells Alertmanagers and webhooks.
func (s *service) alerting() func(context.Context) error {
	options := alerting.Default()
	interval := time.Duration(s.cfg.Alerts.Interval)
	state := s.alertState()
	manager := alerting.NewManager(alerting.Config{
		Options: options, Store: alertMemory{state}, Senders: s.senders(state), Interval: interval, Now: s.now, Logger: s.log,
	})
	s.figures.objectives.burnWindows = options.BurnWindows()
	return func(ctx context.Context) error {
		none := len(s.figures.objectives.all) == 0
		if none && s.db.Shared() { // who has objectives alerts
			<-ctx.Done()
			return nil
		}
		length := max(3*interval, shortestTurn)
		turn := s.db.Turn("alerts", length)
		defer turn.GiveBack(ctx)
		mine, ended := false, false
		for tick := time.NewTicker(interval); ; {
			mine = s.alertingTurn(ctx, turn, mine)
			if mine {
				mine = holding(ctx, length/3, func(ctx context.Context) bool { return s.alertingTurn(ctx, turn, true) }, func(ctx context.Context) {
					err := manager.Tick(ctx, s.alertInputs(ctx))
					if err != nil && ctx.Err() == nil {
						s.log.ErrorContext(ctx, "alerts could not be evaluated or sent; they are tried again", "error", err)
					}
					ended = none && err == nil && len(manager.Records()) == 0
				})
			}
			if ended { // what fired, and everybody was told
				tick.Stop()
				<-ctx.Done() // who returns ends the service
				return nil
			}
			select {
			case <-ctx.Done():
				tick.Stop()
				return nil
			case <-tick.C:
			}
		}
	}
}

// senders are the Alertmanagers and webhooks that are told. All of them send at once, so all webhooks share what guards the state of deliveries.
func (s *service) senders(state stateKeeper) []alerting.Sender {
	var out []alerting.Sender
	if len(s.cfg.Alerts.Alertmanagers) > 0 {
		out = append(out, &alerting.Alertmanager{URLs: s.cfg.Alerts.Alertmanagers, Interval: time.Duration(s.cfg.Alerts.Interval)})
	}
	delivered := &claims{state: state, now: s.now}
	for _, u := range s.cfg.Alerts.Webhooks {
		out = append(out, &alerting.Webhook{Name: u, URL: u, Claims: delivered})
	}
	return out
}

// shortestTurn is how long a service that was killed keeps its turn at least, so that a busy machine does not lose it between two ticks.
const shortestTurn = 15 * time.Second

// How long the tables may take to answer, so that alerts that fire are resent before receivers take them for ended: after four minutes, or four
// intervals if these are longer.
const (
	longestTurnQuestion = 30 * time.Second
	longestEvaluation   = time.Minute // or an interval
)

// evaluationTimeout is how long the objectives may take to be evaluated at one tick, when alerts are evaluated at an interval.
func evaluationTimeout(interval time.Duration) time.Duration { return max(longestEvaluation, interval) }

// holding does something that may take longer than a turn: meanwhile the turn is renewed, and when it was lost, what is done is told to stop. It
// says whether the turn still is this service's.
func holding(ctx context.Context, every time.Duration, renew func(ctx context.Context) bool, do func(ctx context.Context)) bool {
	working, lost := context.WithCancel(ctx)
	renewing, done := context.WithCancel(ctx)
	defer lost()
	held := make(chan bool)
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-renewing.Done():
				held <- true
				return
			case <-tick.C:
				if !renew(ctx) {
					lost()
					held <- false
					return
				}
			}
		}
	}()
	do(working)
	done()
	return <-held
}

// alertingTurn says whether this service is the one that alerts, of all that share a warehouse. While it does not answer, it
// stays as it was: resending an alert does no harm, and nobody resending one would resolve it.
func (s *service) alertingTurn(ctx context.Context, turn *warehouse.Turn, was bool) bool {
	asking, cancel := context.WithTimeout(ctx, longestTurnQuestion)
	defer cancel()
	mine, err := turn.Mine(asking)
	switch {
	case err != nil:
		if ctx.Err() == nil {
			s.log.ErrorContext(ctx, "cannot tell which service alerts; this one goes on as before", "alerting", was, "error", err)
		}
		return was
	case mine && !was:
		s.log.InfoContext(ctx, "this service alerts")
	case was && !mine:
		s.log.WarnContext(ctx, "another service alerts now")
	}
	return mine
}

// alertInputs are the statuses of all objectives and their groups; one that cannot be computed is frozen.
func (s *service) alertInputs(ctx context.Context) []alerting.Input {
	all := s.figures.objectives.all
	if len(all) == 0 {
		return nil
	}
	evaluating, cancel := context.WithTimeout(ctx, evaluationTimeout(time.Duration(s.cfg.Alerts.Interval)))
	defer cancel()
	answers, err := s.figures.objectives.statusesAt(evaluating, all, s.now())
	if err != nil && ctx.Err() == nil {
		s.log.ErrorContext(ctx, "no objective could be evaluated; their alerts are frozen", "error", err)
	}
	onItsWay := s.backlog.holdsUp(s.now(), s.pipe.Stats().Oldest, err == nil)
	var inputs []alerting.Input
	for i, o := range all {
		in := s.alertInput(o)
		in.OnItsWay = onItsWay
		switch {
		case err != nil:
			inputs = append(inputs, in)
		case errors.Is(answers[i].err, slo.ErrNoGroups): // its status says that nothing was measured
			in.Status = &answers[i].status
			inputs = append(inputs, in)
		case answers[i].err != nil:
			s.log.ErrorContext(ctx, "an objective could not be evaluated; its alerts are frozen", "objective", o.Definition.Name, "error", answers[i].err)
			inputs = append(inputs, in)
		default:
			inputs = append(inputs, told(in, o, answers[i])...)
		}
	}
	return inputs
}

// alertInput is what is known of an objective's alerts before its status is.
func (s *service) alertInput(o configuredObjective) alerting.Input {
	return alerting.Input{
		Objective: o.Definition.Name, Labels: map[string]string{"service": o.Service}, Link: s.link("/objectives/" + url.PathEscape(o.Definition.Name)),
		Targets: o.Targets, Quiet: !o.Resolved, MayFallSilent: !o.AlertNoData, GroupsMayVanish: o.PerGroup,
	}
}

// told are the inputs of an objective: of all of it, and of each of its groups. A group that is one since it has sent slices may vanish; one
// that the configuration names may not.
func told(in alerting.Input, o configuredObjective, a answer) []alerting.Input {
	in.Status = &a.status
	out := []alerting.Input{in}
	if a.groups == nil {
		return out
	}
	for i := range a.groups.Groups {
		g := &a.groups.Groups[i]
		one := in
		one.GroupsMayVanish = false
		one.Group, one.Status, one.MayVanish = orDash(g.Group), &g.Status, o.PerGroup // what has no name is not all together
		out = append(out, one)
	}
	return out
}

// link is an address of the pages, empty when nobody said how people reach them.
func (s *service) link(path string) string {
	if s.cfg.Server.BaseURL == "" {
		return ""
	}
	return s.cfg.Server.BaseURL + path
}

// stateKeeper keeps what alerts have to remember, as JSON by name.
type stateKeeper interface {
	// read leaves into as it is when nothing was written. Its error wraps collectors.ErrDamaged when what is there is not what was written.
	read(ctx context.Context, name string, into any) error
	write(ctx context.Context, name string, value any) error
}

// The names of what is kept.
const (
	stateAlerts = "alerts"
	stateClaims = "notified"
)

// alertState is in the tables of a warehouse that other services share. On an embedded engine of its own it is in files, which are there
// also while the engine is not.
func (s *service) alertState() stateKeeper {
	if s.db.Shared() {
		return stateTable{s.db}
	}
	return stateFiles(s.cfg.stateFile)
}

// stateFiles keeps state in the files that it names.
type stateFiles func(name string) string

func (f stateFiles) read(_ context.Context, name string, into any) error {
	return collectors.ReadState(f(name+".json"), into)
}

func (f stateFiles) write(_ context.Context, name string, value any) error {
	return collectors.WriteState(f(name+".json"), value)
}

// stateTable keeps state in the warehouse.
type stateTable struct{ db *warehouse.DB }

func (t stateTable) read(ctx context.Context, name string, into any) error {
	text, found, err := t.db.State(ctx, name)
	if err != nil || !found {
		return err
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		return fmt.Errorf("the state %q in the warehouse: %w: %w", name, collectors.ErrDamaged, err)
	}
	return nil
}

func (t stateTable) write(ctx context.Context, name string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode the state %q: %w", name, err)
	}
	return t.db.PutState(ctx, name, string(data))
}

// alertMemory keeps the memory of alerts, so that a restart notifies nobody again.
type alertMemory struct{ state stateKeeper }

// LoadAlerts reads it; nothing is stored at first.
func (m alertMemory) LoadAlerts(ctx context.Context) ([]alerting.Record, error) {
	var all []alerting.Record
	err := m.state.read(ctx, stateAlerts, &all)
	if errors.Is(err, collectors.ErrDamaged) {
		return nil, fmt.Errorf("%w: %w", alerting.ErrDamaged, err)
	}
	return all, err
}

// SaveAlerts replaces it as a whole.
func (m alertMemory) SaveAlerts(ctx context.Context, all []alerting.Record) error {
	return m.state.write(ctx, stateAlerts, all)
}

// claims remember which notifications were delivered by webhook.
type claims struct {
	state stateKeeper
	now   func() time.Time
	mu    sync.Mutex
}

// claimRecord is a delivery, reserved until a time or done for good.
type claimRecord struct {
	Until     time.Time `json:"until"`
	Delivered bool      `json:"delivered"`
}

// Deliveries are remembered for longer than an end is resent. One of an alert that fires on is renewed from time to time, since it is asked for
// as long as it fires.
const (
	keepClaims  = 30 * 24 * time.Hour
	renewClaims = 24 * time.Hour
)

// change edits one record, unless edit says that there is nothing to change.
func (c *claims) change(ctx context.Context, id string, edit func(old claimRecord, known bool) (claimRecord, bool)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[string]claimRecord{}
	if err := c.state.read(ctx, stateClaims, &all); errors.Is(err, collectors.ErrDamaged) {
		all = map[string]claimRecord{} // what fires is told again
	} else if err != nil {
		return err
	}
	old, known := all[id]
	next, ok := edit(old, known)
	if !ok {
		return nil
	}
	all[id] = next
	for key, r := range all {
		if r.Until.Before(c.now().Add(-keepClaims)) {
			delete(all, key)
		}
	}
	return c.state.write(ctx, stateClaims, all)
}

// Claim reserves a delivery; false when it was made, or is being made.
func (c *claims) Claim(ctx context.Context, id string, until time.Time) (bool, error) {
	mine := false
	err := c.change(ctx, id, func(old claimRecord, known bool) (claimRecord, bool) {
		if known && old.Delivered {
			return claimRecord{Until: c.now(), Delivered: true}, c.now().Sub(old.Until) > renewClaims
		}
		mine = !known || old.Until.Before(c.now())
		return claimRecord{Until: until}, mine
	})
	return mine && err == nil, err
}

// Delivered makes a claim permanent.
func (c *claims) Delivered(ctx context.Context, id string) error {
	return c.change(ctx, id, func(claimRecord, bool) (claimRecord, bool) { return claimRecord{Until: c.now(), Delivered: true}, true })
}

// Release gives a claim back.
func (c *claims) Release(ctx context.Context, id string) error {
	return c.change(ctx, id, func(claimRecord, bool) (claimRecord, bool) { return claimRecord{Until: time.Unix(0, 0).UTC()}, true })
}
