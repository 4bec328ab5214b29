package slo

import (
	"fmt"
	"math"
	"slices"
)

// DefinitionChange is the name of the part of a comparison that a changed target accounts for.
const DefinitionChange = "definition"

// Comparison says how an objective's period differs from an earlier one. Differences are after - before, nil when
// either is undefined.
type Comparison struct {
	Before     Status   `json:"before"`
	After      Status   `json:"after"`
	Consumed   *float64 `json:"budget_consumed_change"`
	SLI        *float64 `json:"sli_change"`
	BadMinutes float64  `json:"bad_minutes_change"`
	// Parts attribute the change of the budget consumed: DefinitionChange when the target changed, incidents of either period, and
	// Unattributed last. Before, after and change sum to those of the whole. nil when the change is undefined.
	Parts []ChangePart `json:"parts"`
	// Notes are what a reader has to know before believing the comparison.
	Notes []string `json:"notes,omitempty"`
}

// ChangePart is one part of the change of the budget consumed. Before is expressed in the later period's budget; what that leaves of
// the budget consumed as it was then is the definition's.
type ChangePart struct {
	ID     string  `json:"id"`
	Class  string  `json:"class,omitempty"`
	Cause  Cause   `json:"cause,omitempty"`
	Before float64 `json:"before"`
	After  float64 `json:"after"`
	Change float64 `json:"change"`
}

// Compare attributes the difference between two periods of one objective. A changed target is a part of its own: the
// earlier period's use is restated in the later budget, and what that changes is the definition's.
func Compare(before, after Status) Comparison {
	c := Comparison{Before: before, After: after, BadMinutes: after.BadMinutes - before.BadMinutes}
	if before.SLI != nil && after.SLI != nil {
		c.SLI = new(*after.SLI - *before.SLI)
	}
	c.notes()
	if before.Consumed == nil || after.Consumed == nil {
		return c
	}
	c.Consumed = new(*after.Consumed - *before.Consumed)
	restate := 1.0
	if before.Target != after.Target {
		restate = Objective{Target: before.Target}.Budget() / Objective{Target: after.Target}.Budget()
		c.Parts = append(c.Parts, ChangePart{ID: DefinitionChange, Before: *before.Consumed - *before.Consumed*restate})
	}
	index := map[string]int{}
	add := func(p AttributionPart, was, is float64) {
		if _, ok := index[p.ID]; !ok {
			index[p.ID] = len(c.Parts)
			c.Parts = append(c.Parts, ChangePart{ID: p.ID, Class: p.Class, Cause: p.Cause})
		}
		part := &c.Parts[index[p.ID]]
		part.Before += was
		part.After += is
	}
	for _, p := range before.parts() {
		add(p, p.Consumed*restate, 0)
	}
	for _, p := range after.parts() {
		add(p, 0, p.Consumed)
	}
	if i := slices.IndexFunc(c.Parts, func(p ChangePart) bool { return p.ID == Unattributed }); i >= 0 {
		last := c.Parts[i]
		c.Parts = append(slices.Delete(c.Parts, i, i+1), last)
	}
	for i := range c.Parts {
		c.Parts[i].Change = c.Parts[i].After - c.Parts[i].Before
	}
	return c
}

// parts are the attribution's, without incidents that used nothing.
func (s Status) parts() []AttributionPart {
	if s.Attribution == nil {
		return nil
	}
	var out []AttributionPart
	for _, p := range s.Attribution.Parts {
		if p.Consumed != 0 || p.ID == Unattributed {
			out = append(out, p)
		}
	}
	return out
}

func (c *Comparison) notes() {
	note := func(format string, args ...any) { c.Notes = append(c.Notes, fmt.Sprintf(format, args...)) }
	for _, p := range []struct {
		which string
		s     Status
	}{{"earlier", c.Before}, {"later", c.After}} {
		switch {
		case p.s.Consumed == nil:
			note("nothing was measured in the %s period", p.which)
		case p.s.LowCoverage && p.s.Coverage != nil:
			note("coverage of the %s period is only %.3g%%", p.which, *p.s.Coverage*100)
		}
		if p.s.Partial {
			note("the %s period is still under way at %s", p.which, p.s.At.UTC().Format("2006-01-02 15:04 UTC"))
		}
	}
	if c.Before.Target != c.After.Target {
		note("the target changed from %v to %v", c.Before.Target, c.After.Target)
	}
	if a, b := c.Before.Period.Length(), c.After.Period.Length(); math.Abs(float64(a-b)) > 0 {
		note("the periods have different lengths: %s and %s", FormatDuration(a), FormatDuration(b))
	}
}
