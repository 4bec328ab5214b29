package alerting

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/kubevalue/kubevalue/slo"
)

// ErrDamaged is wrapped by the error of a store that can be read, but not understood: what it holds may be replaced.
var ErrDamaged = errors.New("the memory of alerts is damaged")

// Store keeps the memory of alerts. Records replace those of the same keys; a record that is not saved is forgotten. LoadAlerts returns records
// in the order in which they were saved.
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
// every tick, also with none, and has to return soon after its context ends.
type Sender interface {
	Send(ctx context.Context, now time.Time, alerts []Alert) error
}

const (
	// resendResolved is how long a resolved alert is sent on, in case a receiver missed it.
	resendResolved = 15 * time.Minute
	// A store or a receiver that hangs must not keep a tick from sending to the others before what they hold expires.
	storeTimeout = 15 * time.Second
	sendTimeout  = 45 * time.Second
)

// Config is what a manager needs.
type Config struct {
	Options Options
	Store   Store
	Senders []Sender
	// Interval is how often the manager ticks; a minute when 0.
	Interval time.Duration
	Now      func() time.Time
	Logger   *slog.Logger
}

// Manager holds the alerts' memory. It is safe for concurrent use.
type Manager struct {
	cfg Config

	mu      sync.Mutex
	loaded  bool // at least once
	records map[Key]Record
	stored  []byte // what the store was seen to hold last, or was given
	unsaved bool   // the store was not given records
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
// cannot be loaded or saved later, or is damaged, the own memory serves, until it is saved or another replica has saved its own. It is saved
// before anything is sent, so that what was told is remembered. All senders send at once; a tick waits no longer than 80 seconds for the store
// and for them. The errors are joined.
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

	faults = append(faults, m.save(ctx), m.send(ctx, now))
	return errors.Join(faults...)
}

func (m *Manager) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	all, err := m.cfg.Store.LoadAlerts(ctx)
	if errors.Is(err, ErrDamaged) {
		m.cfg.Logger.ErrorContext(ctx, "the memory of alerts is damaged and is replaced; what fires may be told again", "error", err)
		m.loaded = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("load alert states: %w", err)
	}
	stored, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("load alert states: %w", err)
	}
	if m.unsaved && bytes.Equal(stored, m.stored) {
		return nil // nobody has stepped it since this replica did, which could not save that
	}
	m.stored, m.records = stored, map[Key]Record{}
	for _, r := range all {
		m.records[r.Key] = r
	}
	m.loaded = true
	return nil
}

func (m *Manager) save(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	all := m.sorted()
	m.unsaved = true
	saved, err := json.Marshal(all)
	if err == nil {
		err = m.cfg.Store.SaveAlerts(ctx, all)
	}
	if err != nil {
		return fmt.Errorf("save alert states: %w", err)
	}
	m.stored, m.unsaved = saved, false
	return nil
}

// send hands the present alerts to all senders at once.
func (m *Manager) send(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	alerts := m.alerts()
	faults := make([]error, len(m.cfg.Senders))
	var wait sync.WaitGroup
	for i, s := range m.cfg.Senders {
		wait.Go(func() { faults[i] = s.Send(ctx, now, alerts) })
	}
	wait.Wait()
	return errors.Join(faults...)
}

// whose is an objective, or a group of it.
type whose struct{ objective, group string }

func (m *Manager) step(now time.Time, inputs []Input) {
	burning, given, present := map[whose]bool{}, map[whose]Input{}, map[Key]bool{}
	for key, r := range m.records {
		r = r.noLaterThan(now)
		m.records[key] = r
		if key.Name == Burn && r.State == slo.Firing {
			burning[whose{key.Objective, key.Group}] = true
		}
	}
	for _, in := range inputs {
		it := whose{in.Objective, in.Group}
		given[it] = in
		if in.Status == nil || m.cfg.Options.gone(in) {
			continue
		}
		for _, alert := range m.cfg.Options.observe(in, burning[it]) {
			present[alert.key] = true
			m.records[alert.key] = m.records[alert.key].observe(alert, tick{in.Status.At, now, m.idle()}, in)
		}
	}
	for key, r := range m.records {
		untold := m.untold(r, now, given)
		switch {
		case untold:
			r = r.freeze()
		case !present[key]:
			r = r.resolve(now)
		}
		if !r.ResolvedAt.IsZero() && now.Sub(r.ResolvedAt) >= resendResolved {
			r.ResolvedAt, r.FiringSince = time.Time{}, time.Time{}
		}
		m.records[key] = r
		if !present[key] && !untold && r.ResolvedAt.IsZero() {
			delete(m.records, key)
		}
	}
}

// untold says that nothing can be said of an alert: neither whether it holds, nor that what it is about is gone.
func (m *Manager) untold(r Record, now time.Time, given map[whose]Input) bool {
	all, objective := given[whose{r.Key.Objective, ""}]
	it, named := given[whose{r.Key.Objective, r.Key.Group}]
	if named && it.Status == nil || objective && all.Status == nil {
		return true
	}
	return !named && all.GroupsMayVanish && r.State == slo.Firing && now.Sub(r.lastStep()) < m.cfg.Options.GoneAfter
}

// observe steps a record and renews what is sent, unless it fires on without any condition that holds.
func (r Record) observe(alert seen, t tick, in Input) Record {
	r = r.step(t, alert.observed)
	r.Key = alert.key
	holds := slices.ContainsFunc(alert.observed, func(o observation) bool { return o.state == slo.Firing })
	if holds || r.State != slo.Firing && r.ResolvedAt.IsZero() {
		r.Labels, r.Annotations, r.Link = labels(alert.key, in), alert.annotations, in.Link
	}
	return r
}

// idle is how much of the time between two ticks counts as looked at: as long as what fires lasts without being resent.
func (m *Manager) idle() time.Duration { return expiry(m.cfg.Interval) }

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
