package dashboards

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/kubevalue/kubevalue/reports"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/slo"
)

// verdict is how something stands, in words and as a class of the style sheet.
type verdict struct{ Class, Text string }

// The classes of verdicts.
const (
	classGood    = "good"
	classBad     = "bad"
	classWarn    = "warn"
	classUnknown = "unknown"
)

// urgency orders verdicts: what wants attention comes first.
var urgency = map[string]int{classBad: 0, classWarn: 1, classUnknown: 2, classGood: 3}

// objectiveRow is an objective in a list.
type objectiveRow struct {
	Objective
	Href    string
	Verdict verdict
	// Left is the width of the bar of the budget that is left, 0 to 100.
	Left float64
}

func rowOf(o Objective) objectiveRow {
	row := objectiveRow{Objective: o, Href: "/objectives/" + url.PathEscape(o.Name), Verdict: judge(o)}
	if o.Status != nil && o.Status.Remaining != nil {
		row.Left = 100 * min(1, max(0, *o.Status.Remaining))
	}
	return row
}

// judge says the most urgent that there is to say about an objective.
func judge(o Objective) verdict {
	s := o.Status
	if s == nil {
		return verdict{classUnknown, "not computed"}
	}
	var firing []string
	for _, a := range s.Alerts {
		if a.State == slo.Firing {
			firing = append(firing, a.Severity)
		}
	}
	switch {
	case len(firing) > 0:
		return verdict{classBad, "alert firing: " + strings.Join(firing, ", ")}
	case s.Remaining == nil:
		return verdict{classUnknown, "nothing measured"}
	case *s.Remaining <= 0:
		return verdict{classBad, "budget used up"}
	case s.LowCoverage:
		return verdict{classUnknown, "too little measured"}
	case s.Forecast.At != nil && s.Forecast.At.Sub(s.At) <= reports.ForecastWithin:
		return verdict{classWarn, "at this rate used up on " + s.Forecast.At.In(zoneOf(o.Zone)).Format("Mon 2 Jan")}
	}
	return verdict{classGood, "within budget"}
}

func (s *server) objectivesPage(c *gin.Context) {
	all, err := s.cfg.Sources.Objectives(c.Request.Context())
	if err != nil {
		s.fail(c, err)
		return
	}
	rows := make([]objectiveRow, len(all))
	counts := map[string]int{}
	for i, o := range all {
		rows[i] = rowOf(o)
		counts[rows[i].Verdict.Class]++
	}
	text := "No objective is configured: list OpenSLO files under objectives.openslo."
	if len(rows) > 0 {
		text = fmt.Sprintf("%d of %s within budget", counts[classGood], plural(len(rows), "objective"))
		for _, class := range []struct{ name, words string }{{classBad, "used up or with a firing alert"}, {classWarn, "on the way to be used up"}, {classUnknown, "that cannot be judged"}} {
			if n := counts[class.name]; n > 0 {
				text += fmt.Sprintf(", %d %s", n, class.words)
			}
		}
		text += "."
	}
	uses, more := usesOf(rows)
	slices.SortStableFunc(rows, func(a, b objectiveRow) int { return urgency[a.Verdict.Class] - urgency[b.Verdict.Class] })
	s.show(c, "objectives.html", "objectives", frame{Title: "Objectives", Here: "objectives", Content: struct {
		Summary string
		Rows    []objectiveRow
		Uses    []useRow
		// MoreUses is how many incidents are not shown.
		MoreUses int
	}{text, rows, uses, more}})
}

// objectiveView is the page of one objective.
type objectiveView struct {
	ObjectiveDetail
	Verdict  verdict
	Forecast string
	BurnDown part
	Chart    *chart
	Burn     *chart
	Causes   []causeRow
	Explain  part
}

// causeRow is an incident with its part of the budget, or the part that no incident accounts for.
type causeRow struct {
	ID, Title, Class, Origin string
	Start, Lasted            string
	Share, Consumed, Minutes string
	// Width is that of the bar of the share, 0 to 100.
	Width     float64
	Followups string
	Links     []string
}

func (s *server) objectivePage(c *gin.Context) {
	name := c.Param("name")
	detail, err := s.detail(c, name)
	if err != nil {
		s.fail(c, err)
		return
	}
	view := objectiveView{ObjectiveDetail: detail, Verdict: judge(detail.Objective)}
	connected := s.cfg.Sources.Objective != nil
	if detail.Status != nil {
		view.Forecast = forecastText(detail.Status.Forecast, detail.Status.At, detail.Zone)
		view.Chart = burnDown(detail)
		view.Burn = burnRates(*detail.Status)
		view.Causes = causes(detail)
		if view.Chart == nil {
			view.BurnDown = s.missing(c, "the burn-down", connected, nil)
			switch {
			case connected && detail.Status.MeasuredSlices > 0:
				view.BurnDown.Missing = "Each group has a budget of its own, so there is no burn-down of them all."
			case connected:
				view.BurnDown.Missing = "Nothing was measured in the window, so there is no burn-down."
			}
		}
	}
	if len(detail.Formulas) == 0 {
		view.Explain = part{Missing: "The arithmetic with its numbers: kubevalue slo explain " + name}
	}
	s.show(c, "objective.html", "objective/"+name, frame{Title: name, Here: "objectives", Charts: view.Chart != nil || view.Burn != nil, Content: view})
}

// detail asks for all about an objective, or, where that is not connected, for what the list has.
func (s *server) detail(c *gin.Context, name string) (ObjectiveDetail, error) {
	if s.cfg.Sources.Objective != nil {
		return s.cfg.Sources.Objective(c.Request.Context(), name)
	}
	o, err := s.objective(c, name)
	return ObjectiveDetail{Objective: o}, err
}

func (s *server) objective(c *gin.Context, name string) (Objective, error) {
	all, err := s.cfg.Sources.Objectives(c.Request.Context())
	if err != nil {
		return Objective{}, err
	}
	for _, o := range all {
		if o.Name == name {
			return o, nil
		}
	}
	return Objective{}, NotFoundError{What: "the objective " + name}
}

// farAway is when a forecast says no more than that nothing is about to happen.
const farAway = 91 * 24 * time.Hour

// forecastText is the forecast at a watermark in words.
func forecastText(f slo.Forecast, at time.Time, zone string) string {
	over := slo.FormatDuration(f.Window)
	switch {
	case f.Exhausted:
		return "The budget is used up."
	case f.At != nil && f.At.Sub(at) > farAway:
		return fmt.Sprintf("At the rate of the last %s (%s) the budget lasts for more than a quarter.", over, optional(f.Burn, burnText))
	case f.At != nil:
		return fmt.Sprintf("At the rate of the last %s (%s) the budget is used up on %s.", over, optional(f.Burn, burnText), instantText(*f.At, zone))
	case f.Reason != "":
		return "The budget is not expected to be used up: " + f.Reason + "."
	}
	return ""
}

// burnDown draws what was left of the budget over the window, with incidents and exclusions on the time axis.
func burnDown(d ObjectiveDetail) *chart {
	t := timeChart{name: "Budget left", zone: d.Zone}
	out := &chart{ID: "burndown", Title: "Error budget left over the window of " + d.Window, Suffix: "%", Table: table{Head: []string{"Time", "Budget left"}}}
	var first, last *float64
	for i, p := range d.BurnDown {
		t.times, t.values = append(t.times, p.At), append(t.values, p.Remaining)
		if p.Remaining == nil {
			continue
		}
		if first == nil {
			first = p.Remaining
		}
		last = p.Remaining
		if i%max(1, len(d.BurnDown)/28) == 0 || i == len(d.BurnDown)-1 {
			out.Table.Rows = append(out.Table.Rows, []string{instantText(p.At, d.Zone), reports.Ratio(*p.Remaining)})
		}
	}
	if first == nil {
		return nil
	}
	period := d.Status.Period
	for _, i := range d.Incidents {
		end := i.Resolved
		if end.IsZero() || end.After(d.Status.At) {
			end = d.Status.At
		}
		t.spans = append(t.spans, span{name: i.ID, from: later(i.Start, period.From), to: end, color: "var(--s2)"})
	}
	for _, x := range d.Exclusions {
		for _, i := range x.Within(period) {
			t.spans = append(t.spans, span{from: later(i.From, period.From), to: i.To, color: "var(--s5)"})
		}
	}
	out.Options = t.options()
	out.Point = fmt.Sprintf("From %s to %s of the budget.", reports.Ratio(*first), reports.Ratio(*last))
	if n := len(d.Incidents); n > 0 {
		out.Point += " Bands with a name are " + plural(n, "incident") + "."
	}
	if len(d.Exclusions) > 0 {
		out.Point += " Grey bands without a name do not count."
	}
	return out
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// burnRates draws both windows of each alert pair as a share of the pair's threshold, so that pairs compare.
func burnRates(s slo.Status) *chart {
	if len(s.Pairs) == 0 {
		return nil
	}
	long := line{name: "Long window", color: "var(--s1)"}
	short := line{name: "Short window", color: "var(--s3)"}
	var labels []string
	t := table{Head: []string{"Alert", "Long window", "Burn rate", "Short window", "Burn rate", "Fires above", "State"}}
	near, which := 0.0, ""
	for _, p := range s.Pairs {
		labels = append(labels, fmt.Sprintf("%s %s/%s", p.Severity, slo.FormatDuration(p.Long), slo.FormatDuration(p.Short)))
		long.values, short.values = append(long.values, over(p.LongBurn, p.Factor)), append(short.values, over(p.ShortBurn, p.Factor))
		state := string(p.State)
		if p.Reason != "" {
			state += ": " + p.Reason
		}
		t.Rows = append(t.Rows, []string{
			p.Severity, slo.FormatDuration(p.Long), optional(p.LongBurn, burnText), slo.FormatDuration(p.Short), optional(p.ShortBurn, burnText), burnText(p.Factor), state,
		})
		if l, s := over(p.LongBurn, p.Factor), over(p.ShortBurn, p.Factor); l != nil && s != nil && min(*l, *s) >= near {
			near, which = min(*l, *s), labels[len(labels)-1]
		}
	}
	out := &chart{
		ID: "burnrates", Title: "Burn rates as a share of their alert's threshold", Suffix: "%", Low: true, Table: t,
		Options: barChart{labels: labels, parts: []line{long, short}, scale: scaleOf("ratio"), beside: true, limit: new(1.0)}.options(),
	}
	out.Point = "No burn rate is known."
	if which != "" {
		out.Point = fmt.Sprintf("An alert fires when both of its windows burn faster than its threshold, the dashed line; the nearest is %s, at %s of it.", which, reports.Ratio(near))
	}
	return out
}

// over is a burn rate as a share of a threshold; undefined for a threshold of 0.
func over(burn *float64, factor float64) *float64 {
	if burn == nil || factor == 0 {
		return nil
	}
	return new(*burn / factor)
}

// causes joins incidents with what they used of the budget, the most first, and what none accounts for last.
func causes(d ObjectiveDetail) []causeRow {
	parts := map[string]slo.AttributionPart{}
	if d.Status.Attribution != nil {
		for _, p := range d.Status.Attribution.Parts {
			parts[p.ID] = p
		}
	}
	var out []causeRow
	incidents := slices.Clone(d.Incidents)
	slices.SortStableFunc(incidents, func(a, b schema.Incident) int {
		return int(1e9*parts[b.ID].Share) - int(1e9*parts[a.ID].Share)
	})
	for _, i := range incidents {
		row := causeRow{ID: i.ID, Title: i.Title, Class: i.Class, Origin: string(i.Origin), Start: instantText(i.Start, d.Zone), Links: i.Links}
		row.Lasted = "lasts"
		if !i.Resolved.IsZero() {
			row.Lasted = lastedText(i.Resolved.Sub(i.Start))
		}
		row.Followups = followups(i.Followups)
		row.of(parts[i.ID])
		delete(parts, i.ID)
		out = append(out, row)
	}
	if d.Status.Attribution == nil {
		return out
	}
	for _, p := range d.Status.Attribution.Parts { // those whose records are not here
		if _, left := parts[p.ID]; !left {
			continue
		}
		row := causeRow{ID: p.ID, Class: p.Class, Origin: string(p.Cause)}
		if p.ID == slo.Unattributed {
			row.ID, row.Title = "", "No incident recorded"
		}
		row.of(p)
		out = append(out, row)
	}
	return out
}

func (r *causeRow) of(p slo.AttributionPart) {
	r.Share, r.Consumed, r.Minutes, r.Width = reports.Ratio(p.Share), reports.Ratio(p.Consumed), reports.Minutes(p.BadMinutes), 100*p.Share
}

func followups(list []schema.Followup) string {
	if len(list) == 0 {
		return "none"
	}
	done := 0
	for _, f := range list {
		if !f.Done.IsZero() {
			done++
		}
	}
	return fmt.Sprintf("%d of %d done", done, len(list))
}
