package dashboards

import (
	"fmt"

	"github.com/gin-gonic/gin"

	"github.com/kubevalue/kubevalue/journey"
)

// publishedView is what was published of the periods that a page shows.
type publishedView struct {
	part
	// Summary says how many of the periods are published, and how many of those were revised.
	Summary string
	// Revised are all revisions of the periods that have more than one, the last period first, in the order of their numbers.
	Revised []Revision
}

// valueRow is a value of a period with what was published of it, in words; empty: it is not known what was published.
type valueRow struct {
	Of        journey.Value
	Published string
}

// published compares the values, the last first, with what was published of them.
func (s *server) published(c *gin.Context, id string, values []journey.Value) ([]valueRow, publishedView) {
	rows := make([]valueRow, len(values))
	for i, v := range values {
		rows[i].Of = v
	}
	var view publishedView
	if s.cfg.Sources.Published == nil || len(values) == 0 {
		return rows, view
	}
	all, err := s.cfg.Sources.Published(c.Request.Context(), id, values[0].Period.Label, len(values))
	if err != nil {
		view.part = s.missing(c, "what was published", true, err)
		return rows, view
	}
	byPeriod := map[int64][]Revision{}
	for _, r := range all {
		from := r.Value.Period.From.UnixMilli()
		byPeriod[from] = append(byPeriod[from], r)
	}
	known, revised := 0, 0
	for i, v := range values {
		revisions := byPeriod[v.Period.From.UnixMilli()]
		rows[i].Published = publishedText(v, revisions)
		known += min(1, len(revisions))
		if len(revisions) > 1 {
			revised++
			view.Revised = append(view.Revised, revisions...)
		}
	}
	view.Summary = fmt.Sprintf("Some days after its end a period closes and its value is published. What was published stays; what is computed differently later is a revision that says why. "+
		"Published: %d of these %s.", known, plural(len(values), "period"))
	if known > 0 {
		view.Summary += fmt.Sprintf(" Revised: %d.", revised)
	}
	return rows, view
}

// publishedText says when a value was published first, and what it was unless that is what is shown now.
func publishedText(now journey.Value, revisions []Revision) string {
	if len(revisions) == 0 {
		return "not yet"
	}
	first := revisions[0].Value
	text := first.ComputedAt.In(zoneOf(now.Period.Zone)).Format("2 Jan 2006")
	if was := figureText(first); was != figureText(now) {
		text = "as " + was + ", " + text
	}
	return text
}
