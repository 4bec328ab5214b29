package render

import (
	"bytes"
	"fmt"
	"image/color"
	"image/png"
	"slices"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/kubevalue/kubevalue/reports"
)

// The size of a chart in CSS pixels; the picture has twice as many, for sharp screens.
const (
	chartWidth  = 304
	chartHeight = 168
	chartDPI    = 144 // a point of the canvas is then a CSS pixel, drawn with two
)

// The colours are of the palette by Okabe and Ito, which colour-blind people can tell apart; what they say is also said in words.
var (
	inkBlue   = color.NRGBA{0x00, 0x5f, 0x99, 0xff}
	paleBlue  = color.NRGBA{0xa9, 0xc8, 0xde, 0xff}
	inkRed    = color.NRGBA{0xc4, 0x4e, 0x00, 0xff}
	paleRed   = color.NRGBA{0xf0, 0xb4, 0x8f, 0xff}
	inkText   = color.NRGBA{0x24, 0x29, 0x2f, 0xff}
	inkGrey   = color.NRGBA{0x57, 0x60, 0x6a, 0xff}
	paleGrey  = color.NRGBA{0xd0, 0xd7, 0xde, 0xff}
	chartBack = color.NRGBA{0xff, 0xff, 0xff, 0xff}
)

// chartPNG draws a chart: no frame, no grid, the values written where they are, and the limit as a dashed line with its name.
// The title is left to the text around the picture.
func chartPNG(c reports.Chart) ([]byte, error) {
	p := plot.New()
	p.BackgroundColor = chartBack
	p.Y.Min, p.Y.Max = 0, chartTop(c)
	p.X.Min, p.X.Max = -0.6, float64(len(c.Points))-0.4
	if c.Limit != nil {
		p.X.Min -= 0.15 * float64(len(c.Points)) // room for its name before the first value
	}
	p.X.Padding, p.Y.Padding = 0, 0
	p.X.LineStyle = draw.LineStyle{Color: paleGrey, Width: 1}
	p.X.Tick.Width, p.X.Tick.Length = 0, 4
	p.X.Tick.Label = label(9.5, inkGrey, false)
	p.X.Tick.Label.YAlign = draw.YTop
	p.X.Tick.Marker = ticks(c)
	p.HideY()
	p.Add(limit{c})
	if c.Bars {
		p.Add(bars{c})
	} else {
		p.Add(line{c})
	}
	p.Add(values{c})
	canvas := vgimg.NewWith(vgimg.UseWH(chartWidth, chartHeight), vgimg.UseDPI(chartDPI))
	p.Draw(draw.Crop(draw.New(canvas), 2, -2, 2, -2))
	var out bytes.Buffer
	enc := png.Encoder{CompressionLevel: png.BestCompression}
	if err := enc.Encode(&out, canvas.Image()); err != nil {
		return nil, fmt.Errorf("drawing the chart %s: %w", c.ID, err)
	}
	return out.Bytes(), nil
}

// chartTop leaves room for the labels above the highest value.
func chartTop(c reports.Chart) float64 {
	top := 0.0
	if c.Limit != nil {
		top = *c.Limit
	}
	for _, p := range c.Points {
		if p.Value != nil {
			top = max(top, *p.Value)
		}
	}
	if top == 0 {
		return 1
	}
	return top * 1.22
}

func ticks(c reports.Chart) plot.ConstantTicks {
	var out plot.ConstantTicks
	for i, p := range c.Points {
		out = append(out, plot.Tick{Value: float64(i), Label: p.Label})
	}
	return out
}

func label(size vg.Length, ink color.Color, bold bool) text.Style {
	f := font.From(font.Font{Typeface: "Liberation", Variant: "Sans"}, size)
	if bold {
		f.Weight = xfont.WeightBold
	}
	return text.Style{Color: ink, Font: f, XAlign: draw.XCenter, YAlign: draw.YBottom, Handler: plot.DefaultTextHandler}
}

// beyond says whether a value is on the wrong side of the limit.
func beyond(c reports.Chart, v float64) bool {
	return c.Limit != nil && c.Over && v > *c.Limit
}

// last is the index of the last point with a value, -1 when there is none.
func last(c reports.Chart) int {
	for i := len(c.Points) - 1; i >= 0; i-- {
		if c.Points[i].Value != nil {
			return i
		}
	}
	return -1
}

// limit is the reference line.
type limit struct{ reports.Chart }

func (l limit) Plot(c draw.Canvas, p *plot.Plot) {
	if l.Limit == nil {
		return
	}
	_, y := p.Transforms(&c)
	at := y(*l.Limit)
	style := draw.LineStyle{Color: inkGrey, Width: 0.8, Dashes: []vg.Length{3, 2.5}}
	c.StrokeLine2(style, c.Min.X, at, c.Max.X, at)
	sty := label(9, inkGrey, false)
	sty.XAlign = draw.XLeft
	c.FillText(sty, vg.Point{X: c.Min.X, Y: at + 1.5}, l.LimitName+" "+reports.Value(*l.Limit, l.Unit))
}

// bars are amounts from zero; the last one is strong, those beyond the limit are red, those measured in part hollow.
type bars struct{ reports.Chart }

func (b bars) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	half := (x(1) - x(0)) * 0.32
	for i, pt := range b.Points {
		if pt.Value == nil {
			continue
		}
		ink := paleBlue
		switch over, now := beyond(b.Chart, *pt.Value), i == last(b.Chart); {
		case over && now:
			ink = inkRed
		case over:
			ink = paleRed
		case now:
			ink = inkBlue
		}
		at, top := x(float64(i)), max(y(*pt.Value), y(0)+1)
		outline := []vg.Point{{X: at - half, Y: y(0)}, {X: at - half, Y: top}, {X: at + half, Y: top}, {X: at + half, Y: y(0)}}
		if pt.Partly {
			c.StrokeLines(draw.LineStyle{Color: ink, Width: 1.2}, outline)
			continue
		}
		c.FillPolygon(ink, outline)
	}
}

// line joins neighbouring points; a missing one is a gap, and one that was measured in part is hollow.
type line struct{ reports.Chart }

func (l line) Plot(c draw.Canvas, p *plot.Plot) {
	var runs [][]plotter.XY
	open := false
	for i, pt := range l.Points {
		if pt.Value == nil {
			open = false
			continue
		}
		if !open {
			runs, open = append(runs, nil), true
		}
		runs[len(runs)-1] = append(runs[len(runs)-1], plotter.XY{X: float64(i), Y: *pt.Value})
	}
	x, y := p.Transforms(&c)
	for _, run := range runs {
		var pts []vg.Point
		for _, xy := range run {
			pts = append(pts, vg.Point{X: x(xy.X), Y: y(xy.Y)})
		}
		c.StrokeLines(draw.LineStyle{Color: inkBlue, Width: 2}, pts)
		for i, pt := range pts {
			c.DrawGlyph(draw.GlyphStyle{Color: inkBlue, Radius: 2.4, Shape: draw.CircleGlyph{}}, pt)
			if l.Points[int(run[i].X)].Partly {
				c.DrawGlyph(draw.GlyphStyle{Color: chartBack, Radius: 1.4, Shape: draw.CircleGlyph{}}, pt)
			}
		}
	}
	if i := last(l.Chart); i >= 0 {
		at := vg.Point{X: x(float64(i)), Y: y(*l.Points[i].Value)}
		c.DrawGlyph(draw.GlyphStyle{Color: chartBack, Radius: 5.2, Shape: draw.CircleGlyph{}}, at)
		c.DrawGlyph(draw.GlyphStyle{Color: inkBlue, Radius: 4, Shape: draw.CircleGlyph{}}, at)
	}
}

// values writes the numbers: all of a short series; the first, the last, the highest and those beyond the limit of a long one.
type values struct{ reports.Chart }

func (v values) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for _, i := range v.labelled() {
		value := *v.Points[i].Value
		sty := label(9.5, inkText, false)
		if i == last(v.Chart) {
			sty = label(11.5, inkText, true)
		}
		if beyond(v.Chart, value) {
			sty.Color = inkRed
		}
		gap := vg.Length(3)
		if !v.Bars {
			gap = 6
		}
		txt := reports.Value(value, v.Unit)
		w := sty.Width(txt) / 2
		at := vg.Point{X: min(x(float64(i)), c.Max.X-w), Y: y(value) + gap}
		// A ground of its own keeps the number readable where the limit's line passes.
		c.FillPolygon(chartBack, []vg.Point{{X: at.X - w - 1, Y: at.Y}, {X: at.X - w - 1, Y: at.Y + sty.Font.Size}, {X: at.X + w + 1, Y: at.Y + sty.Font.Size}, {X: at.X + w + 1, Y: at.Y}})
		c.FillText(sty, at, txt)
	}
}

func (v values) labelled() []int {
	var with []int
	for i, p := range v.Points {
		if p.Value != nil {
			with = append(with, i)
		}
	}
	if len(v.Points) <= 7 || len(with) == 0 {
		return with
	}
	highest := slices.MaxFunc(with, func(a, b int) int {
		if *v.Points[a].Value < *v.Points[b].Value {
			return -1
		}
		return 1
	})
	keep := []int{with[len(with)-1], highest}
	if !v.Bars {
		keep = []int{with[0], with[len(with)-1]}
	}
	for _, i := range with {
		if beyond(v.Chart, *v.Points[i].Value) {
			keep = append(keep, i)
		}
	}
	slices.Sort(keep)
	return slices.Compact(keep)
}
