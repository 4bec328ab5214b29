package demo_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/cmd/kubevalue/demo"
	"github.com/kubevalue/kubevalue/schema"
)

// ear takes what people say and what they have, by its identity: the newest record counts.
type ear struct {
	t        *testing.T
	feedback map[string]schema.Feedback
	had      map[string]schema.Consumption
	tickets  map[int]string
	forms    []url.Values
	records  int
}

func listen(t *testing.T) *ear {
	return &ear{t: t, feedback: map[string]schema.Feedback{}, had: map[string]schema.Consumption{}, tickets: map[int]string{}}
}

func (e *ear) doors() demo.Doors {
	return demo.Doors{BaseURL: "http://ear", Client: &http.Client{Transport: e}, Secret: []byte("secret"), Revision: func(string) string { return "1" }}
}

func (e *ear) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	switch {
	case r.URL.Path == "/v1/github":
		mac := hmac.New(sha256.New, []byte("secret"))
		mac.Write(body)
		if r.Header.Get("X-Hub-Signature-256") != "sha256="+hex.EncodeToString(mac.Sum(nil)) || r.Header.Get("X-GitHub-Event") != "issues" {
			e.t.Errorf("GitHub's webhook has the headers %v", r.Header)
		}
		var in struct {
			Action string `json:"action"`
			Issue  struct {
				Number int `json:"number"`
			} `json:"issue"`
		}
		err = json.Unmarshal(body, &in)
		e.tickets[in.Issue.Number] = in.Action
	case strings.HasPrefix(r.URL.Path, "/survey/"):
		form, _ := url.ParseQuery(string(body))
		e.forms = append(e.forms, form)
	case r.URL.Path == "/v1/agent":
		var b schema.Batch
		err = json.Unmarshal(body, &b)
		e.hear(b)
	}
	return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Body: http.NoBody}, err
}

func (e *ear) hear(b schema.Batch) {
	for _, f := range b.Feedback {
		if err := f.Validate(); err != nil {
			e.t.Errorf("feedback %s: %v", f.ID, err)
		}
		key := string(f.Kind) + f.ID
		if was, ok := e.feedback[key]; !ok || was.Version <= f.Version {
			e.feedback[key] = f
		}
		e.records++
	}
	for _, c := range b.Consumption {
		if err := c.Validate(); err != nil {
			e.t.Errorf("consumption: %v", err)
		}
		e.had[c.Cluster+c.Start.String()+string(c.Kind)+c.Class+c.Namespace+c.Team] = c
	}
}

func TestPeopleAreHeardAsTheyWouldHaveBeenAtOnce(t *testing.T) {
	bitByBit, atOnce := listen(t), listen(t)
	w := demo.NewWorld(3, 10, now)
	if _, err := w.Send(t.Context(), bitByBit.doors(), func(int, int, demo.Sent) {}); err != nil {
		t.Fatal(err)
	}
	before := bitByBit.records
	for _, later := range []time.Duration{time.Minute, time.Hour, 11 * time.Hour, 30 * time.Hour, 6 * 24 * time.Hour} {
		if err := w.Tell(t.Context(), bitByBit.doors(), now.Add(later)); err != nil {
			t.Fatal(err)
		}
		if later == time.Minute && bitByBit.records > before+50 {
			t.Errorf("%d records of a minute", bitByBit.records-before)
		}
	}
	whole := demo.NewWorld(3, 10, now)
	if err := whole.Tell(t.Context(), listen(t).doors(), now); err != nil { // nothing happened since
		t.Fatal(err)
	}
	whole.Until = now.Add(6 * 24 * time.Hour)
	until := whole.Until
	whole.Until = whole.Start.Add(-time.Hour)
	if err := whole.Tell(t.Context(), atOnce.doors(), until); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(atOnce.feedback, bitByBit.feedback); diff != "" || len(atOnce.feedback) < 500 {
		t.Errorf("%d records of feedback (- at once, + bit by bit):\n%s", len(atOnce.feedback), diff)
	}
	if diff := cmp.Diff(atOnce.tickets, bitByBit.tickets); diff != "" || len(atOnce.tickets) < 50 {
		t.Errorf("%d tickets (- at once, + bit by bit):\n%s", len(atOnce.tickets), diff)
	}
	if diff := cmp.Diff(atOnce.had, bitByBit.had); diff != "" || len(atOnce.had) < 5_000 {
		t.Errorf("%d records of consumption (- at once, + bit by bit):\n%s", len(atOnce.had), diff)
	}
	kinds := map[schema.FeedbackKind]int{}
	for _, f := range atOnce.feedback {
		kinds[f.Kind]++
	}
	if len(kinds) != 4 || kinds[schema.FeedbackAnswer]%2 != 0 || kinds[schema.FeedbackAnswer] >= 2*kinds[schema.FeedbackInvitation] {
		t.Errorf("kinds of feedback: %v", kinds)
	}
}

func TestNobodyHasMoreThanThereIs(t *testing.T) {
	w := demo.NewWorld(1, 26, now)
	for _, day := range []time.Time{w.Start.AddDate(0, 0, 30), w.End.AddDate(0, 0, -3), now.Truncate(24 * time.Hour)} {
		there, taken := map[string]float64{}, map[string]float64{}
		for _, c := range w.Consumption(day) {
			switch c.Kind {
			case schema.ConsumedNode:
				there[c.Cluster] += c.CoreSeconds
			case schema.ConsumedPod:
				taken[c.Cluster] += c.CoreSeconds
				if c.UsedCoreSeconds > c.RequestedCoreSeconds || c.Seconds > 24*3600*6 {
					t.Errorf("%s: %+v", day, c)
				}
			}
		}
		for _, c := range w.Clusters {
			if there[c.Name] <= 0 || taken[c.Name] <= 0 || taken[c.Name] > 0.95*there[c.Name] {
				t.Errorf("%s: pods on %s have %v of %v core-seconds", day, c.Name, taken[c.Name], there[c.Name])
			}
		}
	}
}

func TestPeopleAnswerTheForm(t *testing.T) {
	e := listen(t)
	links := make([]string, 40)
	for i := range links {
		links[i] = "/survey/x"
	}
	if err := demo.NewWorld(1, 26, now).Answer(t.Context(), e.doors(), links); err != nil {
		t.Fatal(err)
	}
	if len(e.forms) < 8 || len(e.forms) > 30 || e.forms[0].Get(demo.QuestionHappy) == "" || e.forms[0].Get(demo.QuestionWhyNot) == "" {
		t.Errorf("%d of 40 answered, first %v", len(e.forms), e.forms)
	}
}
