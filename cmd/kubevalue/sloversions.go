package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/slo"
)

// storedDefinition is what an objective's figures depend on, as the table keeps it.
type storedDefinition struct {
	Service string `json:"service"`
	// Slice is the length of the slices.
	Slice    string                     `json:"slice"`
	Of       map[string]storedIndicator `json:"of"`
	Groups   []string                   `json:"groups,omitempty"` // names in Of
	PerGroup bool                       `json:"per_group,omitempty"`

	Target          float64             `json:"target"`
	Window          storedWindow        `json:"window"`
	Method          slo.BudgetingMethod `json:"method,omitempty"`
	TimeSliceTarget float64             `json:"time_slice_target,omitempty"`
	Missing         slo.MissingPolicy   `json:"missing,omitempty"`
	MinCoverage     float64             `json:"min_coverage"`
	MinEvents       float64             `json:"min_events,omitempty"`
	Alerts          []slo.AlertWindow   `json:"alerts"`
	MayFallSilent   bool                `json:"may_fall_silent,omitempty"` // nobody is told when nobody measures it
	Composite       *slo.Composite      `json:"composite,omitempty"`
}

type storedIndicator struct {
	Name     string `json:"indicator"`
	Revision string `json:"revision"`
	Group    string `json:"group,omitempty"`
}

// storedWindow is a rolling length, or Count units of Unit in Zone, one of which starts at Anchor.
type storedWindow struct {
	Rolling string    `json:"rolling,omitempty"`
	Unit    slo.Unit  `json:"unit,omitempty"`
	Count   int       `json:"count,omitempty"`
	Zone    string    `json:"zone,omitempty"`
	Anchor  time.Time `json:"anchor,omitzero"`
}

// version is the definition as it is stored, and its hash.
func (o configuredObjective) version() (definition []byte, hash string) {
	d := o.Definition
	stored := storedDefinition{
		Service: o.Service, Slice: slo.FormatDuration(o.Grid.Step), Of: map[string]storedIndicator{}, PerGroup: o.PerGroup,
		Target: d.Target, Window: storedWindow{Unit: d.Window.Unit, Count: d.Window.Count, Anchor: d.Window.Anchor}, Method: d.Method,
		TimeSliceTarget: d.TimeSliceTarget, Missing: d.Missing, MinCoverage: d.MinCoverage, MinEvents: d.MinEvents, Alerts: d.Alerts, Composite: d.Composite,
		MayFallSilent: !o.AlertNoData,
	}
	if d.Window.IsCalendar() {
		stored.Window.Zone = d.Window.Zone.String()
	} else {
		stored.Window.Rolling = slo.FormatDuration(d.Window.Rolling)
	}
	for name, ind := range o.Of {
		stored.Of[name] = storedIndicator(ind)
	}
	for _, m := range o.Groups {
		stored.Groups = append(stored.Groups, m.group)
	}
	definition, err := json.Marshal(stored)
	if err != nil {
		panic(err) // texts and finite numbers, which an objective was checked for, can always be encoded
	}
	return definition, digest(definition)
}

// digest is a short hash, to tell texts apart.
func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// restored is the objective that a version defines.
func restored(v schema.ObjectiveVersion) (configuredObjective, error) {
	var o configuredObjective
	var d storedDefinition
	if err := json.Unmarshal(v.Definition, &d); err != nil {
		return o, fmt.Errorf("version %s of the objective %s is not what was written: %w", v.Version, v.Name, err)
	}
	window := slo.Window{Unit: d.Window.Unit, Count: d.Window.Count, Anchor: d.Window.Anchor}
	step, err := slo.ParseDuration(d.Slice)
	if err == nil && d.Window.Rolling != "" {
		window.Rolling, err = slo.ParseDuration(d.Window.Rolling)
	}
	if err == nil && window.IsCalendar() {
		window.Zone, err = slo.LoadZone(d.Window.Zone)
	}
	if err != nil {
		return o, fmt.Errorf("version %s of the objective %s: %w", v.Version, v.Name, err)
	}
	o.Service, o.Grid, o.PerGroup, o.Of = d.Service, slo.EpochGrid(step), d.PerGroup, map[string]indicator{}
	o.AlertNoData = !d.MayFallSilent
	for name, ind := range d.Of {
		o.Of[name] = indicator(ind)
	}
	for _, name := range d.Groups {
		o.Groups = append(o.Groups, member{name, o.Of[name]})
	}
	o.Definition = slo.Objective{
		Name: v.Name, Target: d.Target, Window: window, Method: d.Method, TimeSliceTarget: d.TimeSliceTarget, Missing: d.Missing,
		MinCoverage: d.MinCoverage, MinEvents: d.MinEvents, Alerts: d.Alerts, Composite: d.Composite,
	}
	return o, nil
}

// effective says since when a definition is in force, for one that was agreed on before it was written down.
type effective struct {
	since  time.Time
	reason string
}

// recordDefinitions stores what has changed about the configured objectives since they were recorded last, and returns how much.
func (s *objectiveSet) recordDefinitions(ctx context.Context) (int, error) {
	known, err := s.store.Objectives(ctx)
	if err != nil {
		return 0, err
	}
	newest := map[string]schema.ObjectiveVersion{}
	for _, v := range known { // in order of time
		newest[v.Name] = v
	}
	now := s.now().UTC().Truncate(time.Millisecond)
	var changed []schema.ObjectiveVersion
	for _, o := range s.all {
		name := o.Definition.Name
		v := schema.ObjectiveVersion{Name: name, From: now, Reason: "changed in the configuration", Recorded: now}
		v.Definition, v.Version = o.version()
		old, recorded := newest[name]
		delete(newest, name)
		if !recorded {
			v.From, v.Reason = time.Unix(0, 0).UTC(), "first recorded"
		}
		if e, ok := s.effective[name]; ok {
			v.From, v.Reason = e.since.UTC(), e.reason
		}
		if old.Version == v.Version && (old.From.Equal(v.From) || s.effective[name].since.IsZero()) {
			continue
		}
		changed = append(changed, v)
	}
	for _, name := range slices.Sorted(maps.Keys(newest)) {
		if newest[name].Version != "" {
			changed = append(changed, schema.ObjectiveVersion{Name: name, From: now, Definition: []byte{}, Reason: "no longer configured", Recorded: now})
		}
	}
	return len(changed), s.store.InsertObjectives(ctx, changed)
}

// inForce are the objectives as they were defined at a time, in order of name: a definition that starts at that very time is not in
// force yet. Those that were never recorded are taken as they are configured.
func (s *objectiveSet) inForce(ctx context.Context, at time.Time) ([]configuredObjective, error) {
	known, err := s.store.Objectives(ctx)
	if err != nil {
		return nil, err
	}
	versions := map[string][]slo.Definition{}
	rows := map[string]schema.ObjectiveVersion{}
	for _, v := range known {
		versions[v.Name] = append(versions[v.Name], slo.Definition{Version: v.Version, From: v.From, Reason: v.Reason})
		rows[v.Name+"/"+v.From.String()] = v
	}
	configured := map[string]configuredObjective{}
	var out []configuredObjective
	for _, o := range s.all {
		configured[o.Definition.Name] = o
		if versions[o.Definition.Name] == nil {
			out = append(out, o)
		}
	}
	for name, all := range versions {
		d, ok := slo.InForce(all, at)
		if !ok || d.Version == "" {
			continue
		}
		o, err := restored(rows[name+"/"+d.From.String()])
		if err != nil {
			return nil, err
		}
		if now, ok := configured[name]; ok { // what it is called and who hears of it is not part of the definition
			o.DisplayName, o.Description, o.Labels = now.DisplayName, now.Description, now.Labels
		}
		o.InForce = &d
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b configuredObjective) int { return strings.Compare(a.Definition.Name, b.Definition.Name) })
	return out, nil
}

// defined are the objectives that an answer about a period is about: those in force at the end of a closed one, else the configured
// ones. A name selects one of them.
func (s *objectiveSet) defined(ctx context.Context, p journey.Period, name string) ([]configuredObjective, error) {
	all := s.all
	if s.answerPeriod(p).State == periodClosed {
		var err error
		if all, err = s.inForce(ctx, p.To); err != nil {
			return nil, err
		}
	}
	return objectiveNamed(all, name)
}

// objectiveNamed is the objective of a name, or all when it is empty.
func objectiveNamed(all []configuredObjective, name string) ([]configuredObjective, error) {
	if name == "" {
		return all, nil
	}
	for _, o := range all {
		if o.Definition.Name == name {
			return []configuredObjective{o}, nil
		}
	}
	return nil, dashboards.NotFoundError{What: fmt.Sprintf("the objective %q", name), Hint: suggestion(name, namesOf(all))}
}

func namesOf(all []configuredObjective) []string {
	var out []string
	for _, o := range all {
		out = append(out, o.Definition.Name)
	}
	return out
}

// definedAt is an objective as it was defined at a time. What is asked about now is answered by the configuration, recorded or not.
func (s *objectiveSet) definedAt(ctx context.Context, name string, at time.Time) (configuredObjective, error) {
	var o configuredObjective
	recorded, err := s.inForce(ctx, at)
	if err != nil {
		return o, err
	}
	all := recorded
	if s.now().Sub(at) <= s.maxLag {
		all = s.all
	}
	of, err := objectiveNamed(all, name)
	if err != nil {
		return o, err
	}
	o = of[0]
	_, version := o.version()
	for _, r := range recorded {
		if r.Definition.Name == name && r.InForce != nil && r.InForce.Version == version {
			o.InForce = r.InForce
		}
	}
	return o, nil
}
