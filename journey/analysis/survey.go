package analysis

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/interval"
)

// The kinds of surveys.
const (
	SurveyNPS  = "nps"  // 0..10: promoters 9 and 10, detractors up to 6; the score is their difference as shares, -1..1
	SurveyCSAT = "csat" // 1..5: the score is the share of 4 and 5
	SurveySUS  = "sus"  // ten items of 1..5: the score is the mean, 0..100
)

// SurveyEvent is the name of the events that are answers.
const SurveyEvent = "survey.answer"

// SurveyArgs ask for the score of a survey. From and To of Args bound the answers.
type SurveyArgs struct {
	Args
	Kind string
	// Survey is the object of the answers; empty: all answers.
	Survey string
	// Invited is how many people were asked; 0: the people on the roster in the period.
	Invited int
}

// SurveyResult is the score with its interval, and always the response rate.
type SurveyResult struct {
	// Answers are those that count: of each person the newest valid one. Invalid ones are out of the kind's range.
	Answers, Invalid, Invited int
	// ResponseRate is Answers / Invited; nil when nobody was asked or more answered than were asked.
	ResponseRate *float64
	// Score is nil without answers. Low and High bound its 95% interval: adjusted Wald for NPS, Wilson with finite population
	// correction for CSAT, t for SUS.
	Score, Low, High *float64
	// Favourable and Unfavourable are promoters and detractors of NPS; Favourable alone the satisfied of CSAT.
	Favourable, Unfavourable int
}

const surveySQL = `SELECT roundDown(toUnixTimestamp64Milli(time), {starts:Array(Int64)}) AS period, argMax(value, (time, id)) AS answer,
    argMax(attributes['items'], (time, id)) AS items
FROM events
WHERE %s
GROUP BY period, %s, if(actor = 0, id, toUUID('00000000-0000-0000-0000-000000000000'))`

// Survey scores the answers, given as the value of events named survey.answer (of SUS as the attribute items, ten numbers separated by
// commas). An answer without an actor is anonymous and counts by itself.
func (s Source) Survey(ctx context.Context, q SurveyArgs) (SurveyResult, error) {
	if !q.From.Before(q.To) {
		return SurveyResult{}, fmt.Errorf("from %s is not before to %s", q.From, q.To)
	}
	found, err := s.Surveys(ctx, q, []journey.Period{{From: q.From, To: q.To}})
	if err != nil {
		return SurveyResult{}, err
	}
	return found[0], nil
}

// Surveys scores the answers of each of some periods, at least one, that follow each other without a gap, by themselves; From and To of the
// arguments do not count. See Survey.
func (s Source) Surveys(ctx context.Context, q SurveyArgs, periods []journey.Period) ([]SurveyResult, error) {
	q.From, q.To = periods[0].From, periods[len(periods)-1].To
	a, err := q.withDefaults()
	if err != nil {
		return nil, err
	}
	if q.Kind != SurveyNPS && q.Kind != SurveyCSAT && q.Kind != SurveySUS {
		return nil, fmt.Errorf("kind %q: want nps, csat or sus", q.Kind)
	}
	p, err := s.people(ctx, true)
	if err != nil {
		return nil, err
	}
	starts := make([]int64, len(periods))
	for i, period := range periods {
		starts[i] = millis(period.From)
	}
	w := s.answers(a, q, p)
	w.params["starts"] = starts
	one, _ := p.oneSQL()
	out, sus := make([]SurveyResult, len(periods)), make([][]float64, len(periods))
	err = s.rows(ctx, fmt.Sprintf(surveySQL, w, one), w.params, func(row row) {
		i := slotOf(starts, row.int64(0))
		out[i].answer(q.Kind, column[*float64](row, 1), row.string(2), &sus[i])
	})
	if err != nil {
		return nil, fmt.Errorf("read the answers: %w", err)
	}
	for i, period := range periods {
		r := &out[i]
		r.Invited = q.Invited
		if r.Invited == 0 {
			r.Invited = len(p.eligible(Actors, millis(period.From), millis(period.To), nil))
		}
		if r.Answers <= r.Invited {
			r.ResponseRate = ratio(r.Answers, r.Invited)
		}
		r.score(q.Kind, sus[i])
	}
	return out, nil
}

// answers selects the answers of the periods.
func (s Source) answers(a Args, q SurveyArgs, p people) where {
	w := where{params: map[string]any{}}
	w.add("name = '"+SurveyEvent+"'", "", nil)
	w.add("outcome = 'success'", "", nil)
	if a.ActorKind != AnyKind {
		w.add("(actor = 0 OR actor_kind = {kind:String})", "kind", a.ActorKind)
	}
	if q.Survey != "" {
		w.add("object = {survey:String}", "survey", q.Survey)
	}
	w.during(millis(a.From), millis(a.To))
	_, params := p.oneSQL()
	maps.Copy(w.params, params)
	return w
}

// oneSQL is the one identity of the column actor, with its parameters.
func (p people) oneSQL() (string, map[string]any) {
	var from, to []uint64
	for actor, one := range p.canonical {
		if actor != one {
			from, to = append(from, actor), append(to, one)
		}
	}
	if len(from) == 0 {
		return "actor", nil
	}
	return "transform(actor, {alias_from:Array(UInt64)}, {alias_to:Array(UInt64)}, actor)", map[string]any{"alias_from": from, "alias_to": to}
}

// answer counts one answer, if it is valid.
func (r *SurveyResult) answer(kind string, value *float64, items string, sus *[]float64) {
	switch {
	case kind == SurveySUS:
		score, ok := susScore(items)
		if !ok {
			r.Invalid++
			return
		}
		*sus = append(*sus, score)
	case value == nil || *value != float64(int(*value)) || kind == SurveyNPS && (*value < 0 || *value > 10) || kind == SurveyCSAT && (*value < 1 || *value > 5):
		r.Invalid++
		return
	case kind == SurveyNPS && *value >= 9, kind == SurveyCSAT && *value >= 4:
		r.Favourable++
	case kind == SurveyNPS && *value <= 6:
		r.Unfavourable++
	}
	r.Answers++
}

func susScore(text string) (float64, bool) {
	var items [10]int
	parts := strings.Split(text, ",")
	if len(parts) != len(items) {
		return 0, false
	}
	for i, part := range parts {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil {
			return 0, false
		}
		items[i] = n
	}
	return interval.SystemUsability(items)
}

func (r *SurveyResult) score(kind string, sus []float64) {
	n, favourable := float64(r.Answers), float64(r.Favourable)
	var score, low, high float64
	var scored, bounded bool
	switch kind {
	case SurveyNPS:
		score, low, high, scored = interval.NetPromoter(favourable, float64(r.Unfavourable), n)
		bounded = scored
	case SurveySUS:
		score, low, high, scored, bounded = interval.Mean(sus)
	default:
		if r.Answers == 0 {
			return
		}
		score, scored = favourable/n, true
		if low, high, bounded = interval.WilsonFinite(favourable, n, float64(r.Invited)); !bounded {
			low, high, bounded = interval.Wilson(favourable, n)
		}
	}
	if scored {
		r.Score = &score
	}
	if scored && bounded {
		r.Low, r.High = &low, &high
	}
}
