package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/slo"
)

// exclusionStore is where people's exclusions are.
type exclusionStore interface {
	// Exclusions are all versions of all of them, in order of ID and version.
	Exclusions(ctx context.Context) ([]schema.Exclusion, error)
	InsertExclusion(ctx context.Context, e schema.Exclusion) error
}

// excluding are the exclusions that hold: those of the configuration, and the newest versions of those that were recorded. Withdrawn
// ones are left out.
func (s *objectiveSet) excluding(ctx context.Context) ([]schema.Exclusion, error) {
	recorded, err := s.store.Exclusions(ctx)
	if err != nil {
		return nil, fmt.Errorf("exclusions: %w", err)
	}
	return append(slices.Clone(s.exclusions), slices.DeleteFunc(newestOf(recorded), func(e schema.Exclusion) bool { return e.Change == schema.ExclusionWithdrawn })...), nil
}

// newestOf are the newest versions of recorded exclusions, in order of ID.
func newestOf(recorded []schema.Exclusion) []schema.Exclusion {
	var out []schema.Exclusion
	for _, e := range recorded {
		if n := len(out); n > 0 && out[n-1].ID == e.ID {
			out[n-1] = e
		} else {
			out = append(out, e)
		}
	}
	return out
}

// newExclusion is an exclusion as people ask for it.
type newExclusion struct {
	// ID may be empty: then one is made.
	ID         string   `json:"id"`
	Objectives []string `json:"objectives"`
	// From and To are dates or times, dates in the reporting zone. A weekly one that does not say since when is valid from now on.
	From   string                 `json:"from"`
	To     string                 `json:"to"`
	Weekly *WeeklyExclusionConfig `json:"weekly"`
	Reason string                 `json:"reason"`
	Author string                 `json:"author"`
	// Overlapping says that it may overlap with others: time that several exclude counts once.
	Overlapping bool `json:"overlapping"`
}

var exclusionID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// record checks what was asked for.
func (n newExclusion) record(c *Config, now time.Time) (schema.Exclusion, error) {
	var faults []error
	add := func(field string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", field, err))
		}
	}
	if n.ID == "" {
		n.ID = "ex-" + strings.ToLower(rand.Text()[:8])
	} else if !exclusionID.MatchString(n.ID) {
		add("id", fmt.Errorf("%q: write at most 63 letters, digits, dots, dashes and underscores", n.ID))
	}
	e := schema.Exclusion{
		ID: n.ID, Version: 1, Objectives: n.Objectives, Reason: strings.TrimSpace(n.Reason), Author: strings.TrimSpace(n.Author), Change: schema.ExclusionAdded,
	}
	var err error
	e.From, err = c.instant(n.From)
	add("from", cmp.Or(err, countable(e.From)))
	e.To, err = c.instant(n.To)
	add("to", cmp.Or(err, countable(e.To)))
	e.From, e.To = utc(e.From), utc(e.To)
	if n.Weekly != nil && n.From == "" {
		e.From = utc(now)
	}
	unbounded := e.From.IsZero() || e.To.IsZero()
	switch {
	case n.Weekly != nil:
		for _, fault := range n.Weekly.faults() {
			add("weekly."+fault.field, fault.err)
		}
		e.Weekly = c.weekly(*n.Weekly)
		if !unbounded && !e.From.Before(e.To) {
			add("to", fmt.Errorf("%s is not after from (%s)", n.To, e.From.Format(time.RFC3339)))
		}
	case len(faults) == 0 && (unbounded || !e.From.Before(e.To)):
		faults = append(faults, errUnbounded)
	}
	if e.Reason == "" || e.Author == "" {
		faults = append(faults, errNobody)
	}
	e.ChangedBy, e.ChangeReason = e.Author, e.Reason
	if len(faults) > 0 {
		return e, dashboards.BadRequestError{Why: errors.Join(faults...).Error()}
	}
	return e, nil
}

// utc keeps the time that is none.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Truncate(time.Millisecond)
}

// conflictError is a wish that contradicts what is recorded.
type conflictError struct{ why string }

// Error says what contradicts it and what to do.
func (e conflictError) Error() string { return e.why }

// addExclusion records an exclusion, unless it overlaps with another one of the same objectives that still holds.
func (s *objectiveSet) addExclusion(ctx context.Context, e schema.Exclusion, overlapping bool) (schema.Exclusion, error) {
	for _, name := range e.Objectives {
		if _, err := objectiveNamed(s.all, name); err != nil {
			return e, err
		}
	}
	recorded, err := s.store.Exclusions(ctx)
	if err != nil {
		return e, fmt.Errorf("exclusions: %w", err)
	}
	for _, other := range newestOf(recorded) {
		if other.ID == e.ID {
			return e, conflictError{fmt.Sprintf("exclusion %s exists since %s (UTC): choose another id, or end or withdraw that one", e.ID, timeText(other.Recorded))}
		}
	}
	holding, err := s.excluding(ctx)
	if err != nil {
		return e, err
	}
	for _, other := range holding {
		if at, both := s.overlap(e, other); both && !overlapping {
			return e, conflictError{fmt.Sprintf("it overlaps with %s (%s; %s) on %s (%s): change the times, or allow it with overlapping, then that time counts once",
				other.ID, whenText(other, s.calendar.Zone), other.Reason, clockText(at, s.calendar.Zone), s.calendar.Zone)}
		}
	}
	return e, s.recordExclusion(ctx, &e)
}

// recordExclusion stores a version, and finds out whether somebody else has stored another one meanwhile.
func (s *objectiveSet) recordExclusion(ctx context.Context, e *schema.Exclusion) error {
	e.Recorded, e.Entry = s.now().UTC().Truncate(time.Millisecond), rand.Text()
	if err := s.store.InsertExclusion(ctx, *e); err != nil {
		return err
	}
	recorded, err := s.store.Exclusions(ctx)
	if err != nil {
		return fmt.Errorf("exclusions: %w", err)
	}
	if !slices.ContainsFunc(recorded, func(r schema.Exclusion) bool { return r.Entry == e.Entry }) {
		return conflictError{fmt.Sprintf("somebody else has changed exclusion %s at the same time: look at it and try again", e.ID)}
	}
	return nil
}

// overlapSearch bounds how far ahead exclusions without an end are compared.
const overlapSearch = 54 * 7 * 24 * time.Hour

// overlap is the first time that two exclusions share for some objective.
func (s *objectiveSet) overlap(a, b schema.Exclusion) (time.Time, bool) {
	if len(a.Objectives) > 0 && len(b.Objectives) > 0 && !slices.ContainsFunc(a.Objectives, func(name string) bool { return slices.Contains(b.Objectives, name) }) {
		return time.Time{}, false
	}
	common := slo.Interval{From: a.From, To: a.To}
	if b.From.After(common.From) {
		common.From = b.From
	}
	if common.From.IsZero() {
		common.From = s.now()
	}
	if common.To.IsZero() || !b.To.IsZero() && b.To.Before(common.To) {
		common.To = b.To
	}
	if limit := common.From.Add(overlapSearch); common.To.IsZero() || common.To.After(limit) {
		common.To = limit
	}
	if !common.From.Before(common.To) {
		return time.Time{}, false
	}
	var first time.Time
	for _, x := range spansOf(a) {
		for _, span := range x.Within(common) {
			for _, y := range spansOf(b) {
				for _, both := range y.Within(span) {
					at := both.From
					if at.Before(span.From) {
						at = span.From
					}
					if first.IsZero() || at.Before(first) {
						first = at
					}
				}
			}
		}
	}
	return first, !first.IsZero()
}

// exclusionEnd is what somebody says of an exclusion that is not to go on.
type exclusionEnd struct {
	// At is since when, a date or time; empty: now. A withdrawn exclusion was a mistake from its beginning.
	At     string `json:"at"`
	Reason string `json:"reason"`
	Author string `json:"author"`
}

// changeExclusion ends an exclusion, or withdraws it: then it never excluded anything. It returns the new version, and the time that
// counts again.
func (s *objectiveSet) changeExclusion(ctx context.Context, id string, change schema.ExclusionChange, at time.Time, by exclusionEnd) (schema.Exclusion, slo.Interval, error) {
	e, err := s.recordedExclusion(ctx, id)
	if err != nil {
		return e, slo.Interval{}, err
	}
	again := slo.Interval{From: e.From, To: e.To}
	switch {
	case strings.TrimSpace(by.Reason) == "" || strings.TrimSpace(by.Author) == "":
		return e, again, dashboards.BadRequestError{Why: "who says so, and why? a change of an exclusion needs a reason and an author"}
	case e.Change == schema.ExclusionWithdrawn:
		return e, again, conflictError{fmt.Sprintf("exclusion %s was withdrawn on %s (UTC) by %s", id, timeText(e.Recorded), e.ChangedBy)}
	case change == schema.ExclusionWithdrawn && !at.IsZero():
		return e, again, dashboards.BadRequestError{Why: "a withdrawn exclusion never counted: leave the time out, or end it"}
	case change == schema.ExclusionEnded:
		if at.IsZero() {
			at = s.now()
		}
		at = utc(at)
		if !at.After(e.From) {
			return e, again, conflictError{fmt.Sprintf("exclusion %s begins on %s (UTC), after that: withdraw it", id, timeText(e.From))}
		}
		if !e.To.IsZero() && !at.Before(e.To) {
			return e, again, conflictError{fmt.Sprintf("exclusion %s ends on %s (UTC) already", id, timeText(e.To))}
		}
		e.To, again.From = at, at
	}
	e.Version, e.Change, e.ChangedBy, e.ChangeReason = e.Version+1, change, strings.TrimSpace(by.Author), strings.TrimSpace(by.Reason)
	return e, again, s.recordExclusion(ctx, &e)
}

// recordedExclusion is the newest version of an exclusion that people may change.
func (s *objectiveSet) recordedExclusion(ctx context.Context, id string) (schema.Exclusion, error) {
	if strings.HasPrefix(id, configuredExclusions) {
		return schema.Exclusion{}, conflictError{fmt.Sprintf("%s stands in the configuration: change it there", id)}
	}
	recorded, err := s.store.Exclusions(ctx)
	if err != nil {
		return schema.Exclusion{}, fmt.Errorf("exclusions: %w", err)
	}
	var names []string
	for _, e := range newestOf(recorded) {
		if e.ID == id {
			return e, nil
		}
		names = append(names, e.ID)
	}
	return schema.Exclusion{}, dashboards.NotFoundError{What: fmt.Sprintf("the exclusion %q", id), Hint: suggestion(id, names)}
}

// changedExclusions say what became of the exclusions of an objective's period since a time: why its figures are others now.
func changedExclusions(recorded []schema.Exclusion, objective string, p schema.PublishedPeriod, since time.Time) string {
	var out []string
	for _, e := range recorded {
		touches := (e.To.IsZero() || e.To.After(p.From) || e.Change != schema.ExclusionAdded) && e.From.Before(p.To)
		if applies(e, objective) && touches && e.Recorded.After(since) {
			out = append(out, fmt.Sprintf("%s %s by %s: %s", e.ID, e.Change, e.ChangedBy, e.ChangeReason))
		}
	}
	return strings.Join(out, "; ")
}
