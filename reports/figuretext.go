package reports

import (
	"math"
	"time"

	"github.com/kubevalue/kubevalue/journey"
)

// ValueText is the value, in the unit of time that the target can be compared in; "–" when there is none.
func (f Figure) ValueText() string {
	switch {
	case f.Value == nil:
		return "–"
	case f.Target == nil:
		return Value(*f.Value, f.Unit)
	}
	text, _ := Pair(*f.Value, *f.Target, f.Unit)
	return text
}

// ChangeText is the change with its sign, in the value's unit of time.
func (f Figure) ChangeText() string {
	size, isTime := unitLength[f.Unit]
	if f.Change == nil || f.Value == nil || !isTime {
		return changeOr(f.Change, f.Unit)
	}
	longest := math.Abs(*f.Value)
	if f.Target != nil {
		longest = max(longest, math.Abs(*f.Target))
	}
	unit := fitting(time.Duration(longest * float64(size)))
	amount := digits(math.Abs(*f.Change)*float64(size)/float64(unit.size), 2) + " " + unit.name
	switch {
	case *f.Change < 0:
		return "−" + amount
	case *f.Change > 0:
		return "+" + amount
	}
	return "±" + amount
}

func changeOr(change *float64, unit string) string {
	if change == nil {
		return ""
	}
	return Change(*change, unit)
}

// TargetText is the target with its sense, in the unit of time in which the value is written.
func (f Figure) TargetText() string {
	if f.Target == nil {
		return ""
	}
	text := Value(*f.Target, f.Unit)
	if f.Value != nil {
		text, _ = Pair(*f.Target, *f.Value, f.Unit)
	}
	return sense(f.Expect) + text
}

// sense is the sign between a value and its target.
func sense(d journey.Direction) string {
	switch d {
	case journey.DirectionUp:
		return "≥ "
	case journey.DirectionDown:
		return "≤ "
	}
	return ""
}
