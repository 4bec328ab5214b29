package dashboards

import (
	"math"
	"strconv"
	"time"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"
)

// chart is a drawing with all that replaces it where it cannot be seen: a sentence, and the figures as a table. The options are
// go-echarts'; assets/charts.js draws them. Colours are the style sheet's, as var(--name).
type chart struct {
	// ID is unique on its page.
	ID, Title string
	// Point is what the chart shows, in a sentence.
	Point string
	// Suffix follows the values of the tooltip: %, or a unit with a space before it.
	Suffix  string
	Options map[string]any
	Table   table
	// Low makes it less high than others.
	Low bool
}

// table is figures with a header; the first cell of each row is the row's header.
type table struct {
	Head []string
	Rows [][]string
}

// line is one line of a chart. The symbol and the dashes tell lines apart without colours.
type line struct {
	name   string
	values []*float64
	color  string
	symbol string
	dashed bool
	thin   bool
}

// scale fits values to the axis of a chart: ratios become percent.
type scale struct {
	factor float64
	suffix string
}

func scaleOf(unit string) scale {
	switch unit {
	case "ratio":
		return scale{100, "%"}
	case "times":
		return scale{1, "×"}
	case "":
		return scale{1, ""}
	}
	return scale{1, " " + unit}
}

// axisSuffix is short, since it is repeated at every tick; what the numbers are is said in the title.
func (s scale) axisSuffix() string {
	if s.suffix == "%" {
		return "%"
	}
	return ""
}

// point is a value of a chart: gaps are drawn as gaps.
func (s scale) point(v *float64) any {
	if v == nil || math.IsNaN(*v) || math.IsInf(*v, 0) {
		return "-"
	}
	return s.round(*v)
}

// round keeps options short: nobody sees the seventh digit of a point.
func (s scale) round(v float64) float64 {
	out, err := strconv.ParseFloat(strconv.FormatFloat(v*s.factor, 'g', 7, 64), 64)
	if err != nil {
		return v * s.factor
	}
	return out
}

// frameOpts are what all charts have in common; top is the room in pixels above the drawing. The style sheet gives the height,
// assets/charts.js the theme.
func frameOpts(legend bool, top int) []charts.GlobalOpts {
	return []charts.GlobalOpts{
		charts.WithInitializationOpts(opts.Initialization{Theme: "none"}),
		charts.WithTooltipOpts(opts.Tooltip{Show: opts.Bool(true), Trigger: "axis"}),
		charts.WithLegendOpts(opts.Legend{Show: opts.Bool(legend), Left: "0", Top: "0", Type: "scroll", ItemWidth: 16, ItemHeight: 10}),
		charts.WithGridOpts(opts.Grid{Left: "4", Right: "28", Top: strconv.Itoa(top), Bottom: "8", ContainLabel: opts.Bool(true)}),
	}
}

// Room above a drawing, in pixels: for nothing, for names of spans, for a legend.
const (
	topBare   = 16
	topNames  = 34
	topLegend = 40
)

// lineChart draws lines over periods, with the interval of the first one as a band.
type lineChart struct {
	labels    []string
	lines     []line
	scale     scale
	low, high []*float64
	fromZero  bool
}

func (l lineChart) options() map[string]any {
	c := charts.NewLine()
	top := topBare
	if len(l.lines) > 1 {
		top = topLegend
	}
	c.SetGlobalOptions(frameOpts(len(l.lines) > 1, top)...)
	c.SetGlobalOptions(
		charts.WithXAxisOpts(opts.XAxis{Type: "category", AxisLabel: &opts.AxisLabel{HideOverlap: opts.Bool(true)}}),
		yAxis(l.scale, l.fromZero),
	)
	c.SetXAxis(l.labels)
	l.band(c)
	for _, ln := range l.lines {
		c.AddSeries(ln.name, l.points(ln.values), l.style(ln)...)
	}
	c.Validate()
	return c.JSON()
}

func yAxis(s scale, fromZero bool) charts.GlobalOpts {
	axis := opts.YAxis{Type: "value", SplitNumber: 4, Scale: opts.Bool(!fromZero), AxisLabel: &opts.AxisLabel{}}
	if suffix := s.axisSuffix(); suffix != "" {
		axis.AxisLabel.Formatter = "{value}%"
	}
	return charts.WithYAxisOpts(axis)
}

func (l lineChart) points(values []*float64) []opts.LineData {
	out := make([]opts.LineData, len(values))
	for i, v := range values {
		out[i].Value = l.scale.point(v)
	}
	return out
}

func (l lineChart) style(ln line) []charts.SeriesOpts {
	style := opts.LineStyle{Color: ln.color, Width: 2.5}
	if ln.dashed {
		style.Type = "dashed"
	}
	if ln.thin {
		style.Width = 1.5
	}
	out := []charts.SeriesOpts{
		charts.WithLineChartOpts(opts.LineChart{Symbol: ln.symbol, SymbolSize: 6, ShowSymbol: opts.Bool(len(ln.values) <= 30)}),
		charts.WithLineStyleOpts(style), charts.WithItemStyleOpts(opts.ItemStyle{Color: ln.color}),
	}
	return out
}

// limitLine draws a target or a threshold across a chart.
func limitLine(at float64) []charts.SeriesOpts {
	return []charts.SeriesOpts{
		charts.WithMarkLineNameYAxisItemOpts(opts.MarkLineNameYAxisItem{YAxis: at}),
		charts.WithMarkLineStyleOpts(opts.MarkLineStyle{
			Symbol: []string{"none", "none"}, LineStyle: &opts.LineStyle{Color: "var(--soft)", Type: "dashed", Width: 1.5},
			Label: &opts.Label{Show: opts.Bool(false)},
		}),
	}
}

// band draws the interval between low and high as the area between two lines that are not drawn themselves; assets/charts.js
// keeps the stack "interval" out of tooltips.
func (l lineChart) band(c *charts.Line) {
	with := false
	width := make([]*float64, len(l.low))
	for i := range l.low {
		if l.low[i] != nil && l.high[i] != nil {
			width[i], with = new(*l.high[i]-*l.low[i]), true
		}
	}
	if !with {
		return
	}
	for i, values := range [][]*float64{l.low, width} {
		style := []charts.SeriesOpts{
			charts.WithLineChartOpts(opts.LineChart{Stack: "interval", Symbol: "none"}),
			charts.WithLineStyleOpts(opts.LineStyle{Opacity: opts.Float(0)}),
			charts.WithItemStyleOpts(opts.ItemStyle{Color: "var(--s1)"}),
		}
		if i == 1 {
			style = append(style, charts.WithAreaStyleOpts(opts.AreaStyle{Color: "var(--s1)", Opacity: opts.Float(0.16)}))
		}
		c.AddSeries("", l.points(values), style...)
	}
}

// barChart draws bars of several parts, on top of each other (those below 0 downwards) or beside each other.
type barChart struct {
	labels []string
	parts  []line
	scale  scale
	beside bool
	// limit is drawn as a dashed line.
	limit *float64
}

func (b barChart) options() map[string]any {
	c := charts.NewBar()
	c.SetGlobalOptions(frameOpts(true, topLegend)...)
	c.SetGlobalOptions(
		charts.WithXAxisOpts(opts.XAxis{Type: "category", AxisLabel: &opts.AxisLabel{HideOverlap: opts.Bool(true)}}),
		yAxis(b.scale, true),
	)
	c.SetXAxis(b.labels)
	shape := opts.BarChart{Stack: "all", BarCategoryGap: "25%"}
	if b.beside {
		shape = opts.BarChart{BarCategoryGap: "45%", BarGap: "10%"}
	}
	for i, p := range b.parts {
		style := []charts.SeriesOpts{charts.WithBarChartOpts(shape), charts.WithItemStyleOpts(opts.ItemStyle{Color: p.color})}
		if i == 0 && b.limit != nil {
			style = append(style, limitLine(b.scale.round(*b.limit))...)
		}
		data := make([]opts.BarData, len(p.values))
		for i, v := range p.values {
			data[i].Value = b.scale.point(v)
		}
		c.AddSeries(p.name, data, style...)
	}
	c.Validate()
	return c.JSON()
}

// span is a stretch of time on a chart's axis, with its name above it.
type span struct {
	name     string
	from, to time.Time
	color    string
}

// timeChart draws one line over time, with spans behind it.
type timeChart struct {
	name   string
	times  []time.Time
	values []*float64
	spans  []span
	zone   string
	limit  float64
}

// wall is the clock of the zone as if it were UTC, since the browser's own zone must not matter.
func wall(t time.Time, zone string) int64 {
	_, offset := t.In(zoneOf(zone)).Zone()
	return t.UnixMilli() + int64(offset)*1000
}

func (t timeChart) options() map[string]any {
	c := charts.NewLine()
	c.SetGlobalOptions(frameOpts(false, topNames)...)
	c.SetGlobalOptions(
		charts.WithXAxisOpts(opts.XAxis{Type: "time", AxisLabel: &opts.AxisLabel{HideOverlap: opts.Bool(true), Formatter: "{d} {MMM}", ShowMinLabel: opts.Bool(false), ShowMaxLabel: opts.Bool(false)}}),
		t.budgetAxis(),
	)
	percent := scaleOf("ratio")
	data := make([]opts.LineData, len(t.values))
	for i, v := range t.values {
		data[i].Value = []any{wall(t.times[i], t.zone), percent.point(v)}
	}
	style := append([]charts.SeriesOpts{
		charts.WithLineChartOpts(opts.LineChart{Symbol: "none"}),
		charts.WithLineStyleOpts(opts.LineStyle{Color: "var(--s1)", Width: 2.5}), charts.WithItemStyleOpts(opts.ItemStyle{Color: "var(--s1)"}),
		charts.WithAreaStyleOpts(opts.AreaStyle{Color: "var(--s1)", Opacity: opts.Float(0.10)}),
	}, limitLine(t.limit)...)
	c.AddSeries(t.name, data, append(style, t.marks()...)...)
	c.Validate()
	return c.JSON()
}

// budgetAxis goes from all of a budget to none, or below it as far as needed, in steps that end at both.
func (t timeChart) budgetAxis() charts.GlobalOpts {
	lowest := 0.0
	for _, v := range t.values {
		if v != nil {
			lowest = min(lowest, 100**v)
		}
	}
	step := 25.0
	for -lowest > 3*step {
		step *= 2
	}
	return charts.WithYAxisOpts(opts.YAxis{
		Type: "value", Max: 100, Min: step * math.Floor(lowest/step), MinInterval: step, MaxInterval: step, AxisLabel: &opts.AxisLabel{Formatter: "{value}%"},
	})
}

func (t timeChart) marks() []charts.SeriesOpts {
	var out []charts.SeriesOpts
	for _, s := range t.spans {
		from := opts.MarkAreaData{
			Name: s.name, XAxis: wall(s.from, t.zone),
			MarkAreaStyle: opts.MarkAreaStyle{ItemStyle: &opts.ItemStyle{Color: s.color, BorderColor: s.color, BorderWidth: 1.5, Opacity: opts.Float(0.35)}},
		}
		out = append(out, charts.WithMarkAreaData([]opts.MarkAreaData{from, {XAxis: wall(s.to, t.zone)}}))
	}
	return append(out, charts.WithMarkAreaStyleOpts(opts.MarkAreaStyle{Label: &opts.Label{Show: opts.Bool(true), Color: "var(--ink)", Position: "top"}}))
}
