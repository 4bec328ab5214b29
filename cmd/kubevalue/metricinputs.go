package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/journey"
)

// The inputs of a published value beside the definition.
const (
	inputSettings  = "settings"
	inputMerges    = "merges"
	inputRoster    = "roster"
	inputRegistry  = "registries"
	inputEvents    = "events"
	inputHistory   = "history"
	inputResources = "resources"
	inputFigures   = "objectives"
	inputLater     = "later"
)

// metricInputChanges say what it is called when an input has changed.
var metricInputChanges = []struct{ input, reason string }{
	{inputDefinition, "definition change"}, {inputSettings, "settings change"}, {inputMerges, "merged identities"}, {inputRoster, "roster change"},
	{inputRegistry, "change of capabilities or prices"},
	{inputEvents, "late data"}, {inputHistory, "late data of earlier periods"}, {inputResources, "late data from clusters or people"},
	{inputFigures, "change of an objective's figures"},
}

// observedLonger is the reason when only what happened after the period is different: what was still waited for has come, or a
// source that was silent has spoken again.
const observedLonger = "observed for longer"

// metricReason names the inputs that have changed.
func metricReason(was, is map[string]string) string {
	var reasons []string
	for _, c := range metricInputChanges {
		if was[c.input] != is[c.input] {
			reasons = append(reasons, c.reason)
		}
	}
	if len(reasons) == 0 && was[inputLater] != is[inputLater] {
		return observedLonger
	}
	return cmp.Or(strings.Join(reasons, ", "), recomputed)
}

// periodInputs are the hashes of what goes into the values of one period, whichever the metric is.
type periodInputs struct {
	hashes map[string]string
	// received is when the last of the period's events came in.
	received time.Time
}

// of are the inputs of one metric.
func (i periodInputs) of(m journey.Metric) (map[string]string, error) {
	out := maps.Clone(i.hashes)
	if m.Objective == nil {
		delete(out, inputFigures)
	} else {
		out = map[string]string{inputSettings: i.hashes[inputSettings], inputFigures: i.hashes[inputFigures]}
	}
	definition, err := json.Marshal([]any{m.Version, m.Unit, m.SQL, m.Analysis, m.Objective, m.Interval, m.MinSample, m.SmallGroup})
	out[inputDefinition] = digest(definition)
	return out, err
}

// periodSums are what the tables hold of one period.
type periodSums struct {
	events, resources int64
	hash, changes     string
	received          time.Time
}

// metricInputs are the inputs of the metrics in neighbouring periods, in their order.
func (f *figures) metricInputs(ctx context.Context, periods []journey.Period) ([]periodInputs, error) {
	common, err := f.commonInputs(ctx)
	if err != nil {
		return nil, err
	}
	marks := []int64{0}
	for _, p := range periods {
		marks = append(marks, p.From.UnixMilli())
	}
	marks = append(marks, periods[len(periods)-1].To.UnixMilli())
	sums, err := f.sumsBetween(ctx, marks)
	if err != nil {
		return nil, err
	}
	total := int64(0)
	for _, s := range sums {
		total += s.events
	}
	out := make([]periodInputs, len(periods))
	before := sums[0].events
	for i, p := range periods {
		s := sums[p.From.UnixMilli()]
		objectives, err := f.objectives.figures(ctx, p, f.now())
		if err != nil {
			return nil, err
		}
		said, err := json.Marshal(objectives)
		if err != nil {
			return nil, fmt.Errorf("figures of objectives in %s: %w", p.Label, err)
		}
		hashes := maps.Clone(common)
		hashes[inputEvents] = digest(fmt.Append(nil, s.events, s.hash))
		hashes[inputHistory] = fmt.Sprint(before)
		hashes[inputResources] = digest(fmt.Append(nil, s.resources, s.changes))
		hashes[inputFigures] = digest(said)
		before += s.events
		hashes[inputLater] = fmt.Sprint(total - before)
		out[i] = periodInputs{hashes, s.received}
	}
	return out, nil
}

// commonInputs are those that all periods share.
func (f *figures) commonInputs(ctx context.Context) (map[string]string, error) {
	s := f.evaluator.Settings
	settings := fmt.Append(nil, s.Calendar.Zone.String(), s.Calendar.WeekStart, s.SmallGroup, s.MinSample, s.NotValue)
	identities, err := f.analyses().Identities(ctx)
	if err != nil {
		return nil, err
	}
	roster, err := f.db.Query(ctx, "SELECT count(), sum(cityHash64(team, actor, valid_from, valid_to, voluntary, persona)) FROM roster_current", nil)
	if err != nil {
		return nil, fmt.Errorf("compare the roster: %w", err)
	}
	said, err := f.db.Query(ctx, "SELECT count(), sum(cityHash64(actor, day, team)) FROM actor_groups FINAL", nil)
	if err != nil {
		return nil, fmt.Errorf("compare the teams that actors told: %w", err)
	}
	registries, err := f.db.Query(ctx, "SELECT registry, argMax(digest, version) FROM registry_versions GROUP BY registry ORDER BY registry", nil)
	if err != nil {
		return nil, fmt.Errorf("compare what is registered: %w", err)
	}
	return map[string]string{
		inputSettings: digest(settings),
		inputRegistry: digest(fmt.Append(nil, registries.Rows)),
		inputMerges:   digest(fmt.Append(nil, identities.Merged, identities.Canonical)),
		inputRoster:   digest(fmt.Append(nil, append(roster.Rows[0], said.Rows[0]...)...)),
	}, nil
}

// sumsBetween are texts and counts that change with every event, change of a resource, feedback and consumption between two marks, by the mark before it.
func (f *figures) sumsBetween(ctx context.Context, marks []int64) (map[int64]periodSums, error) {
	out := map[int64]periodSums{}
	for _, table := range []struct{ name, key, received string }{
		{"events", "id", "received"}, {"resource_changes", "cluster, kind, uid, change, key, version", "seen"},
		{"feedback", "kind, id, version", "time"},
		{"(SELECT *, start AS time FROM consumption FINAL)", "cluster, start, kind, class, namespace, team, seconds, core_seconds, byte_seconds", "time"},
	} {
		result, err := f.db.Query(ctx, fmt.Sprintf(`SELECT roundDown(toUnixTimestamp64Milli(time), {marks:Array(Int64)}) AS mark, count(),
			toString(sumIf(cityHash64(%s), time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({to:Int64}, 'UTC'))), max(%s)
			FROM %s GROUP BY mark`, table.key, table.received, table.name), map[string]any{"marks": marks, "from": marks[1], "to": marks[len(marks)-1]})
		if err != nil {
			return nil, fmt.Errorf("compare the rows of %s: %w", table.name, err)
		}
		for _, row := range result.Rows {
			mark, _ := row[0].(int64)
			s := out[mark]
			if at := instantOf(row[3]); at.After(s.received) {
				s.received = at
			}
			if table.name == "events" {
				s.events, s.hash = count(row[1]), text(row[2])
			} else {
				s.resources, s.changes = s.resources+count(row[1]), s.changes+text(row[2])
			}
			out[mark] = s
		}
	}
	return out, nil
}
