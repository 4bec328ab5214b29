// Package alerting gives alert states a memory and sends them. The engine says, without memory, whether a pair of
// windows burns now; here that has to last (for), may linger (keep firing for), survives restarts, and reaches
// Alertmanagers and webhooks.
//
// A [Manager] is ticked with the statuses of all objectives, about once a minute. It steps the memory, saves it in a
// [Store], and hands all firing and just resolved alerts to its senders. Times of states are watermarks, so replicas
// that see the same data agree on them.
//
// Four alerts per objective and group: ErrorBudgetBurn for each severity, ErrorBudgetExhausted, ErrorBudgetForecast,
// and NothingMeasured. A firing alert whose state cannot be told any more (too little measured, or no status at all) is
// frozen: it is resent unchanged until coverage returns. An alert that is not firing does not start to while frozen.
//
// A group that is one since it was measured, such as a cluster that reports, may go away in peace. When it falls silent while it burns its
// error budget, its alert is held like any other, and NothingMeasured fires for it, too; a day later it is taken as gone, and all
// resolve.
package alerting

import (
	"fmt"
	"maps"
	"time"

	"github.com/kubevalue/kubevalue/slo"
)

// Names of alerts.
const (
	Burn      = "ErrorBudgetBurn"
	Exhausted = "ErrorBudgetExhausted"
	Forecast  = "ErrorBudgetForecast"
	NoData    = "NothingMeasured"
)

// Key identifies an alert over time and across replicas.
type Key struct {
	Name      string `json:"name"`
	Objective string `json:"objective"`
	Group     string `json:"group,omitempty"`
	Severity  string `json:"severity"`
}

// String names the alert in logs.
func (k Key) String() string {
	text := k.Name + " " + k.Objective
	if k.Group != "" {
		text += "/" + k.Group
	}
	return text + " (" + k.Severity + ")"
}

// Record is the memory of one alert: what a store keeps.
type Record struct {
	Key   Key            `json:"key"`
	State slo.AlertState `json:"state"` // with memory; a firing alert stays firing while it is frozen
	// Held says that a firing alert is frozen.
	Held bool `json:"held,omitempty"`
	// FiringSince is the watermark at which it began to fire, ResolvedAt the time at which it stopped; zero when not.
	FiringSince time.Time `json:"firing_since,omitzero"`
	ResolvedAt  time.Time `json:"resolved_at,omitzero"`
	// Conditions is the memory of each pair of windows.
	Conditions map[string]Condition `json:"conditions,omitempty"`
	// Labels, Annotations and Link are those last sent.
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Link        string            `json:"link,omitempty"`
}

// Condition is the memory of one condition.
type Condition struct {
	Seen         time.Time `json:"seen"`                   // watermark of the last step; zero: there was none, or it is not to be trusted
	SteppedAt    time.Time `json:"stepped_at,omitzero"`    // time of the last step
	PendingSince time.Time `json:"pending_since,omitzero"` // since when it has held
	Firing       bool      `json:"firing,omitempty"`
	LastTrue     time.Time `json:"last_true,omitzero"`
}

// observation is what the engine says of one condition at one watermark.
type observation struct {
	name  string
	state slo.AlertState
	hold  time.Duration // how long it must hold before it fires
	keep  time.Duration // how long it fires on after
}

// tick is when a step is made: a watermark, the time, and how much of the time between two steps counts as looked at.
type tick struct {
	at, now time.Time
	idle    time.Duration
}

// step advances a condition to a watermark. Time that is frozen counts neither for the hold nor against it, nor does time in which
// nobody looked, since the service or its warehouse was away: what exceeds the idle time, so that slow ticks stretch a hold little.
func (c Condition) step(t tick, o observation) Condition {
	at := t.at
	if at.Before(c.Seen) {
		return c // a watermark never goes back; a replica that lags has nothing to say
	}
	if away := t.now.Sub(c.SteppedAt) - t.idle; o.state == slo.Firing && !c.PendingSince.IsZero() && !c.SteppedAt.IsZero() && away > 0 {
		c.PendingSince = c.PendingSince.Add(min(away, at.Sub(c.Seen)))
	}
	c.SteppedAt = t.now
	switch o.state {
	case slo.Firing:
		if c.PendingSince.IsZero() {
			c.PendingSince = at
		}
		c.LastTrue = at
		c.Firing = c.Firing || at.Sub(c.PendingSince) >= o.hold
	case slo.Frozen:
		if !c.PendingSince.IsZero() && !c.Seen.IsZero() {
			c.PendingSince = c.PendingSince.Add(at.Sub(c.Seen))
		}
	default:
		c.PendingSince = time.Time{}
		c.Firing = c.Firing && o.keep > 0 && at.Sub(c.LastTrue) < o.keep
	}
	c.Seen = at
	return c
}

// step advances a record by what is observed at a watermark.
func (r Record) step(t tick, observed []observation) Record {
	conditions := map[string]Condition{}
	firing, frozen, moving := false, false, false
	for _, o := range observed {
		c := r.Conditions[o.name].step(t, o)
		conditions[o.name] = c
		firing = firing || c.Firing
		frozen = frozen || o.state == slo.Frozen
		moving = moving || c.Firing && o.state != slo.Frozen
	}
	r.Conditions = conditions
	return r.become(firing, frozen, firing && !moving, t)
}

// lastStep is when it was observed last.
func (r Record) lastStep() (at time.Time) {
	for _, c := range r.Conditions {
		if c.SteppedAt.After(at) {
			at = c.SteppedAt
		}
	}
	return at
}

// freeze keeps a record as it is, since nothing can be told.
func (r Record) freeze() Record {
	if r.State == slo.Firing {
		r.Held = true
		return r
	}
	r.State = slo.Frozen
	return r
}

func (r Record) become(firing, frozen, held bool, t tick) Record {
	was := r.State
	r.Held = held
	switch {
	case firing:
		r.State = slo.Firing
		r.ResolvedAt = time.Time{}
		if was != slo.Firing {
			r.FiringSince = t.at
		}
		return r
	case frozen:
		r.State = slo.Frozen
	default:
		r.State = slo.Inactive
	}
	if was == slo.Firing {
		r.ResolvedAt = t.now
		if r.ResolvedAt.Before(r.FiringSince) { // by the clock of another replica
			r.ResolvedAt = r.FiringSince
		}
	}
	return r
}

// resolve ends a record whose objective is gone.
func (r Record) resolve(now time.Time) Record {
	return r.become(false, false, false, tick{at: now, now: now})
}

// maxSkew is how far clocks of replicas may be apart.
const maxSkew = 5 * time.Minute

// noLaterThan corrects what a clock that was ahead has left: with times in the future nothing would be stepped until then, and receivers would
// refuse an alert that has not yet begun, or take one for firing that has not yet ended. Of a watermark nothing is left: the right one is always
// behind the time.
func (r Record) noLaterThan(now time.Time) Record {
	correct := func(t *time.Time) {
		if t.After(now.Add(maxSkew)) {
			*t = now
		}
	}
	correct(&r.FiringSince)
	correct(&r.ResolvedAt)
	for name, c := range r.Conditions {
		if c.Seen.After(now.Add(maxSkew)) {
			c.Seen = time.Time{}
		}
		for _, t := range []*time.Time{&c.SteppedAt, &c.PendingSince, &c.LastTrue} {
			correct(t)
		}
		r.Conditions[name] = c
	}
	return r
}

// conditionName tells pairs apart by their windows, not by factors that change with a month's length.
func conditionName(a slo.AlertWindow, seen map[string]int) string {
	name := slo.FormatDuration(a.Long) + "/" + slo.FormatDuration(a.Short)
	seen[name]++
	if n := seen[name]; n > 1 {
		name = fmt.Sprintf("%s#%d", name, n)
	}
	return name
}

func (r Record) clone() Record {
	r.Conditions, r.Labels, r.Annotations = maps.Clone(r.Conditions), maps.Clone(r.Labels), maps.Clone(r.Annotations)
	return r
}
