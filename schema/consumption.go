package schema

import (
	"fmt"
	"math"
	"time"
)

// ConsumptionKind says what was had or used.
type ConsumptionKind string

// The kinds of consumption.
const (
	// ConsumedNode is what there was of nodes of a type: Seconds of nodes, and the cores and bytes that pods could have had.
	ConsumedNode ConsumptionKind = "node"
	// ConsumedPod is what pods on nodes of a type had: of each the larger of what it requested and what it used, minute by minute.
	ConsumedPod ConsumptionKind = "pod"
	// ConsumedStorage is volumes of a class: Seconds and ByteSeconds of claims, and of volumes that nobody claims.
	ConsumedStorage ConsumptionKind = "storage"
	// ConsumedBalancer is Seconds of load balancers of a class.
	ConsumedBalancer ConsumptionKind = "balancer"
)

// TableConsumption holds consumption, TablePrices what it costs.
const (
	TableConsumption = "consumption"
	TablePrices      = "resource_prices"
)

// Consumption is what a team had of one kind and class of resources in a namespace, over a part of an hour. Its identity is (Cluster,
// Start, Kind, Class, Namespace, Team), and of the records of one identity the one that was stored last counts: an older one that is stored again
// after a newer one takes its sums back.
type Consumption struct {
	Cluster   string          `json:"cluster"`
	Start     time.Time       `json:"start"`
	Kind      ConsumptionKind `json:"kind"`
	Class     string          `json:"class,omitempty"`
	Namespace string          `json:"namespace,omitempty"`
	Team      string          `json:"team,omitempty"`
	Seconds   float64         `json:"seconds,omitempty"`
	// CoreSeconds and ByteSeconds are amounts times time.
	CoreSeconds float64 `json:"core_seconds,omitempty"`
	ByteSeconds float64 `json:"byte_seconds,omitempty"`
	// Requested and Used are the core-seconds that were requested and used while the use was measured: both are 0 where it was not.
	RequestedCoreSeconds float64 `json:"requested_core_seconds,omitempty"`
	UsedCoreSeconds      float64 `json:"used_core_seconds,omitempty"`
}

// Validate says why a record can never be stored; nil: it can.
func (c *Consumption) Validate() error {
	switch c.Kind {
	case ConsumedNode, ConsumedPod, ConsumedStorage, ConsumedBalancer:
	default:
		return fmt.Errorf("kind is %q, must be node, pod, storage or balancer", c.Kind)
	}
	if c.Cluster == "" || c.Start.IsZero() {
		return fmt.Errorf("cluster or start is missing")
	}
	for _, v := range []float64{c.Seconds, c.CoreSeconds, c.ByteSeconds, c.RequestedCoreSeconds, c.UsedCoreSeconds} {
		if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
			return fmt.Errorf("an amount is %v, must be a finite number from 0 on", v)
		}
	}
	for _, f := range []struct{ name, value string }{{"cluster", c.Cluster}, {"class", c.Class}, {"namespace", c.Namespace}, {"team", c.Team}} {
		if err := validText(f.name, f.value, maxResourceName); err != nil {
			return err
		}
	}
	return nil
}

// ResourcePrice is what a unit of a resource costs in the half-open interval [From, To): an hour of a node or a load balancer, a GiB of
// storage for an hour.
type ResourcePrice struct {
	Kind ConsumptionKind
	// Class is the type of node, the storage class or the class of load balancers; empty: all that have no price of their own.
	Class    string
	PerHour  float64
	Currency string
	// From and To bound it; the zero time means open.
	From, To time.Time
}
