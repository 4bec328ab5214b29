package main

import (
	"context"
	"fmt"
	"time"

	"github.com/kubevalue/kubevalue/pipeline"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/slo"
)

// RetentionConfig is how long rows are kept, by what they are; 0: for ever. What is derived from events and slices (first uses, days of
// activity, hours of slices) and what was published outlives them.
type RetentionConfig struct {
	// Events are kept for this long after they happened. It must not be shorter than late events are taken, and closed periods stay open.
	Events Duration `yaml:"events"`
	// Activity are the days on which actors did anything: what sets of active people over months are counted from.
	Activity Duration `yaml:"activity"`
	// Slices are the measurements of indicators. It must be longer than any objective's window.
	Slices Duration `yaml:"slices"`
	// Changes are what happened to resources in clusters; their newest state stays.
	Changes Duration `yaml:"changes"`
	// Quarantine are records that could not be stored, retried and dropped ones included. They hold names of persons.
	Quarantine Duration `yaml:"quarantine"`
	// Deliveries say which report went to whom.
	Deliveries Duration `yaml:"deliveries"`
}

// defaultQuarantineDays is how long the quarantine keeps records unless configured.
const defaultQuarantineDays = 90

// minRetention are the shortest retentions: below them rows would go that are still needed.
const (
	minRetention = 7 * 24 * time.Hour
	// sliceRetention is the longest window of an objective, a year, with room for its closing.
	sliceRetention = 400 * 24 * time.Hour
	// deliveryRetention keeps a report from being sent again.
	deliveryRetention = 35 * 24 * time.Hour
)

func (c *Config) checkRetention(f *yamlFile) {
	r := c.Retention
	late := max(time.Duration(c.Spool.MaxLateness), pipeline.DedupWindow) + time.Duration(c.Objectives.CloseAfter)
	for _, limit := range []struct {
		path  string
		value Duration
		least time.Duration
		why   string
	}{
		{"retention.events", r.Events, late, "late events are taken for spool.max_lateness, and periods close objectives.close_after later"},
		{"retention.activity", r.Activity, max(late, time.Duration(r.Events)), "it is what is left of events, which must not stay longer"},
		{"retention.slices", r.Slices, sliceRetention, "objectives may look back over a year"},
		{"retention.changes", r.Changes, late, "late changes are taken for spool.max_lateness, and periods close objectives.close_after later"},
		{"retention.quarantine", r.Quarantine, minRetention, "somebody must have the time to look"},
		{"retention.deliveries", r.Deliveries, deliveryRetention, "a report must not be sent twice"},
	} {
		if limit.value < 0 || limit.value > 0 && time.Duration(limit.value) < limit.least {
			f.At(limit.path, "%s is too short; at least %s (%s), or 0 to keep all", daysText(time.Duration(limit.value)), daysText(limit.least), limit.why)
		}
	}
	if r.Activity > 0 && r.Events == 0 {
		f.At("retention.activity", "events are kept for ever, and it is what is left of them: set retention.events, or keep both")
	}
}

// daysText writes whole days as the configuration does.
func daysText(d time.Duration) string {
	const day = 24 * time.Hour
	if d > 0 && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return d.String()
}

// longestDays are the lengths of calendar units, at their longest.
var longestDays = map[slo.Unit]int{slo.Day: 1, slo.Week: 7, slo.Month: 31, slo.Quarter: 92, slo.Year: 366}

// keptLongEnough refuses windows whose beginning would be gone before their figures are published.
func (c *Config) keptLongEnough(w slo.Window) error {
	kept, length := time.Duration(c.Retention.Slices), w.Rolling
	if w.IsCalendar() {
		length = time.Duration(w.Count*longestDays[w.Unit]) * 24 * time.Hour
	}
	if needed := length + time.Duration(c.Objectives.CloseAfter); kept > 0 && needed > kept {
		return fmt.Errorf("its window is %s, but slices are kept for %s only: set retention.slices to %s or more, or to 0 to keep all", w, daysText(kept), daysText(needed))
	}
	return nil
}

// applyRetention makes the tables keep their rows for as long as configured.
func applyRetention(ctx context.Context, cfg *Config, db *warehouse.DB) error {
	r := cfg.Retention
	for table, d := range map[string]Duration{
		schema.TableEvents: r.Events, "activity_days": r.Activity, "activity_months": r.Activity, "activity_kinds": r.Activity, schema.TableSlices: r.Slices, "resource_changes": r.Changes,
		schema.TableQuarantine: r.Quarantine, schema.TableDeliveries: r.Deliveries,
	} {
		if err := db.SetRetention(ctx, table, time.Duration(d)); err != nil {
			return err
		}
	}
	return nil
}
