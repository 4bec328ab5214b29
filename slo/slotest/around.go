package slotest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/slo"
)

// runsShown is how many runs of equal slices are shown before the watermark; two more are shown after it.
const runsShown = 12

// run is a stretch of equal slices.
type run struct {
	from  time.Time
	text  string
	notes string
	n     int
}

// around shows each indicator's slices before and just after a watermark, as the notation writes them, with what
// excludes or explains them.
func (t test) around(at time.Time) string {
	req := t.kase.Request
	if len(t.faults) > 0 || req.Grid.Step <= 0 {
		return ""
	}
	at = req.Grid.Floor(at)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(t.kase.Series)) {
		fmt.Fprintf(&b, "    slices of %s, %s each:\n", name, slo.FormatDuration(req.Grid.Step))
		runs := t.runs(t.kase.Series[name], at)
		first := max(0, slices.IndexFunc(append(runs, run{from: at}), func(r run) bool { return !r.from.Before(at) })-runsShown)
		if first > 0 {
			fmt.Fprintf(&b, "      … %d runs before\n", first)
		}
		for _, r := range runs[first:] {
			text := r.text
			if r.n > 1 {
				text += fmt.Sprintf("*%d", r.n)
			}
			mark := ""
			if !r.from.Before(at) {
				mark = "  after the watermark"
			}
			fmt.Fprintf(&b, "      %s  %s%s%s\n", r.from.UTC().Format(time.RFC3339), text, r.notes, mark)
		}
	}
	return b.String()
}

// slicesShown bounds how far back from the watermark slices are looked at.
const slicesShown = 50_000

// runs folds the slices from the start, or slicesShown before the watermark, to a little after it.
func (t test) runs(in []slo.Slice, at time.Time) []run {
	req := t.kase.Request
	byStart := map[time.Time]slo.Slice{}
	for _, s := range in {
		byStart[s.Start] = s
	}
	var out []run
	after := 0
	first := req.Grid.Origin
	if at.Sub(first)/req.Grid.Step > slicesShown {
		first = at.Add(-slicesShown * req.Grid.Step)
	}
	for start := first; start.Before(t.end) || start.Before(at); start = start.Add(req.Grid.Step) {
		r := run{from: start, text: formatSlice(byStart[start]), notes: t.notes(start), n: 1}
		if last := len(out) - 1; last >= 0 && out[last].text == r.text && out[last].notes == r.notes && !start.Equal(at) {
			out[last].n++
			continue
		}
		if !start.Before(at) {
			if after++; after > 2 {
				break
			}
		}
		out = append(out, r)
	}
	return out
}

// notes are the exclusions and incidents over the slice at start.
func (t test) notes(start time.Time) string {
	req := t.kase.Request
	slice := slo.Interval{From: start, To: start.Add(req.Grid.Step)}
	var b strings.Builder
	for _, e := range req.Exclusions {
		if len(e.Within(slice)) > 0 {
			fmt.Fprintf(&b, "  excluded (%s)", e.Reason)
		}
	}
	for _, i := range req.Incidents {
		if i.From.Before(slice.To) && (i.To.IsZero() || start.Before(i.To)) {
			fmt.Fprintf(&b, "  %s", i.ID)
		}
	}
	return b.String()
}
