// Package pipeline takes records from the collectors to the warehouse: validate, spool, seal, deduplicate, identify, insert.
// What it has acknowledged is on disk and reaches the tables once, whatever crashes in between.
package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// The limits of records. Lengths are in bytes.
const (
	MaxNameBytes           = 200
	MaxFieldBytes          = 1 << 10
	MaxAttributes          = 50
	MaxAttributeKeyBytes   = 200
	MaxAttributeValueBytes = 2 << 10
	MaxGroups              = 1000
	MaxLinks               = 100
	MaxFollowups           = 100
	MaxDetailsBytes        = 16 << 10
	// MaxBatch is how many records a batch may have: as many as one insert takes.
	MaxBatch = 100_000
	// MaxSliceSeconds is a day.
	MaxSliceSeconds = 24 * 60 * 60
	// MaxSliceAhead is how far in the future a slice may start, or a change have been seen: clocks differ, but a slice of tomorrow is a mistake.
	MaxSliceAhead = 5 * time.Minute
)

// The times that tables hold, half-open.
var (
	minTime = time.Unix(0, 0).UTC()
	maxTime = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Kinds of records, in errors, metrics and the quarantine.
const (
	kindEvent    = "event"
	kindSlice    = "slice"
	kindAlias    = "alias"
	kindIncident = "incident"
	kindChange   = "change"
	kindFeedback = "feedback"

	kindConsumption = "consumption"
	kindSegment     = "segment"
)

// Validate says why an event can never be stored, whatever the time: its first fault; nil when it can. Lateness is judged at
// Append, since it depends on the sender's grant. No error repeats a value, since it may be a person's name.
func Validate(e *schema.Event) error {
	if !textsFit(e) {
		return checkTexts(e)
	}
	switch {
	case e.Name == "":
		return errors.New("name is missing: say what happened, e.g. \"deployments.create\"")
	case e.Source == "":
		return errors.New("source is missing")
	case e.Time.IsZero():
		return errors.New("time is missing")
	case e.Time.Before(minTime):
		return fmt.Errorf("time %s is before %s", e.Time.Format(time.RFC3339), minTime.Format(time.DateOnly))
	}
	if err := checkEnums(e); err != nil {
		return err
	}
	if d := e.DurationMS; d != nil && (!finite(*d) || *d < 0) {
		return fmt.Errorf("duration_ms %v must be a finite number, 0 or more", *d)
	}
	if v := e.Value; v != nil && !finite(*v) {
		return fmt.Errorf("value %v must be a finite number", *v)
	}
	return checkLists(e)
}

// textsFit says whether checkTexts has nothing to say: the quick way, since every event goes it more than once.
func textsFit(e *schema.Event) bool {
	return fits(e.ID, MaxFieldBytes) && fits(e.Source, MaxFieldBytes) && fits(e.Name, MaxNameBytes) && fits(e.Actor, MaxFieldBytes) &&
		fits(e.Team, MaxFieldBytes) && fits(e.OwnerTeam, MaxFieldBytes) && fits(e.Persona, MaxFieldBytes) && fits(e.Cluster, MaxFieldBytes) &&
		fits(e.Namespace, MaxFieldBytes) && fits(e.Resource, MaxFieldBytes) && fits(e.Object, MaxFieldBytes) && fits(e.Reason, MaxFieldBytes)
}

func fits(value string, limit int) bool { return len(value) <= limit && utf8.ValidString(value) }

// checkTexts finds the first text that is too long or none.
func checkTexts(e *schema.Event) error {
	for _, f := range []struct {
		name, value string
		max         int
	}{
		{"id", e.ID, MaxFieldBytes}, {"source", e.Source, MaxFieldBytes}, {"name", e.Name, MaxNameBytes},
		{"actor", e.Actor, MaxFieldBytes}, {"team", e.Team, MaxFieldBytes}, {"owner_team", e.OwnerTeam, MaxFieldBytes},
		{"persona", e.Persona, MaxFieldBytes}, {"cluster", e.Cluster, MaxFieldBytes}, {"namespace", e.Namespace, MaxFieldBytes},
		{"resource", e.Resource, MaxFieldBytes}, {"object", e.Object, MaxFieldBytes}, {"reason", e.Reason, MaxFieldBytes},
	} {
		if err := checkText(f.name, f.value, f.max); err != nil {
			return err
		}
	}
	return nil
}

func checkEnums(e *schema.Event) error {
	switch e.Outcome {
	case "", schema.OutcomeSuccess, schema.OutcomeFailure, schema.OutcomeDenied:
	default:
		return fmt.Errorf("outcome must be %s, %s or %s", schema.OutcomeSuccess, schema.OutcomeFailure, schema.OutcomeDenied)
	}
	switch e.ActorKind {
	case "", schema.ActorUnknown, schema.ActorHuman, schema.ActorMachine:
		return nil
	}
	return fmt.Errorf("actor_kind must be %s, %s or %s", schema.ActorHuman, schema.ActorMachine, schema.ActorUnknown)
}

func checkLists(e *schema.Event) error {
	if len(e.Groups) > MaxGroups {
		return fmt.Errorf("groups: %d are more than %d", len(e.Groups), MaxGroups)
	}
	for _, g := range e.Groups {
		if err := checkText("groups", g, MaxFieldBytes); err != nil {
			return err
		}
	}
	if len(e.Attributes) > MaxAttributes {
		return fmt.Errorf("attributes: %d are more than %d", len(e.Attributes), MaxAttributes)
	}
	for k, v := range e.Attributes {
		if k == "" {
			return errors.New("attributes: a key is empty")
		}
		if fits(k, MaxAttributeKeyBytes) && fits(v, MaxAttributeValueBytes) {
			continue
		}
		return errors.Join(checkText("attributes: a key", k, MaxAttributeKeyBytes), checkText("attributes: a value", v, MaxAttributeValueBytes))
	}
	return nil
}

func checkText(name, value string, limit int) error {
	if fits(value, limit) {
		return nil
	}
	if len(value) > limit {
		return fmt.Errorf("%s has %d bytes, more than %d", name, len(value), limit)
	}
	return fmt.Errorf("%s is not valid UTF-8", name)
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

func checkSlice(s *schema.Slice) error {
	switch {
	case s.Indicator == "":
		return errors.New("indicator is missing")
	case s.Revision == "":
		return errors.New("revision is missing")
	case s.Seconds == 0 || s.Seconds > MaxSliceSeconds:
		return fmt.Errorf("seconds %d must lie between 1 and %d", s.Seconds, MaxSliceSeconds)
	case s.Start.Before(minTime) || !s.Start.Before(maxTime):
		return fmt.Errorf("start %s must lie between %s and %s", s.Start.Format(time.RFC3339), minTime.Format(time.DateOnly), maxTime.Format(time.DateOnly))
	case s.Start.Nanosecond() != 0 || s.Start.Unix()%int64(s.Seconds) != 0:
		return fmt.Errorf("start %s is not aligned to %d seconds since the Unix epoch", s.Start.UTC().Format(time.RFC3339Nano), s.Seconds)
	case !finite(s.Good) || !finite(s.Total) || s.Good < 0 || s.Good > s.Total:
		return fmt.Errorf("good %v and total %v must be numbers with 0 <= good <= total", s.Good, s.Total)
	}
	switch s.State {
	case schema.SliceMeasured:
	case schema.SliceGap:
		if s.Total != 0 {
			return fmt.Errorf("a gap cannot have a total of %v", s.Total)
		}
	default:
		return fmt.Errorf("state must be %s or %s", schema.SliceMeasured, schema.SliceGap)
	}
	return errors.Join(checkText("indicator", s.Indicator, MaxFieldBytes), checkText("revision", s.Revision, MaxFieldBytes),
		checkText("group", s.Group, MaxFieldBytes))
}

func checkAlias(a *schema.Alias) error {
	if a.From == "" || a.To == "" {
		return errors.New("an alias needs from and to")
	}
	return errors.Join(checkText("source", a.Source, MaxFieldBytes), checkText("from", a.From, MaxFieldBytes), checkText("to", a.To, MaxFieldBytes))
}

// stored is a time as tables keep it.
func stored(t time.Time) time.Time { return t.Truncate(time.Millisecond) }

func checkIncident(i *schema.Incident) error {
	switch {
	case i.ID == "":
		return errors.New("id is missing")
	case i.ID == schema.Unattributed:
		return fmt.Errorf("id %q is the name of what no incident accounts for: choose another", i.ID)
	case i.Service == "":
		return errors.New("service is missing")
	case i.Start.Before(minTime) || !i.Start.Before(maxTime):
		return fmt.Errorf("start must lie between %s and %s", minTime.Format(time.DateOnly), maxTime.Format(time.DateOnly))
	case !i.Resolved.IsZero() && (!stored(i.Resolved).After(stored(i.Start)) || !i.Resolved.Before(maxTime)):
		return fmt.Errorf("resolved %s must be after start %s", i.Resolved.Format(time.RFC3339), i.Start.Format(time.RFC3339))
	case !i.Detected.IsZero() && (i.Detected.Before(i.Start) || !i.Detected.Before(maxTime)):
		return fmt.Errorf("detected %s must not be before start %s", i.Detected.Format(time.RFC3339), i.Start.Format(time.RFC3339))
	case len(i.Links) > MaxLinks || len(i.Objectives) > MaxLinks || len(i.Followups) > MaxFollowups:
		return fmt.Errorf("more than %d links or objectives, or more than %d follow-ups", MaxLinks, MaxFollowups)
	}
	if len(i.Details) > MaxDetailsBytes || len(i.Details) > 0 && (!json.Valid(i.Details) || i.Details[0] != '{') {
		return fmt.Errorf("details: want a JSON object of at most %d bytes, got %d bytes", MaxDetailsBytes, len(i.Details))
	}
	switch i.Origin {
	case "", schema.OriginUnknown, schema.OriginOwn, schema.OriginUpstream:
	default:
		return fmt.Errorf("origin must be %s, %s or %s", schema.OriginOwn, schema.OriginUpstream, schema.OriginUnknown)
	}
	texts := append(append([]string{i.ID, i.Service, i.Title, i.Class, i.Cause}, i.Objectives...), i.Links...)
	for _, f := range i.Followups {
		if f.ID == "" {
			return errors.New("a follow-up has no id")
		}
		texts = append(texts, f.ID, f.Title, f.Owner)
	}
	for _, text := range texts {
		if err := checkText("a field", text, MaxFieldBytes); err != nil {
			return err
		}
	}
	return nil
}

// checkChange refuses what no table holds.
func checkChange(c *schema.ResourceChange) error {
	if err := c.Validate(); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		at   time.Time
	}{
		{"time", c.Time}, {"from", c.From}, {"seen", c.Seen}, {"created", c.Created}, {"first_ready", c.FirstReady},
		{"terminating", c.Terminating}, {"rollout_started", c.RolloutStarted},
	} {
		if !f.at.IsZero() && (f.at.Before(minTime) || !f.at.Before(maxTime)) {
			return fmt.Errorf("%s %s must lie between %s and %s", f.name, f.at.Format(time.RFC3339), minTime.Format(time.DateOnly), maxTime.Format(time.DateOnly))
		}
	}
	return nil
}

// door is what a batch is measured by when it comes.
type door struct {
	lateness time.Duration // 0: any
	now      time.Time
}

// check lists the records of a batch that are not taken, each with its first fault.
func (d door) check(b *schema.Batch) []collectors.RecordError {
	var bad []collectors.RecordError
	bad = appendFaults(bad, kindEvent, b.Events, func(e *schema.Event) error {
		if err := Validate(e); err != nil {
			return err
		}
		if err := checkReceived(e); err != nil {
			return err
		}
		if late := e.Received.Sub(e.Time); !b.Backfill && d.lateness > 0 && late > d.lateness {
			return fmt.Errorf("time %s is %s before its receipt, more than %s: history needs a token with the scope backfill",
				e.Time.UTC().Format(time.RFC3339), late.Round(time.Second), d.lateness)
		}
		return nil
	})
	bad = appendFaults(bad, kindSlice, b.Slices, func(s *schema.Slice) error {
		if err := checkSlice(s); err != nil {
			return err
		}
		if s.Start.After(d.now.Add(MaxSliceAhead)) {
			return fmt.Errorf("start %s lies in the future", s.Start.UTC().Format(time.RFC3339))
		}
		return nil
	})
	bad = appendFaults(bad, kindAlias, b.Aliases, checkAlias)
	bad = appendFaults(bad, kindIncident, b.Incidents, checkIncident)
	bad = appendFaults(bad, kindFeedback, b.Feedback, (*schema.Feedback).Validate)
	bad = appendFaults(bad, kindConsumption, b.Consumption, (*schema.Consumption).Validate)
	return appendFaults(bad, kindChange, b.Changes, func(c *schema.ResourceChange) error {
		if err := checkChange(c); err != nil {
			return err
		}
		if latest := d.now.Add(MaxSliceAhead); c.Time.After(latest) || c.Seen.After(latest) {
			return fmt.Errorf("time %s or seen lies in the future", c.Time.UTC().Format(time.RFC3339))
		}
		return nil
	})
}

// tooMany refuses the records beyond MaxBatch, lists in the order of schema.Batch.
func tooMany(b *schema.Batch) []collectors.RecordError {
	var bad []collectors.RecordError
	before := 0
	for _, l := range []struct {
		kind string
		n    int
	}{{kindEvent, len(b.Events)}, {kindSlice, len(b.Slices)}, {kindAlias, len(b.Aliases)}, {kindIncident, len(b.Incidents)}, {kindChange, len(b.Changes)}, {kindFeedback, len(b.Feedback)}, {kindConsumption, len(b.Consumption)}} {
		for i := max(0, MaxBatch-before); i < l.n; i++ {
			bad = append(bad, collectors.RecordError{Kind: l.kind, Index: i, Err: errTooMany})
		}
		before += l.n
	}
	return bad
}

var errTooMany = fmt.Errorf("a batch may have %d records: send this one in another", MaxBatch)

func appendFaults[T any](bad []collectors.RecordError, kind string, records []T, fault func(*T) error) []collectors.RecordError {
	for i := range records {
		if err := fault(&records[i]); err != nil {
			bad = append(bad, collectors.RecordError{Kind: kind, Index: i, Err: err})
		}
	}
	return bad
}

func checkReceived(e *schema.Event) error {
	if e.Received.Before(minTime) || !e.Received.Before(maxTime) {
		return fmt.Errorf("received %s must lie between %s and %s", e.Received.Format(time.RFC3339), minTime.Format(time.DateOnly), maxTime.Format(time.DateOnly))
	}
	return nil
}
