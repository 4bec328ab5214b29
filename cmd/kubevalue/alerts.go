package main

import (
	"context"
	"net/url"
	"sync"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/slo/alerting"
)

// alerting evaluates all objectives at every interval and tells Alertmanagers and webhooks.
func (s *service) alerting() func(context.Context) error {
	options := alerting.Default()
	interval := time.Duration(s.cfg.Alerts.Interval)
	var senders []alerting.Sender
	if len(s.cfg.Alerts.Alertmanagers) > 0 {
		senders = append(senders, &alerting.Alertmanager{URLs: s.cfg.Alerts.Alertmanagers, Interval: interval})
	}
	for _, u := range s.cfg.Alerts.Webhooks {
		senders = append(senders, &alerting.Webhook{Name: u, URL: u, Claims: &claimFile{path: s.cfg.stateFile("notified.json"), now: s.now}})
	}
	manager := alerting.NewManager(alerting.Config{
		Options: options, Store: alertFile(s.cfg.stateFile("alerts.json")), Senders: senders, Now: s.now, Logger: s.log,
	})
	s.figures.objectives.burnWindows = options.BurnWindows()
	return func(ctx context.Context) error {
		if len(s.figures.objectives.all) == 0 {
			<-ctx.Done()
			return nil
		}
		for tick := time.NewTicker(interval); ; {
			if err := manager.Tick(ctx, s.alertInputs(ctx)); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "alerts could not be evaluated or sent; they are tried again", "error", err)
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

// alertInputs are the statuses of all objectives and their groups; one that cannot be computed is frozen.
func (s *service) alertInputs(ctx context.Context) []alerting.Input {
	all := s.figures.objectives.all
	answers, err := s.figures.objectives.statusesAt(ctx, all, s.now())
	if err != nil && ctx.Err() == nil {
		s.log.ErrorContext(ctx, "no objective could be evaluated; their alerts are frozen", "error", err)
	}
	var inputs []alerting.Input
	for i, o := range all {
		in := s.alertInput(o)
		switch {
		case err != nil:
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
		Targets: o.Targets, Quiet: !o.Resolved, MayFallSilent: !o.AlertNoData,
	}
}

// told are the inputs of an objective: of all of it, and of each of its groups. A group that is one since it has sent slices may go away in
// peace; one that the configuration names may not.
func told(in alerting.Input, o configuredObjective, a answer) []alerting.Input {
	in.Status = &a.status
	out := []alerting.Input{in}
	if a.groups == nil {
		return out
	}
	for i := range a.groups.Groups {
		g := &a.groups.Groups[i]
		one := in
		one.Group, one.Status, one.MayFallSilent = g.Group, &g.Status, in.MayFallSilent || o.PerGroup
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

// alertFile keeps the memory of alerts in a file, so that a restart notifies nobody again.
type alertFile string

// LoadAlerts reads the file; without one there is no memory.
func (f alertFile) LoadAlerts(context.Context) ([]alerting.Record, error) {
	var all []alerting.Record
	return all, collectors.ReadState(string(f), &all)
}

// SaveAlerts replaces the file as a whole.
func (f alertFile) SaveAlerts(_ context.Context, all []alerting.Record) error {
	return collectors.WriteState(string(f), all)
}

// claimFile remembers which notifications were delivered by webhook.
type claimFile struct {
	path string
	now  func() time.Time
	mu   sync.Mutex
}

// claimRecord is a delivery, reserved until a time or done for good.
type claimRecord struct {
	Until     time.Time `json:"until"`
	Delivered bool      `json:"delivered"`
}

// keepClaims is how long deliveries are remembered: longer than any alert is resent.
const keepClaims = 30 * 24 * time.Hour

// change edits one record of the file.
func (c *claimFile) change(id string, edit func(old claimRecord, known bool) (claimRecord, bool)) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[string]claimRecord{}
	if err := collectors.ReadState(c.path, &all); err != nil {
		return false, err
	}
	old, known := all[id]
	next, ok := edit(old, known)
	if !ok {
		return false, nil
	}
	all[id] = next
	for key, r := range all {
		if r.Until.Before(c.now().Add(-keepClaims)) {
			delete(all, key)
		}
	}
	return true, collectors.WriteState(c.path, all)
}

// Claim reserves a delivery; false when it was made, or is being made.
func (c *claimFile) Claim(_ context.Context, id string, until time.Time) (bool, error) {
	return c.change(id, func(old claimRecord, known bool) (claimRecord, bool) {
		return claimRecord{Until: until}, !known || !old.Delivered && old.Until.Before(c.now())
	})
}

// Delivered makes a claim permanent.
func (c *claimFile) Delivered(_ context.Context, id string) error {
	_, err := c.change(id, func(claimRecord, bool) (claimRecord, bool) {
		return claimRecord{Until: c.now(), Delivered: true}, true
	})
	return err
}

// Release gives a claim back.
func (c *claimFile) Release(_ context.Context, id string) error {
	_, err := c.change(id, func(claimRecord, bool) (claimRecord, bool) { return claimRecord{Until: time.Unix(0, 0).UTC()}, true })
	return err
}
