// Package openslo reads and writes OpenSLO v1: DataSource, SLO, SLI, AlertPolicy, AlertCondition,
// AlertNotificationTarget and Service, in YAML with many documents, lists of objects, and JSON.
//
// [Import] is lenient: what it can understand in spite of a mistake it takes, with a warning; strict it refuses. Every
// finding names file, line, column and the rule. The result has the objects, which [Export] writes again, and the
// objectives that the engine evaluates, with their indicators resolved.
//
// What OpenSLO has no field for is said by annotations: on an SLO kubevalue.io/missing (gap, good, bad),
// kubevalue.io/min-coverage, kubevalue.io/min-events, kubevalue.io/composite (weighted, any_down) and
// kubevalue.io/composite-target; on an AlertCondition kubevalue.io/short-window and kubevalue.io/keep-firing-for.
package openslo

import (
	"github.com/kubevalue/kubevalue/slo/yamlfile"
)

// APIVersion is the only version that is read and written.
const APIVersion = "openslo/v1"

// Kind is a kind of object.
type Kind string

// The kinds of OpenSLO v1.
const (
	KindDataSource   Kind = "DataSource"
	KindSLO          Kind = "SLO"
	KindSLI          Kind = "SLI"
	KindPolicy       Kind = "AlertPolicy"
	KindCondition    Kind = "AlertCondition"
	KindNotification Kind = "AlertNotificationTarget"
	KindService      Kind = "Service"
)

// Labels have one or more values per key.
type Labels map[string][]string

// MarshalYAML writes a single value as a text.
func (l Labels) MarshalYAML() (any, error) {
	out := map[string]any{}
	for k, v := range l {
		out[k] = v
		if len(v) == 1 {
			out[k] = v[0]
		}
	}
	return out, nil
}

// Metadata is common to all kinds. Names are unique per kind.
type Metadata struct {
	Name        string            `yaml:"name"`
	DisplayName string            `yaml:"displayName,omitempty"`
	Labels      Labels            `yaml:"labels,omitempty"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
}

// Object is one object with the spec of its kind.
type Object[Spec any] struct {
	APIVersion string   `yaml:"apiVersion,omitempty"` // empty for inline objects
	Kind       Kind     `yaml:"kind,omitempty"`
	Metadata   Metadata `yaml:"metadata"`
	Spec       Spec     `yaml:"spec"`

	node *yamlfile.Node
}

// Document is all objects of an import.
type Document struct {
	Services      []Object[ServiceSpec]
	DataSources   []Object[DataSourceSpec]
	SLIs          []Object[SLISpec]
	Notifications []Object[NotificationSpec]
	Conditions    []Object[ConditionSpec]
	Policies      []Object[PolicySpec]
	SLOs          []Object[SLOSpec]
}

// ServiceSpec is that of a Service.
type ServiceSpec struct {
	Description string `yaml:"description,omitempty"`
}

// DataSourceSpec says where metrics come from.
type DataSourceSpec struct {
	Description       string         `yaml:"description,omitempty"`
	Type              string         `yaml:"type"`
	ConnectionDetails map[string]any `yaml:"connectionDetails,omitempty"`
}

// SLISpec has exactly one of its metrics.
type SLISpec struct {
	Description     string       `yaml:"description,omitempty"`
	ThresholdMetric *Metric      `yaml:"thresholdMetric,omitempty"`
	RatioMetric     *RatioMetric `yaml:"ratioMetric,omitempty"`
}

// RatioMetric has Total with one of Good and Bad, or Raw with RawType success or failure.
type RatioMetric struct {
	Counter bool    `yaml:"counter"`
	Good    *Metric `yaml:"good,omitempty"`
	Bad     *Metric `yaml:"bad,omitempty"`
	Total   *Metric `yaml:"total,omitempty"`
	RawType string  `yaml:"rawType,omitempty"`
	Raw     *Metric `yaml:"raw,omitempty"`
}

// Metric is one query.
type Metric struct {
	MetricSource MetricSource `yaml:"metricSource"`
}

// MetricSource says where and how to query; Type may be left to the DataSource that Ref names.
type MetricSource struct {
	Ref  string         `yaml:"metricSourceRef,omitempty"`
	Type string         `yaml:"type,omitempty"`
	Spec map[string]any `yaml:"spec,omitempty"`
}

// SLOSpec is that of an SLO: one indicator for all objectives, or one per objective (a composite).
type SLOSpec struct {
	Description     string            `yaml:"description,omitempty"`
	Service         string            `yaml:"service"`
	Indicator       *Object[SLISpec]  `yaml:"indicator,omitempty"`
	IndicatorRef    string            `yaml:"indicatorRef,omitempty"`
	TimeWindow      []TimeWindow      `yaml:"timeWindow"`
	BudgetingMethod string            `yaml:"budgetingMethod"`
	Objectives      []ObjectiveSpec   `yaml:"objectives"`
	AlertPolicies   []Ref[PolicySpec] `yaml:"alertPolicies,omitempty"`
}

// TimeWindow is a rolling window, or calendar periods that start at StartTime in TimeZone.
type TimeWindow struct {
	Duration  string    `yaml:"duration"`
	IsRolling bool      `yaml:"isRolling"`
	Calendar  *Calendar `yaml:"calendar,omitempty"`
}

// Calendar anchors calendar periods; StartTime is 2006-01-02 15:04:05 in local time.
type Calendar struct {
	StartTime string `yaml:"startTime"`
	TimeZone  string `yaml:"timeZone"`
}

// ObjectiveSpec has exactly one of Target and TargetPercent.
type ObjectiveSpec struct {
	DisplayName     string           `yaml:"displayName,omitempty"`
	Op              string           `yaml:"op,omitempty"`
	Value           *float64         `yaml:"value,omitempty"`
	Target          *float64         `yaml:"target,omitempty"`
	TargetPercent   *float64         `yaml:"targetPercent,omitempty"`
	TimeSliceTarget *float64         `yaml:"timeSliceTarget,omitempty"`
	TimeSliceWindow string           `yaml:"timeSliceWindow,omitempty"`
	Indicator       *Object[SLISpec] `yaml:"indicator,omitempty"`
	IndicatorRef    string           `yaml:"indicatorRef,omitempty"`
	CompositeWeight *float64         `yaml:"compositeWeight,omitempty"`
}

// PolicySpec is that of an AlertPolicy.
type PolicySpec struct {
	Description        string                  `yaml:"description,omitempty"`
	AlertWhenNoData    *bool                   `yaml:"alertWhenNoData,omitempty"` // nil: it does not say
	AlertWhenResolved  bool                    `yaml:"alertWhenResolved"`
	AlertWhenBreaching bool                    `yaml:"alertWhenBreaching"`
	Conditions         []Ref[ConditionSpec]    `yaml:"conditions"`
	Notifications      []Ref[NotificationSpec] `yaml:"notificationTargets"`
}

// ConditionSpec is that of an AlertCondition.
type ConditionSpec struct {
	Description string    `yaml:"description,omitempty"`
	Severity    string    `yaml:"severity"`
	Condition   Condition `yaml:"condition"`
}

// Condition is a burn rate over one window, which has to last.
type Condition struct {
	Kind           string   `yaml:"kind"`
	Op             string   `yaml:"op,omitempty"`
	Threshold      *float64 `yaml:"threshold"`
	LookbackWindow string   `yaml:"lookbackWindow"`
	AlertAfter     string   `yaml:"alertAfter,omitempty"`
}

// NotificationSpec is that of an AlertNotificationTarget.
type NotificationSpec struct {
	Description string `yaml:"description,omitempty"`
	Target      string `yaml:"target"`
}

// Ref is an object by name, or inline.
type Ref[Spec any] struct {
	Name   string
	Inline *Object[Spec]

	node *yamlfile.Node
}

// MarshalYAML writes the field that names an object of the kind, or the object itself.
func (r Ref[Spec]) MarshalYAML() (any, error) {
	if r.Inline != nil {
		return r.Inline, nil
	}
	var spec Spec
	switch any(spec).(type) {
	case PolicySpec:
		return map[string]string{"alertPolicyRef": r.Name}, nil
	case ConditionSpec:
		return map[string]string{"conditionRef": r.Name}, nil
	}
	return map[string]string{"targetRef": r.Name}, nil
}
