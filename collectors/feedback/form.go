package feedback

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// DefaultLimits fit a form with some long texts, and a webhook of GitHub.
var DefaultLimits = collectors.BodyLimits{Wire: 1 << 20, Decoded: 1 << 20, Timeout: 30 * time.Second}

// Config is what a Receiver needs.
type Config struct {
	Sink    collectors.Sink
	Surveys []Survey
	// Invitation finds an invitation by its ID; false: there is none.
	Invitation func(ctx context.Context, id string) (schema.Feedback, bool, error)
	Limits     collectors.BodyLimits
	Memory     *collectors.BodyMemory
	Now        func() time.Time
	// Secret is what GitHub signs with; empty: the webhook refuses everything.
	Secret []byte
	// TeamLabel is how labels of tickets begin that name a team, e.g. "team:".
	TeamLabel string
}

// Receiver takes answers and tickets.
type Receiver struct {
	cfg     Config
	surveys map[string]Survey
	mu      sync.Mutex
	// used are the invitations that were answered here: the tables know them a moment later.
	used map[string]time.Time
}

// New makes a Receiver of surveys that were validated.
func New(cfg Config) *Receiver {
	cfg.Limits = cmp.Or(cfg.Limits, DefaultLimits)
	cfg.Now = collectors.Clock(cfg.Now)
	r := &Receiver{cfg: cfg, surveys: map[string]Survey{}, used: map[string]time.Time{}}
	for _, s := range cfg.Surveys {
		r.surveys[s.ID] = s
	}
	return r
}

//go:embed form.html
var formHTML string

//go:embed form.css
var formCSS string

var page = template.Must(template.New("form").Funcs(template.FuncMap{
	"options": Question.options, "ends": Question.ends, "describes": describes, "most": func() int { return maxText },
	"css": func() template.CSS { return template.CSS(formCSS) }, //nolint:gosec // our own file
}).Parse(formHTML))

// describes are the ids of what a reader of the screen says besides the words of a question.
func describes(q Question, wrong string) string {
	var ids []string
	if wrong != "" {
		ids = append(ids, q.ID+"-wrong")
	}
	if q.ends() != "" {
		ids = append(ids, q.ID+"-ends")
	}
	return strings.Join(ids, " ")
}

// policy lets nothing in but the page's own style.
var policy = func() string {
	sum := sha256.Sum256([]byte(formCSS))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
}()

// view is what a page shows: questions with what was said and what is wrong with it, or a message.
type view struct {
	Survey   Survey
	Message  string
	Said     map[string]string
	Problems []problem
}

type problem struct{ ID, Text, Why string }

// Wrong is what is wrong with the answer to a question.
func (v view) Wrong(id string) string {
	for _, p := range v.Problems {
		if p.ID == id {
			return p.Why
		}
	}
	return ""
}

func show(w http.ResponseWriter, status int, v view) {
	var body bytes.Buffer
	if err := page.Execute(&body, v); err != nil {
		http.Error(w, "the page cannot be shown", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer") // the address is the secret
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes())
}

// FormPath is where the form is; the secret of the link follows.
const FormPath = "/survey/"

// Form shows the questions of a one-time link, and takes the answers once.
func (r *Receiver) Form() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		invitation, survey, status, why := r.open(req)
		if why != "" {
			show(w, status, view{Message: why})
			return
		}
		if req.Method != http.MethodPost {
			show(w, http.StatusOK, view{Survey: survey})
			return
		}
		body, release, err := collectors.ReadBody(w, req, r.cfg.Limits, r.cfg.Memory)
		if err != nil {
			code, _ := collectors.HTTPStatus(err)
			show(w, code, view{Message: "Your answers could not be read: they may be too long. Please go back and try again."})
			return
		}
		defer release()
		form, err := url.ParseQuery(string(body))
		if err != nil {
			show(w, http.StatusBadRequest, view{Message: "Your answers could not be read. Please go back and try again."})
			return
		}
		r.take(req.Context(), w, taken{invitation, survey, form})
	})
}

// open finds what a link leads to; why says to people why it leads nowhere.
func (r *Receiver) open(req *http.Request) (invitation schema.Feedback, survey Survey, status int, why string) {
	id := InvitationID(strings.TrimPrefix(req.URL.Path, FormPath))
	invitation, found, err := r.cfg.Invitation(req.Context(), id)
	if err != nil {
		return invitation, survey, http.StatusServiceUnavailable, "The survey cannot be shown at the moment. Please try again in a few minutes."
	}
	survey, known := r.surveys[invitation.Survey]
	switch {
	case !found || !known:
		return invitation, survey, http.StatusNotFound, "This link leads to no survey. Please check that it is complete."
	case invitation.State == stateAnswered || r.isUsed(id):
		return invitation, survey, http.StatusGone, "This survey was answered through this link already. Thank you."
	case !invitation.Until.IsZero() && !r.cfg.Now().Before(invitation.Until):
		return invitation, survey, http.StatusGone, "This survey is closed. Thank you for your interest."
	}
	return invitation, survey, http.StatusOK, ""
}

// stateAnswered is the state of an invitation that was answered.
const stateAnswered = "answered"

func (r *Receiver) isUsed(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, used := r.used[id]
	return used
}

// use takes the right to answer an invitation; false: somebody else has it.
func (r *Receiver) use(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Now()
	for other, at := range r.used {
		if now.Sub(at) > 24*time.Hour {
			delete(r.used, other)
		}
	}
	if _, used := r.used[id]; used {
		return false
	}
	r.used[id] = now
	return true
}

func (r *Receiver) giveBack(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.used, id)
}

// taken is a form that was sent.
type taken struct {
	invitation schema.Feedback
	survey     Survey
	form       url.Values
}

func (r *Receiver) take(ctx context.Context, w http.ResponseWriter, t taken) {
	batch, problems, said := t.batch(r.cfg.Now().UTC())
	if len(problems) > 0 {
		show(w, http.StatusBadRequest, view{Survey: t.survey, Said: said, Problems: problems})
		return
	}
	if !r.use(t.invitation.ID) {
		show(w, http.StatusGone, view{Message: "This survey was answered through this link already. Thank you."})
		return
	}
	err := r.cfg.Sink.Append(ctx, batch)
	if err == nil {
		show(w, http.StatusOK, view{Message: "Thank you. Your answers have been taken."})
		return
	}
	r.giveBack(t.invitation.ID)
	status := http.StatusServiceUnavailable
	if _, refused := errors.AsType[*collectors.BatchError](err); refused {
		status = http.StatusBadRequest
	}
	collectors.RetryHeader(w.Header(), err)
	show(w, status, view{Survey: t.survey, Said: said, Problems: []problem{{Text: "Your answers could not be stored.", Why: "Please send them again in a minute."}}})
}

// batch are the records of the answers. Of two that answer at the same moment the first counts.
func (t taken) batch(now time.Time) (b schema.Batch, problems []problem, said map[string]string) {
	said = map[string]string{}
	for _, q := range t.survey.Questions {
		said[q.ID] = t.form.Get(q.ID)
		value, text, given, err := q.answer(said[q.ID])
		if err != nil {
			problems = append(problems, problem{q.ID, q.Text, fmt.Sprint(err)})
		}
		if !given {
			continue
		}
		a := schema.Feedback{
			Kind: schema.FeedbackAnswer, ID: t.invitation.ID + "/" + q.ID, Time: now, Team: t.invitation.Team, Persona: t.invitation.Persona,
			Survey: t.survey.ID, Question: q.ID, Asked: q.Kind, Value: value, Text: text, Version: math.MaxInt64 - uint64(max(0, now.UnixMilli())),
		}
		b.Feedback = append(b.Feedback, a)
		if q.Kind == QuestionNPS {
			b.Events = append(b.Events, schema.Event{
				ID: a.ID, Source: "survey", Time: now, Received: now, Name: "survey.answer", ActorKind: schema.ActorHuman, Team: a.Team, Persona: a.Persona,
				Object: a.Survey, Value: value, Outcome: schema.OutcomeSuccess,
			})
		}
	}
	answered := t.invitation
	answered.State, answered.Version = stateAnswered, t.invitation.Version+1
	b.Feedback = append(b.Feedback, answered)
	return b, problems, said
}
