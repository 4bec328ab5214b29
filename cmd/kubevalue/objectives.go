package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/collectors/probe"
	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/reports"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/slo"
	"github.com/kubevalue/kubevalue/slo/openslo"
)

// configuredObjective is an objective with where its slices are.
type configuredObjective struct {
	openslo.Objective
	// Of names the slices of the objective, or of each child of a composite, or of each of Groups.
	Of   map[string]indicator
	Grid slo.Grid
	// Groups are those of an objective that has a status for each; PerGroup says that they are those that have slices.
	Groups   []member
	PerGroup bool
	// InForce is the version that it was taken from, nil for the configured one.
	InForce *slo.Definition
}

// agentRevision is the revision of slices that agents send, unless the objective names another one.
const agentRevision = "1"

// loadObjectives reads the configured OpenSLO documents; the error has the place of each fault.
func (c *Config) loadObjectives() ([]configuredObjective, error) {
	sources, err := c.openSLOSources()
	if err != nil || len(sources) == 0 {
		return nil, err
	}
	result, err := openslo.Import(sources, c.Objectives.Strict, c.promNames()...)
	if err != nil {
		return nil, placed(err)
	}
	c.warnings = result.Warnings
	from := c.sliceSources()
	var out []configuredObjective
	var faults Faults
	lengths := sliceLengths{}
	for _, o := range result.Objectives {
		configured, err := from.locate(o)
		if err == nil {
			err = c.keptLongEnough(o.Definition.Window)
		}
		if err == nil {
			err = lengths.take(configured)
		}
		if w := o.SliceWindow; err == nil && w != 0 && w != configured.Grid.Step {
			// OpenSLO cannot say less than a minute, so it is no mistake for sure.
			c.warnings = append(c.warnings, &openslo.Finding{File: o.File, Line: o.Line, Column: 1, Rule: "time-slice-window", Message: fmt.Sprintf(
				"objective %s: timeSliceWindow is %s, but its slices are of %s, and those count", o.Definition.Name, slo.FormatDuration(w), slo.FormatDuration(configured.Grid.Step))})
		}
		if err != nil {
			faults = append(faults, Fault{File: o.File, Line: o.Line, Column: 1, Message: fmt.Sprintf("objective %s: %v", o.Definition.Name, err)})
		}
		out = append(out, configured)
	}
	if len(faults) > 0 {
		return nil, faults
	}
	c.promIndicators, c.scrapeIndicators, c.writtenIndicators = inOrder(from.promql), inOrder(from.counted), inOrder(from.written)
	slices.SortFunc(out, func(a, b configuredObjective) int { return strings.Compare(a.Definition.Name, b.Definition.Name) })
	return out, nil
}

func (c *Config) openSLOSources() ([]openslo.Source, error) {
	files, err := c.openSLOFiles()
	if err != nil {
		return nil, err
	}
	var sources []openslo.Source
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read an OpenSLO document: %w", err)
		}
		sources = append(sources, openslo.Source{Name: name, Text: text})
	}
	return sources, nil
}

// openSLOFiles are the files that the configuration's patterns find.
func (c *Config) openSLOFiles() ([]string, error) {
	var all []string
	for _, pattern := range c.Objectives.OpenSLO {
		files, err := filepath.Glob(c.path(pattern))
		if err != nil {
			return nil, fmt.Errorf("objectives.openslo %q: %w", pattern, err)
		}
		all = append(all, files...)
	}
	return all, nil
}

// placed turns findings into faults of the configuration.
func placed(err error) error {
	var findings openslo.Findings
	if !errors.As(err, &findings) {
		return err
	}
	faults := make(Faults, len(findings))
	for i, f := range findings {
		faults[i] = Fault{File: f.File, Line: f.Line, Column: f.Column, Message: fmt.Sprintf("%s [%s]", f.Message, f.Rule)}
	}
	return faults
}

// sliceLengths are how long the slices of an indicator's revision are.
type sliceLengths map[indicator]time.Duration

// lengthsOf are the lengths that objectives count on.
func lengthsOf(all []configuredObjective) sliceLengths {
	out := sliceLengths{}
	for _, o := range all {
		_ = out.take(o) // they agree, or the configuration would have been refused
	}
	return out
}

// take refuses an objective whose slices another one takes to be longer or shorter: a slice counts as one, however long it is.
func (l sliceLengths) take(o configuredObjective) error {
	step := o.Grid.Step
	for _, ind := range o.Of {
		ind.Group = ""
		if other, known := l[ind]; known && other != step {
			return fmt.Errorf("its indicator %s, revision %s, has slices of %s here and of %s in another objective: they are of one length", ind.Name, ind.Revision,
				slo.FormatDuration(step), slo.FormatDuration(other))
		}
		l[ind] = step
	}
	return nil
}

// of is the length of an indicator's slices in seconds; 0: no objective is computed from it.
func (l sliceLengths) of(name, revision string) uint32 {
	return uint32(l[indicator{Name: name, Revision: revision}] / time.Second)
}

// locate finds the slices of an objective. Slices of different lengths cannot be in one composite.
func (from *sliceSources) locate(o openslo.Objective) (configuredObjective, error) {
	out := configuredObjective{Objective: o, Of: map[string]indicator{}}
	children := o.Children
	if o.Indicator != nil {
		children = map[string]openslo.Indicator{o.Definition.Name: *o.Indicator}
	}
	if o.Indicator != nil {
		if found, step, err := out.locateGroups(*o.Indicator, from); found || err != nil {
			out.Grid = slo.EpochGrid(step)
			return out, err
		}
	}
	step := time.Duration(0)
	for name, ind := range children {
		at, length, err := from.indicator(ind, o)
		if err != nil {
			return out, err
		}
		if step != 0 && step != length {
			return out, fmt.Errorf("its indicators have slices of %s and of %s: give them the same length", step, length)
		}
		out.Of[name], step = at, length
	}
	out.Grid = slo.EpochGrid(step)
	return out, nil
}

// indicator reads a metric source of an objective: queries of a Prometheus server, {probe: NAME} of the configuration, or
// {indicator: NAME, slice: 5m, revision: "1", group: NAME} that agents send.
func (from *sliceSources) indicator(ind openslo.Indicator, o openslo.Objective) (indicator, time.Duration, error) {
	switch ind.Type() {
	case "prometheus":
		return from.prometheus(ind, o)
	case "scrape":
		return from.scraped(ind, o)
	case "remotewrite":
		return counterIndicator(ind, o, from.written)
	}
	if ind.RawType == "failure" {
		return indicator{}, 0, errors.New("rawType failure: slices count successes; write rawType: success")
	}
	if name, ok := ind.Probe(); ok {
		p, known := from.probes[name]
		if !known {
			return indicator{}, 0, fmt.Errorf("there is no probe %q in the configuration", name)
		}
		return indicator{Name: p.Name, Revision: probe.Revision(p), Group: p.Group}, p.Slice, nil
	}
	if ind.Type() != "kubevalue" || len(ind.Sources()) != 1 {
		return indicator{}, 0, fmt.Errorf("metricSource type %q is not collected: use type Prometheus with spec {query: PROMQL}, type scrape or remotewrite with spec {query: SELECTOR}, or type kubevalue with spec {probe: NAME} or {indicator: NAME, slice: 5m}", ind.Type())
	}
	spec := ind.Sources()[0].Spec
	name, _ := spec["indicator"].(string)
	text, _ := spec["slice"].(string)
	length, err := time.ParseDuration(text)
	if name == "" || err != nil || length < time.Second || (24*time.Hour)%length != 0 {
		return indicator{}, 0, errors.New("spec must be {probe: NAME}, or {indicator: NAME, slice: LENGTH} with a length such as 1m or 5m that divides a day")
	}
	revision, ok := spec["revision"].(string)
	if !ok {
		revision = agentRevision
	}
	group, _ := spec["group"].(string)
	return indicator{Name: name, Revision: revision, Group: group}, length, nil
}

// objectiveSet answers questions about the configured objectives from the tables.
type objectiveSet struct {
	all   []configuredObjective
	store objectiveStore
	// exclusions are those of the configuration.
	exclusions []schema.Exclusion
	maxLag     time.Duration
	// closeAfter is how long after its end a period takes late data.
	closeAfter time.Duration
	// keeps is how long slices are kept; 0: for ever.
	keeps   time.Duration
	pricing []pricing
	// effective says of definitions that are in force since a stated time, by objective.
	effective map[string]effective
	// burnWindows are lookbacks that are wanted besides the usual ones.
	burnWindows []time.Duration
	now         func() time.Time
	// started is when measuring begins for an objective without any slice.
	started  time.Time
	calendar journey.Calendar
}

type objectiveStore interface {
	sliceStore
	publishedStore
	exclusionStore
	Incidents(ctx context.Context, from, to time.Time) ([]schema.Incident, error)
}

// concerns says whether an incident is about an objective: it names it, or names none and has the same service.
func concerns(in schema.Incident, o configuredObjective) bool {
	if len(in.Objectives) > 0 {
		return slices.Contains(in.Objectives, o.Definition.Name)
	}
	return in.Service == o.Service
}

// lookbacks are the lengths of time whose burn rates are shown.
func (s *objectiveSet) lookbacks() []time.Duration {
	return append([]time.Duration{time.Hour, 6 * time.Hour, 24 * time.Hour, 72 * time.Hour}, s.burnWindows...)
}

// statuses are all objectives now, as the API and the pages show them.
func (s *objectiveSet) statuses(ctx context.Context) ([]dashboards.Objective, error) {
	return s.shown(ctx, s.all)
}

// shown are objectives now, in their order.
func (s *objectiveSet) shown(ctx context.Context, of []configuredObjective) ([]dashboards.Objective, error) {
	out, _, err := s.shownGroups(ctx, of)
	return out, err
}

// shownGroups are objectives now, each with the statuses of its groups, nil where it has none.
func (s *objectiveSet) shownGroups(ctx context.Context, of []configuredObjective) ([]dashboards.Objective, []*slo.GroupStatus, error) {
	answers, err := s.statusesAt(ctx, of, s.now())
	if err != nil {
		return nil, nil, err
	}
	out, groups := make([]dashboards.Objective, len(of)), make([]*slo.GroupStatus, len(of))
	for i, o := range of {
		out[i] = dashboards.Objective{
			Name: o.Definition.Name, Service: o.Service, Description: o.Description, Window: o.Definition.Window.String(),
			Method: budgetedBy(o.Objective), Zone: s.calendar.Zone.String(),
		}
		if answers[i].err != nil {
			out[i].Error = answers[i].err.Error()
			continue
		}
		out[i].Status, groups[i] = &answers[i].status, answers[i].groups
	}
	return out, groups, nil
}

// forReport are all objectives as of a moment, as reports show them.
func (s *objectiveSet) forReport(ctx context.Context, at time.Time) ([]reports.ObjectiveStatus, error) {
	var out []reports.ObjectiveStatus
	answers, err := s.statusesAt(ctx, s.all, at)
	if err != nil {
		return nil, err
	}
	for i, o := range s.all {
		one := reports.ObjectiveStatus{
			Name: o.Definition.Name, Title: o.DisplayName, Service: o.Service, Window: o.Definition.Window.String(), Target: o.Definition.Target,
		}
		if answers[i].err != nil {
			one.Fault = answers[i].err.Error()
		} else {
			one.Status = &answers[i].status
		}
		out = append(out, one)
	}
	return out, nil
}

// units are the calendar windows of the grains.
var units = map[journey.Grain]slo.Unit{
	journey.GrainDay: slo.Day, journey.GrainWeek: slo.Week, journey.GrainMonth: slo.Month, journey.GrainQuarter: slo.Quarter,
}

// figures are all objectives in a calendar period, those of a closed one as they were published: the budget is that of the period.
func (s *objectiveSet) figures(ctx context.Context, p journey.Period, _ time.Time) ([]journey.ObjectiveFigure, error) {
	all, err := s.standings(ctx, "", p, asPublished)
	if err != nil {
		return nil, err
	}
	var out []journey.ObjectiveFigure
	for _, o := range all {
		figure := journey.ObjectiveFigure{Objective: o.Objective, Service: o.Service, Labels: flat(o.defined.Labels), Target: o.defined.Definition.Target}
		if status := o.Status; status != nil {
			figure.SLI, figure.Good, figure.Total, figure.Coverage = status.SLI, status.Good, status.Total, status.Coverage
			figure.BudgetConsumed, figure.BudgetRemaining, figure.Measured = status.Consumed, status.Remaining, int(status.MeasuredSlices)
			if status.ErrorRatio != nil {
				figure.BurnRate = new(*status.ErrorRatio / o.defined.Definition.Budget())
			}
		}
		out = append(out, figure)
	}
	return out, nil
}

// flat takes the first value of each label.
func flat(labels openslo.Labels) map[string]string {
	out := map[string]string{}
	for k, v := range labels {
		if len(v) > 0 {
			out[k] = v[0]
		}
	}
	return out
}
