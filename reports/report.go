// Package reports builds the weekly report: a plain value that says what changed, why, and which decision is needed, with
// the figures behind it. reports/render turns it into mail, a page and text; reports/mail delivers it.
//
// Two audiences get two reports from the same definitions. Managers decide on the product: their report has no names of
// pods or namespaces, and no free text that may contain them. Consumers use it: theirs has burn rates, alert states,
// incident titles and figures by cluster. No report names a person, and groups below a configured size are withheld.
package reports

import (
	"time"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/slo"
)

// Audience says who reads a report.
type Audience string

// The audiences.
const (
	Managers  Audience = "managers"  // customers: they decide on the product
	Consumers Audience = "consumers" // engineers: they use it
)

// Report is one report of one period. Ratios are 0..1; a nil pointer means undefined.
type Report struct {
	Audience Audience `json:"audience"`
	// Name is the delivery's name, e.g. weekly/managers.
	Name string `json:"name"`
	// Org is the reporting organisation and BaseURL where the pages are; either may be empty.
	Org     string `json:"org,omitempty"`
	BaseURL string `json:"base_url,omitempty"`
	// Period is what is reported, Previous what it is compared with.
	Period   journey.Period `json:"period"`
	Previous journey.Period `json:"previous"`
	// Partial marks a period that was not over when the report was built.
	Partial bool `json:"partial"`
	// WeekStart is the day on which weeks start. Weeks are numbered as in ISO 8601 when it is Monday; else week 1 is the one that
	// holds 4 January.
	WeekStart time.Weekday `json:"week_start"`
	// Built is when the figures were asked for.
	Built time.Time `json:"built"`
	// MinGroup is the number of people below which figures about a group are withheld.
	MinGroup int `json:"min_group"`

	Headline Headline `json:"headline"`
	Adoption Adoption `json:"adoption"`
	// Objectives are ordered by what is left of their budget, the least first.
	Objectives []Objective `json:"objectives"`
	Phases     []Phase     `json:"phases"`
	// Followups say whether the work on incidents helped, those that can be told first.
	Followups []Followup `json:"followups,omitempty"`
	// Exceptions are what needs attention, the most urgent first.
	Exceptions []Exception `json:"exceptions"`
	Quality    Quality     `json:"quality"`
	// Charts come in the same order every week.
	Charts []Chart `json:"charts"`
}

// Headline is the report in three sentences.
type Headline struct {
	Changed  string `json:"changed"`
	Why      string `json:"why"`
	Decision string `json:"decision"`
	// Quiet is true when nothing moved beyond its margin and nothing is to be decided.
	Quiet bool `json:"quiet"`
}

// Figure is a metric's value in the period, with what is needed to judge it.
type Figure struct {
	Metric   string            `json:"metric"`
	Title    string            `json:"title"`
	Question string            `json:"question,omitempty"`
	Unit     string            `json:"unit"`
	Expect   journey.Direction `json:"expect"`
	Target   *float64          `json:"target"`
	Owner    string            `json:"owner,omitempty"`
	// Value is nil when there is none; Missing then says why.
	Value   *float64 `json:"value"`
	Missing string   `json:"missing,omitempty"`
	// N is the sample size, Low and High bound the 95% interval, Coverage is the measured share of the period.
	N           int      `json:"n"`
	Low         *float64 `json:"low"`
	High        *float64 `json:"high"`
	Coverage    *float64 `json:"coverage"`
	Numerator   *float64 `json:"numerator"`
	Denominator *float64 `json:"denominator"`
	// PriorDenominator is that of the period before.
	PriorDenominator *float64 `json:"prior_denominator"`
	// Prior is the value of the period before, Change the difference to it.
	Prior  *float64 `json:"prior"`
	Change *float64 `json:"change"`
	// Trend judges the change by the expected direction; unknown when there is none, or Doubt says why it cannot be judged.
	Trend journey.Trend `json:"trend"`
	Doubt string        `json:"doubt,omitempty"`
	// Notable marks a change beyond the margin: the prior value is outside of the interval, or, without an interval, the change
	// is a tenth of the prior value or more, and, for a count, beyond what chance does to counts of one rate.
	Notable bool `json:"notable"`
	// State compares with the target; Missed is for how many weeks in a row, this one included, it was missed. A week that is not over, or
	// of which less than MinCoverage was measured, is no missed one.
	State  journey.State `json:"state"`
	Missed int           `json:"missed_weeks"`
	// Parts split the figure by cluster; consumers only.
	Parts []Part `json:"parts,omitempty"`
}

// Part is a figure restricted to one cluster.
type Part struct {
	Name    string   `json:"name"`
	Value   *float64 `json:"value"`
	Missing string   `json:"missing,omitempty"`
	N       int      `json:"n"`
}

// Phase is a phase of the journey with its figures.
type Phase struct {
	ID    string   `json:"id"`
	Title string   `json:"title"`
	Rows  []Figure `json:"rows"`
	// More is how many further figures the journey map has for this phase and audience.
	More int `json:"more"`
}

// Adoption says who uses the product.
type Adoption struct {
	// Figures begin with the adoption of eligible teams.
	Figures []Figure `json:"figures"`
	// TeamsMissing says why the lists below are not known; empty: they are.
	TeamsMissing string `json:"teams_missing,omitempty"`
	// Joined teams had their first value event ever in the period; Returned ones were active before, not in the period before.
	// Stalled ones are eligible and silent, and were active in one of the four weeks before. Left ones are no longer eligible.
	Joined, Returned, Stalled, Left TeamList
	// Dormant counts eligible teams that were active once, and silent for more than four weeks.
	Dormant int `json:"dormant"`
}

// TeamList is teams by name, except for those too small to be named.
type TeamList struct {
	Names []string `json:"names,omitempty"`
	// Withheld counts teams of fewer people than the report's MinGroup.
	Withheld int `json:"withheld,omitempty"`
}

// Len counts all teams of the list.
func (l TeamList) Len() int { return len(l.Names) + l.Withheld }

// Objective is a service level objective in the period and over its own window.
type Objective struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	Service string `json:"service,omitempty"`
	Owner   string `json:"owner,omitempty"`
	// Target is a ratio; Window says over what it is to be reached, e.g. "28d".
	Target float64 `json:"target"`
	Window string  `json:"window"`
	// Week and Prior are the figures of the report's period and of the one before; nil: not known.
	Week  *journey.ObjectiveFigure `json:"week"`
	Prior *journey.ObjectiveFigure `json:"prior"`
	// Status is as of the end of the period, over Window; nil when Fault says why it is not known.
	Status *slo.Status `json:"status"`
	Fault  string      `json:"fault,omitempty"`
	// Incidents overlap the period and concern the objective.
	Incidents []Incident `json:"incidents,omitempty"`
	// Earlier are those of its window before the period that used part of its budget, the greatest part first.
	Earlier []Incident `json:"earlier,omitempty"`
}

// Followup is what the work on a class of incidents came to: slo.FollowUpEffect in words.
type Followup struct {
	// Class is the incidents' class, "" where they have none.
	Class   string      `json:"class"`
	Verdict slo.Verdict `json:"verdict"`
	// Text is the comparison in a sentence, and Reason what the verdict stands on.
	Text   string `json:"text"`
	Reason string `json:"reason"`
}

// Incident is an incident as a report tells it.
type Incident struct {
	ID string `json:"id"`
	// Title is the incident's own, free text: consumers only.
	Title  string `json:"title,omitempty"`
	Class  string `json:"class,omitempty"`
	Origin string `json:"origin,omitempty"` // own, upstream; empty: unknown
	// Start is when it began, Minutes how long it lasted inside the period, Open whether it lasted on at its end.
	Start   time.Time `json:"start"`
	Minutes float64   `json:"minutes"`
	Open    bool      `json:"open"`
	// Share is its part of the budget that was consumed over the objective's window; nil: not known.
	Share *float64 `json:"share"`
	// FollowupsOpen and Followups count the work that it led to.
	FollowupsOpen int `json:"followups_open"`
	Followups     int `json:"followups"`
}

// Exception is something that needs attention, or a decision.
type Exception struct {
	// Act is true when something has to be decided or done, false when it is to be watched.
	Act    bool   `json:"act"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Owner  string `json:"owner,omitempty"`
	// Decision is what has to be decided, as a sentence without its end; empty: nothing.
	Decision string `json:"decision,omitempty"`
}

// Quality says how far the figures can be trusted.
type Quality struct {
	// Missing says why the following is not known; empty: it is.
	Missing string `json:"missing,omitempty"`
	// Sources are what was to report in the period.
	Sources []SourceQuality `json:"sources"`
	// Unattributed is the share of actions by people whose team is not known; nil: there were none.
	Unattributed *float64 `json:"unattributed"`
	// People is the number of actions by people that Unattributed speaks of.
	People int64 `json:"people_actions"`
	// Quarantined counts records of the period that could not be stored.
	Quarantined int64 `json:"quarantined"`
	// Withheld counts figures that are missing since they are about too few people, Failed those that could not be computed.
	Withheld int `json:"withheld"`
	Failed   int `json:"failed"`
	// Gaps are the cells of the journey map that have no metric yet.
	Gaps []Gap `json:"gaps,omitempty"`
}

// SourceQuality is how well a source reported.
type SourceQuality struct {
	Name string `json:"name"`
	// Coverage is the share 0..1 of the period in which it reported; nil: it has no notion of it.
	Coverage *float64 `json:"coverage"`
	// Last is when it last reported before the end of the period; the zero time: never.
	Last time.Time `json:"last,omitzero"`
	// Reporting is false when it did not report in the period at all.
	Reporting bool `json:"reporting"`
}

// Gap is a cell of the journey map that declares why it has no metric.
type Gap struct {
	Phase       string `json:"phase"`
	Activity    string `json:"activity"`
	Perspective string `json:"perspective"`
	Reason      string `json:"reason"`
}

// Chart is a trend to be drawn.
type Chart struct {
	// ID is stable: the name of the image.
	ID    string `json:"id"`
	Title string `json:"title"`
	// Point says in words what the chart shows; it stands in for the picture.
	Point string `json:"point"`
	Unit  string `json:"unit"`
	// Bars draws amounts from zero; else a line.
	Bars   bool         `json:"bars"`
	Points []ChartPoint `json:"points"`
	// Limit is a reference line with its name; nil: none. Over is true when values above it are bad.
	Limit     *float64 `json:"limit"`
	LimitName string   `json:"limit_name,omitempty"`
	Over      bool     `json:"over"`
}

// ChartPoint is a value of a period; nil: there is none.
type ChartPoint struct {
	// Label is short: W46, or Nov.
	Label string   `json:"label"`
	Value *float64 `json:"value"`
	// Partly marks a period that is not over, or of which less than MinCoverage was measured.
	Partly bool `json:"partly,omitempty"`
}

// drawable says whether at least two points have values that speak for their periods: one is not a trend.
func (c Chart) drawable() bool {
	n := 0
	for _, p := range c.Points {
		if p.Value != nil && !p.Partly {
			n++
		}
	}
	return n >= 2
}
