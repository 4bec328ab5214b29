package catalogue

import (
	"context"
	"regexp"
	"slices"
	"time"

	"github.com/kubevalue/kubevalue/journey"
)

// sourceFeedback is the collector of what people say, ask for and note.
const sourceFeedback = "feedback"

// feedbackKinds finds the kinds of feedback that a statement is about.
var feedbackKinds = regexp.MustCompile(`kind = '([a-z]+)'`)

// voices says since when the feedback is recorded that a figure is made of; nil: it is made of none.
type voices struct {
	// first is that of the kind which was recorded last; zero: one never was.
	first time.Time
	// alone: the figure is made of nothing else.
	alone bool
}

// heard reads the voices of a metric.
func (e Evaluator) heard(ctx context.Context, m journey.Metric) (*voices, error) {
	if m.SQL == nil || !slices.Contains(m.Sources, sourceFeedback) {
		return nil, nil
	}
	result, err := e.Query(ctx, "SELECT toString(kind) AS name, toUnixTimestamp(min(time)) AS first FROM feedback GROUP BY kind ORDER BY name", nil)
	if err != nil {
		return nil, err
	}
	firsts := map[string]time.Time{}
	for _, row := range result.Rows {
		name, _ := row[0].(string)
		at, _ := row[1].(uint32)
		firsts[name] = time.Unix(int64(at), 0).UTC()
	}
	v := &voices{alone: len(m.Sources) == 1}
	for _, s := range m.SQL.Statements() {
		for _, found := range feedbackKinds.FindAllStringSubmatch(s.SQL, -1) {
			at, known := firsts[found[1]]
			if !known {
				return &voices{alone: v.alone}, nil
			}
			if at.After(v.first) {
				v.first = at
			}
		}
	}
	return v, nil
}

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
