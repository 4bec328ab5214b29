package openslo

import (
	"github.com/kubevalue/kubevalue/slo/yamlfile"
)

// add reads one object, or a list of them, into the document.
func (d *Document) add(r *recorder, n *yamlfile.Node) {
	if n.Kind == yamlfile.List {
		for _, item := range n.Items {
			d.add(r, item)
		}
		return
	}
	if !r.fields(n, "an object", "apiVersion", "kind", "metadata", "spec") {
		return
	}
	if version := r.text(n, "apiVersion"); version != APIVersion {
		at := n
		if v := n.Get("apiVersion"); v != nil {
			at = v
		}
		r.refuse(at, "api-version", "apiVersion %q is not supported: must be %s", version, APIVersion)
		return
	}
	switch kind := Kind(r.text(n, "kind")); kind {
	case KindService:
		d.Services = append(d.Services, object(r, n, kind, r.serviceSpec))
	case KindDataSource:
		d.DataSources = append(d.DataSources, object(r, n, kind, r.dataSourceSpec))
	case KindSLI:
		d.SLIs = append(d.SLIs, object(r, n, kind, r.sliSpec))
	case KindNotification:
		d.Notifications = append(d.Notifications, object(r, n, kind, r.notificationSpec))
	case KindCondition:
		d.Conditions = append(d.Conditions, object(r, n, kind, r.conditionSpec))
	case KindPolicy:
		d.Policies = append(d.Policies, object(r, n, kind, r.policySpec))
	case KindSLO:
		d.SLOs = append(d.SLOs, object(r, n, kind, r.sloSpec))
	default:
		at := n
		if v := n.Get("kind"); v != nil {
			at = v
		}
		r.refuse(at, "kind", "unknown kind %q: must be DataSource, SLO, SLI, AlertPolicy, AlertCondition, AlertNotificationTarget or Service", kind)
	}
}

func object[Spec any](r *recorder, n *yamlfile.Node, kind Kind, read func(*yamlfile.Node) Spec) Object[Spec] {
	o := Object[Spec]{APIVersion: APIVersion, Kind: kind, Metadata: r.metadata(n, kind), node: n}
	o.Spec = specOf(r, n, kind, read)
	return o
}

func specOf[Spec any](r *recorder, n *yamlfile.Node, kind Kind, read func(*yamlfile.Node) Spec) (spec Spec) {
	s := n.Get("spec")
	if s.IsNull() {
		if kind == KindService {
			return spec
		}
		r.refuse(n, "spec-required", "%s has no spec", kind)
		return spec
	}
	if s.Kind != yamlfile.Map {
		r.refuse(s, "type", "spec must be a mapping, this is a %s", s.Kind)
		return spec
	}
	return read(s)
}

func (r *recorder) serviceSpec(n *yamlfile.Node) ServiceSpec {
	r.fields(n, "Service.spec", "description")
	return ServiceSpec{r.description(n)}
}

func (r *recorder) dataSourceSpec(n *yamlfile.Node) DataSourceSpec {
	r.fields(n, "DataSource.spec", "description", "type", "connectionDetails")
	s := DataSourceSpec{r.description(n), r.text(n, "type"), r.free(n, "connectionDetails")}
	if s.Type == "" {
		r.refuse(n, "data-source-type", "DataSource.spec.type is required")
	}
	return s
}

func (r *recorder) notificationSpec(n *yamlfile.Node) NotificationSpec {
	r.fields(n, "AlertNotificationTarget.spec", "description", "target")
	s := NotificationSpec{r.description(n), r.text(n, "target")}
	if s.Target == "" {
		r.refuse(n, "notification-target", "AlertNotificationTarget.spec.target is required, such as email or slack")
	}
	return s
}

func (r *recorder) sliSpec(n *yamlfile.Node) SLISpec {
	r.fields(n, "SLI.spec", "description", "thresholdMetric", "ratioMetric")
	s := SLISpec{Description: r.description(n), ThresholdMetric: r.metric(n, "thresholdMetric")}
	if ratio := n.Get("ratioMetric"); !ratio.IsNull() {
		s.RatioMetric = r.ratio(ratio)
	}
	if (n.Get("thresholdMetric").IsNull()) == (n.Get("ratioMetric").IsNull()) {
		r.refuse(n, "metric-one-of", "an SLI needs exactly one of thresholdMetric and ratioMetric")
	}
	return s
}

func (r *recorder) ratio(n *yamlfile.Node) *RatioMetric {
	if !r.fields(n, "ratioMetric", "counter", "good", "bad", "total", "raw", "rawType") {
		return nil
	}
	m := &RatioMetric{
		Counter: r.boolean(n, "counter"), Good: r.metric(n, "good"), Bad: r.metric(n, "bad"), Total: r.metric(n, "total"),
		Raw: r.metric(n, "raw"), RawType: r.text(n, "rawType"),
	}
	switch {
	case (m.Total == nil) == (m.Raw == nil):
		r.refuse(n, "ratio-total-or-raw", "ratioMetric needs exactly one of total and raw")
	case m.Total != nil && (m.Good == nil) == (m.Bad == nil):
		r.refuse(n, "ratio-good-or-bad", "ratioMetric with total needs exactly one of good and bad")
	case m.Raw != nil && (m.Good != nil || m.Bad != nil):
		r.refuse(n, "ratio-good-or-bad", "ratioMetric with raw has neither good nor bad")
	case m.Raw != nil && m.RawType != "success" && m.RawType != "failure":
		r.refuse(n, "raw-type", "rawType %q must be success or failure", m.RawType)
	case m.Raw == nil && m.RawType != "":
		r.warn(n.Get("rawType"), "raw-type", "rawType has no effect without raw")
	}
	return m
}

func (r *recorder) metric(n *yamlfile.Node, key string) *Metric {
	v := n.Get(key)
	if v.IsNull() || !r.fields(v, key, "metricSource") {
		return nil
	}
	source := v.Get("metricSource")
	if source.IsNull() {
		r.refuse(v, "metric-source", "%s needs a metricSource", key)
		return &Metric{}
	}
	if !r.fields(source, "metricSource", "metricSourceRef", "type", "spec") {
		return &Metric{}
	}
	m := &Metric{MetricSource{Ref: r.text(source, "metricSourceRef"), Type: r.text(source, "type"), Spec: r.free(source, "spec")}}
	if m.MetricSource.Ref == "" && m.MetricSource.Type == "" {
		r.refuse(source, "metric-source", "metricSource needs a type, or a metricSourceRef that has one")
	}
	if len(m.MetricSource.Spec) == 0 {
		r.warn(source, "metric-source", "metricSource needs a spec that says what to query")
	}
	return m
}

func (r *recorder) policySpec(n *yamlfile.Node) PolicySpec {
	r.fields(n, "AlertPolicy.spec", "description", "alertWhenNoData", "alertWhenResolved", "alertWhenBreaching", "conditions", "notificationTargets")
	s := PolicySpec{
		Description:       r.description(n),
		AlertWhenResolved: r.boolean(n, "alertWhenResolved"), AlertWhenBreaching: r.boolean(n, "alertWhenBreaching"),
	}
	if n.Get("alertWhenNoData") != nil {
		s.AlertWhenNoData = new(r.boolean(n, "alertWhenNoData"))
	}
	for _, c := range r.list(n, "conditions") {
		s.Conditions = append(s.Conditions, ref(r, c, KindCondition, "conditionRef", r.conditionSpec))
	}
	for _, t := range r.list(n, "notificationTargets") {
		s.Notifications = append(s.Notifications, ref(r, t, KindNotification, "targetRef", r.notificationSpec))
	}
	switch {
	case len(s.Conditions) == 0:
		r.refuse(n, "policy-conditions", "AlertPolicy.spec.conditions needs a condition")
	case len(s.Conditions) > 1:
		r.warn(n.Get("conditions"), "policy-conditions", "OpenSLO allows one condition, this policy has %d; any of them alerts", len(s.Conditions))
	}
	if len(s.Notifications) == 0 {
		r.warn(n, "policy-targets", "AlertPolicy.spec.notificationTargets is required")
	}
	if noData := s.AlertWhenNoData != nil && *s.AlertWhenNoData; !s.AlertWhenBreaching && !noData && !s.AlertWhenResolved {
		r.warn(n, "policy-when", "the policy asks for no alert: set alertWhenBreaching, alertWhenNoData or alertWhenResolved")
	}
	return s
}

// ref reads an object that is named or inline.
func ref[Spec any](r *recorder, n *yamlfile.Node, kind Kind, key string, read func(*yamlfile.Node) Spec) Ref[Spec] {
	out := Ref[Spec]{node: n}
	if n.Kind != yamlfile.Map {
		r.refuse(n, "type", "%s must be a mapping, this is a %s", kind, n.Kind)
		return out
	}
	if named := n.Get(key); !named.IsNull() {
		r.fields(n, "a reference", key)
		out.Name = r.text(n, key)
		return out
	}
	r.fields(n, "an inline object", "apiVersion", "kind", "metadata", "spec", key)
	switch given := Kind(r.text(n, "kind")); given {
	case kind:
	case "":
		r.warn(n, "kind", "an inline %s needs its kind", kind)
	default:
		r.refuse(n.Get("kind"), "kind", "kind %q must be %s here", given, kind)
	}
	inline := Object[Spec]{Kind: kind, Metadata: r.metadata(n, kind), node: n}
	inline.Spec = specOf(r, n, kind, read)
	out.Inline = &inline
	return out
}

func (r *recorder) conditionSpec(n *yamlfile.Node) ConditionSpec {
	r.fields(n, "AlertCondition.spec", "description", "severity", "condition")
	s := ConditionSpec{Description: r.description(n), Severity: r.text(n, "severity")}
	if s.Severity == "" {
		r.refuse(n, "condition-severity", "AlertCondition.spec.severity is required, such as page or ticket")
	}
	c := n.Get("condition")
	if c.IsNull() {
		r.refuse(n, "condition-required", "AlertCondition.spec.condition is required")
		return s
	}
	if !r.fields(c, "condition", "kind", "op", "threshold", "lookbackWindow", "alertAfter") {
		return s
	}
	s.Condition = Condition{
		Kind: r.text(c, "kind"), Op: r.text(c, "op"), Threshold: r.number(c, "threshold"),
		LookbackWindow: r.text(c, "lookbackWindow"), AlertAfter: r.text(c, "alertAfter"),
	}
	return s
}
