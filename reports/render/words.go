package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/reports"
)

// quality says how far the figures can be trusted, and where the journey map has none.
func quality(r reports.Report) (lines, gaps []string) {
	q := r.Quality
	if q.Missing != "" {
		lines = append(lines, "How well the sources reported is not known: "+q.Missing+".")
	} else {
		lines = append(lines, sources(q))
		switch {
		case q.Unattributed != nil:
			lines = append(lines, fmt.Sprintf("Of %s actions by people, %s belong to no known team.", reports.Number(float64(q.People)), reports.Ratio(*q.Unattributed)))
		default:
			lines = append(lines, "No actions by people were recorded.")
		}
		lines = append(lines, fmt.Sprintf("Records that could not be stored, and are kept in quarantine: %s.", reports.Number(float64(q.Quarantined))))
	}
	if q.Withheld > 0 {
		lines = append(lines, fmt.Sprintf("Figures withheld, since they are about fewer than %d people or too small a sample: %d.", r.MinGroup, q.Withheld))
	}
	if q.Failed > 0 {
		lines = append(lines, fmt.Sprintf("Questions that could not be answered when this was built: %d.", q.Failed))
	}
	if r.Audience == reports.Consumers {
		lines = append(lines, sourceLines(q, location(r.Period.Zone))...)
	}
	for i, g := range q.Gaps {
		if i == maxLines {
			gaps = append(gaps, fmt.Sprintf("%d more.", len(q.Gaps)-i))
			break
		}
		gaps = append(gaps, fmt.Sprintf("%s, %s (%s): %s", g.Phase, g.Activity, strings.ToLower(g.Perspective), g.Reason))
	}
	return lines, gaps
}

// sources sums the sources up, and names those that were silent.
func sources(q reports.Quality) string {
	reporting, with, sum := 0, 0, 0.0
	var silent []string
	for _, s := range q.Sources {
		if s.Reporting {
			reporting++
		} else {
			silent = append(silent, s.Name)
		}
		if s.Coverage != nil {
			with++
			sum += *s.Coverage
		}
	}
	if len(q.Sources) == 0 {
		return "No source is connected."
	}
	text := fmt.Sprintf("%d of %d sources reported", reporting, len(q.Sources))
	if with > 0 {
		text += ", with a mean coverage of " + reports.Ratio(sum/float64(with)) + " of the week"
	}
	if len(silent) > 0 {
		text += "; silent: " + nameSome(silent)
	}
	return text + "."
}

// nameSome lists at most maxLines names.
func nameSome(names []string) string {
	if n := len(names) - maxLines; n > 0 {
		return strings.Join(names[:maxLines], ", ") + fmt.Sprintf(" and %d more", n)
	}
	return strings.Join(names, ", ")
}

// sourceLines names the sources that were not complete, the worst first.
func sourceLines(q reports.Quality, zone *time.Location) []string {
	incomplete := slices.DeleteFunc(slices.Clone(q.Sources), func(s reports.SourceQuality) bool { return s.Coverage == nil || *s.Coverage >= 1 })
	slices.SortStableFunc(incomplete, func(a, b reports.SourceQuality) int { return cmp.Compare(*a.Coverage, *b.Coverage) })
	var out []string
	for i, s := range incomplete {
		if i == maxLines {
			return append(out, fmt.Sprintf("%d more sources were not complete.", len(incomplete)-i))
		}
		seen := "never seen"
		if !s.Last.IsZero() {
			seen = "last seen " + s.Last.In(zone).Format("Mon 2 Jan 15:04")
		}
		out = append(out, fmt.Sprintf("%s: coverage %s, %s.", s.Name, reports.Ratio(*s.Coverage), seen))
	}
	return out
}

// reading says by which rules the report was made.
func reading(r reports.Report) []string {
	zone := r.Period.Zone
	out := []string{
		fmt.Sprintf("All figures are of the %s in the time zone %s unless they name another; changes are against %s.", "week "+r.Period.Label, zone, r.Previous.Label),
		"n is the sample size; coverage is the share of the time in which the sources reported. What was not measured counts neither as up nor as zero.",
		"A change is not judged when less than 90% of either week was measured. It is called out when the week before lies outside of the 95% interval or, for figures without one, when it is a tenth or more.",
		"A minute of error budget is a minute in which everything fails. The budget is 1 minus the target, over the objective's own window.",
		fmt.Sprintf("No figure is about one person. Groups of fewer than %d people are not named.", r.MinGroup),
	}
	if r.WeekStart != time.Monday {
		out = append(out, fmt.Sprintf("Weeks start on %s; week 1 is the one with 4 January, so labels can differ from ISO 8601.", r.WeekStart))
	}
	return append(out, "Built by kubevalue at "+r.Built.In(location(zone)).Format("2006-01-02 15:04 MST")+".")
}
