package slo

import (
	"cmp"
	"fmt"
	"time"
)

// AlertWindow is a pair of windows with a burn rate factor: it fires while the burn rates of both are strictly above
// Factor. Severities are free names; page and ticket by default.
type AlertWindow struct {
	Severity string
	Long     time.Duration
	Short    time.Duration
	Factor   float64
	// For is how long the pair must hold before its alert fires, and KeepFiringFor how long it fires on after. States
	// without memory ignore them.
	For           time.Duration
	KeepFiringFor time.Duration
}

// String names the pair: page 1h/5m above 14.4.
func (a AlertWindow) String() string {
	return fmt.Sprintf("%s %s/%s above %.6g", a.Severity, FormatDuration(a.Long), FormatDuration(a.Short), a.Factor)
}

// AlertState is the state of a pair or a severity.
type AlertState string

// A frozen alert cannot tell: too little was measured.
const (
	Inactive AlertState = "inactive"
	Frozen   AlertState = "frozen"
	Firing   AlertState = "firing"
)

// defaultPairs are those of the SRE workbook, by the share of the budget that the long window may use.
var defaultPairs = []struct {
	share    float64
	severity string
	long     time.Duration
	short    time.Duration
}{
	{0.02, "page", time.Hour, 5 * time.Minute},
	{0.05, "page", 6 * time.Hour, 30 * time.Minute},
	{0.10, "ticket", day, 2 * time.Hour},
	{0.10, "ticket", 3 * day, 6 * time.Hour},
}

// DefaultAlerts are the pairs of the SRE workbook scaled to a window's length: factor = budget share x length / long.
// Pairs whose long window exceeds a seventh of the length, or whose factor is not below 1/(1 - target), are left out;
// warnings say which and why.
func (o Objective) DefaultAlerts(length time.Duration) (pairs []AlertWindow, warnings []string) {
	for _, d := range defaultPairs {
		a := AlertWindow{Severity: d.severity, Long: d.long, Short: d.short, Factor: d.share * float64(length) / float64(d.long)}
		switch {
		case 7*d.long > length:
			warnings = append(warnings, fmt.Sprintf("default alert %s left out: its long window exceeds a seventh of the window of %s", a, FormatDuration(length)))
		case o.neverAbove(a.Factor):
			warnings = append(warnings, fmt.Sprintf("default alert %s left out: the burn rate of this target cannot exceed %.6g", a, o.MaxBurnRate()))
		default:
			pairs = append(pairs, a)
		}
	}
	return pairs, warnings
}

// rounding is the relative difference below which two ratios count as equal: far above what summing in double
// precision can add, far below what one event can change.
const rounding = 1e-9

// above is a strict comparison that rounding cannot turn.
func above(v, limit float64) bool { return v > limit && v-limit > rounding*limit }

// neverAbove says that no burn rate can be strictly above factor.
func (o Objective) neverAbove(factor float64) bool { return !above(o.MaxBurnRate(), factor) }

// checkAlert refuses explicit pairs that are wrong for a window of the given length.
func (o Objective) checkAlert(a AlertWindow, length time.Duration) error {
	window := o.Window.String()
	if o.Window.IsCalendar() && length < o.Window.longest() {
		window += ", at this time " + FormatDuration(length)
	}
	switch {
	case a.Severity == "":
		return fmt.Errorf("alert %s/%s has no severity", FormatDuration(a.Long), FormatDuration(a.Short))
	case a.Long <= 0 || a.Short <= 0:
		return fmt.Errorf("alert %s: the long and the short window must be above 0", a)
	case a.For < 0 || a.KeepFiringFor < 0:
		return fmt.Errorf("alert %s: for and keep firing for must be 0 or more", a)
	case a.Short > a.Long:
		return fmt.Errorf("alert %s: the short window exceeds the long window", a)
	case a.Long > length:
		return fmt.Errorf("alert %s: the long window %s exceeds the objective's window of %s", a, FormatDuration(a.Long), window)
	case !(a.Factor >= 0):
		return fmt.Errorf("alert %s: the factor must be 0 or more", a)
	case o.neverAbove(a.Factor):
		return fmt.Errorf("alert %s can never fire: the factor %v is not below 1/(1 - target) = %.6g, the burn rate while every event fails",
			a, a.Factor, o.MaxBurnRate())
	}
	return nil
}

// alertsAt are the pairs in force for a window of the given actual length.
func (o Objective) alertsAt(length, step time.Duration) (pairs []AlertWindow, warnings []string, err error) {
	if o.Alerts == nil {
		pairs, warnings = o.DefaultAlerts(length)
	} else {
		var faults []error
		for _, a := range o.Alerts {
			if err := o.checkAlert(a, length); err != nil {
				faults = append(faults, err)
			}
		}
		if len(faults) > 0 {
			return nil, nil, joinFaults(faults)
		}
		pairs = o.Alerts
	}
	for _, a := range pairs {
		if a.Short < step {
			warnings = append(warnings, fmt.Sprintf("alert %s is always frozen: its short window is shorter than a slice of %s", a, FormatDuration(step)))
		}
	}
	return pairs, warnings, nil
}

// PairStatus is one pair at one watermark. Burn rates are nil without a valid event, coverages when nothing was
// expected; Reason says in words why it is frozen or held back, else it is empty.
type PairStatus struct {
	AlertWindow
	State        AlertState
	LongBurn     *float64
	ShortBurn    *float64
	LongCoverage *float64
	Reason       string
}

// pair evaluates one pair from the tallies of its windows, without memory.
func (o Objective) pair(a AlertWindow, long, short Tally) PairStatus {
	p := PairStatus{AlertWindow: a, State: Inactive, LongBurn: o.BurnRate(long), ShortBurn: o.BurnRate(short), LongCoverage: long.Coverage()}
	switch {
	case p.LongCoverage == nil:
		p.State, p.Reason = Frozen, "every slice of the long window is excluded"
	case *p.LongCoverage < o.MinCoverage:
		p.State, p.Reason = Frozen, fmt.Sprintf("coverage %.4g of the long window is below %v", *p.LongCoverage, o.MinCoverage)
	case short.Measured == 0:
		p.State, p.Reason = Frozen, "no measurement in the last "+FormatDuration(a.Short)+" before the watermark, the short window"
	case p.LongBurn == nil || p.ShortBurn == nil || !above(*p.LongBurn, a.Factor) || !above(*p.ShortBurn, a.Factor):
	case long.Total < o.MinEvents:
		p.Reason = fmt.Sprintf("%v valid events in the long window, %v are needed", long.Total, o.MinEvents)
	default:
		p.State = Firing
	}
	return p
}

// SeverityStatus is the state of all pairs of a severity together.
type SeverityStatus struct {
	Severity string     `json:"severity"`
	State    AlertState `json:"state"`
}

// severities folds pairs: firing if any fires, else frozen if any is frozen, else inactive. In order of appearance.
func severities(pairs []PairStatus) []SeverityStatus {
	rank := map[AlertState]int{Inactive: 0, Frozen: 1, Firing: 2}
	var out []SeverityStatus
next:
	for _, p := range pairs {
		for i := range out {
			if out[i].Severity == p.Severity {
				if cmp.Compare(rank[p.State], rank[out[i].State]) > 0 {
					out[i].State = p.State
				}
				continue next
			}
		}
		out = append(out, SeverityStatus{p.Severity, p.State})
	}
	return out
}
