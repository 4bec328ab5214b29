package slo

import (
	"fmt"
	"time"
)

// Times that the engine accepts: inside these bounds differences of times cannot overflow.
var (
	earliest = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Interval is the half-open span of time [From, To).
type Interval struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Length is the elapsed time between From and To, so a local day with a change of clocks has 23 or 25 hours.
func (i Interval) Length() time.Duration { return i.To.Sub(i.From) }

// String formats the interval in UTC.
func (i Interval) String() string {
	return fmt.Sprintf("[%s, %s)", i.From.UTC().Format(time.RFC3339), i.To.UTC().Format(time.RFC3339))
}

// check refuses empty, reversed and unrepresentable intervals.
func (i Interval) check() error {
	if err := checkTime(i.From); err != nil {
		return err
	}
	if err := checkTime(i.To); err != nil {
		return err
	}
	switch {
	case i.From.Equal(i.To):
		return fmt.Errorf("the interval %s is empty: from must be before to", i)
	case i.To.Before(i.From):
		return fmt.Errorf("the interval %s is reversed, it ends before it starts: from must be before to", i)
	}
	return nil
}

func checkTime(t time.Time) error {
	if t.Before(earliest) || !t.Before(latest) {
		return fmt.Errorf("time %s is out of range: use times from 1970 to 2199", t.UTC().Format(time.RFC3339))
	}
	return nil
}

// Grid is the raster of an indicator's slices: slice k covers [Origin + k*Step, Origin + (k+1)*Step).
type Grid struct {
	Origin time.Time     `json:"origin"`
	Step   time.Duration `json:"step"`
}

// EpochGrid is the grid whose slices are aligned to the Unix epoch, as the stored ones are.
func EpochGrid(step time.Duration) Grid { return Grid{Origin: time.Unix(0, 0).UTC(), Step: step} }

func (g Grid) check() error {
	if g.Step <= 0 {
		return fmt.Errorf("slice length %s must be above 0", FormatDuration(g.Step))
	}
	return checkTime(g.Origin)
}

// Floor is the last slice boundary at or before t.
func (g Grid) Floor(t time.Time) time.Time { return g.start(g.floor(t)) }

// checkStart refuses a start of a slice that is not on the grid.
func (g Grid) checkStart(t time.Time) error {
	if g.Floor(t).Equal(t) {
		return nil
	}
	return fmt.Errorf("slice %s is not on the grid: slices start every %s from %s", t.UTC().Format(time.RFC3339Nano), FormatDuration(g.Step),
		g.Origin.UTC().Format(time.RFC3339))
}

// start is the beginning of slice k.
func (g Grid) start(k int64) time.Time { return g.Origin.Add(time.Duration(k) * g.Step) }

// floor is the number of the slice that contains t.
func (g Grid) floor(t time.Time) int64 {
	d := t.Sub(g.Origin)
	k := int64(d / g.Step)
	if d%g.Step < 0 {
		k--
	}
	return k
}

// ceil is the number of the first slice that starts at or after t.
func (g Grid) ceil(t time.Time) int64 {
	k := g.floor(t)
	if g.start(k).Before(t) {
		k++
	}
	return k
}

// span is a half-open range of slice numbers.
type span struct{ lo, hi int64 }

// within is the slices that start inside i.
func (g Grid) within(i Interval) span { return span{g.ceil(i.From), g.ceil(i.To)} }

// touching is the slices that overlap i at all.
func (g Grid) touching(i Interval) span { return span{g.floor(i.From), g.ceil(i.To)} }

func (s span) len() int64 { return max(0, s.hi-s.lo) }

func (s span) covers(o span) bool { return s.lo <= o.lo && o.hi <= s.hi }

func (s span) cut(o span) span { return span{max(s.lo, o.lo), min(s.hi, o.hi)} }
