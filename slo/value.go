package slo

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// HoursOfWeek is the number of hours of a week; hour 0 is Monday 00:00 to 01:00.
const HoursOfWeek = 7 * 24

// HourOfWeek is the hour of the local week that contains t.
func HourOfWeek(t time.Time, zone *time.Location) int {
	local := t.In(zone)
	return (int(local.Weekday())+6)%7*24 + local.Hour()
}

// Price is what an unavailable minute of a service costs, by hour of the week, while it is in force.
type Price struct {
	Service   string
	From      time.Time
	To        time.Time // zero: until further notice
	Currency  string    // such as EUR
	PerMinute [HoursOfWeek]float64
}

func (p Price) covers(t time.Time) bool {
	return !t.Before(p.From) && (p.To.IsZero() || t.Before(p.To))
}

// Minutes are measured and bad minutes, Bad <= Measured, of a stretch of time that starts at Start and lies within one
// local hour (15 minutes do in every zone). A database sums slices that are not excluded by quarters of an hour:
// Measured = slices with events x length, Bad = sum of the objective's bad part x length.
type Minutes struct {
	Start    time.Time
	Measured float64
	Bad      float64
}

// ValueRequest asks what availability was worth in a period, against an earlier one and against the objective.
type ValueRequest struct {
	Service string
	Target  float64        // the objective's ratio
	Zone    *time.Location // of the hours of the week
	Period  []Minutes
	Before  []Minutes
	Prices  []Price
}

// Value is money by currency, and what could not be valued.
type Value struct {
	Service string   `json:"service"`
	Amounts []Amount `json:"amounts"`
	// UnpricedMinutes are measured minutes without a price in force, of which UnpricedBad were bad: not in the amounts.
	UnpricedMinutes float64 `json:"unpriced_minutes"`
	UnpricedBad     float64 `json:"unpriced_bad_minutes"`
	// UncomparedMinutes are priced minutes at an hour of the week of which the earlier period has no measurement: not in
	// Gained.
	UncomparedMinutes float64 `json:"uncompared_minutes"`
}

// Priced says whether any measured minute had a price.
func (v Value) Priced() bool { return len(v.Amounts) > 0 }

// Amount is money in one currency.
type Amount struct {
	Currency string `json:"currency"`
	// Loss = sum of bad minutes x price.
	Loss float64 `json:"loss"`
	// Gained = what the earlier period's share of bad minutes, hour of the week by hour of the week, would have cost in
	// the minutes measured now, at today's prices, less the loss of those minutes. Negative when it got worse.
	Gained float64 `json:"gained"`
	// AgainstObjective = what the bad minutes that the objective allows would have cost, less the loss.
	AgainstObjective float64 `json:"against_objective"`
	// GainedMinutes and AgainstObjectiveMinutes are the same in minutes, each counted once whatever its price.
	GainedMinutes           float64 `json:"gained_minutes"`
	AgainstObjectiveMinutes float64 `json:"against_objective_minutes"`
	MeasuredMinutes         float64 `json:"measured_minutes"`
	BadMinutes              float64 `json:"bad_minutes"`
}

// Evaluate computes the value. It refuses prices that overlap, are negative or no numbers, and impossible minutes.
func (r ValueRequest) Evaluate() (Value, error) {
	if err := r.check(); err != nil {
		return Value{}, err
	}
	var before [HoursOfWeek]Minutes
	for _, m := range r.Before {
		h := HourOfWeek(m.Start, r.Zone)
		before[h].Measured += m.Measured
		before[h].Bad += m.Bad
	}
	budget := Objective{Target: r.Target}.Budget()
	v := Value{Service: r.Service}
	for _, m := range r.Period {
		h := HourOfWeek(m.Start, r.Zone)
		i := slices.IndexFunc(r.Prices, func(p Price) bool { return p.Service == r.Service && p.covers(m.Start) })
		if i < 0 {
			v.UnpricedMinutes += m.Measured
			v.UnpricedBad += m.Bad
			continue
		}
		price := r.Prices[i].PerMinute[h]
		a := v.amount(r.Prices[i].Currency)
		a.MeasuredMinutes += m.Measured
		a.BadMinutes += m.Bad
		a.Loss += m.Bad * price
		a.AgainstObjective += (budget*m.Measured - m.Bad) * price
		a.AgainstObjectiveMinutes += budget*m.Measured - m.Bad
		if before[h].Measured == 0 {
			v.UncomparedMinutes += m.Measured
			continue
		}
		gained := before[h].Bad/before[h].Measured*m.Measured - m.Bad
		a.Gained += gained * price
		a.GainedMinutes += gained
	}
	return v, nil
}

func (v *Value) amount(currency string) *Amount {
	for i := range v.Amounts {
		if v.Amounts[i].Currency == currency {
			return &v.Amounts[i]
		}
	}
	v.Amounts = append(v.Amounts, Amount{Currency: currency})
	return &v.Amounts[len(v.Amounts)-1]
}

func (r ValueRequest) check() error {
	var faults []error
	add := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if !(r.Target > 0 && r.Target < 1) {
		add("target %v is outside (0, 1)", r.Target)
	}
	if r.Zone == nil {
		add("no time zone for the hours of the week")
	}
	for _, m := range slices.Concat(r.Period, r.Before) {
		if !(m.Bad >= 0 && m.Bad <= m.Measured*(1+1e-9)) || math.IsInf(m.Measured, 0) {
			add("%v bad of %v measured minutes from %s", m.Bad, m.Measured, m.Start.UTC().Format(time.RFC3339))
			break
		}
	}
	for i, p := range r.Prices {
		if p.Currency == "" {
			add("a price of %s has no currency", p.Service)
		}
		if !p.To.IsZero() && !p.From.Before(p.To) {
			add("a price of %s ends at %s, before it starts", p.Service, p.To.UTC().Format(time.RFC3339))
		}
		for h, v := range p.PerMinute {
			if !(v >= 0) || math.IsInf(v, 0) {
				add("the price of %s in hour %d of the week is %v: must be 0 or more", p.Service, h, v)
				break
			}
		}
		for _, o := range r.Prices[:i] {
			if o.Service == p.Service && (o.covers(p.From) || p.covers(o.From)) {
				add("two prices of %s are in force at once, from %s and from %s", p.Service, o.From.UTC().Format(time.RFC3339), p.From.UTC().Format(time.RFC3339))
			}
		}
	}
	return joinFaults(faults)
}
