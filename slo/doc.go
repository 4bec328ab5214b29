// Package slo computes service level figures: SLI, error budget, burn rates, alert states, attribution to incidents,
// comparison of periods, money, and the effect of follow-up work. It is pure: values and times go in, values come
// out; it reads no clock, no file and no network, and imports no other package of this module.
//
// # From slices to figures
//
// The only truth is slices: good and total of one indicator in one step of time, measured or a gap. Everything else
// is a sum over slices, and the formulas exist once, here:
//
//	slices -> Sums (what was measured in a segment of time) -> Tally (with what was expected, excluded, missing)
//	       -> Figures (SLI, budget, coverage) -> Status (figures, burn rates, alerts, attribution, forecast)
//
// A caller that has raw slices calls [Evaluate]. A caller whose slices are in a database makes a [Plan], sums the
// plan's disjoint segments there ([Sums] says exactly how), and hands the sums to [Plan.Evaluate]. Which slices are
// excluded, missing or an incident's is decided by the plan in both cases, never in SQL.
//
// # Membership
//
// Slices lie on a [Grid]. A slice belongs to a window when its start does; windows are half-open. A slice is excluded,
// or belongs to an incident, when it overlaps the half-open interval at all. Undefined values are nil pointers; no
// value is ever NaN or infinite.
package slo
