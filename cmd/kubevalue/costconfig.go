package main

import (
	"math"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// CostsConfig is what the clusters' resources cost. Half of a node's price is for its cores and half for its memory.
type CostsConfig struct {
	// Currency is that of all prices: figures add up in one.
	Currency  string               `yaml:"currency"`
	Nodes     []UnitPriceConfig    `yaml:"nodes"`
	Storage   []StoragePriceConfig `yaml:"storage"`
	Balancers []UnitPriceConfig    `yaml:"balancers"`
	// Shared are namespaces whose cost all teams of their cluster share, in proportion to their own.
	Shared []string `yaml:"shared"`
}

// UnitPriceConfig is the price of an hour of a node or a load balancer.
type UnitPriceConfig struct {
	// Class is the type of node (node.kubernetes.io/instance-type) or the class of load balancers; empty: all that have no price of their own.
	Class   string   `yaml:"class"`
	PerHour *float64 `yaml:"per_hour"`
	// From and To bound the price, half-open; empty: since ever, until further notice.
	From string `yaml:"from"`
	To   string `yaml:"to"`
}

// StoragePriceConfig is the price of a GiB of a storage class for a month of 730 hours.
type StoragePriceConfig struct {
	Class       string   `yaml:"class"`
	PerGiBMonth *float64 `yaml:"per_gib_month"`
	From        string   `yaml:"from"`
	To          string   `yaml:"to"`
}

// hoursInMonth is the usual month of price lists.
const hoursInMonth = 730

// pricedThing is a price wherever it stands.
type pricedThing struct {
	path, key, from, to string
	price               *float64
	schema.ResourcePrice
}

// things are all prices of a configuration.
func (c *CostsConfig) things() []pricedThing {
	var all []pricedThing
	for _, list := range []struct {
		path   string
		kind   schema.ConsumptionKind
		prices []UnitPriceConfig
	}{{"costs.nodes", schema.ConsumedNode, c.Nodes}, {"costs.balancers", schema.ConsumedBalancer, c.Balancers}} {
		for i, p := range list.prices {
			t := pricedThing{path: indexed(list.path, i), key: "per_hour", from: p.From, to: p.To, price: p.PerHour}
			t.Kind, t.Class = list.kind, p.Class
			if p.PerHour != nil {
				t.PerHour = *p.PerHour
			}
			all = append(all, t)
		}
	}
	for i, p := range c.Storage {
		t := pricedThing{path: indexed("costs.storage", i), key: "per_gib_month", from: p.From, to: p.To, price: p.PerGiBMonth}
		t.Kind, t.Class = schema.ConsumedStorage, p.Class
		if p.PerGiBMonth != nil {
			t.PerHour = *p.PerGiBMonth / hoursInMonth
		}
		all = append(all, t)
	}
	return all
}

func (c *Config) checkCosts(f *yamlFile) {
	things := c.Costs.things()
	if len(things) > 0 && !currency.MatchString(c.Costs.Currency) {
		f.At("costs.currency", "%q is no currency; write its three letters, e.g. EUR", c.Costs.Currency)
	}
	for i, t := range things {
		switch {
		case t.price == nil:
			f.At(t.path+"."+t.key, "what does it cost? write 0 if nothing")
		case !(*t.price >= 0) || math.IsInf(*t.price, 0):
			f.At(t.path+"."+t.key, "%v: a price must be 0 or more", *t.price)
		}
		c.checkSpan(f, t.path, t.from, t.to)
		from, to := c.span(t.from, t.to)
		for _, o := range things[:i] {
			if o.Kind != t.Kind || o.Class != t.Class {
				continue
			}
			if begin, end := c.span(o.from, o.to); overlaps(from, to, begin, end) {
				f.At(t.path, "it is in force at the same time as %s: give the older one a to", o.path)
			}
		}
	}
	for i, namespace := range c.Costs.Shared {
		if namespace == "" {
			f.At(indexed("costs.shared", i), "the name of a namespace is missing")
		}
	}
}

// overlaps tells whether two half-open intervals with open ends (zero) share an instant.
func overlaps(from, to, begin, end time.Time) bool {
	return (to.IsZero() || begin.Before(to)) && (end.IsZero() || from.Before(end))
}

// resourcePrices are those of a configuration that was checked.
func (c *Config) resourcePrices() []schema.ResourcePrice {
	var out []schema.ResourcePrice
	for _, t := range c.Costs.things() {
		t.Currency = c.Costs.Currency
		t.From, t.To = c.span(t.from, t.to)
		out = append(out, t.ResourcePrice)
	}
	return out
}
