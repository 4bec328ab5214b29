package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const surveySettings = `
organisation: {small_group: 2}
feedback:
  surveys:
    - id: q4
      title: The platform
      questions:
        - {id: recommend, kind: nps, text: Would you recommend it?}
        - {id: happy, kind: csat, text: Are you satisfied?}
        - {id: why-not, kind: choice, text: Why do you not use it?, options: [too slow, too dear]}
  github: {secret_file: SECRET}
`

func TestPeopleAreAskedAndHeard(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "github")
	if err := os.WriteFile(secret, []byte("0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := boot(t, strings.Replace(surveySettings, "SECRET", secret, 1))
	links := strings.Fields(b.command(0, "feedback", "invite", "q4", "--team", "red", "--count", "3"))
	if len(links) != 3 || links[0] == links[1] {
		t.Fatalf("links %q", links)
	}
	path := func(link string) string {
		_, secret, _ := strings.Cut(link, "/survey/")
		return "/survey/" + secret
	}
	if got := b.send(http.MethodGet, path(links[0]), nil); got.status != 200 || !strings.Contains(got.body, "Would you recommend it?") {
		t.Fatalf("the form: %d %s", got.status, got.body)
	}
	for i, answers := range []url.Values{{"recommend": {"10"}, "happy": {"5"}, "why-not": {"too dear"}}, {"recommend": {"2"}, "happy": {"2"}}} {
		if got := b.post(path(links[i]), answers.Encode(), "Content-Type", "application/x-www-form-urlencoded"); got.status != 200 {
			t.Fatalf("answers: %d %s", got.status, got.body)
		}
	}
	b.flush()
	if got := b.post(path(links[0]), "recommend=0"); got.status != http.StatusGone {
		t.Errorf("a second answer: %d", got.status)
	}
	said := b.command(0, "feedback", "show", "q4")
	for _, want := range []string{"q4: 2 of 3 invitations answered (66.7%)", "score 0.00: 1 promoters, 1 detractors", "50% satisfied", "why-not    choice  1  withheld: small group"} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in\n%s", want, said)
		}
	}
	if rows := b.query("SELECT count(), toString(assumeNotNull(sum(value))), groupUniqArray(actor_team) FROM events WHERE name = 'survey.answer'"); rows != "2 12 [red]\n" {
		t.Errorf("events of the answers: %s", rows)
	}
	body := `{"action":"opened","issue":{"number":1,"state":"open","created_at":"2026-11-19T10:00:00Z","updated_at":"2026-11-19T10:00:00Z","labels":[{"name":"team:red"}]},"repository":{"full_name":"org/help"}}`
	mac := hmac.New(sha256.New, []byte("0123456789abcdef"))
	mac.Write([]byte(body))
	for _, signature := range []string{"sha256=" + hex.EncodeToString(mac.Sum(nil)), "sha256=00"} {
		got := b.post("/v1/github", body, "X-GitHub-Event", "issues", "X-Hub-Signature-256", signature)
		if want := map[bool]int{true: 401, false: 200}[signature == "sha256=00"]; got.status != want {
			t.Errorf("webhook signed %s: %d %s", signature, got.status, got.body)
		}
	}
	b.flush()
	if rows := b.query("SELECT id, team, state FROM feedback FINAL WHERE kind = 'ticket'"); rows != "org/help#1 red open\n" {
		t.Errorf("tickets: %s", rows)
	}
}

func TestAQuestionKeepsItsWords(t *testing.T) {
	t.Parallel()
	b := boot(t, strings.Replace(surveySettings, "  github: {secret_file: SECRET}\n", "", 1))
	other := *b.cfg
	other.Feedback.Surveys = append([]SurveyConfig{}, other.Feedback.Surveys...)
	other.Feedback.Surveys[0].Questions = append([]QuestionConfig{}, other.Feedback.Surveys[0].Questions...)
	other.Feedback.Surveys[0].Questions[0].Text = "Would you use it?"
	err := keepQuestions(t.Context(), b.db, other.surveys(), time.Now())
	if err == nil || !strings.Contains(err.Error(), `question "recommend" was asked as "Would you recommend it?" (nps)`) {
		t.Errorf("other words for an old question: %v", err)
	}
	if err := keepQuestions(t.Context(), b.db, b.cfg.surveys(), time.Now()); err != nil {
		t.Errorf("the same words: %v", err)
	}
	other.Feedback.Surveys[0].Questions[0].ID = "use"
	if err := keepQuestions(t.Context(), b.db, other.surveys(), time.Now()); err != nil {
		t.Errorf("an id of its own: %v", err)
	}
}

func TestRequestsAndHoursAreNoted(t *testing.T) {
	t.Parallel()
	b := boot(t, "")
	b.command(2, "feedback", "request", "DR-1")
	b.command(0, "feedback", "request", "DR-1", "--title", "cost by team", "--team", "finance", "--asked", "2026-11-02")
	b.command(2, "feedback", "request", "DR-1", "--built", "2026-11-16")
	b.command(0, "feedback", "request", "DR-1", "--built", "2026-11-16", "--object", "/metric/O23")
	if said := b.command(0, "feedback", "request", "--list"); !strings.Contains(said, "DR-1     finance  2026-11-02 00:00  2026-11-16 00:00  /metric/O23  cost by team") {
		t.Errorf("requests:\n%s", said)
	}
	b.command(2, "feedback", "work", "--team", "platform", "--week", "2026-11", "--run", "1")
	b.command(2, "feedback", "work", "--team", "platform", "--run", "1")
	b.command(0, "feedback", "work", "--team", "platform", "--week", "2026-W46", "--run", "4", "--build", "60")
	if said := b.command(0, "feedback", "work", "--team", "platform", "--week", "2026-W46", "--run", "30"); !strings.HasSuffix(said, "platform: 30 hours of running in 2026-W46\n") {
		t.Errorf("what was noted:\n%s", said) // and the hours of building stay
	}
	b.command(2, "feedback", "work", "--team", "platform", "--week", "2026-W46") // which would replace them by none
	if rows := b.query("SELECT topic, toString(assumeNotNull(value)), toDate(time) FROM feedback FINAL WHERE kind = 'work' ORDER BY topic"); !strings.HasPrefix(rows, "build 60 2026-11-09") || !strings.Contains(rows, "run 30 ") {
		t.Errorf("work:\n%s", rows)
	}
}
