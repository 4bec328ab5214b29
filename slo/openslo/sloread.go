package openslo

import (
	"github.com/kubevalue/kubevalue/slo/yamlfile"
)

func (r *recorder) sloSpec(n *yamlfile.Node) SLOSpec {
	r.fields(n, "SLO.spec", "description", "service", "indicator", "indicatorRef", "timeWindow", "budgetingMethod", "objectives", "alertPolicies")
	s := SLOSpec{
		Description: r.description(n), Service: r.text(n, "service"), Indicator: r.inlineSLI(n), IndicatorRef: r.text(n, "indicatorRef"),
		BudgetingMethod: r.text(n, "budgetingMethod"),
	}
	if s.Service == "" {
		r.refuse(n, "service-required", "SLO.spec.service is required")
	}
	for _, w := range r.list(n, "timeWindow") {
		s.TimeWindow = append(s.TimeWindow, r.timeWindow(w))
	}
	if len(s.TimeWindow) != 1 {
		at := n
		if len(s.TimeWindow) > 1 {
			at = n.Get("timeWindow")
		}
		r.refuse(at, "time-window-one", "SLO.spec.timeWindow needs exactly one window, there are %d", len(s.TimeWindow))
	}
	for _, o := range r.list(n, "objectives") {
		s.Objectives = append(s.Objectives, r.objective(o))
	}
	if len(s.Objectives) == 0 {
		r.refuse(n, "objectives-required", "SLO.spec.objectives needs an objective")
	}
	for _, p := range r.list(n, "alertPolicies") {
		if p.Kind == yamlfile.String {
			r.warn(p, "policy-ref", "an alert policy is named by {alertPolicyRef: %s}", p.Text)
			s.AlertPolicies = append(s.AlertPolicies, Ref[PolicySpec]{Name: p.Text, node: p})
			continue
		}
		s.AlertPolicies = append(s.AlertPolicies, ref(r, p, KindPolicy, "alertPolicyRef", r.policySpec))
	}
	return s
}

// inlineSLI reads the indicator field of an SLO or an objective.
func (r *recorder) inlineSLI(n *yamlfile.Node) *Object[SLISpec] {
	v := n.Get("indicator")
	if v.IsNull() || !r.fields(v, "indicator", "apiVersion", "kind", "metadata", "spec") {
		return nil
	}
	o := Object[SLISpec]{Metadata: r.metadata(v, KindSLI), node: v}
	o.Spec = specOf(r, v, KindSLI, r.sliSpec)
	return &o
}

func (r *recorder) timeWindow(n *yamlfile.Node) TimeWindow {
	if !r.fields(n, "timeWindow", "duration", "isRolling", "calendar") {
		return TimeWindow{}
	}
	w := TimeWindow{Duration: r.text(n, "duration"), IsRolling: r.boolean(n, "isRolling")}
	if c := n.Get("calendar"); !c.IsNull() && r.fields(c, "calendar", "startTime", "timeZone") {
		w.Calendar = &Calendar{r.text(c, "startTime"), r.text(c, "timeZone")}
	}
	switch {
	case w.Duration == "":
		r.refuse(n, "duration", "timeWindow.duration is required, such as 28d or 1M")
	case w.IsRolling && w.Calendar != nil:
		r.refuse(n, "time-window-calendar", "a rolling window has no calendar")
	case !w.IsRolling && w.Calendar == nil && n.Get("isRolling").IsNull():
		r.warn(n, "time-window-calendar", "neither isRolling nor calendar is given: taken as a rolling window")
		w.IsRolling = true
	case !w.IsRolling && w.Calendar == nil:
		r.refuse(n, "time-window-calendar", "a window that is not rolling needs a calendar with startTime and timeZone")
	}
	return w
}

func (r *recorder) objective(n *yamlfile.Node) ObjectiveSpec {
	if !r.fields(n, "an objective", "displayName", "op", "value", "target", "targetPercent", "timeSliceTarget", "timeSliceWindow",
		"indicator", "indicatorRef", "compositeWeight") {
		return ObjectiveSpec{}
	}
	o := ObjectiveSpec{
		DisplayName: r.text(n, "displayName"), Op: r.text(n, "op"), Value: r.number(n, "value"),
		Target: r.number(n, "target"), TargetPercent: r.number(n, "targetPercent"),
		TimeSliceTarget: r.number(n, "timeSliceTarget"), TimeSliceWindow: r.text(n, "timeSliceWindow"),
		Indicator: r.inlineSLI(n), IndicatorRef: r.text(n, "indicatorRef"), CompositeWeight: r.number(n, "compositeWeight"),
	}
	if w := n.Get("timeSliceWindow"); w != nil && w.Kind == yamlfile.Number {
		r.warn(w, "time-slice-window", "timeSliceWindow %s has no unit: taken as minutes", w.Text)
		o.TimeSliceWindow += "m"
	}
	switch {
	case n.Get("target").IsNull() && n.Get("targetPercent").IsNull():
		r.refuse(n, "target-one-of", "an objective needs a target, or a targetPercent")
	case !n.Get("target").IsNull() && !n.Get("targetPercent").IsNull():
		r.refuse(n, "target-one-of", "an objective has either a target or a targetPercent, not both")
	}
	if o.Op != "" && o.Op != "lte" && o.Op != "gte" && o.Op != "lt" && o.Op != "gt" {
		r.refuse(n.Get("op"), "threshold-op", "op %q must be lte, gte, lt or gt", o.Op)
	}
	if o.CompositeWeight != nil && !(*o.CompositeWeight > 0) {
		r.refuse(n.Get("compositeWeight"), "composite-weight", "compositeWeight %v must be above 0", *o.CompositeWeight)
	}
	return o
}
