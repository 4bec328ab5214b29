package dashboards

import (
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/kubevalue/kubevalue/journey"
)

// journeyView is the page of the journey map.
type journeyView struct {
	Nav          periodNav
	Perspectives []link
	// Columns are the perspectives that are shown.
	Columns []journey.Perspective
	Phases  []phaseView
	Summary summary
}

type phaseView struct {
	Title string
	Rows  []rowView
}

// rowView is an activity with its cells in the order of the columns.
type rowView struct {
	Title string
	Cells []cellView
}

type cellView struct {
	Perspective string
	Need, Gap   string
	Figures     []figureView
}

// figureView is a value of the map with its little line.
type figureView struct {
	journey.ShownFigure
	Href  string
	Spark *sparkline
}

// summary counts the figures of a map by state, each metric and target once.
type summary struct {
	Met, Missed, Unrated, NoData, Gaps int
	// Misses are the figures that missed their target.
	Misses []figureView
}

// LookbackPeriods is how many periods the small lines of the map and the page of a metric go back, the shown one included.
const LookbackPeriods = 12

func (s *server) journeyPage(c *gin.Context) {
	shown, err := s.cfg.Sources.Journey(c.Request.Context(), c.Query("period"))
	if err != nil {
		s.fail(c, err)
		return
	}
	s.remember(c)
	role := s.role(c)
	view := journeyView{Nav: s.navigate("/", shown.Period, url.Values{}, journey.GrainWeek, journey.GrainMonth, journey.GrainQuarter)}
	for _, p := range shown.Map.Perspectives {
		if p.ID == role {
			view.Columns = []journey.Perspective{p}
		}
	}
	view.Perspectives = perspectiveLinks(shown, view.Columns)
	if view.Columns == nil {
		view.Columns = shown.Map.Perspectives
	}
	view.arrange(shown, s.series(c, shown))
	s.show(c, "journey.html", "journey", frame{Title: "Journey map", Here: "journey", Content: view})
}

// perspectiveLinks lead to the map of one perspective, or of all.
func perspectiveLinks(shown journey.Shown, chosen []journey.Perspective) []link {
	keep := url.Values{"period": {shown.Period.Label}}
	out := []link{{Text: "Everybody", Href: "/?for=&period=" + url.QueryEscape(shown.Period.Label), Current: chosen == nil}}
	for _, p := range shown.Map.Perspectives {
		out = append(out, link{Text: p.Title, Href: address("/", keep, "for", p.ID), Current: len(chosen) == 1 && chosen[0].ID == p.ID})
	}
	return out
}

// series asks for the values behind the small lines; without them the page is complete but for the lines.
func (s *server) series(c *gin.Context, shown journey.Shown) map[string][]journey.Value {
	if s.cfg.Sources.Series == nil {
		return nil
	}
	var ids []string
	seen := map[string]bool{}
	for _, cell := range shown.Cells {
		for _, f := range cell.Figures {
			if !seen[f.Metric.ID] {
				seen[f.Metric.ID] = true
				ids = append(ids, f.Metric.ID)
			}
		}
	}
	series, err := s.cfg.Sources.Series(c.Request.Context(), ids, Span{Period: shown.Period.Label, Periods: LookbackPeriods})
	if err != nil {
		s.cfg.Logger.ErrorContext(c, "series of the journey map failed", "error", err)
	}
	return series
}

// arrange puts the cells of a map in rows, and counts them.
func (v *journeyView) arrange(shown journey.Shown, series map[string][]journey.Value) {
	cells := map[[3]string]journey.ShownCell{}
	for _, cell := range shown.Cells {
		cells[[3]string{cell.Phase, cell.Activity, cell.Perspective}] = cell
	}
	counted := map[string]bool{}
	for _, p := range shown.Map.Phases {
		ph := phaseView{Title: p.Title}
		for _, a := range p.Activities {
			r := rowView{Title: a.Title}
			for _, column := range v.Columns {
				cell := cells[[3]string{p.ID, a.ID, column.ID}]
				r.Cells = append(r.Cells, v.cell(cell, column.Title, series, counted))
			}
			ph.Rows = append(ph.Rows, r)
		}
		v.Phases = append(v.Phases, ph)
	}
}

func (v *journeyView) cell(cell journey.ShownCell, perspective string, series map[string][]journey.Value, counted map[string]bool) cellView {
	out := cellView{Perspective: perspective, Need: cell.Need, Gap: cell.Gap}
	if cell.Gap != "" {
		v.Summary.Gaps++
	}
	for _, f := range cell.Figures {
		fig := figureView{
			ShownFigure: f, Href: "/metric/" + url.PathEscape(f.Metric.ID) + "?period=" + url.QueryEscape(f.Value.Period.Label),
			Spark: spark(series[f.Metric.ID]),
		}
		out.Figures = append(out.Figures, fig)
		key := f.Metric.ID
		if f.Place.Target != nil {
			key += " " + targetText(f)
		}
		if !counted[key] {
			counted[key] = true
			v.Summary.count(fig)
		}
	}
	return out
}

func (s *summary) count(f figureView) {
	switch f.State {
	case journey.StateMet:
		s.Met++
	case journey.StateMissed:
		s.Missed++
		s.Misses = append(s.Misses, f)
	case journey.StateNoData:
		s.NoData++
	default:
		s.Unrated++
	}
}

// Sentence says how many targets are met.
func (s summary) Sentence() string {
	if s.Met+s.Missed == 0 {
		return "No figure with a target has a value in this period."
	}
	text := plural(s.Met, "target") + " met, " + plural(s.Missed, "target") + " missed"
	var rest []string
	if s.Unrated > 0 {
		rest = append(rest, plural(s.Unrated, "figure")+" without a target")
	}
	if s.NoData > 0 {
		rest = append(rest, plural(s.NoData, "figure")+" without data")
	}
	if s.Gaps > 0 {
		rest = append(rest, plural(s.Gaps, "cell")+" still without a figure")
	}
	if len(rest) == 0 {
		return text + "."
	}
	return text + "; " + strings.Join(rest, ", ") + "."
}
