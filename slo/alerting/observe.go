package alerting

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/slo"
)

// Options are what to alert on besides burn rates. An empty severity turns an alert off.
type Options struct {
	ExhaustedSeverity string
	ForecastSeverity  string
	// ForecastWithin is how soon the budget must be used up for the forecast to alert.
	ForecastWithin time.Duration
	// BudgetKeepFiringFor is how long those two fire on after the budget is no longer (about to be) used up, so that one that
	// hovers about its end is told of once.
	BudgetKeepFiringFor time.Duration
	NoDataSeverity      string
	// NoDataAfter is how long nobody has measured anything. Statuses must have been asked for this burn window.
	NoDataAfter time.Duration
	// GoneAfter is how long nobody has measured anything of a group that may vanish until it is taken as gone: its alerts resolve. 0:
	// never. Statuses must have been asked for this burn window.
	GoneAfter time.Duration
}

// Default are the usual options: tickets for an exhausted budget and for one that will be within three days, which last fifteen minutes
// longer; a page after fifteen minutes without any measurement; a group that vanishes is gone after a day.
func Default() Options {
	return Options{
		ExhaustedSeverity: "ticket", ForecastSeverity: "ticket", ForecastWithin: 72 * time.Hour, BudgetKeepFiringFor: 15 * time.Minute,
		NoDataSeverity: "page", NoDataAfter: 15 * time.Minute, GoneAfter: 24 * time.Hour,
	}
}

// BurnWindows are the lookbacks that a request for a status must name for these options.
func (o Options) BurnWindows() []time.Duration {
	var out []time.Duration
	if o.NoDataSeverity != "" {
		out = append(out, o.NoDataAfter)
	}
	if o.GoneAfter > 0 {
		out = append(out, o.GoneAfter)
	}
	return out
}

// Input is one objective, or one group of it, at one time.
type Input struct {
	Objective string
	Group     string
	// Status is nil when it could not be computed: then everything about it is frozen, without a group everything about its groups, too.
	Status *slo.Status
	// Labels are added to those of the alerts, such as service and team: they must not change from tick to tick.
	Labels map[string]string
	// Targets are names of who is to be told, by severity: the label targets has them, for routes at the receiver.
	Targets map[string][]string
	// Quiet says that nobody wants to hear that an alert has ended: the label send_resolved is then "false", and webhooks are not told.
	Quiet bool
	// MayFallSilent leaves out the alert that nobody has measured anything.
	MayFallSilent bool
	// MayVanish says of a group that it is one since it was measured, such as a cluster that reports: it may fall silent, unless its error
	// budget burns just then, and when it has been silent for long it is gone.
	MayVanish bool
	// GroupsMayVanish says so of the groups of what is an input without a group. One that fires and is no input any more, since a new period
	// has begun without it, is held until it is gone.
	GroupsMayVanish bool
	// Link leads a reader to the objective.
	Link string
	// OnItsWay says that what was measured lately may not be in the status yet: that nothing was measured cannot be told.
	OnItsWay bool
}

// seen is what is observed of one alert, with what to send while it fires.
type seen struct {
	key         Key
	observed    []observation
	annotations map[string]string
}

// gone says that a group has vanished.
func (o Options) gone(in Input) bool {
	return in.MayVanish && !in.OnItsWay && o.GoneAfter > 0 && unmeasured(*in.Status, o.GoneAfter)
}

// observe lists all alerts that a status speaks about; burning says whether an alert on its burn rate fires.
func (o Options) observe(in Input, burning bool) []seen {
	s := in.Status
	var out []seen
	key := func(name, severity string) Key { return Key{name, in.Objective, in.Group, severity} }
	for _, severity := range s.Alerts {
		alert := seen{key: key(Burn, severity.Severity), annotations: burnAnnotations(in, severity.Severity)}
		names := map[string]int{}
		for _, p := range s.Pairs {
			if p.Severity == severity.Severity {
				alert.observed = append(alert.observed, observation{conditionName(p.AlertWindow, names), p.State, p.For, p.KeepFiringFor})
			}
		}
		out = append(out, alert)
	}
	one := func(name, severity string, state slo.AlertState, keep time.Duration, summary string) {
		if severity != "" {
			out = append(out, seen{key(name, severity), []observation{{name: name, state: state, keep: keep}}, map[string]string{"summary": summary}})
		}
	}
	one(Exhausted, o.ExhaustedSeverity, trusted(*s, s.Forecast.Exhausted), o.BudgetKeepFiringFor, fmt.Sprintf("The error budget of %s is used up: %s of it is consumed", in.name(), percent(s.Consumed)))
	soon := s.Forecast.At != nil && s.Forecast.At.Sub(s.At) <= o.ForecastWithin
	summary := fmt.Sprintf("The error budget of %s will be used up", in.name())
	if soon {
		summary += fmt.Sprintf(" at %s, at the burn rate of the last %s", s.Forecast.At.UTC().Format("2006-01-02 15:04 UTC"), slo.FormatDuration(s.Forecast.Window))
	}
	one(Forecast, o.ForecastSeverity, trusted(*s, soon), o.BudgetKeepFiringFor, summary)
	if !in.MayFallSilent && (!in.MayVanish || burning) {
		one(NoData, o.NoDataSeverity, o.noData(in), 0, fmt.Sprintf("Nobody has measured anything of %s for %s", in.name(), slo.FormatDuration(o.NoDataAfter)))
	}
	return out
}

// trusted freezes what rests on too little coverage.
func trusted(s slo.Status, firing bool) slo.AlertState {
	switch {
	case s.LowCoverage:
		return slo.Frozen
	case firing:
		return slo.Firing
	}
	return slo.Inactive
}

// noData fires when slices were expected and none was measured. It cannot tell when they are on their way or measuring has only begun, as after a
// restart where nothing was ever measured.
func (o Options) noData(in Input) slo.AlertState {
	s := in.Status
	last, silent := silence(*s, o.NoDataAfter)
	switch {
	case !silent:
		return slo.Inactive
	case in.OnItsWay, s.At.Sub(s.Since) < last:
		return slo.Frozen
	}
	return slo.Firing
}

// unmeasured says that slices were expected in the last stretch of time, and none was measured, unless measuring has only begun.
func unmeasured(s slo.Status, last time.Duration) bool {
	last, silent := silence(s, last)
	return silent && s.At.Sub(s.Since) >= last
}

// silence says that slices were expected in the last stretch of time, and none was measured. Where it has no slice, since slices are longer or
// all is excluded, the next longer stretch that has some counts.
func silence(s slo.Status, last time.Duration) (stretch time.Duration, silent bool) {
	for _, b := range s.BurnRates {
		if b.Window >= last && b.Coverage != nil {
			return b.Window, *b.Coverage == 0
		}
	}
	return 0, false
}

func percent(v *float64) string {
	if v == nil {
		return "an unknown part"
	}
	return strconv.FormatFloat(*v*100, 'f', 1, 64) + " %"
}

// name is what people call it.
func (in Input) name() string {
	if in.Group != "" {
		return in.Group + " in " + in.Objective
	}
	return in.Objective
}

func burnAnnotations(in Input, severity string) map[string]string {
	s := in.Status
	var pairs []string
	for _, p := range s.Pairs {
		if p.Severity == severity && p.State == slo.Firing {
			pairs = append(pairs, fmt.Sprintf("%.4g over %s and %.4g over %s, above %.4g",
				*p.LongBurn, slo.FormatDuration(p.Long), *p.ShortBurn, slo.FormatDuration(p.Short), p.Factor))
		}
	}
	out := map[string]string{"summary": fmt.Sprintf("%s burns its error budget too fast", in.name())}
	if len(pairs) > 0 {
		out["description"] = fmt.Sprintf("Burn rate %s. %s of the budget of the period from %s is consumed.",
			strings.Join(pairs, "; "), percent(s.Consumed), s.Period.From.UTC().Format("2006-01-02 15:04 UTC"))
	}
	return out
}

// Labels that routes at the receiver can go by.
const (
	labelTargets      = "targets"
	labelSendResolved = "send_resolved"
)

// targets are who is to be told of an alert: of silence everybody, when nobody is named for its severity.
func (in Input) targets(k Key) []string {
	named := in.Targets[k.Severity]
	if k.Name != NoData || len(named) > 0 {
		return named
	}
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(slices.Collect(maps.Values(in.Targets))...))))
}

var labelName = regexp.MustCompile(`[^a-zA-Z0-9_]`)

// labels are an alert's identity at the receiver: no value that changes may be in them. Names that Prometheus does not
// allow are rewritten, empty values left out.
func labels(k Key, in Input) map[string]string {
	out := map[string]string{}
	for name, v := range in.Labels {
		name = labelName.ReplaceAllString(name, "_")
		if name != "" && name[0] >= '0' && name[0] <= '9' {
			name = "_" + name
		}
		if name != "" && v != "" {
			out[name] = v
		}
	}
	out["alertname"], out["objective"], out["severity"] = k.Name, k.Objective, k.Severity
	if k.Group != "" {
		out["group"] = k.Group
	}
	if targets := in.targets(k); len(targets) > 0 {
		out[labelTargets] = strings.Join(targets, ",")
	}
	if in.Quiet {
		out[labelSendResolved] = "false"
	}
	return out
}
