package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/slo"
)

// ExclusionConfig is time that counts for no budget: once, or every week. Several may overlap, such as a drill inside of weekly
// maintenance: the time counts once. Recorded exclusions may not, unless that is said, see [newExclusion].
type ExclusionConfig struct {
	// Objectives are the names it applies to; empty: all.
	Objectives []string `yaml:"objectives"`
	// From and To bound it; a weekly one may leave them out.
	From   string                 `yaml:"from"`
	To     string                 `yaml:"to"`
	Weekly *WeeklyExclusionConfig `yaml:"weekly"`
	Reason string                 `yaml:"reason"`
	Author string                 `yaml:"author"`
}

// WeeklyExclusionConfig is a span of the clock, e.g. 02:00 to 04:00, on days of every week.
type WeeklyExclusionConfig struct {
	Days []string `yaml:"days"`
	From string   `yaml:"from"`
	To   string   `yaml:"to"`
	// Timezone is the zone of the clock; empty: the reporting zone.
	Timezone string `yaml:"timezone"`
}

// checkExclusions refuses exclusions that exclude nothing, or that nobody stands for.
func (c *Config) checkExclusions(f *yamlFile) {
	for i, e := range c.Exclusions {
		path := indexed("exclusions", i)
		from, to := c.checkInstant(f, path+".from", e.From), c.checkInstant(f, path+".to", e.To)
		for field, t := range map[string]time.Time{".from": from, ".to": to} {
			if err := countable(t); err != nil {
				f.At(path+field, "%v", err)
			}
		}
		switch {
		case e.Weekly != nil:
			for _, fault := range e.Weekly.faults() {
				f.At(path+".weekly."+fault.field, "%v", fault.err)
			}
			if !from.IsZero() && !to.IsZero() && !from.Before(to) {
				f.At(path+".to", "%s is not after from (%s)", e.To, e.From)
			}
		case from.IsZero() || to.IsZero() || !from.Before(to):
			f.At(path, "%v", errUnbounded)
		}
		if e.Reason == "" || e.Author == "" {
			f.At(path, "%v", errNobody)
		}
	}
}

// checkExcluded doubts exclusions of objectives that are not configured: they may have been, when figures were published, or are misspelt.
func (c *Config) checkExcluded(f *yamlFile) {
	objectives, err := c.loadObjectives()
	if err != nil {
		return // checkObjectives has said so
	}
	c.doubts = nil
	for i, e := range c.Exclusions {
		for k, name := range e.Objectives {
			if _, err := objectiveNamed(objectives, name); err != nil || name == "" {
				c.doubts = append(c.doubts, f.fault(indexed(indexed("exclusions", i)+".objectives", k), "no objective is called %q%s", name, suggestion(name, namesOf(objectives))))
			}
		}
	}
}

// told are all warnings about a configuration that is right.
func (c *Config) told() []string {
	var out []string
	for _, w := range c.warnings {
		out = append(out, w.Error())
	}
	for _, d := range c.doubts {
		out = append(out, d.String())
	}
	return out
}

// countable refuses times that neither tables nor the engine know; the zero time is none.
func countable(t time.Time) error {
	first, end := time.Unix(0, 0), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	if !t.IsZero() && (t.Before(first) || !t.Before(end)) {
		return fmt.Errorf("time %s is out of range: use times from 1970 to 2099", t.UTC().Format(time.RFC3339))
	}
	return nil
}

var (
	errUnbounded = errors.New("an exclusion needs from and to, and to after from")
	errNobody    = errors.New("an exclusion needs a reason and an author: somebody will ask")
)

// fieldError is what is wrong with a field.
type fieldError struct {
	field string
	err   error
}

// faults are what is wrong with a weekly span.
func (w WeeklyExclusionConfig) faults() []fieldError {
	var out []fieldError
	if _, err := weekdaysOf(w.Days); err != nil || len(w.Days) == 0 {
		out = append(out, fieldError{"days", errors.New(orText(err, "a weekly exclusion needs days: write [sunday] or [monday-friday]"))})
	}
	from, err := clockTime(w.From)
	if err != nil {
		out = append(out, fieldError{"from", err})
	}
	to, wrong := clockTime(w.To)
	if wrong != nil {
		out = append(out, fieldError{"to", wrong})
	}
	if err == nil && wrong == nil && from >= to {
		out = append(out, fieldError{"to", fmt.Errorf("%s is not after from (%s); split a span over midnight in two", w.To, w.From)})
	}
	if w.Timezone != "" {
		if _, err := slo.LoadZone(w.Timezone); err != nil {
			out = append(out, fieldError{"timezone", err})
		}
	}
	return out
}

// configuredExclusions begin the IDs of exclusions of the configuration, followed by their place in it.
const configuredExclusions = "exclusions["

// exclusions were checked when the configuration was loaded.
func (c *Config) exclusions() []schema.Exclusion {
	var out []schema.Exclusion
	for i, e := range c.Exclusions {
		from, _ := c.instant(e.From)
		to, _ := c.instant(e.To)
		one := schema.Exclusion{
			ID: indexed("exclusions", i), Version: 1, Objectives: e.Objectives, From: from, To: to, Reason: e.Reason, Author: e.Author,
			Change: schema.ExclusionAdded, ChangedBy: e.Author, ChangeReason: e.Reason,
		}
		if e.Weekly != nil {
			one.Weekly = c.weekly(*e.Weekly)
		}
		out = append(out, one)
	}
	return out
}

// weekly names the zone, which the configuration may leave out.
func (c *Config) weekly(w WeeklyExclusionConfig) *schema.WeeklySpan {
	out := schema.WeeklySpan(w)
	out.Timezone = orElse(out.Timezone, c.zone.String())
	return &out
}

// spansOf are what the engine leaves out for an exclusion that was checked: a weekly one on several days is one for each.
func spansOf(e schema.Exclusion) []slo.Exclusion {
	one := slo.Exclusion{From: e.From, To: e.To, Reason: e.Reason, Author: e.Author}
	if e.Weekly == nil {
		return []slo.Exclusion{one}
	}
	zone, err := slo.LoadZone(e.Weekly.Timezone)
	if err != nil {
		zone = time.UTC // a zone that this machine has lost
	}
	days, _ := weekdaysOf(e.Weekly.Days)
	begin, _ := clockTime(e.Weekly.From)
	end, _ := clockTime(e.Weekly.To)
	var out []slo.Exclusion
	for _, day := range days {
		one.Weekly = &slo.Weekly{Day: day, From: begin, To: end, Zone: zone}
		out = append(out, one)
	}
	return out
}

// whenText says when an exclusion applies, in the zone that people read.
func whenText(e schema.Exclusion, zone *time.Location) string {
	w := e.Weekly
	if w == nil {
		return clockText(e.From, zone) + " to " + clockText(e.To, zone)
	}
	parts := []string{fmt.Sprintf("every %s %s-%s %s", strings.Join(w.Days, ", "), w.From, w.To, w.Timezone)}
	if !e.From.IsZero() {
		parts = append(parts, "from "+clockText(e.From, zone))
	}
	if !e.To.IsZero() {
		parts = append(parts, "until "+clockText(e.To, zone))
	}
	return strings.Join(parts, " ")
}

// applies says whether an exclusion is about an objective.
func applies(e schema.Exclusion, objective string) bool {
	return len(e.Objectives) == 0 || slices.Contains(e.Objectives, objective)
}
