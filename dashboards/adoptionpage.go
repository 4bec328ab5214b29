package dashboards

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/analysis"
	"github.com/kubevalue/kubevalue/reports"
)

// adoptionView is the page of adoption.
type adoptionView struct {
	Nav      periodNav
	Headline string
	Entities []link
	// Of is what lifecycle and retention count: team or person.
	Of string

	Adoption, Lifecycle       section
	ActiveTeams, ActivePeople section
	Retention                 retentionView
	Teams                     teamsView
}

// section is a chart, or why there is none.
type section struct {
	part
	Chart *chart
}

// drawn is a section with a chart; without one, there are too few complete periods.
func drawn(c *chart) section {
	if c == nil {
		return section{part: part{Missing: "There are fewer than two complete periods, so there is nothing to draw yet."}}
	}
	return section{Chart: c}
}

// entities are what the page can count.
var entities = map[string]struct {
	entity       analysis.Entity
	one, several string
}{"teams": {analysis.Teams, "team", "teams"}, "people": {analysis.Actors, "person", "people"}}

func (s *server) adoptionPage(c *gin.Context) {
	span, p, err := s.span(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	of := c.Query("of")
	chosen, ok := entities[of]
	if !ok {
		of = "teams"
		chosen = entities[of]
	}
	keep := url.Values{"period": {p.Label}}
	view := adoptionView{
		Nav: s.navigate("/adoption", p, url.Values{"of": {of}}, journey.GrainWeek, journey.GrainMonth, journey.GrainQuarter), Of: chosen.one,
		Entities: []link{{Text: "Teams", Href: address("/adoption", keep, "of", "teams"), Current: of == "teams"}, {Text: "People", Href: address("/adoption", keep, "of", "people"), Current: of == "people"}},
	}
	view.Adoption, view.Headline = s.adoptionOver(c, span)
	view.ActiveTeams = s.activeOver(c, analysis.Teams, span)
	view.ActivePeople = s.activeOver(c, analysis.Actors, span)
	view.Lifecycle = s.lifecycleOver(c, of, span)
	view.Retention = s.retentionOver(c, of, span)
	view.Teams = s.teamsOf(c, p)
	s.show(c, "adoption.html", "adoption", frame{Title: "Adoption", Here: "adoption", Charts: true, Content: view})
}

// span is the stretch that the page shows: up to the period asked for, or the last complete week.
func (s *server) span(c *gin.Context) (Span, journey.Period, error) {
	calendar := s.calendarOf(journey.Period{})
	p := calendar.Last(journey.GrainWeek, 1, s.cfg.Now())[0]
	if label := c.Query("period"); label != "" {
		var err error
		if p, err = calendar.Parse(label, ""); err != nil {
			return Span{}, p, BadRequestError{Why: err.Error()}
		}
	}
	return Span{Period: p.Label, Periods: periodsBack(p.Grain)}, p, nil
}

// adoptionOver draws the adoption of the eligible teams, that by free choice apart.
func (s *server) adoptionOver(c *gin.Context, span Span) (section, string) {
	source := s.cfg.Sources.Adoption
	if source == nil {
		return section{part: s.missing(c, "adoption", false, nil)}, ""
	}
	all, err := source(c.Request.Context(), nil, span)
	if err != nil {
		return section{part: s.missing(c, "adoption", true, err)}, ""
	}
	free, err := source(c.Request.Context(), new(true), span)
	if err != nil {
		return section{part: s.missing(c, "voluntary adoption", true, err)}, ""
	}
	if len(all) == 0 {
		return drawn(nil), ""
	}
	l := lineChart{scale: scaleOf("ratio"), fromZero: true}
	teams := line{name: "All eligible teams", color: "var(--s1)", symbol: "circle"}
	chosen := line{name: "Teams that may choose", color: "var(--s2)", symbol: "rect", dashed: true}
	t := table{Head: []string{"Period", "Active", "Eligible", "Adoption", "Active by choice", "Of those who may choose", "Voluntary adoption"}}
	byLabel := map[string]analysis.AdoptionRow{}
	for _, r := range free {
		byLabel[r.Period.Label] = r
	}
	for _, r := range all {
		f := byLabel[r.Period.Label]
		l.labels = append(l.labels, shortPeriod(r.Period))
		teams.values, chosen.values = append(teams.values, r.Ratio), append(chosen.values, f.Ratio)
		t.Rows = append(t.Rows, []string{
			r.Period.Label, strconv.Itoa(r.Active), strconv.Itoa(r.Eligible), optional(r.Ratio, reports.Ratio), strconv.Itoa(f.Active), strconv.Itoa(f.Eligible), optional(f.Ratio, reports.Ratio),
		})
	}
	last := all[len(all)-1]
	headline := fmt.Sprintf("In %s, %d of %d eligible teams used the platform (%s)", last.Period.Label, last.Active, last.Eligible, optional(last.Ratio, reports.Ratio))
	if f, ok := byLabel[last.Period.Label]; ok {
		headline += fmt.Sprintf("; of the %d that may choose, %d did (%s)", f.Eligible, f.Active, optional(f.Ratio, reports.Ratio))
	}
	if len(all) < 2 {
		return drawn(nil), headline + "."
	}
	l.lines = []line{teams, chosen}
	first := all[max(0, slices.IndexFunc(all, func(r analysis.AdoptionRow) bool { return r.Ratio != nil }))]
	return drawn(&chart{
		ID: "adoption", Title: "Adoption of eligible teams", Suffix: "%", Options: l.options(), Table: t,
		Point: fmt.Sprintf("From %s in %s to %s in %s.", optional(first.Ratio, reports.Ratio), first.Period.Label, optional(last.Ratio, reports.Ratio), last.Period.Label),
	}), headline + "."
}

// activeOver draws how many were active.
func (s *server) activeOver(c *gin.Context, entity analysis.Entity, span Span) section {
	name, color := "Active teams", "var(--s1)"
	if entity == analysis.Actors {
		name, color = "Active people", "var(--s3)"
	}
	if s.cfg.Sources.Active == nil {
		return section{part: s.missing(c, "activity", false, nil)}
	}
	rows, err := s.cfg.Sources.Active(c.Request.Context(), entity, span)
	if err != nil {
		return section{part: s.missing(c, "activity", true, err)}
	}
	if len(rows) < 2 {
		return drawn(nil)
	}
	l := lineChart{fromZero: true, scale: scaleOf("")}
	values := line{name: name, color: color, symbol: "circle"}
	t := table{Head: []string{"Period", name}}
	for _, r := range rows {
		l.labels, values.values = append(l.labels, shortPeriod(r.Period)), append(values.values, new(float64(r.Active)))
		t.Rows = append(t.Rows, []string{r.Period.Label, strconv.Itoa(r.Active)})
	}
	l.lines = []line{values}
	a, z := rows[0], rows[len(rows)-1]
	return drawn(&chart{
		ID: "active-" + string(entity), Title: name, Low: true, Options: l.options(), Table: t,
		Point: fmt.Sprintf("From %d in %s to %d in %s.", a.Active, a.Period.Label, z.Active, z.Period.Label),
	})
}

// lifecycleOver stacks what the active did before, and draws those who fell silent downwards.
func (s *server) lifecycleOver(c *gin.Context, of string, span Span) section {
	if s.cfg.Sources.Lifecycle == nil {
		return section{part: s.missing(c, "the lifecycle", false, nil)}
	}
	rows, err := s.cfg.Sources.Lifecycle(c.Request.Context(), entities[of].entity, span)
	if err != nil {
		return section{part: s.missing(c, "the lifecycle", true, err)}
	}
	if len(rows) < 2 {
		return drawn(nil)
	}
	parts := []line{{name: "Retained", color: "var(--s1)"}, {name: "Resurrected", color: "var(--s3)"}, {name: "New", color: "var(--s2)"}, {name: "Dormant", color: "var(--s5)"}}
	var labels []string
	t := table{Head: []string{"Period", "New", "Retained", "Resurrected", "Dormant", "Quick ratio", "Churn"}}
	for _, r := range rows {
		labels = append(labels, shortPeriod(r.Period))
		for i, n := range []int{r.Retained, r.Resurrected, r.New, -r.Dormant} {
			parts[i].values = append(parts[i].values, new(float64(n)))
		}
		t.Rows = append(t.Rows, []string{
			r.Period.Label, strconv.Itoa(r.New), strconv.Itoa(r.Retained), strconv.Itoa(r.Resurrected), strconv.Itoa(r.Dormant), optional(r.QuickRatio(), reports.Number), optional(r.Churn(), reports.Ratio),
		})
	}
	z := rows[len(rows)-1]
	return drawn(&chart{
		ID: "lifecycle", Title: "Lifecycle of " + entities[of].several, Options: barChart{labels: labels, parts: parts, scale: scaleOf("")}.options(), Table: t,
		Point: fmt.Sprintf("In %s: %d new, %d retained, %d resurrected (active again after a pause), %d fell silent.", z.Period.Label, z.New, z.Retained, z.Resurrected, z.Dormant),
	})
}

// The bounds of the retention triangle to what one can read: cohorts, the youngest ones, and periods after the first.
const (
	retentionCohorts = 12
	retentionColumns = 13
)

// retentionView is the retention triangle.
type retentionView struct {
	part
	Noun    string // of the periods
	Columns []int
	Rows    []retentionRow
	// Pooled is the share over all cohorts that are old enough.
	Pooled []retentionCell
	// Withheld counts cohorts of fewer people than may be shown.
	Withheld int
}

type retentionRow struct {
	Label string
	Size  int
	Cells []retentionCell
}

// retentionCell is a share with its shade, 0 to 9.
type retentionCell struct {
	Text  string
	Count int
	Shade int
}

func retained(kept, size int) retentionCell {
	share := float64(kept) / float64(size)
	return retentionCell{Text: strconv.Itoa(int(100*share+0.5)) + "%", Count: kept, Shade: min(9, int(10*share))}
}

func (s *server) retentionOver(c *gin.Context, of string, span Span) retentionView {
	if s.cfg.Sources.Retention == nil {
		return retentionView{part: s.missing(c, "retention", false, nil)}
	}
	rows, err := s.cfg.Sources.Retention(c.Request.Context(), entities[of].entity, span)
	if err != nil {
		return retentionView{part: s.missing(c, "retention", true, err)}
	}
	var out retentionView
	var shown []analysis.RetentionRow
	for _, r := range rows {
		out.Noun = grainNoun(r.Cohort.Grain)
		switch {
		case r.Size == 0:
		case of == "people" && r.Size < s.cfg.MinGroup:
			out.Withheld++
		default:
			r.Cells = r.Cells[:min(len(r.Cells), retentionColumns)]
			shown = append(shown, r)
		}
	}
	shown = shown[max(0, len(shown)-retentionCohorts):]
	for _, r := range shown {
		row := retentionRow{Label: r.Cohort.Label, Size: r.Size}
		for _, kept := range r.Cells {
			row.Cells = append(row.Cells, retained(kept, r.Size))
		}
		out.Rows = append(out.Rows, row)
	}
	if len(shown) == 0 {
		out.part = part{Missing: "Nobody began in these periods who could be followed, or too few to be shown."}
		return out
	}
	longest := slices.MaxFunc(shown, func(a, b analysis.RetentionRow) int { return len(a.Cells) - len(b.Cells) })
	for k := range longest.Cells {
		out.Columns = append(out.Columns, k)
		if share, size := analysis.Pooled(shown, k); share != nil {
			out.Pooled = append(out.Pooled, retained(int(*share*float64(size)+0.5), size))
		}
	}
	return out
}

// teamsView is who joined and who left.
type teamsView struct {
	part
	Lists   []teamList
	Dormant int
}

type teamList struct {
	Title, Meaning string
	Names          []string
	Withheld       int
}

func (s *server) teamsOf(c *gin.Context, p journey.Period) teamsView {
	if s.cfg.Sources.Teams == nil {
		return teamsView{part: s.missing(c, "joined and left teams", false, nil)}
	}
	a, err := s.cfg.Sources.Teams(c.Request.Context(), p.Label)
	if err != nil {
		return teamsView{part: s.missing(c, "joined and left teams", true, err)}
	}
	if a.TeamsMissing != "" {
		return teamsView{part: part{Missing: "Left out: " + a.TeamsMissing + "."}}
	}
	list := func(title, meaning string, l reports.TeamList) teamList {
		return teamList{title, meaning, l.Names, l.Withheld}
	}
	return teamsView{Dormant: a.Dormant, Lists: []teamList{
		list("Joined", "first activity ever in the period", a.Joined),
		list("Returned", "active again, silent the period before", a.Returned),
		list("Stalled", "eligible, active in one of the four weeks before, silent now", a.Stalled),
		list("Left", "no longer eligible", a.Left),
	}}
}
