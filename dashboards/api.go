package dashboards

import (
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/kubevalue/kubevalue/journey"
)

// api mounts the REST API, version 1.
func (s *server) api(g *gin.RouterGroup) {
	g.GET("/journey", func(c *gin.Context) {
		shown, err := s.cfg.Sources.Journey(c.Request.Context(), c.Query("period"))
		s.answer(c, shown, err)
	})
	g.GET("/objectives", func(c *gin.Context) {
		all, err := s.cfg.Sources.Objectives(c.Request.Context())
		if all == nil {
			all = []Objective{}
		}
		s.answer(c, all, err)
	})
	g.GET("/objectives/:name", func(c *gin.Context) {
		o, err := s.objective(c, c.Param("name"))
		s.answer(c, o, err)
	})
	if s.cfg.Sources.Fleet != nil {
		g.GET("/clusters", func(c *gin.Context) {
			all, err := s.cfg.Sources.Fleet(c.Request.Context())
			if all == nil {
				all = []Cluster{}
			}
			s.answer(c, all, err)
		})
	}
	if s.cfg.Sources.Targets != nil {
		g.GET("/targets", func(c *gin.Context) { s.answer(c, append([]Target{}, s.cfg.Sources.Targets()...), nil) })
	}
	if s.cfg.Sources.Metrics != nil {
		g.GET("/metrics", func(c *gin.Context) {
			all, err := s.cfg.Sources.Metrics(c.Request.Context())
			s.answer(c, all, err)
		})
	}
	g.GET("/metrics/:id", s.metricAnswer)
	if s.cfg.Sources.Budgets != nil {
		g.GET("/slo/:question", s.budgets)
	}
	g.GET("/openapi.json", func(c *gin.Context) { c.Data(http.StatusOK, "application/json; charset=utf-8", openAPI) })
}

// maxPeriods bounds how far back one answer goes.
const maxPeriods = 60

// metricAnswer is a metric with its values, the last first.
func (s *server) metricAnswer(c *gin.Context) {
	periods, err := strconv.Atoi(c.DefaultQuery("periods", "12"))
	if err != nil || periods < 1 || periods > maxPeriods {
		s.fail(c, BadRequestError{Why: "periods " + strconv.Quote(c.Query("periods")) + ": want a number from 1 to " + strconv.Itoa(maxPeriods)})
		return
	}
	metric, values, err := s.cfg.Sources.Metric(c.Request.Context(), c.Param("id"), c.Query("period"), periods)
	s.answer(c, struct {
		Metric journey.Metric  `json:"metric"`
		Values []journey.Value `json:"values"`
	}{metric, values}, err)
}

// budgets answers a question about budgets. A parameter is given once.
func (s *server) budgets(c *gin.Context) {
	arguments := map[string]string{}
	for name, values := range c.Request.URL.Query() {
		if len(values) != 1 {
			s.fail(c, BadRequestError{Why: "the parameter " + name + " is given twice: which one is meant?"})
			return
		}
		arguments[name] = values[0]
	}
	value, err := s.cfg.Sources.Budgets(c.Request.Context(), c.Param("question"), arguments)
	s.answer(c, value, err)
}

func (s *server) answer(c *gin.Context, value any, err error) {
	if err != nil {
		s.fail(c, err)
		return
	}
	c.JSON(http.StatusOK, gin.H{"status": "success", "data": value, "computed_at": s.cfg.Now().UTC()})
}
