package dashboards

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/slo"
)

// Sources is where figures come from. A period is 2026-W46, 2026-11, 2026-Q4 or a day; empty: the last complete week.
type Sources struct {
	// Journey is the journey map with the values of a period.
	Journey func(ctx context.Context, period string) (journey.Shown, error)
	// Objectives are all objectives with their present status, ordered by name.
	Objectives func(ctx context.Context) ([]Objective, error)
	// Metric is the values of one metric over the periods up to the given one, the last first.
	Metric func(ctx context.Context, id, period string, periods int) (journey.Metric, []journey.Value, error)
}

// Objective is an objective with its status at the watermark.
type Objective struct {
	Name        string `json:"name"`
	Service     string `json:"service"`
	Description string `json:"description,omitempty"`
	Window      string `json:"window"`
	Method      string `json:"method"`
	Zone        string `json:"timezone"`
	// Error is set when the status could not be computed; the others are shown all the same.
	Error  string      `json:"error,omitempty"`
	Status *slo.Status `json:"status"`
}

// api mounts the REST API, version 1.
func (s *server) api(g *gin.RouterGroup) {
	g.GET("/journey", func(c *gin.Context) {
		shown, err := s.cfg.Sources.Journey(c, c.Query("period"))
		s.answer(c, shown, err)
	})
	g.GET("/objectives", func(c *gin.Context) {
		all, err := s.cfg.Sources.Objectives(c)
		if all == nil {
			all = []Objective{}
		}
		s.answer(c, all, err)
	})
	g.GET("/objectives/:name", func(c *gin.Context) {
		all, err := s.cfg.Sources.Objectives(c)
		if err != nil {
			s.fail(c, err)
			return
		}
		for _, o := range all {
			if o.Name == c.Param("name") {
				s.answer(c, o, nil)
				return
			}
		}
		s.fail(c, NotFoundError{What: "the objective " + c.Param("name")})
	})
}

func (s *server) answer(c *gin.Context, value any, err error) {
	if err != nil {
		s.fail(c, err)
		return
	}
	c.JSON(http.StatusOK, gin.H{"status": "success", "data": value, "computed_at": s.cfg.Now().UTC()})
}
