package openslo

import (
	"slices"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/slo"
	"github.com/kubevalue/kubevalue/slo/yamlfile"
)

// resolver turns SLOs into objectives.
type resolver struct {
	*recorder
	services      map[string]*Object[ServiceSpec]
	sources       map[string]*Object[DataSourceSpec]
	slis          map[string]*Object[SLISpec]
	notifications map[string]*Object[NotificationSpec]
	conditions    map[string]*Object[ConditionSpec]
	policies      map[string]*Object[PolicySpec]
}

func newResolver(r *recorder, d *Document) *resolver {
	index(r, d.SLOs)
	res := &resolver{
		recorder: r, services: index(r, d.Services), sources: index(r, d.DataSources), slis: index(r, d.SLIs),
		notifications: index(r, d.Notifications), conditions: index(r, d.Conditions), policies: index(r, d.Policies),
	}
	// What no SLO uses is checked all the same.
	for i := range d.SLIs {
		res.indicator(&d.SLIs[i])
	}
	for i := range d.Conditions {
		res.pair(&d.Conditions[i])
	}
	for _, p := range d.Policies {
		res.targets(p)
		res.policy(p)
	}
	return res
}

// policy checks what a policy has inside of it and refers to; an SLO that uses it is refused when a condition is missing.
func (r *resolver) policy(p Object[PolicySpec]) {
	for _, c := range p.Spec.Conditions {
		switch {
		case c.Inline != nil:
			r.pair(c.Inline)
		case r.conditions[c.Name] == nil:
			r.warn(c.node, "condition-ref", "there is no AlertCondition %q", c.Name)
		}
	}
}

// index finds objects by name and refuses a second one of a name.
func index[Spec any](r *recorder, objects []Object[Spec]) map[string]*Object[Spec] {
	out := map[string]*Object[Spec]{}
	for i := range objects {
		o := &objects[i]
		if first := out[o.Metadata.Name]; first != nil && o.Metadata.Name != "" {
			r.refuse(o.node, "duplicate", "%s %q is given twice, first in %s:%d", o.Kind, o.Metadata.Name, first.node.File, first.node.Line)
			continue
		}
		out[o.Metadata.Name] = o
	}
	return out
}

// at is a field's node, or its parent's when it is absent.
func at(n *yamlfile.Node, path ...string) *yamlfile.Node {
	for _, key := range path {
		if v := n.Get(key); v != nil {
			n = v
		}
	}
	return n
}

// indicator resolves an SLI; nil after a refusal.
func (r *resolver) indicator(sli *Object[SLISpec]) *Indicator {
	out := &Indicator{Name: sli.Metadata.Name}
	if m := sli.Spec.RatioMetric; m != nil {
		out.Counter, out.RawType = m.Counter, m.RawType
		out.Good, out.Bad = r.source(sli, m.Good, "good", out), r.source(sli, m.Bad, "bad", out)
		out.Total, out.Raw = r.source(sli, m.Total, "total", out), r.source(sli, m.Raw, "raw", out)
	}
	out.Threshold = r.source(sli, sli.Spec.ThresholdMetric, "", out)
	kind := out.Type()
	for _, s := range out.Sources() {
		if s.Type != "" && kind != "" && strings.ToLower(s.Type) != kind {
			r.refuse(sli.node, "metric-source", "the metric sources of an SLI must have one type, these have %s and %s", kind, s.Type)
		}
	}
	return out
}

// source takes the type from the DataSource when it is left out.
func (r *resolver) source(sli *Object[SLISpec], m *Metric, field string, into *Indicator) *MetricSource {
	if m == nil {
		return nil
	}
	out := m.MetricSource
	if out.Ref == "" {
		return &out
	}
	path := []string{"spec", "thresholdMetric", "metricSource", "metricSourceRef"}
	if field != "" {
		path = []string{"spec", "ratioMetric", field, "metricSource", "metricSourceRef"}
	}
	place := at(sli.node, path...)
	ds := r.sources[out.Ref]
	switch {
	case ds == nil && slices.Contains(r.configured, out.Ref) && (out.Type == "" || strings.EqualFold(out.Type, "Prometheus")):
		out.Type = "Prometheus"
	case ds == nil && out.Type == "" && !r.measured:
		r.refuse(place, "metric-source-ref", "there is no DataSource %q, and the metricSource has no type", out.Ref)
	case ds == nil:
		r.warn(place, "metric-source-ref", "there is no DataSource %q", out.Ref)
	case out.Type == "":
		out.Type = ds.Spec.Type
	case !strings.EqualFold(out.Type, ds.Spec.Type):
		r.refuse(place, "metric-source-ref", "type %s differs from %s of the DataSource %q", out.Type, ds.Spec.Type, out.Ref)
	}
	if ds != nil && into.Connection == nil {
		into.Connection = ds.Spec.ConnectionDetails
	}
	return &out
}

// referred finds the indicator of an SLO or one of its objectives; nil after a refusal.
func (r *resolver) referred(n *yamlfile.Node, inline *Object[SLISpec], name string) *Indicator {
	switch {
	case inline != nil && name != "":
		r.refuse(at(n, "indicatorRef"), "indicator-one-of", "either indicator or indicatorRef, not both")
	case inline != nil:
		return r.indicator(inline)
	case name != "":
		if sli := r.slis[name]; sli != nil {
			return r.indicator(sli)
		}
		if r.measured {
			r.warn(at(n, "indicatorRef"), "indicator-ref", "there is no SLI %q", name)
			return &Indicator{Name: name}
		}
		r.refuse(at(n, "indicatorRef"), "indicator-ref", "there is no SLI %q", name)
	}
	return nil
}

// pair turns a condition into an alert window; false after a refusal.
func (r *resolver) pair(c *Object[ConditionSpec]) (slo.AlertWindow, bool) {
	before := len(r.refusals)
	spec := c.Spec.Condition
	place := func(key string) *yamlfile.Node { return at(c.node, "spec", "condition", key) }
	switch {
	case spec.Kind == "" && c.node.Get("spec").Get("condition") != nil:
		r.warn(place("kind"), "condition-kind", "condition.kind is missing: taken as burnrate")
	case spec.Kind != "" && !strings.EqualFold(spec.Kind, "burnrate"):
		r.refuse(place("kind"), "condition-kind", "condition kind %q is not supported: must be burnrate", spec.Kind)
	}
	r.operator(c, place("op"))
	a := slo.AlertWindow{Severity: c.Spec.Severity}
	if spec.Threshold == nil {
		r.refuse(place("threshold"), "condition-threshold", "condition.threshold is required: the burn rate from which to alert")
	} else {
		a.Factor = *spec.Threshold
	}
	a.Long = r.fixedDuration(place("lookbackWindow"), "lookbackWindow", spec.LookbackWindow, false)
	a.Short = a.Long
	if spec.AlertAfter != "" {
		a.For = r.fixedDuration(place("alertAfter"), "alertAfter", spec.AlertAfter, true)
	}
	a.Short = r.annotatedDuration(c, annotationShort, a.Short)
	a.KeepFiringFor = r.annotatedDuration(c, annotationKeep, 0)
	return a, len(r.refusals) == before
}

// operator warns of comparisons that contradict an alert on a burn rate, which always is on exceeding it.
func (r *resolver) operator(c *Object[ConditionSpec], place *yamlfile.Node) {
	text := strings.ToLower(c.Spec.Description + " " + c.Metadata.DisplayName)
	switch op := c.Spec.Condition.Op; op {
	case "", "gt":
	case "gte":
		r.note(place, "condition-op", "op gte is taken as gt: an alert fires when burn rates are above the threshold, not when they are equal to it")
	case "lt", "lte":
		if strings.Contains(text, "exceed") || strings.Contains(text, "above") {
			r.warn(place, "condition-op", "op %s contradicts the description, which says that the burn rate exceeds the threshold: taken as gt", op)
		} else {
			r.warn(place, "condition-op", "op %s would alert while the budget is safe: taken as gt", op)
		}
	default:
		r.refuse(place, "condition-op", "op %q must be lte, gte, lt or gt", op)
	}
}

// fixedDuration reads a duration that has a fixed length.
func (r *resolver) fixedDuration(n *yamlfile.Node, what, text string, zero bool) time.Duration {
	count, unit, err := parseShorthand(text)
	switch {
	case err != nil:
		r.refuse(n, "duration", "%s %s", what, err)
		return 0
	case count == 0 && !zero:
		r.refuse(n, "duration", "%s %s must be above 0", what, text)
		return 0
	case unit == "M" || unit == "Q" || unit == "Y":
		r.warn(n, "duration-nominal", "%s %s has no fixed length: taken as %s", what, text, slo.FormatDuration(time.Duration(count)*fixed[unit]))
	}
	return time.Duration(count) * fixed[unit]
}

// targets lists the notification targets of a policy by name.
func (r *resolver) targets(p Object[PolicySpec]) []string {
	var out []string
	for _, t := range p.Spec.Notifications {
		name := t.Name
		if t.Inline != nil {
			name = t.Inline.Metadata.Name
		} else if r.notifications[name] == nil {
			r.warn(t.node, "target-ref", "there is no AlertNotificationTarget %q", name)
		}
		out = append(out, name)
	}
	return out
}

// alerting fills in what the policies of an SLO ask for.
func (r *resolver) alerting(s *Object[SLOSpec], into *Objective) {
	into.Resolved, into.AlertNoData = len(s.Spec.AlertPolicies) == 0, true
	silent, loud := false, false // policies that say alertWhenNoData: false, and true
	if len(s.Spec.AlertPolicies) > 0 {
		into.Definition.Alerts, into.Targets = []slo.AlertWindow{}, map[string][]string{}
	}
	for _, ref := range s.Spec.AlertPolicies {
		policy := ref.Inline
		if policy == nil {
			policy = r.policies[ref.Name]
		}
		if policy == nil {
			r.refuse(ref.node, "policy-ref", "there is no AlertPolicy %q", ref.Name)
			continue
		}
		spec := policy.Spec
		if no := spec.AlertWhenNoData; no != nil {
			silent, loud = silent || !*no, loud || *no
		}
		into.AlertNoData = loud || !silent
		into.Resolved = into.Resolved || spec.AlertWhenResolved
		targets := r.targets(*policy)
		for _, ref := range spec.Conditions {
			condition := ref.Inline
			if condition == nil {
				condition = r.conditions[ref.Name]
			}
			if condition == nil {
				r.refuse(ref.node, "condition-ref", "there is no AlertCondition %q", ref.Name)
				continue
			}
			a, ok := r.pair(condition)
			if ok && spec.AlertWhenBreaching {
				into.Definition.Alerts = append(into.Definition.Alerts, a)
			}
			for _, name := range targets {
				if known := into.Targets[a.Severity]; !slices.Contains(known, name) {
					into.Targets[a.Severity] = slices.Sorted(slices.Values(append(slices.Clone(known), name)))
				}
			}
		}
	}
}

// window turns a time window into the engine's.
func (r *resolver) window(s *Object[SLOSpec]) slo.Window {
	if len(s.Spec.TimeWindow) == 0 {
		return slo.Window{}
	}
	w := s.Spec.TimeWindow[0]
	n := at(s.node, "spec", "timeWindow")
	if len(n.Items) > 0 {
		n = n.Items[0]
	}
	if w.Duration == "" {
		return slo.Window{}
	}
	if w.IsRolling {
		return slo.RollingWindow(r.fixedDuration(at(n, "duration"), "duration", w.Duration, false))
	}
	count, unit, err := parseShorthand(w.Duration)
	switch {
	case err != nil:
		r.refuse(at(n, "duration"), "duration", "duration %s", err)
		return slo.Window{}
	case calendarUnits[unit] == "":
		r.refuse(at(n, "duration"), "time-window-calendar", "calendar windows have days, weeks, months, quarters or years, not %s", w.Duration)
		return slo.Window{}
	case w.Calendar == nil:
		return slo.Window{}
	}
	out := slo.Window{Unit: calendarUnits[unit], Count: count}
	if out.Zone, err = slo.LoadZone(w.Calendar.TimeZone); err != nil {
		r.refuse(at(n, "calendar", "timeZone"), "time-zone", "%s", err)
	}
	out.Anchor = r.startTime(at(n, "calendar", "startTime"), w.Calendar.StartTime)
	return out
}

// startTime reads a local time; forms other than OpenSLO's are taken with a warning, offsets are not.
func (r *resolver) startTime(n *yamlfile.Node, text string) time.Time {
	t, err := time.Parse(time.DateTime, text)
	if err == nil {
		return t
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02T15:04:05", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			r.warn(n, "calendar-start", "startTime %q should be written as 2006-01-02 15:04:05", text)
			return t
		}
	}
	r.refuse(n, "calendar-start", "startTime %q is not a local time such as 2026-01-01 00:00:00", text)
	return t
}
