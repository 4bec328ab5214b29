package dashboards

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

// The pictures in the documentation are of the pages and the mail of `kubevalue demo`.
//
//go:generate ../.ci/pictures pictures

//go:embed templates/*.html
var templateFiles embed.FS

var templates = template.Must(template.New("").Funcs(functions).Funcs(template.FuncMap{"asset": assetAddress}).ParseFS(templateFiles, "templates/*.html"))

// pages mounts the server-rendered pages. They load nothing from elsewhere, and say all that they have to say without JavaScript.
func (s *server) pages(g *gin.RouterGroup) {
	g.GET("/assets/:name", s.asset)
	g.GET("/", s.journeyPage)
	g.GET("/metric/:id", s.metricPage)
	g.GET("/objectives", s.objectivesPage)
	g.GET("/objectives/:name", s.objectivePage)
	g.GET("/adoption", s.adoptionPage)
	g.GET("/fleet", s.fleetPage)
}

// frame is what every page shows around its content.
type frame struct {
	Title, Here string
	// Charts says that the page has charts to be drawn.
	Charts  bool
	Now     time.Time
	Content any
}

// show answers with a page, and takes note of the visit.
func (s *server) show(c *gin.Context, name, page string, f frame) {
	if s.renderStatus(c, http.StatusOK, name, f) {
		s.visited(c, page)
	}
}

func (s *server) renderStatus(c *gin.Context, status int, name string, f frame) bool {
	f.Now = s.cfg.Now()
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, name, f); err != nil {
		s.cfg.Logger.ErrorContext(c, "page could not be rendered", "template", name, "error", err)
		c.Abort()
		c.String(http.StatusInternalServerError, "The page could not be made; the service's log says why.\n")
		return false
	}
	c.Data(status, "text/html; charset=utf-8", out.Bytes())
	return true
}

// part is a section of a page whose source may be missing or fail without the others.
type part struct {
	// Missing says why the section is empty; empty: it is not.
	Missing string
}

// missing is the sentence of a part: not connected, or not computed. Failures are logged.
func (s *server) missing(c *gin.Context, what string, connected bool, err error) part {
	switch {
	case !connected:
		return part{Missing: "Left out: no source of " + what + " is connected."}
	case err != nil:
		s.cfg.Logger.ErrorContext(c, "part of a page failed", "part", what, "error", err)
		return part{Missing: "Left out: " + what + " could not be computed now; the service's log says why."}
	}
	return part{}
}
