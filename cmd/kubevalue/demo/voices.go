package demo

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// The survey that the simulated organisation asks, by the ids of its questions.
const (
	SurveyID       = "platform"
	QuestionHappy  = "satisfied"
	QuestionWhyNot = "why-not"
)

// WhyNot are the options of QuestionWhyNot.
func WhyNot() []string {
	return []string{"nothing", "outages", "missing features", "we have our own"}
}

// voice is a record of feedback with when it became known.
type voice struct {
	at time.Time
	schema.Feedback
}

// answer is what somebody says to the survey; nothing: they do not answer.
type answer struct {
	after time.Duration
	happy int
	why   string
}

// answers says what somebody who is asked on a day answers: people are kinder since the etcd work.
func (w *World) answers(r *rand.Rand, asked time.Time) (answer, bool) {
	a := answer{after: time.Duration(1+r.ExpFloat64()*20) * time.Hour, happy: 2 + r.IntN(4), why: WhyNot()[r.IntN(4)]}
	if asked.After(w.week(17)) {
		a.happy = min(5, a.happy+r.IntN(2))
		if a.why == "outages" {
			a.why = "nothing"
		}
	}
	return a, r.Float64() < 0.45 && a.after < surveyOpen
}

// surveyOpen is for how long an invitation can be answered.
const surveyOpen = 14 * 24 * time.Hour

// isSurveyDay tells whether people are asked on a day: every eight weeks.
func (w *World) isSurveyDay(midnight time.Time) bool {
	return int(w.End.Sub(midnight).Hours()/(7*24))%8 == 1 && midnight.Weekday() == time.Wednesday
}

// survey is what comes of asking everybody on a day: an organisation that moves to the service brings along what its people answered before.
func (w *World) survey(midnight time.Time) []voice {
	if !w.isSurveyDay(midnight) {
		return nil
	}
	r := rand.New(rand.NewPCG(w.Seed^0x5e, uint64(midnight.Unix())))
	asked := midnight.Add(8 * time.Hour)
	var out []voice
	for i := range w.Teams {
		t := &w.Teams[i]
		for m := range t.Members {
			a, answers := w.answers(r, midnight)
			if t.Joined.IsZero() || midnight.Before(t.starts[m]) || !t.Left.IsZero() && midnight.After(t.Left) {
				continue
			}
			said := schema.Feedback{
				Kind: schema.FeedbackInvitation, ID: fmt.Sprintf("simulated/%s/%s/%d", midnight.Format(time.DateOnly), t.Name, m), Time: asked, Until: asked.Add(surveyOpen),
				Team: t.Name, Survey: SurveyID, Version: 1,
			}
			out = append(out, voice{asked, said})
			if !answers {
				continue
			}
			one := schema.Feedback{Kind: schema.FeedbackAnswer, Time: asked.Add(a.after), Team: t.Name, Survey: SurveyID, Version: 1}
			happy, why := one, one
			happy.ID, happy.Question, happy.Asked, happy.Value = said.ID+"/"+QuestionHappy, QuestionHappy, "csat", new(float64(a.happy))
			why.ID, why.Question, why.Asked, why.Text = said.ID+"/"+QuestionWhyNot, QuestionWhyNot, "choice", a.why
			said.State, said.Version = "answered", 2
			out = append(out, voice{one.Time, happy}, voice{one.Time, why}, voice{one.Time, said})
		}
	}
	return out
}

// work is what the platform team notes on the first day of a week about the one before: it runs less and builds more as things get better.
func (w *World) work(midnight time.Time) []voice {
	monday := midnight.AddDate(0, 0, -7)
	if midnight.Weekday() != time.Monday || monday.Before(w.Start) {
		return nil
	}
	r := rand.New(rand.NewPCG(w.Seed^0x77, uint64(midnight.Unix())))
	run := 190 + 20*r.Float64()
	if monday.After(w.week(17)) {
		run = 120 + 20*r.Float64()
	}
	year, week := monday.ISOWeek()
	var out []voice
	for _, w := range []struct {
		topic string
		hours float64
	}{{schema.WorkRun, run}, {schema.WorkBuild, 320 - run}} {
		out = append(out, voice{midnight.Add(9 * time.Hour), schema.Feedback{
			Kind: schema.FeedbackWork, ID: fmt.Sprintf("platform/%d-W%02d/%s", year, week, w.topic), Time: monday, Team: "platform", Topic: w.topic, Value: new(float64(int(w.hours))), Version: 1,
		}})
	}
	return out
}

// requests are the figures that managers asked for, and what answers them. Of those of which the first 30 days end in the last whole week, two
// are looked at.
func (w *World) requests(midnight time.Time) []voice {
	judged := w.lastMonday().AddDate(0, 0, -30)
	var out []voice
	for i, r := range []struct {
		title, team, object string
		asked, built        time.Time
	}{
		{"who uses the platform", "management", "journey", w.week(2), w.week(5)}, {"are the outages getting fewer", "management", "journey", w.week(10), w.week(12)},
		{"what do new teams need", "management", "journey", judged.AddDate(0, 0, -20), judged}, {"who cleans up", "management", "journey", judged.AddDate(0, 0, -16), judged.AddDate(0, 0, 1)},
		{"cost by team", "finance", "/metric/O23", judged.AddDate(0, 0, -12), judged.AddDate(0, 0, 3)}, {"what does an idle node cost", "finance", "", w.week(20), time.Time{}},
		{"uptime by product line", "management", "", w.week(24.2), time.Time{}},
	} {
		f := schema.Feedback{Kind: schema.FeedbackRequest, ID: fmt.Sprintf("DR-%d", i+1), Time: r.asked.Add(10 * time.Hour), Team: r.team, Text: r.title, Version: 1}
		if sameDay(f.Time, midnight) {
			out = append(out, voice{f.Time, f})
		}
		f.Until, f.Object, f.Version = r.built.Add(7*time.Hour), r.object, 2
		if sameDay(f.Until, midnight) {
			out = append(out, voice{f.Until, f})
		}
	}
	return out
}

func sameDay(at, midnight time.Time) bool { return at.Truncate(24 * time.Hour).Equal(midnight) }

// voices are what people say, ask for and note on the day that starts at midnight, and because of it: answers to a survey come later.
func (w *World) voices(midnight time.Time) []voice {
	return append(append(w.survey(midnight), w.work(midnight)...), w.requests(midnight)...)
}

// Issue is a request for help on GitHub.
type Issue struct {
	Number      int
	Team, Topic string
	// Closed is zero while it is open.
	Opened, Closed time.Time
}

// longestIssue bounds how long an issue that is closed at all was open.
const longestIssue = 12 * 24 * time.Hour

// Issues are those that were opened on the day that starts at midnight: fewer since people know how to help themselves.
func (w *World) Issues(midnight time.Time) []Issue {
	if midnight.Weekday() == time.Saturday || midnight.Weekday() == time.Sunday {
		return nil
	}
	r := rand.New(rand.NewPCG(w.Seed^0x15, uint64(midnight.Unix())))
	day := int(midnight.Sub(w.Start).Hours() / 24)
	most := 6
	if midnight.After(w.week(17)) {
		most = 4
	}
	var out []Issue
	for n := range 1 + r.IntN(most) {
		t := &w.Teams[r.IntN(len(w.Teams))]
		is := Issue{Number: 10*day + n + 1, Team: t.Name, Topic: []string{"quota", "access", "network", "deployment"}[r.IntN(4)], Opened: workTime(r, midnight)}
		took := time.Duration(1+r.ExpFloat64()*40) * time.Hour
		if took < longestIssue {
			is.Closed = is.Opened.Add(took)
		}
		if !t.Joined.IsZero() && !midnight.Before(t.Joined) && (t.Left.IsZero() || midnight.Before(t.Left)) {
			out = append(out, is)
		}
	}
	return out
}

// event is what GitHub's webhook posts about the issue as it is at a moment.
func (is Issue) event(now time.Time) map[string]any {
	issue := map[string]any{
		"number": is.Number, "state": "open", "created_at": is.Opened.UTC(), "updated_at": is.Opened.UTC(), "title": "simulated", "user": map[string]any{"login": "simulated"},
		"labels": []map[string]any{{"name": "team:" + is.Team}, {"name": is.Topic}},
	}
	action := "opened"
	if !is.Closed.IsZero() && !is.Closed.After(now) {
		action, issue["state"], issue["updated_at"], issue["closed_at"] = "closed", "closed", is.Closed.UTC(), is.Closed.UTC()
	}
	return map[string]any{"action": action, "issue": issue, "repository": map[string]any{"full_name": "example-corp/platform-help"}}
}

// voiceBatch bounds the records of feedback and consumption that are sent at once.
const voiceBatch = 10_000

// sendVoices sends what people said and asked for, and what teams had of the clusters, after an instant and not after Until: requests for
// help as GitHub would, all else as agents do.
func (w *World) sendVoices(ctx context.Context, doors Doors, after time.Time) error {
	var batch schema.Batch
	flush := func(most int) error {
		if len(batch.Feedback)+len(batch.Consumption) <= most {
			return nil
		}
		err := doors.post(ctx, "/v1/agent", batch)
		batch = schema.Batch{}
		return err
	}
	hour := w.Until.Truncate(time.Hour).After(after.Truncate(time.Hour))
	news := func(at time.Time) bool { return at.After(after) && !at.After(w.Until) }
	today := after.Truncate(24 * time.Hour)
	for midnight := later(w.Start, today.Add(-surveyOpen-24*time.Hour)); !midnight.After(w.Until); midnight = midnight.AddDate(0, 0, 1) {
		for _, v := range w.voices(midnight) {
			if news(v.at) {
				batch.Feedback = append(batch.Feedback, v.Feedback)
			}
		}
		if hour && !midnight.Before(today.AddDate(0, 0, -1)) { // the day that has ended, too
			batch.Consumption = append(batch.Consumption, w.Consumption(midnight)...)
		}
		if err := flush(voiceBatch); err != nil {
			return err
		}
		for _, is := range w.Issues(midnight) {
			if !news(is.Opened) && !news(is.Closed) {
				continue
			}
			if err := doors.deliver(ctx, is.event(w.Until)); err != nil {
				return err
			}
		}
	}
	return flush(0)
}

// deliver posts an event as GitHub's webhook does.
func (d Doors) deliver(ctx context.Context, event any) error {
	data, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("encode an event of GitHub: %w", err)
	}
	mac := hmac.New(sha256.New, d.Secret)
	mac.Write(data)
	return d.send(ctx, "/v1/github", data, http.Header{
		"Content-Type": {"application/json"}, "X-Github-Event": {"issues"}, "X-Hub-Signature-256": {"sha256=" + hex.EncodeToString(mac.Sum(nil))},
	})
}

// Answer lets the people behind one-time links, each a path of a form, answer the survey now, as a browser would. Not all of them do.
func (w *World) Answer(ctx context.Context, doors Doors, links []string) error {
	r := rand.New(rand.NewPCG(w.Seed, 0xf0))
	for _, link := range links {
		a, answers := w.answers(r, w.End)
		if !answers {
			continue
		}
		form := url.Values{QuestionHappy: {fmt.Sprint(a.happy)}, QuestionWhyNot: {a.why}}
		if err := doors.send(ctx, link, []byte(form.Encode()), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}); err != nil {
			return err
		}
	}
	return nil
}
