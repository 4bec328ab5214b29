package dashboards

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/reports"
)

//go:embed templates/*.html templates/style.css
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"value":   figureText,
	"ratio":   func(v *float64) string { return optional(v, reports.Ratio) },
	"change":  changeText,
	"trend":   trendText,
	"state":   func(s journey.State) string { return stateText[s] },
	"target":  func(v float64, unit string) string { return reports.Value(v, unit) },
	"instant": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") },
	"day":     func(p journey.Period, t time.Time) string { return inZone(p, t).Format("Mon 2 Jan 2006") },
	"last":    func(p journey.Period) time.Time { return p.To.Add(-time.Nanosecond) },
	"minutes": func(v *float64) string { return optional(v, reports.Minutes) },
	"number":  func(v *float64) string { return optional(v, reports.Number) },
}).ParseFS(files, "templates/*.html"))

// undefined stands where there is no value; a missing figure is never a zero.
const undefined = "–"

func optional(v *float64, text func(float64) string) string {
	if v == nil {
		return undefined
	}
	return text(*v)
}

func figureText(v journey.Value) string {
	switch {
	case v.Value != nil:
		return reports.Value(*v.Value, v.Unit)
	case v.Withheld != "":
		return "withheld: " + v.Withheld
	}
	return "no data"
}

// changeText is the change against the period before, empty when one of the two is unknown.
func changeText(v journey.Value) string {
	if v.Value == nil || v.Previous == nil || v.Previous.Value == nil {
		return ""
	}
	return reports.Change(*v.Value-*v.Previous.Value, v.Unit)
}

// Words, not only colours and arrows: a page is also read in print, by a screen reader, or by people who see colours differently.
var (
	stateText = map[journey.State]string{
		journey.StateMet: "target met", journey.StateMissed: "target missed", journey.StateNoData: "no data", journey.StateUnrated: "no target",
	}
	trendTexts = map[journey.Trend]string{journey.TrendBetter: "better", journey.TrendWorse: "worse", journey.TrendSame: "unchanged"}
)

func trendText(t journey.Trend) string { return trendTexts[t] }

func inZone(p journey.Period, t time.Time) time.Time {
	if zone, err := time.LoadLocation(p.Zone); err == nil {
		return t.In(zone)
	}
	return t.UTC()
}

// pages mounts the server-rendered pages. They load nothing but the style sheet, and need no JavaScript.
func (s *server) pages(g *gin.RouterGroup) {
	g.GET("/style.css", func(c *gin.Context) {
		c.Header("Cache-Control", "max-age=3600")
		c.FileFromFS("templates/style.css", http.FS(files))
	})
	g.GET("/", s.journeyPage)
	g.GET("/metric/:id", s.metricPage)
	g.GET("/objectives", s.objectivesPage)
}

// frame is what every page shows around its content.
type frame struct {
	Title, Here string
	Now         time.Time
	Content     any
}

func (s *server) render(c *gin.Context, name string, f frame) {
	f.Now = s.cfg.Now()
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, name, f); err != nil {
		s.fail(c, err)
		return
	}
	c.Data(http.StatusOK, "text/html; charset=utf-8", out.Bytes())
}

// row is an activity with its cells in the order of the perspectives.
type row struct {
	Title string
	Cells []journey.ShownCell
}

type phase struct {
	Title string
	Rows  []row
}

func (s *server) journeyPage(c *gin.Context) {
	shown, err := s.cfg.Sources.Journey(c, c.Query("period"))
	if err != nil {
		s.fail(c, err)
		return
	}
	s.render(c, "journey.html", frame{Title: "Journey map", Here: "journey", Content: struct {
		Shown  journey.Shown
		Phases []phase
	}{shown, phases(shown)}})
}

// phases arranges the cells of a map in rows.
func phases(shown journey.Shown) []phase {
	cells := map[[3]string]journey.ShownCell{}
	for _, cell := range shown.Cells {
		cells[[3]string{cell.Phase, cell.Activity, cell.Perspective}] = cell
	}
	var out []phase
	for _, p := range shown.Map.Phases {
		ph := phase{Title: p.Title}
		for _, a := range p.Activities {
			r := row{Title: a.Title}
			for _, view := range shown.Map.Perspectives {
				r.Cells = append(r.Cells, cells[[3]string{p.ID, a.ID, view.ID}])
			}
			ph.Rows = append(ph.Rows, r)
		}
		out = append(out, ph)
	}
	return out
}

// shownPeriods is how many periods a metric's page goes back.
const shownPeriods = 12

func (s *server) metricPage(c *gin.Context) {
	metric, values, err := s.cfg.Sources.Metric(c, c.Param("id"), c.Query("period"), shownPeriods)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.render(c, "metric.html", frame{Title: metric.Title, Here: "journey", Content: struct {
		Metric journey.Metric
		Values []journey.Value
	}{metric, values}})
}

func (s *server) objectivesPage(c *gin.Context) {
	all, err := s.cfg.Sources.Objectives(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.render(c, "objectives.html", frame{Title: "Objectives", Here: "objectives", Content: all})
}
