package reports

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/slo"
)

// Sources is where the figures come from. Map, Metrics and Evaluate are needed; what another one would have said is
// declared missing in the report when it is nil or fails.
type Sources struct {
	// Map is the customer journey value map: it decides which figures an audience gets, in which order, with which target.
	Map journey.Map
	// Metrics finds the definition of a metric.
	Metrics func(id string) (journey.Metric, bool)
	// Evaluate computes values.
	Evaluate journey.EvaluateFunc
	// Objectives are the figures of all objectives in a period.
	Objectives journey.ObjectivesFunc
	// Status is the standing of all objectives over their own windows, as of an instant.
	Status func(ctx context.Context, at time.Time) ([]ObjectiveStatus, error)
	// Incidents are those that overlap [from, to).
	Incidents func(ctx context.Context, from, to time.Time) ([]schema.Incident, error)
	// Followups says, for each class of incidents that led to work, whether that helped, as of an instant.
	Followups func(ctx context.Context, at time.Time) ([]slo.FollowUpEffect, error)
	// Teams is what the teams did in a period, every team that was eligible or active in it or in the one before.
	Teams func(ctx context.Context, p, previous journey.Period) ([]TeamUse, error)
	// Quality is how the sources reported in a period; the fields Withheld, Failed and Gaps are the report's own.
	Quality func(ctx context.Context, p journey.Period) (Quality, error)
}

// ObjectiveStatus is an objective over its own window.
type ObjectiveStatus struct {
	Name    string
	Title   string // empty: Name
	Service string
	Owner   string
	Window  string // e.g. 28d
	// Target is the ratio to reach.
	Target float64
	// Status is nil when Fault says why it cannot be computed.
	Status *slo.Status
	Fault  string
}

// TeamUse is what a team did in a period.
type TeamUse struct {
	Team string
	// Members is the number of people on the roster in the period, or of those who acted for it when it is not on the roster.
	Members int
	// Eligible and EligibleBefore say whether the roster has it in the period and in the one before.
	Eligible, EligibleBefore bool
	// Active and ActiveBefore say whether it had a value event in the period and in the one before.
	Active, ActiveBefore bool
	// First is its first value event ever, Last the last one before the end of the period; zero: it never had one.
	First, Last time.Time
}

// Options says which report is built.
type Options struct {
	Audience Audience
	// Period is the label of a week such as 2026-W46; empty: the last complete one.
	Period   string
	Calendar journey.Calendar
	// Org is the organisation's name, BaseURL the address of the pages.
	Org, BaseURL string
	// MinGroup is the number of people below which figures about a group are withheld; 0 means 5.
	MinGroup int
	// Adoption are the metrics of the adoption section, the adoption of eligible teams first.
	Adoption []string
	// Owners names the team that answers for a metric, an activity or a phase of the map, an objective or a service, by its id, or
	// for the section "adoption"; the most special one wins.
	Owners map[string]string
	// Rows is how many figures a phase has at most; 0 means 5 for managers and 10 for consumers.
	Rows int
}

// DefaultMinGroup is the number of people below which figures about a group are withheld.
const DefaultMinGroup = 5

func (o Options) defaults() Options {
	if o.MinGroup == 0 {
		o.MinGroup = DefaultMinGroup
	}
	if o.Rows == 0 {
		o.Rows = 5
		if o.Audience == Consumers {
			o.Rows = 10
		}
	}
	return o
}

// check refuses what cannot become a report, and finds the period.
func (o Options) check(now time.Time, src Sources) (journey.Period, error) {
	if o.Audience != Managers && o.Audience != Consumers {
		return journey.Period{}, fmt.Errorf("audience %q is unknown: use managers or consumers", o.Audience)
	}
	if o.Calendar.Zone == nil {
		return journey.Period{}, errors.New("the calendar has no time zone: every figure of a report is of a period in one")
	}
	if src.Metrics == nil || src.Evaluate == nil {
		return journey.Period{}, errors.New("a report needs the metric catalogue and its evaluator")
	}
	if o.Period == "" {
		return o.Calendar.Last(journey.GrainWeek, 1, now)[0], nil
	}
	p, err := o.Calendar.Parse(o.Period, journey.GrainWeek)
	if err != nil {
		return journey.Period{}, fmt.Errorf("week: %w", err)
	}
	if !p.From.Before(now) {
		return journey.Period{}, fmt.Errorf("week %s begins on %s, after now: there is nothing to report", p.Label, p.From.In(o.Calendar.Zone).Format("2 January 2006"))
	}
	return p, nil
}
