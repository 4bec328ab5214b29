package catalogue

import (
	"context"
	"regexp"
	"slices"
	"time"

	"github.com/kubevalue/kubevalue/journey"
)

// Collectors of what nobody is expected to say at any time: sourceFeedback of what people say, ask for and note, sourceIncident of incidents.
const (
	sourceFeedback = "feedback"
	sourceIncident = "incident"
)

// incidentsSQL and feedbackSQL say since when there is something of each kind.
const (
	feedbackSQL  = "SELECT toString(kind) AS name, toUnixTimestamp(min(time)) AS first FROM feedback GROUP BY kind ORDER BY name"
	incidentsSQL = "SELECT '" + sourceIncident + "' AS name, toUnixTimestamp(min(start)) AS first FROM incidents HAVING count() > 0"
)

// feedbackKinds finds the kinds of feedback that a statement is about.
var feedbackKinds = regexp.MustCompile(`kind = '([a-z]+)'`)

// voices says since when the feedback and the incidents are recorded that a figure is made of; nil: it is made of none.
type voices struct {
	// first is that of the kind which was recorded last; zero: one never was.
	first time.Time
	// alone: the figure is made of nothing else.
	alone bool
}

// heard reads the voices of a metric.
func (e Evaluator) heard(ctx context.Context, m journey.Metric) (*voices, error) {
	if m.SQL == nil {
		return nil, nil
	}
	var kinds []string
	firsts := map[string]time.Time{}
	for source, sql := range map[string]string{sourceFeedback: feedbackSQL, sourceIncident: incidentsSQL} {
		if !slices.Contains(m.Sources, source) {
			continue
		}
		result, err := e.Query(ctx, sql, nil)
		if err != nil {
			return nil, err
		}
		for _, row := range result.Rows {
			name, _ := row[0].(string)
			at, _ := row[1].(uint32)
			firsts[name] = time.Unix(int64(at), 0).UTC()
		}
		if source == sourceIncident {
			kinds = append(kinds, sourceIncident)
			continue
		}
		for _, s := range m.SQL.Statements() {
			for _, found := range feedbackKinds.FindAllStringSubmatch(s.SQL, -1) {
				kinds = append(kinds, found[1])
			}
		}
	}
	if len(kinds) == 0 && !slices.Contains(m.Sources, sourceFeedback) {
		return nil, nil
	}
	v := &voices{alone: !slices.ContainsFunc(m.Sources, expected)}
	for _, kind := range kinds {
		at, known := firsts[kind]
		if !known {
			return &voices{alone: v.alone}, nil
		}
		if at.After(v.first) {
			v.first = at
		}
	}
	return v, nil
}

// expected tells whether a collector should be heard of all the time.
func expected(source string) bool { return source != sourceFeedback && source != sourceIncident }

// narrow is the coverage of a figure in a period, given that of all else that it is made of.
func (v *voices) narrow(others *float64, p journey.Period, now time.Time) *float64 {
	if v == nil || others == nil {
		return others
	}
	end := p.To
	if now.Before(end) {
		end = now
	}
	share := 0.0
	if !v.first.IsZero() && v.first.Before(end) {
		share = 1 - max(0, v.first.Sub(p.From).Seconds())/end.Sub(p.From).Seconds()
	}
	if !v.alone {
		share = min(share, *others)
	}
	return &share
}
