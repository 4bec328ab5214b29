package openslo

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/slo"
	"github.com/kubevalue/kubevalue/slo/yamlfile"
)

// The annotations that say what OpenSLO has no field for.
const (
	annotationPrefix    = "kubevalue.io/"
	annotationMissing   = annotationPrefix + "missing"
	annotationCoverage  = annotationPrefix + "min-coverage"
	annotationEvents    = annotationPrefix + "min-events"
	annotationComposite = annotationPrefix + "composite"
	annotationTarget    = annotationPrefix + "composite-target"
	annotationShort     = annotationPrefix + "short-window"
	annotationKeep      = annotationPrefix + "keep-firing-for"
)

// annotations are those that are known, by the kind of object that may have them.
var annotations = map[Kind][]string{
	KindSLO:       {annotationMissing, annotationCoverage, annotationEvents, annotationComposite, annotationTarget},
	KindCondition: {annotationShort, annotationKeep},
}

var methods = map[string]slo.BudgetingMethod{
	"Occurrences": slo.Occurrences, "Timeslices": slo.Timeslices, "RatioTimeslices": slo.RatioTimeslices,
}

// slo resolves an SLO into its objectives; none after a refusal.
func (r *resolver) slo(s *Object[SLOSpec]) []Objective {
	before := len(r.refusals)
	if s.node.Get("spec").IsNull() {
		return nil
	}
	common := Objective{
		Service: s.Spec.Service, DisplayName: s.Metadata.DisplayName, Description: s.Spec.Description, Labels: s.Metadata.Labels,
		File: s.node.File, Line: s.node.Line,
	}
	common.Definition = slo.Objective{Name: s.Metadata.Name, Window: r.window(s), MinCoverage: slo.DefaultMinCoverage}
	if len(r.services) > 0 && s.Spec.Service != "" && r.services[s.Spec.Service] == nil {
		r.warn(at(s.node, "spec", "service"), "service-ref", "there is no Service %q", s.Spec.Service)
	}
	method, ok := methods[s.Spec.BudgetingMethod]
	if !ok {
		r.refuse(at(s.node, "spec", "budgetingMethod"), "budgeting-method", "budgetingMethod %q must be Occurrences, Timeslices or RatioTimeslices", s.Spec.BudgetingMethod)
	}
	common.Definition.Method = method
	r.annotations(s, &common.Definition)
	r.alerting(s, &common)

	composite := false
	for _, o := range s.Spec.Objectives {
		composite = composite || o.Indicator != nil || o.IndicatorRef != ""
	}
	hasOne := s.Spec.Indicator != nil || s.Spec.IndicatorRef != ""
	spec := at(s.node, "spec")
	var out []Objective
	switch {
	case composite && hasOne:
		r.refuse(spec, "indicator-one-of", "the indicator is either the SLO's or, in a composite, each objective's, not both")
	case composite:
		out = []Objective{r.composite(s, common)}
	case hasOne:
		out = r.plainObjectives(s, common)
	default:
		r.refuse(spec, "indicator-one-of", "an SLO needs an indicator or an indicatorRef, or one in each objective")
	}
	if len(r.refusals) > before {
		return nil
	}
	for _, o := range out {
		if err := o.Definition.Validate(); err != nil {
			r.refuse(s.node, "objective", "SLO %s: %s", s.Metadata.Name, err)
		}
	}
	return out
}

// objectiveNodes are the nodes of an SLO's objectives.
func objectiveNode(s *Object[SLOSpec], i int) *yamlfile.Node {
	n := at(s.node, "spec", "objectives")
	if i < len(n.Items) {
		return n.Items[i]
	}
	return n
}

// plainObjectives makes one objective per target over the SLO's indicator.
func (r *resolver) plainObjectives(s *Object[SLOSpec], common Objective) []Objective {
	indicator := r.referred(at(s.node, "spec"), s.Spec.Indicator, s.Spec.IndicatorRef)
	if indicator == nil {
		return nil
	}
	var out []Objective
	names := map[string]bool{}
	for i, spec := range s.Spec.Objectives {
		n := objectiveNode(s, i)
		o, own := common, *indicator
		o.Indicator = &own
		if len(s.Spec.Objectives) > 1 {
			suffix := spec.DisplayName
			if suffix == "" || names[suffix] {
				suffix = strconv.Itoa(i + 1)
			}
			names[suffix] = true
			o.Definition.Name += "/" + suffix
			o.DisplayName = strings.TrimSpace(common.DisplayName + " " + spec.DisplayName)
		}
		o.Definition.Target = r.target(n, spec)
		r.slice(n, spec, &o)
		r.threshold(n, spec, &own)
		if spec.CompositeWeight != nil {
			r.warn(at(n, "compositeWeight"), "composite-weight", "compositeWeight has no effect: the objective has no indicator of its own")
		}
		out = append(out, o)
	}
	return out
}

// target reads either form; what is out of range, 0 included, has no budget or no objective.
func (r *resolver) target(n *yamlfile.Node, spec ObjectiveSpec) float64 {
	switch {
	case spec.Target != nil:
		if !(*spec.Target > 0 && *spec.Target < 1) {
			r.refuse(at(n, "target"), "target-range", "target %v is outside (0, 1): it must be a ratio, such as 0.999", *spec.Target)
		}
		return *spec.Target
	case spec.TargetPercent != nil:
		if !(*spec.TargetPercent > 0 && *spec.TargetPercent < 100) {
			r.refuse(at(n, "targetPercent"), "target-range", "targetPercent %v is outside (0, 100), such as 99.9", *spec.TargetPercent)
		}
		return percent(*spec.TargetPercent)
	}
	return 0
}

// percent divides by 100 in decimal, so that 99.9 becomes 0.999 and nothing next to it.
func percent(v float64) float64 {
	ratio, err := strconv.ParseFloat(strconv.FormatFloat(v, 'f', -1, 64)+"e-2", 64)
	if err != nil {
		return v / 100
	}
	return ratio
}

// slice reads what the slice methods need.
func (r *resolver) slice(n *yamlfile.Node, spec ObjectiveSpec, o *Objective) {
	o.Definition.TimeSliceTarget = slo.DefaultTimeSliceTarget
	if spec.TimeSliceTarget != nil {
		o.Definition.TimeSliceTarget = *spec.TimeSliceTarget
		if !(*spec.TimeSliceTarget > 0 && *spec.TimeSliceTarget <= 1) {
			r.refuse(at(n, "timeSliceTarget"), "time-slice-target", "timeSliceTarget %v is outside (0, 1]", *spec.TimeSliceTarget)
		}
	}
	if spec.TimeSliceWindow != "" {
		o.SliceWindow = r.fixedDuration(at(n, "timeSliceWindow"), "timeSliceWindow", spec.TimeSliceWindow, false)
	}
	method := o.Definition.Method
	switch {
	case method == slo.Occurrences && (spec.TimeSliceTarget != nil || spec.TimeSliceWindow != ""):
		r.warn(n, "time-slice-unused", "timeSliceTarget and timeSliceWindow have no effect with Occurrences")
		o.SliceWindow = 0
	case method == slo.Timeslices && spec.TimeSliceTarget == nil:
		r.warn(n, "time-slice-target", "Timeslices needs a timeSliceTarget: taken as 1")
	case method == slo.RatioTimeslices && spec.TimeSliceTarget != nil:
		r.warn(at(n, "timeSliceTarget"), "time-slice-unused", "timeSliceTarget has no effect with RatioTimeslices")
	}
	if method != "" && method != slo.Occurrences && spec.TimeSliceWindow == "" {
		r.warn(n, "time-slice-window", "%s needs a timeSliceWindow: taken as the indicator's own slices", methodName(method))
	}
}

func methodName(m slo.BudgetingMethod) string {
	for name, method := range methods {
		if method == m {
			return name
		}
	}
	return string(m)
}

// threshold reads op and value, which only threshold metrics have.
func (r *resolver) threshold(n *yamlfile.Node, spec ObjectiveSpec, i *Indicator) {
	if i.Threshold == nil {
		if spec.Op != "" || spec.Value != nil {
			r.warn(n, "threshold-unused", "op and value have no effect with a ratioMetric")
		}
		return
	}
	if spec.Op == "" {
		r.refuse(n, "threshold-op", "a thresholdMetric needs the objective's op: lte, gte, lt or gt")
	}
	if spec.Value == nil {
		r.refuse(n, "threshold-value", "a thresholdMetric needs the objective's value to compare with")
		return
	}
	if math.IsNaN(*spec.Value) || math.IsInf(*spec.Value, 0) {
		r.refuse(at(n, "value"), "threshold-value", "value %v must be a finite number: nothing compares with it", *spec.Value)
	}
	i.Op, i.Value = spec.Op, *spec.Value
}

// composite makes one objective of all, whose target is the mean of theirs by weight.
func (r *resolver) composite(s *Object[SLOSpec], common Objective) Objective {
	o := common
	o.Children = map[string]Indicator{}
	kind := slo.CompositeKind(s.Metadata.Annotations[annotationComposite])
	if kind == "" {
		kind = slo.Weighted
	}
	c := &slo.Composite{Kind: kind}
	var targets, weights, first float64
	differ := false
	for i, spec := range s.Spec.Objectives {
		n := objectiveNode(s, i)
		indicator := r.referred(n, spec.Indicator, spec.IndicatorRef)
		if indicator == nil {
			r.refuse(n, "indicator-one-of", "in a composite each objective needs an indicator or an indicatorRef")
			continue
		}
		r.threshold(n, spec, indicator)
		if _, taken := o.Children[indicator.Name]; taken {
			own := *indicator
			own.Name += "-" + strconv.Itoa(i+1)
			r.warn(n, "composite-child", "there is an indicator %q before: this one is taken as %s", indicator.Name, own.Name)
			indicator = &own
		}
		child := slo.Child{Name: indicator.Name, Weight: 1, TimeSliceTarget: slo.DefaultTimeSliceTarget}
		if spec.CompositeWeight != nil {
			child.Weight = *spec.CompositeWeight
		}
		if spec.TimeSliceTarget != nil {
			child.TimeSliceTarget = *spec.TimeSliceTarget
		}
		if spec.TimeSliceWindow != "" {
			o.SliceWindow = r.sameWindow(n, spec.TimeSliceWindow, o.SliceWindow)
		}
		target := r.target(n, spec)
		if i == 0 {
			first = target
		}
		differ = differ || target != first
		targets += child.Weight * target
		weights += child.Weight
		c.Of = append(c.Of, child)
		o.Children[child.Name] = *indicator
	}
	wanted := map[slo.CompositeKind]slo.BudgetingMethod{slo.Weighted: slo.RatioTimeslices, slo.AnyDown: slo.Timeslices}[kind]
	if o.Definition.Method != wanted && wanted != "" {
		r.warn(at(s.node, "spec", "budgetingMethod"), "composite-method", "a composite of kind %s is budgeted as %s", kind, methodName(wanted))
	}
	o.Definition.Method, o.Definition.Composite = "", c
	o.Definition.Target = first
	if text, ok := s.Metadata.Annotations[annotationTarget]; ok {
		o.Definition.Target = r.annotatedNumber(s, annotationTarget, text)
	} else if differ {
		o.Definition.Target = math.Round(targets/weights*1e12) / 1e12
		r.warn(at(s.node, "spec", "objectives"), "composite-target", "the targets differ: the composite's is their mean by weight, %.6g; set the annotation %s for another",
			o.Definition.Target, annotationTarget)
	}
	return o
}

func (r *resolver) sameWindow(n *yamlfile.Node, text string, before time.Duration) time.Duration {
	d := r.fixedDuration(at(n, "timeSliceWindow"), "timeSliceWindow", text, false)
	if before != 0 && d != before {
		r.refuse(at(n, "timeSliceWindow"), "time-slice-window", "the timeSliceWindows of a composite must be the same, these are %s and %s",
			slo.FormatDuration(before), slo.FormatDuration(d))
	}
	return d
}

// annotations reads the settings of an SLO that OpenSLO has no field for.
func (r *resolver) annotations(s *Object[SLOSpec], o *slo.Objective) {
	for _, f := range at(s.node, "metadata", "annotations").Fields {
		text := s.Metadata.Annotations[f.Key]
		switch f.Key {
		case annotationMissing:
			o.Missing = slo.MissingPolicy(text)
		case annotationCoverage:
			o.MinCoverage = r.annotatedNumber(s, f.Key, text)
		case annotationEvents:
			o.MinEvents = r.annotatedNumber(s, f.Key, text)
		}
	}
}

func (r *resolver) annotatedNumber(s *Object[SLOSpec], key, text string) float64 {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		r.refuse(at(s.node, "metadata", "annotations", key), "annotation", "annotation %s %q is not a number", key, text)
	}
	return v
}

func (r *resolver) annotatedDuration(c *Object[ConditionSpec], key string, fallback time.Duration) time.Duration {
	text, ok := c.Metadata.Annotations[key]
	if !ok {
		return fallback
	}
	d, err := slo.ParseDuration(text)
	if err != nil {
		r.refuse(at(c.node, "metadata", "annotations", key), "annotation", "annotation %s: %s", key, fmt.Sprint(err))
	}
	return d
}
