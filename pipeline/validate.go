// Package pipeline takes records from the collectors to the warehouse: validate, spool, seal, deduplicate, identify, insert. What it has
// acknowledged is on disk and reaches the tables once, whatever crashes in between.
package pipeline

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// Bounds of an event's fields, in bytes and pieces.
const (
	maxName       = 200
	maxField      = 1024
	maxID         = 512
	maxGroups     = 100
	maxAttributes = 50
	maxKey        = 200
	maxValue      = 2048
)

// The times that can be stored.
var (
	earliest = time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(2105, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Validate says why an event can never be stored, by field and bound; nil: it can. The error repeats nothing of the event but the names of
// fields. A time in the future is no fault: it is clamped to the receipt.
func Validate(e *schema.Event) error {
	if e.Name == "" {
		return errors.New("name is missing: say what happened, e.g. deployments.create")
	}
	if e.Source == "" {
		return errors.New("source is missing")
	}
	if err := checkTimes(e.Time, e.Received); err != nil {
		return err
	}
	fields := []struct {
		name, value string
		max         int
	}{
		{"name", e.Name, maxName}, {"id", e.ID, maxID}, {"source", e.Source, maxName}, {"actor", e.Actor, maxField}, {"team", e.Team, maxName},
		{"owner_team", e.OwnerTeam, maxName}, {"persona", e.Persona, maxName}, {"cluster", e.Cluster, maxField}, {"namespace", e.Namespace, maxField},
		{"resource", e.Resource, maxField}, {"object", e.Object, maxField}, {"reason", e.Reason, maxName},
	}
	for _, f := range fields {
		if err := checkText(f.name, f.value, f.max); err != nil {
			return err
		}
	}
	if !slices.Contains([]schema.Outcome{"", schema.OutcomeSuccess, schema.OutcomeFailure, schema.OutcomeDenied}, e.Outcome) {
		return errors.New("outcome must be success, failure or denied")
	}
	if !slices.Contains([]schema.ActorKind{"", schema.ActorHuman, schema.ActorMachine, schema.ActorUnknown}, e.ActorKind) {
		return errors.New("actor_kind must be human, machine or unknown")
	}
	if err := errors.Join(checkNumber("duration_ms", e.DurationMS, 0), checkNumber("value", e.Value, math.Inf(-1))); err != nil {
		return err
	}
	return checkLists(e)
}

func checkLists(e *schema.Event) error {
	if len(e.Groups) > maxGroups {
		return fmt.Errorf("groups has %d entries, at most %d", len(e.Groups), maxGroups)
	}
	for _, g := range e.Groups {
		if err := checkText("groups", g, maxField); err != nil {
			return err
		}
	}
	if len(e.Attributes) > maxAttributes {
		return fmt.Errorf("attributes has %d entries, at most %d", len(e.Attributes), maxAttributes)
	}
	for k, v := range e.Attributes {
		if err := errors.Join(checkText("a key of attributes", k, maxKey), checkText("a value of attributes", v, maxValue)); err != nil {
			return err
		}
	}
	return nil
}

func checkTimes(at, received time.Time) error {
	for name, t := range map[string]time.Time{"time": at, "received": received} {
		switch {
		case t.IsZero():
			return fmt.Errorf("%s is missing", name)
		case t.Before(earliest) || t.After(latest):
			return fmt.Errorf("%s is outside %d to %d", name, earliest.Year(), latest.Year()-1)
		}
	}
	return nil
}

func checkText(name, value string, limit int) error {
	switch {
	case len(value) > limit:
		return fmt.Errorf("%s has %d bytes, at most %d", name, len(value), limit)
	case !utf8.ValidString(value):
		return fmt.Errorf("%s is not valid UTF-8", name)
	}
	return nil
}

func checkNumber(name string, v *float64, low float64) error {
	if v != nil && (math.IsNaN(*v) || math.IsInf(*v, 0) || *v < low) {
		return fmt.Errorf("%s must be a finite number, and durations 0 or more", name)
	}
	return nil
}

// checkBatch lists the records that can never be stored.
func checkBatch(b schema.Batch) error {
	var faults []collectors.RecordError
	add := func(kind string, i int, err error) {
		if err != nil {
			faults = append(faults, collectors.RecordError{Kind: kind, Index: i, Err: err})
		}
	}
	for i := range b.Events {
		add("event", i, Validate(&b.Events[i]))
	}
	for i, s := range b.Slices {
		add("slice", i, checkSlice(s))
	}
	for i, a := range b.Aliases {
		if a.From == "" || a.To == "" || a.At.IsZero() {
			add("alias", i, errors.New("from, to and at are required"))
			continue
		}
		add("alias", i, errors.Join(checkText("from", a.From, maxField), checkText("to", a.To, maxField)))
	}
	for i, in := range b.Incidents {
		add("incident", i, checkIncident(in))
	}
	if len(faults) > 0 {
		return &collectors.BatchError{Records: faults}
	}
	return nil
}

func checkSlice(s schema.Slice) error {
	switch {
	case s.Indicator == "" || s.Revision == "":
		return errors.New("indicator and revision are required")
	case s.Seconds == 0 || s.Seconds > 24*60*60:
		return fmt.Errorf("seconds %d: want 1 to 86400", s.Seconds)
	case s.Start.Before(earliest) || s.Start.After(latest):
		return errors.New("start is missing or out of range")
	case s.Start.UnixNano()%(int64(s.Seconds)*int64(time.Second)) != 0:
		return fmt.Errorf("start is not a multiple of %d s since the Unix epoch", s.Seconds)
	case math.IsNaN(s.Good+s.Total) || math.IsInf(s.Good+s.Total, 0) || s.Good < 0 || s.Good > s.Total:
		return fmt.Errorf("good %v of total %v: want finite counts with 0 <= good <= total", s.Good, s.Total)
	case s.State != schema.SliceMeasured && s.State != schema.SliceGap:
		return errors.New("state must be measured or gap")
	case s.State == schema.SliceGap && s.Total != 0:
		return errors.New("a gap has no counts")
	}
	return errors.Join(checkText("indicator", s.Indicator, maxField), checkText("revision", s.Revision, maxName), checkText("group", s.Group, maxField))
}

func checkIncident(in schema.Incident) error {
	switch {
	case in.ID == "" || in.Service == "":
		return errors.New("id and service are required")
	case in.Start.Before(earliest) || in.Start.After(latest):
		return errors.New("start is missing or out of range")
	case !in.Resolved.IsZero() && !in.Start.Before(in.Resolved):
		return errors.New("resolved must be after start")
	case !in.Detected.IsZero() && in.Detected.Before(in.Start):
		return errors.New("detected must not be before start")
	case !slices.Contains([]schema.Origin{schema.OriginUnknown, schema.OriginOwn, schema.OriginUpstream}, in.Origin):
		return errors.New("origin must be own, upstream or unknown")
	}
	return errors.Join(checkText("id", in.ID, maxName), checkText("service", in.Service, maxName), checkText("class", in.Class, maxName), checkText("title", in.Title, maxValue), checkText("cause", in.Cause, maxValue))
}
