package openslo

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/kubevalue/kubevalue/slo"
)

// Export writes all objects as one YAML file of many documents, in the order of their dependence: services and data
// sources first, SLOs last. What it writes, [Import] reads as the same document.
func Export(w io.Writer, d Document) error {
	var all []any
	all = appendObjects(all, d.Services)
	all = appendObjects(all, d.DataSources)
	all = appendObjects(all, d.SLIs)
	all = appendObjects(all, d.Notifications)
	all = appendObjects(all, d.Conditions)
	all = appendObjects(all, d.Policies)
	all = appendObjects(all, d.SLOs)
	for i, o := range all {
		text, err := yaml.MarshalWithOptions(o, yaml.IndentSequence(true))
		if err != nil {
			return fmt.Errorf("write OpenSLO object %d: %w", i+1, err)
		}
		if i > 0 {
			text = append([]byte("---\n"), text...)
		}
		if _, err := w.Write(text); err != nil {
			return fmt.Errorf("write OpenSLO: %w", err)
		}
	}
	return nil
}

func appendObjects[Spec any](all []any, objects []Object[Spec]) []any {
	for _, o := range objects {
		all = append(all, o)
	}
	return all
}

// FromObjective describes an objective of the engine as OpenSLO: an SLO with its indicators inline, by name (the
// objective's own name, or its composite children's), and an inline alert policy per explicit alert. sliceWindow is the
// length of the indicator's slices. It refuses what OpenSLO cannot say: windows, slices or alerts of seconds.
func FromObjective(o slo.Objective, service string, sliceWindow time.Duration, indicators map[string]SLISpec) (Object[SLOSpec], error) {
	out := Object[SLOSpec]{
		APIVersion: APIVersion, Kind: KindSLO, Metadata: Metadata{Name: o.Name, Annotations: exportAnnotations(o)},
		Spec: SLOSpec{Service: service, BudgetingMethod: methodName(o.Method)},
	}
	if err := o.Validate(); err != nil {
		return out, fmt.Errorf("objective %s: %w", o.Name, err)
	}
	window, err := exportWindow(o.Window)
	slice, errSlice := exportDuration("slice", sliceWindow)
	faults := []error{err, errSlice}
	if o.Alerts != nil && len(o.Alerts) == 0 {
		quiet := exportQuiet(o.Name)
		out.Spec.AlertPolicies = append(out.Spec.AlertPolicies, Ref[PolicySpec]{Inline: &quiet})
	}
	out.Spec.TimeWindow = []TimeWindow{window}

	inline := func(name string) *Object[SLISpec] {
		spec, ok := indicators[name]
		if !ok {
			faults = append(faults, fmt.Errorf("no indicator %q", name))
		}
		return &Object[SLISpec]{Metadata: Metadata{Name: name}, Spec: spec}
	}
	if c := o.Composite; c != nil {
		out.Spec.BudgetingMethod = map[slo.CompositeKind]string{slo.Weighted: "RatioTimeslices", slo.AnyDown: "Timeslices"}[c.Kind]
		for _, child := range c.Of {
			spec := exportObjective(o.Target, child.TimeSliceTarget, out.Spec.BudgetingMethod, slice)
			spec.Indicator, spec.CompositeWeight = inline(child.Name), &child.Weight
			out.Spec.Objectives = append(out.Spec.Objectives, spec)
		}
	} else {
		out.Spec.Objectives = []ObjectiveSpec{exportObjective(o.Target, o.SliceTarget(), out.Spec.BudgetingMethod, slice)}
		out.Spec.Indicator = inline(o.Name)
	}
	for i, a := range o.Alerts {
		policy, err := exportAlert(a, fmt.Sprintf("%s-%s-%d", o.Name, a.Severity, i+1))
		faults = append(faults, err)
		out.Spec.AlertPolicies = append(out.Spec.AlertPolicies, Ref[PolicySpec]{Inline: &policy})
	}
	if err := errors.Join(faults...); err != nil {
		return out, fmt.Errorf("objective %s cannot be written as OpenSLO: %w", o.Name, err)
	}
	return out, nil
}

// exportObjective has the fields that its method needs.
func exportObjective(target, sliceTarget float64, method, slice string) ObjectiveSpec {
	spec := ObjectiveSpec{Target: &target}
	if method != "Occurrences" {
		spec.TimeSliceWindow = slice
	}
	if method == "Timeslices" {
		spec.TimeSliceTarget = &sliceTarget
	}
	return spec
}

// exportAnnotations says what OpenSLO has no field for, where it is not the default.
func exportAnnotations(o slo.Objective) map[string]string {
	out := map[string]string{}
	number := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	if o.Composite != nil {
		out[annotationComposite] = string(o.Composite.Kind)
	}
	if o.Missing != "" && o.Missing != slo.MissingGap {
		out[annotationMissing] = string(o.Missing)
	}
	if o.MinCoverage != slo.DefaultMinCoverage {
		out[annotationCoverage] = number(o.MinCoverage)
	}
	if o.MinEvents != 0 {
		out[annotationEvents] = number(o.MinEvents)
	}
	return out
}

func exportAlert(a slo.AlertWindow, name string) (Object[PolicySpec], error) {
	long, err := exportDuration("long window", a.Long)
	after, errAfter := exportDuration("for", a.For)
	condition := Object[ConditionSpec]{Kind: KindCondition, Metadata: Metadata{Name: name, Annotations: map[string]string{}}, Spec: ConditionSpec{
		Severity:  a.Severity,
		Condition: Condition{Kind: "burnrate", Op: "gt", Threshold: &a.Factor, LookbackWindow: long, AlertAfter: after},
	}}
	if a.Short != a.Long {
		condition.Metadata.Annotations[annotationShort] = slo.FormatDuration(a.Short)
	}
	if a.KeepFiringFor > 0 {
		condition.Metadata.Annotations[annotationKeep] = slo.FormatDuration(a.KeepFiringFor)
	}
	return Object[PolicySpec]{Kind: KindPolicy, Metadata: Metadata{Name: name}, Spec: PolicySpec{
		AlertWhenBreaching: true, AlertWhenResolved: true, Conditions: []Ref[ConditionSpec]{{Inline: &condition}},
		Notifications: []Ref[NotificationSpec]{{Name: a.Severity}},
	}}, errors.Join(err, errAfter)
}

// exportQuiet is a policy of an objective without alerts, which tells only that nobody measures: without any policy it would have the usual
// alerts.
func exportQuiet(name string) Object[PolicySpec] {
	condition := Object[ConditionSpec]{Kind: KindCondition, Metadata: Metadata{Name: name + "-quiet"}, Spec: ConditionSpec{
		Severity: "ticket", Condition: Condition{Kind: "burnrate", Op: "gt", Threshold: new(1.0), LookbackWindow: "1h", AlertAfter: "0m"},
	}}
	target := Object[NotificationSpec]{Kind: KindNotification, Metadata: Metadata{Name: "ticket"}, Spec: NotificationSpec{Target: "ticket"}}
	return Object[PolicySpec]{Kind: KindPolicy, Metadata: Metadata{Name: name + "-quiet"}, Spec: PolicySpec{
		AlertWhenNoData: new(true), Conditions: []Ref[ConditionSpec]{{Inline: &condition}}, Notifications: []Ref[NotificationSpec]{{Inline: &target}},
	}}
}

func exportWindow(w slo.Window) (TimeWindow, error) {
	if !w.IsCalendar() {
		text, err := exportDuration("window", w.Rolling)
		return TimeWindow{Duration: text, IsRolling: true}, err
	}
	unit := map[slo.Unit]string{slo.Day: "d", slo.Week: "w", slo.Month: "M", slo.Quarter: "Q", slo.Year: "Y"}[w.Unit]
	anchor := w.Anchor
	if anchor.IsZero() {
		anchor = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
		if w.Unit == slo.Week {
			anchor = anchor.AddDate(0, 0, 4) // a Monday
		}
	}
	return TimeWindow{
		Duration: strconv.Itoa(w.Count) + unit,
		Calendar: &Calendar{StartTime: anchor.Format(time.DateTime), TimeZone: w.Zone.String()},
	}, nil
}

// exportDuration writes the largest unit that divides d.
func exportDuration(what string, d time.Duration) (string, error) {
	for _, u := range []string{"w", "d", "h", "m"} {
		if d > 0 && d%fixed[u] == 0 {
			return strconv.Itoa(int(d/fixed[u])) + u, nil
		}
	}
	if d == 0 {
		return "", nil
	}
	return "", fmt.Errorf("%s of %s: OpenSLO has no durations below a minute", what, slo.FormatDuration(d))
}
