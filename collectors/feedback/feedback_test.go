package feedback

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

type sink struct {
	batches []schema.Batch
	err     error
}

func (s *sink) Append(_ context.Context, b schema.Batch) error {
	if s.err == nil {
		s.batches = append(s.batches, b)
	}
	return s.err
}

func survey() Survey {
	return Survey{ID: "q4", Title: "The <platform>", Questions: []Question{
		{ID: "recommend", Kind: QuestionNPS, Text: "Would you recommend it?"}, {ID: "happy", Kind: QuestionCSAT, Text: "Are you satisfied?"},
		{ID: "why-not", Kind: QuestionChoice, Text: "Why not?", Options: []string{"too slow", "too dear"}}, {ID: "more", Kind: QuestionText, Text: "What else?"},
	}}
}

// desk is a receiver with one invitation, of which secret is the link's.
type desk struct {
	*Receiver
	sink       *sink
	secret     string
	invitation schema.Feedback
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{sink: &sink{}}
	secret, id := NewSecret()
	d.secret = secret
	d.invitation = schema.Feedback{Kind: schema.FeedbackInvitation, ID: id, Time: noon.AddDate(0, 0, -1), Until: noon.Add(time.Hour), Team: "red", Survey: "q4", Version: 1}
	d.Receiver = New(Config{
		Sink: d.sink, Surveys: []Survey{survey()}, Now: func() time.Time { return noon }, Secret: []byte("a shared secret of GitHub"), TeamLabel: "team:",
		Invitation: func(_ context.Context, id string) (schema.Feedback, bool, error) {
			return d.invitation, id == d.invitation.ID, nil
		},
	})
	return d
}

func (d *desk) send(method, secret string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, FormPath+secret, strings.NewReader(form.Encode()))
	w := httptest.NewRecorder()
	d.Form().ServeHTTP(w, r)
	return w
}

func TestASurveyIsAnsweredOnce(t *testing.T) {
	d := newDesk(t)
	shown := d.send(http.MethodGet, d.secret, nil)
	body := shown.Body.String()
	for _, want := range []string{
		`<html lang="en">`, `<fieldset id="recommend" tabindex="-1" role="radiogroup" aria-describedby="recommend-ends"><legend>Would you recommend it?</legend>`, `<label for="more">What else?</label>`,
		`<label><input type="radio" name="recommend" value="0">`, `value="10"`, `<input type="radio" name="happy" value=""> No answer`, `name="why-not" value="too dear"`, `The &lt;platform&gt;`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the form has no %s:\n%s", want, body)
		}
	}
	if strings.Contains(body, d.secret) || strings.Contains(body, "<script") || shown.Header().Get("Referrer-Policy") != "no-referrer" ||
		!strings.Contains(shown.Header().Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("the form tells its address, or lets things in: %v", shown.Header())
	}
	wrong := d.send(http.MethodPost, d.secret, url.Values{"recommend": {"11"}, "why-not": {"other"}, "more": {"<b>kept</b>"}})
	for _, want := range []string{`href="#recommend"`, `aria-describedby="recommend-wrong recommend-ends" aria-invalid="true"`, `id="recommend-wrong"`, `aria-describedby="why-not-wrong"`} {
		if !strings.Contains(wrong.Body.String(), want) {
			t.Errorf("wrong answers: no %s in\n%s", want, wrong.Body)
		}
	}
	if wrong.Code != http.StatusBadRequest || !strings.Contains(wrong.Body.String(), `role="alert"`) ||
		!strings.Contains(wrong.Body.String(), "is not a whole number from 0 to 10") || !strings.Contains(wrong.Body.String(), "&lt;b&gt;kept&lt;/b&gt;</textarea>") {
		t.Errorf("wrong answers: %d\n%s", wrong.Code, wrong.Body)
	}
	d.sink.err = collectors.ErrFull
	if w := d.send(http.MethodPost, d.secret, url.Values{"recommend": {"9"}}); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("without room: %d %v", w.Code, w.Header())
	}
	d.sink.err = nil
	answers := url.Values{"recommend": {"9"}, "happy": {"4"}, "why-not": {"too dear"}, "more": {" nothing "}}
	if w := d.send(http.MethodPost, d.secret, answers); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "Thank you") {
		t.Fatalf("answers: %d\n%s", w.Code, w.Body)
	}
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		if w := d.send(method, d.secret, answers); w.Code != http.StatusGone {
			t.Errorf("a second %s: %d", method, w.Code)
		}
	}
	answer := func(question, asked, text string, value *float64) schema.Feedback {
		return schema.Feedback{Kind: schema.FeedbackAnswer, ID: d.invitation.ID + "/" + question, Time: noon, Team: "red", Survey: "q4", Question: question, Asked: asked, Text: text, Value: value}
	}
	answered := d.invitation
	answered.State = "answered"
	want := []schema.Batch{{
		Feedback: []schema.Feedback{answer("recommend", "nps", "", new(9.0)), answer("happy", "csat", "", new(4.0)), answer("why-not", "choice", "too dear", nil), answer("more", "text", "nothing", nil), answered},
		Events: []schema.Event{{ID: d.invitation.ID + "/recommend", Source: "survey", Time: noon, Received: noon, Name: "survey.answer", ActorKind: schema.ActorHuman,
			Team: "red", Object: "q4", Value: new(9.0), Outcome: schema.OutcomeSuccess}},
	}}
	if diff := cmp.Diff(want, d.sink.batches, cmpopts.IgnoreFields(schema.Feedback{}, "Version")); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	got := d.sink.batches[0].Feedback
	if got[4].Version != 2 {
		t.Errorf("the invitation has version %d, want 2", got[4].Version)
	}
	for _, f := range got {
		if err := f.Validate(); err != nil {
			t.Error(err)
		}
	}
	later, _, _ := taken{d.invitation, survey(), answers}.batch(noon.Add(time.Second))
	if later.Feedback[0].Version >= got[0].Version {
		t.Error("of two answers the later one would count")
	}
}

func TestALongTextIsCountedAsBrowsersDo(t *testing.T) {
	q := Question{ID: "more", Kind: QuestionText}
	for said, fits := range map[string]bool{
		strings.Repeat("ü", maxText): true, strings.Repeat("x\r\n", maxText/2) + "x": false, strings.Repeat("x\r\n", maxText/2): true, strings.Repeat("ü", maxText+1): false,
	} {
		_, text, _, err := q.answer(said)
		if (err == nil) != fits {
			t.Errorf("%d bytes: %v", len(said), err)
		}
		stored := schema.Feedback{Kind: schema.FeedbackAnswer, ID: "a", Time: noon, Text: text}
		if err := stored.Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestLinksThatLeadNowhere(t *testing.T) {
	for name, change := range map[string]func(*desk){
		"This link leads to no survey":     func(d *desk) { d.secret += "x" },
		"This survey is closed":            func(d *desk) { d.invitation.Until = noon },
		"was answered through this link":   func(d *desk) { d.invitation.State = "answered" },
		"leads to no survey. Please check": func(d *desk) { d.invitation.Survey = "gone" },
		"cannot be shown at the moment": func(d *desk) {
			d.cfg.Invitation = func(context.Context, string) (schema.Feedback, bool, error) {
				return schema.Feedback{}, false, context.Canceled
			}
		},
	} {
		d := newDesk(t)
		change(d)
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if w := d.send(method, d.secret, nil); w.Code < 400 || !strings.Contains(w.Body.String(), name) {
				t.Errorf("%s %s: %d %s", name, method, w.Code, w.Body)
			}
		}
		if len(d.sink.batches) > 0 {
			t.Errorf("%s: something was stored", name)
		}
	}
}

func TestSurveysThatCannotBeMeantAreRefused(t *testing.T) {
	if err := survey().Validate(); err != nil {
		t.Error(err)
	}
	bad := Survey{ID: "Q 4", Questions: []Question{
		{ID: "a", Kind: "stars"}, {ID: "a", Kind: QuestionText, Text: "?", Options: []string{"x", "y"}}, {ID: "b", Kind: QuestionChoice, Text: "?"},
	}}
	err := bad.Validate()
	for _, want := range []string{"the id must be", "a title and", `question "a": the text is missing`, `kind is "stars"`, "stand there once", "two options or more"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no fault %q in %v", want, err)
		}
	}
}

const issue = `{"action":"ACTION","issue":{"number":7,"state":"closed","title":"Ann cannot deploy","body":"ask ann@example.com","user":{"login":"ann"},
	"created_at":"2026-11-19T10:00:00Z","updated_at":"2026-11-20T10:00:00Z","closed_at":"2026-11-20T09:00:00Z","html_url":"https://example.com/7",
	"labels":[{"name":"quota","color":"fff"},{"name":"team:payments"},{"name":"later"}],"state_reason":"completed","novel":{"a":[1,2]}},
	"repository":{"full_name":"org/help"},"sender":{"login":"ann"}}`

func (d *desk) deliver(body, event, secret string) *httptest.ResponseRecorder {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	r := httptest.NewRequest(http.MethodPost, "/v1/github", strings.NewReader(body))
	r.Header.Set("X-GitHub-Event", event)
	r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	w := httptest.NewRecorder()
	d.GitHub().ServeHTTP(w, r)
	return w
}

func TestAnIssueIsATicketWithoutPersons(t *testing.T) {
	d := newDesk(t)
	good := "a shared secret of GitHub"
	if w := d.deliver(strings.Replace(issue, "ACTION", "closed", 1), "issues", good); w.Code != http.StatusOK || w.Body.String() != "{\"taken\":1}\n" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	at := func(text string) time.Time {
		v, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	want := schema.Feedback{
		Kind: schema.FeedbackTicket, ID: "org/help#7", Time: at("2026-11-19T10:00:00Z"), Until: at("2026-11-20T09:00:00Z"), Team: "payments", Topic: "quota", State: "closed",
		Extra: `{"novel":{"a":[1,2]},"state_reason":"completed"}`, Version: uint64(at("2026-11-20T10:00:00Z").UnixMilli()),
	}
	if diff := cmp.Diff(want, d.sink.batches[0].Feedback[0]); diff != "" {
		t.Errorf("ticket (-want +got):\n%s", diff)
	}
	if err := want.Validate(); err != nil {
		t.Error(err)
	}
	d.deliver(strings.Replace(issue, "ACTION", "deleted", 1), "issues", good)
	if got := d.sink.batches[1].Feedback[0]; got.State != "deleted" || got.Version <= want.Version {
		t.Errorf("a deleted issue is %+v", got)
	}
	if w := d.deliver(`{"zen":"Design for failure."}`, "ping", good); w.Code != http.StatusOK || w.Body.String() != "{\"taken\":0}\n" {
		t.Errorf("a ping: %d %s", w.Code, w.Body)
	}
	huge := strings.Replace(issue, `"novel":{"a":[1,2]}`, `"novel":"`+strings.Repeat("x", 20<<10)+`"`, 1)
	if w := d.deliver(huge, "issues", good); w.Code != http.StatusOK {
		t.Errorf("a huge field: %d %s", w.Code, w.Body)
	}
	if got := d.sink.batches[2].Feedback[0]; got.Extra != "{}" || got.Validate() != nil {
		t.Errorf("of a huge field %d bytes are kept: %v", len(got.Extra), got.Validate())
	}
}

func TestWhatIsNotSignedIsRefused(t *testing.T) {
	d := newDesk(t)
	if w := d.deliver(issue, "issues", "another secret"); w.Code != http.StatusUnauthorized {
		t.Errorf("another secret: %d", w.Code)
	}
	r := httptest.NewRequest(http.MethodPost, "/v1/github", strings.NewReader(issue))
	r.Header.Set("X-GitHub-Event", "issues")
	w := httptest.NewRecorder()
	if d.GitHub().ServeHTTP(w, r); w.Code != http.StatusUnauthorized {
		t.Errorf("no signature: %d", w.Code)
	}
	for body, event := range map[string]string{`{`: "issues", `{"issue":{"number":"seven"}}`: "issues", `{"issue":{"number":1}}`: "issues"} {
		if w := d.deliver(body, event, "a shared secret of GitHub"); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", body, w.Code)
		}
	}
	d.cfg.Secret = nil
	if w := d.deliver(issue, "issues", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("without a configured secret: %d", w.Code)
	}
	if len(d.sink.batches) > 0 {
		t.Error("something was stored")
	}
}
