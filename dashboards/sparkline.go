package dashboards

import (
	"fmt"
	"math"
	"strings"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/reports"
)

// sparkline is a small line as inline SVG, drawn here, so that it needs no script. Gaps in the data are gaps in the line.
type sparkline struct {
	// Path is the d attribute, X and Y the place of the last value.
	Path string
	X, Y string
	// Text says the same in words.
	Text string
}

// The drawing's size in pixels, with room for the dot around the line.
const (
	sparkWidth  = 96
	sparkHeight = 28
	sparkMargin = 4
)

// spark draws values, oldest first; nil when fewer than two are known.
func spark(values []journey.Value) *sparkline {
	low, high := math.Inf(1), math.Inf(-1)
	known, first, last := 0, 0, 0
	for i, v := range values {
		if v.Value == nil {
			continue
		}
		if known == 0 {
			first = i
		}
		last = i
		known++
		low, high = min(low, *v.Value), max(high, *v.Value)
	}
	if known < 2 {
		return nil
	}
	x := func(i int) float64 {
		return sparkMargin + float64(i)/float64(len(values)-1)*(sparkWidth-2*sparkMargin)
	}
	y := func(v float64) float64 {
		if high == low {
			return sparkHeight / 2
		}
		return sparkMargin + (high-v)/(high-low)*(sparkHeight-2*sparkMargin)
	}
	var path strings.Builder
	drawing := false
	for i, v := range values {
		if v.Value == nil {
			drawing = false
			continue
		}
		command := "M"
		if drawing {
			command = "L"
		}
		fmt.Fprintf(&path, "%s%.1f %.1f", command, x(i), y(*v.Value))
		drawing = true
	}
	a, z := values[first], values[last]
	return &sparkline{
		Path: path.String(), X: fmt.Sprintf("%.1f", x(last)), Y: fmt.Sprintf("%.1f", y(*z.Value)),
		Text: fmt.Sprintf("from %s in %s to %s in %s, between %s and %s", reports.Value(*a.Value, a.Unit), a.Period.Label,
			reports.Value(*z.Value, z.Unit), z.Period.Label, reports.Value(low, z.Unit), reports.Value(high, z.Unit)),
	}
}
