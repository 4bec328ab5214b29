package dashboards

import (
	"cmp"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/reports"
)

// metricView is the page that explains a metric.
type metricView struct {
	Metric journey.Metric
	Nav    periodNav
	// Latest is the value of the period asked for; nil when there is none.
	Latest     *journey.Value
	Values     []valueRow
	Published  publishedView
	Chart      *chart
	Split      splitView
	Statements []Statement
	// Parameters are those of the period, where the statements as they were run are not known.
	Parameters [][2]string
	// StatementsMissing says why the statements are those of the definition.
	StatementsMissing string
}

func (s *server) metricPage(c *gin.Context) {
	id := c.Param("id")
	metric, values, err := s.cfg.Sources.Metric(c.Request.Context(), id, c.Query("period"), LookbackPeriods)
	if err != nil {
		s.fail(c, err)
		return
	}
	view := metricView{Metric: metric}
	view.Values, view.Published = s.published(c, id, values)
	if len(values) > 0 {
		latest := values[0]
		if latest.Previous == nil && len(values) > 1 {
			latest.Previous = &values[1]
		}
		view.Latest = &latest
		view.Nav = s.navigate("/metric/"+url.PathEscape(id), latest.Period, url.Values{}, journey.GrainWeek, journey.GrainMonth, journey.GrainQuarter)
		view.Chart = metricChart(metric, values)
	}
	s.statements(c, &view)
	view.Split = s.split(c, &view)
	s.show(c, "metric.html", "metric/"+id, frame{Title: metric.Title, Here: "journey", Charts: view.Chart != nil, Content: view})
}

// splitView is a metric by one of its dimensions.
type splitView struct {
	part
	By   string
	Ways []link
	Rows []splitRow
	// More is how many further values there are, None how many have no value.
	More, None int
	// Alike is set where bars would all be of one length.
	Alike bool
}

// splitRow is a value of the dimension, with the width of its bar, 0 to 100.
type splitRow struct {
	Name  string
	Value journey.Value
	Width float64
}

// maxSplit is how many values of a dimension a page shows.
const maxSplit = 15

// split shows the metric by the dimension that was asked for, or else its first one, the values that want attention first.
func (s *server) split(c *gin.Context, v *metricView) splitView {
	var out splitView
	if s.cfg.Sources.Split == nil || v.Latest == nil || len(v.Metric.Dimensions) == 0 {
		return out
	}
	dimensions := slices.Clone(v.Metric.Dimensions) // teams last: where there is another way to look, it comes first
	slices.SortStableFunc(dimensions, func(a, b string) int { return order(a == journey.DimensionTeam, b == journey.DimensionTeam) })
	out.By = dimensions[0]
	page, label := "/metric/"+url.PathEscape(v.Metric.ID), v.Latest.Period.Label
	if by := c.Query("by"); slices.Contains(dimensions, by) {
		out.By = by
	}
	for _, d := range dimensions {
		out.Ways = append(out.Ways, link{Text: d, Href: address(page, url.Values{"period": {label}}, "by", d) + "#split", Current: d == out.By})
	}
	values, err := s.cfg.Sources.Split(c.Request.Context(), v.Metric.ID, label, out.By)
	if err != nil {
		out.part = s.missing(c, "the split by "+out.By, true, err)
		return out
	}
	out.fill(values, v.Metric.Direction)
	return out
}

func (v *splitView) fill(values []journey.Value, good journey.Direction) {
	top, least := 0.0, math.Inf(1)
	for _, x := range values {
		if x.Value == nil && x.Withheld == "" {
			v.None++
			continue
		}
		v.Rows = append(v.Rows, splitRow{Name: cmp.Or(x.Dimensions[v.By], "(none)"), Value: x})
		if x.Value != nil {
			top, least = max(top, math.Abs(*x.Value)), min(least, *x.Value)
		}
	}
	v.Alike = least > 0.95*top
	slices.SortStableFunc(v.Rows, func(a, b splitRow) int { return attention(a, b, good) })
	for i, r := range v.Rows {
		if r.Value.Value != nil && top > 0 {
			v.Rows[i].Width = 100 * max(0, *r.Value.Value) / top
		}
	}
	if n := len(v.Rows) - maxSplit; n > 0 {
		v.Rows, v.More = v.Rows[:maxSplit], n
	}
}

// attention puts the worst value first, the greatest where neither direction is good, and what is withheld last.
func attention(a, b splitRow, good journey.Direction) int {
	x, y := a.Value.Value, b.Value.Value
	switch {
	case x == nil && y == nil:
		return cmp.Compare(a.Name, b.Name)
	case x == nil:
		return 1
	case y == nil:
		return -1
	case good == journey.DirectionUp:
		return cmp.Or(cmp.Compare(*x, *y), cmp.Compare(a.Name, b.Name))
	}
	return cmp.Or(cmp.Compare(*y, *x), cmp.Compare(a.Name, b.Name))
}

// statements shows the SQL as it was run, or else the definition's with the parameters that the period gives.
func (s *server) statements(c *gin.Context, v *metricView) {
	if s.cfg.Sources.Statements != nil && v.Latest != nil && (v.Metric.SQL != nil || v.Metric.Analysis != nil) {
		found, err := s.cfg.Sources.Statements(c.Request.Context(), v.Metric.ID, v.Latest.Period.Label)
		if err == nil && len(found) > 0 {
			slices.SortStableFunc(found, func(a, b Statement) int { return order(a.Supporting, b.Supporting) })
			v.Statements = found
			return
		}
		if err != nil {
			v.StatementsMissing = s.missing(c, "the statements as they were run", true, err).Missing
		}
	}
	if v.Metric.SQL == nil {
		return
	}
	for _, part := range v.Metric.SQL.Statements() {
		v.Statements = append(v.Statements, Statement{Name: part.Name, SQL: part.SQL})
	}
	if v.Latest != nil {
		p := v.Latest.Period
		v.Parameters = [][2]string{
			{"starts", "[" + strconv.FormatInt(p.From.UnixMilli(), 10) + "], that is " + instantText(p.From, p.Zone)},
			{"ends", "[" + strconv.FormatInt(p.To.UnixMilli(), 10) + "], that is " + instantText(p.To, p.Zone)},
			{"now", strconv.FormatInt(v.Latest.ComputedAt.UnixMilli(), 10) + ", that is " + instantText(v.Latest.ComputedAt, p.Zone)},
			{"zone", p.Zone},
		}
	}
}

// metricChart is the values over time, oldest first, with the interval as a band; nil when fewer than two are known. The page has
// their table below it.
func metricChart(m journey.Metric, values []journey.Value) *chart {
	oldest := slices.Clone(values)
	slices.Reverse(oldest)
	sc := scaleOf(m.Unit)
	l := lineChart{scale: sc, fromZero: m.Unit != "ratio"}
	known := []journey.Value{}
	line := line{name: m.Title, color: "var(--s1)", symbol: "circle"}
	for _, v := range oldest {
		l.labels = append(l.labels, shortPeriod(v.Period))
		line.values, l.low, l.high = append(line.values, v.Value), append(l.low, v.Low), append(l.high, v.High)
		if v.Value != nil {
			known = append(known, v)
		}
	}
	if len(known) < 2 {
		return nil
	}
	l.lines = append(l.lines, line)
	a, z := known[0], known[len(known)-1]
	from, to := reports.Pair(*a.Value, *z.Value, m.Unit)
	out := &chart{ID: "series", Title: fmt.Sprintf("%s, %s", m.Title, plural(len(values), grainNoun(z.Period.Grain))), Suffix: sc.suffix, Options: l.options()}
	out.Point = fmt.Sprintf("From %s in %s to %s in %s.", from, a.Period.Label, to, z.Period.Label)
	for _, v := range known {
		if v.Low != nil {
			out.Point += " The band is the 95% interval."
			break
		}
	}
	return out
}

func grainNoun(g journey.Grain) string { return string(g) }

// order sorts false before true.
func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
