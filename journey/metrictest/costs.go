package metrictest

import (
	"time"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/slo/yamlfile"
)

// consumption is what teams had of clusters, in the keys of schema.Consumption. What began after now is not delivered.
func (r *reader) consumption(list *yamlfile.Node, now time.Time) []schema.Consumption {
	var out []schema.Consumption
	for _, n := range r.list(list, "consumption") {
		r.keys(n, "cluster", "start", "kind", "class", "namespace", "team", "seconds", "core_seconds", "byte_seconds", "requested_core_seconds", "used_core_seconds")
		c := schema.Consumption{
			Cluster: r.required(n, "cluster"), Start: r.time(n, "start"), Kind: schema.ConsumptionKind(r.required(n, "kind")),
			Class: r.text(n, "class"), Namespace: r.text(n, "namespace"), Team: r.text(n, "team"),
		}
		for key, into := range map[string]*float64{
			"seconds": &c.Seconds, "core_seconds": &c.CoreSeconds, "byte_seconds": &c.ByteSeconds,
			"requested_core_seconds": &c.RequestedCoreSeconds, "used_core_seconds": &c.UsedCoreSeconds,
		} {
			if v := r.number(n, key); v != nil {
				*into = *v
			}
		}
		if err := c.Validate(); err != nil && n.Kind == yamlfile.Map {
			r.fail(n, "%v", err)
		}
		if !c.Start.After(now) {
			out = append(out, c)
		}
	}
	return out
}

// prices are those of resources, in the keys of schema.ResourcePrice.
func (r *reader) prices(list *yamlfile.Node) []schema.ResourcePrice {
	var out []schema.ResourcePrice
	for _, n := range r.list(list, "prices") {
		r.keys(n, "kind", "class", "per_hour", "currency", "from", "to")
		p := schema.ResourcePrice{
			Kind: schema.ConsumptionKind(r.required(n, "kind")), Class: r.text(n, "class"), Currency: r.text(n, "currency"), From: r.time(n, "from"), To: r.time(n, "to"),
		}
		if v := r.number(n, "per_hour"); v != nil {
			p.PerHour = *v
		}
		out = append(out, p)
	}
	return out
}
