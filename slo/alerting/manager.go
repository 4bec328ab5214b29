package alerting

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/kubevalue/kubevalue/slo"
)

// Store keeps the memory of alerts. Records replace those of the same keys; a record that is not saved is forgotten.
type Store interface {
	LoadAlerts(ctx context.Context) ([]Record, error)
	SaveAlerts(ctx context.Context, all []Record) error
}

// Alert is what senders send.
type Alert struct {
	Key         Key
	Labels      map[string]string
	Annotations map[string]string
	StartsAt    time.Time
	// EndsAt is when it was resolved, zero while it fires.
	EndsAt time.Time
	Link   string
}

// Firing says whether the alert fires.
func (a Alert) Firing() bool { return a.EndsAt.IsZero() }

// Sender delivers the present alerts: those that fire, and those resolved in the last fifteen minutes. It is called at
// every tick, also with none.
type Sender interface {
	Send(ctx context.Context, now time.Time, alerts []Alert) error
}

// resendResolved is how long a resolved alert is sent on, in case a receiver missed it.
const resendResolved = 15 * time.Minute

// Config is what a manager needs.
type Config struct {
	Options Options
	Store   Store
	Senders []Sender
	Now     func() time.Time
	Logger  *slog.Logger
}

// Manager holds the alerts' memory. It is safe for concurrent use.
type Manager struct {
	cfg Config

	mu      sync.Mutex
	loaded  bool // at least once
	records map[Key]Record
}

// NewManager makes a manager that loads its memory at the first tick.
func NewManager(cfg Config) *Manager {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Manager{cfg: cfg, records: map[Key]Record{}}
}

// Tick steps all alerts by the statuses of all objectives, saves the memory and sends. An objective that is not in
// inputs is gone, as is a group that has vanished: its alerts resolve; one whose status is nil is frozen. The memory is loaded each time, since another
// replica may have stepped it. Until it could be loaded once nothing is stepped, since alerts would start anew; when it
// cannot be loaded or saved later, the own memory serves. The errors are joined.
func (m *Manager) Tick(ctx context.Context, inputs []Input) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var faults []error
	if err := m.load(ctx); err != nil {
		if !m.loaded {
			return err
		}
		faults = append(faults, err)
	}
	now := m.cfg.Now()
	before := maps.Clone(m.records)
	m.step(now, inputs)
	m.log(before)

	if err := m.cfg.Store.SaveAlerts(ctx, m.sorted()); err != nil {
		faults = append(faults, fmt.Errorf("save alert states: %w", err))
	}
	alerts := m.alerts()
	for _, s := range m.cfg.Senders {
		if err := s.Send(ctx, now, alerts); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

func (m *Manager) load(ctx context.Context) error {
	all, err := m.cfg.Store.LoadAlerts(ctx)
	if err != nil {
		return fmt.Errorf("load alert states: %w", err)
	}
	m.records = map[Key]Record{}
	for _, r := range all {
		m.records[r.Key] = r
	}
	m.loaded = true
	return nil
}

func (m *Manager) step(now time.Time, inputs []Input) {
	type whose struct{ objective, group string }
	unknown, burning, present := map[whose]bool{}, map[whose]bool{}, map[Key]bool{}
	for key, r := range m.records {
		if key.Name == Burn && r.State == slo.Firing {
			burning[whose{key.Objective, key.Group}] = true
		}
	}
	for _, in := range inputs {
		if in.Status == nil {
			unknown[whose{in.Objective, in.Group}] = true
			continue
		}
		if m.cfg.Options.gone(in) {
			continue
		}
		for _, alert := range m.cfg.Options.observe(in, burning[whose{in.Objective, in.Group}]) {
			present[alert.key] = true
			m.records[alert.key] = m.records[alert.key].observe(alert, now, in)
		}
	}
	untold := func(key Key) bool {
		return unknown[whose{key.Objective, key.Group}] || unknown[whose{key.Objective, ""}]
	}
	for key, r := range m.records {
		switch {
		case untold(key):
			r = r.freeze()
		case !present[key]:
			r = r.resolve(now)
		}
		if !r.ResolvedAt.IsZero() && now.Sub(r.ResolvedAt) >= resendResolved {
			r.ResolvedAt, r.FiringSince = time.Time{}, time.Time{}
		}
		m.records[key] = r
		if !present[key] && !untold(key) && r.ResolvedAt.IsZero() {
			delete(m.records, key)
		}
	}
}

// observe steps a record and renews what is sent, unless it fires on without any condition that holds.
func (r Record) observe(alert seen, now time.Time, in Input) Record {
	r = r.step(in.Status.At, now, alert.observed)
	r.Key = alert.key
	holds := slices.ContainsFunc(alert.observed, func(o observation) bool { return o.state == slo.Firing })
	if holds || r.State != slo.Firing && r.ResolvedAt.IsZero() {
		r.Labels, r.Annotations, r.Link = labels(alert.key, in), alert.annotations, in.Link
	}
	return r
}

// log reports transitions.
func (m *Manager) log(before map[Key]Record) {
	for _, r := range m.sorted() {
		was := before[r.Key].State
		if was != r.State && (was == slo.Firing || r.State == slo.Firing) {
			m.cfg.Logger.Info("alert changed state", "alert", r.Key.String(), "from", string(cmp.Or(was, slo.Inactive)), "to", string(r.State))
		}
	}
}

// alerts are what is to be sent now.
func (m *Manager) alerts() []Alert {
	out := []Alert{}
	for _, r := range m.sorted() {
		if r.State == slo.Firing || !r.ResolvedAt.IsZero() {
			out = append(out, Alert{r.Key, r.Labels, r.Annotations, r.FiringSince, r.ResolvedAt, r.Link})
		}
	}
	return out
}

// Records is a copy of the memory, in order, for display.
func (m *Manager) Records() []Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sorted()
}

func (m *Manager) sorted() []Record {
	out := make([]Record, 0, len(m.records))
	for _, r := range m.records {
		out = append(out, r.clone())
	}
	slices.SortFunc(out, func(a, b Record) int {
		return cmp.Or(cmp.Compare(a.Key.Objective, b.Key.Objective), cmp.Compare(a.Key.Group, b.Key.Group),
			cmp.Compare(a.Key.Name, b.Key.Name), cmp.Compare(a.Key.Severity, b.Key.Severity))
	})
	return out
}
