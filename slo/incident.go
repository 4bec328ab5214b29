package slo

import (
	"errors"
	"fmt"
	"time"
)

// Cause says on whose side an incident's cause was.
type Cause string

// The causes; the empty one is unknown.
const (
	Own      Cause = "own"
	Upstream Cause = "upstream"
)

// Unattributed is the name of the part of a budget that no incident accounts for.
const Unattributed = "unattributed"

// Incident is a stretch of time to which bad slices are attributed.
type Incident struct {
	ID    string
	From  time.Time
	To    time.Time // zero while the incident lasts
	Title string
	Class string
	Cause Cause
}

func (i Incident) check() error {
	switch {
	case i.ID == "":
		return errors.New("incident without an id")
	case i.ID == Unattributed:
		return fmt.Errorf("incident %q: the id is reserved", i.ID)
	case i.Cause != "" && i.Cause != Own && i.Cause != Upstream:
		return fmt.Errorf("incident %s: unknown cause %q: must be own or upstream", i.ID, i.Cause)
	}
	to := i.To
	if to.IsZero() {
		to = latest.Add(-1)
	}
	if err := (Interval{i.From, to}).check(); err != nil {
		return fmt.Errorf("incident %s: %w", i.ID, err)
	}
	return nil
}

// span is the incident's interval, up to at while it lasts.
func (i Incident) span(at time.Time) Interval {
	if i.To.IsZero() {
		return Interval{i.From, at}
	}
	return Interval{i.From, i.To}
}
