package schema

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// FeedbackKind says what a record of feedback is.
type FeedbackKind string

// The kinds of feedback. None of them names a person: who was asked and who answers stay apart.
const (
	// FeedbackQuestion is a question of a survey; its Text never changes, since answers are to be compared.
	FeedbackQuestion FeedbackKind = "question"
	// FeedbackInvitation asks somebody of Team once, by a link. ID is the hash of the link's secret; Until is when it ends.
	FeedbackInvitation FeedbackKind = "invitation"
	// FeedbackAnswer is the answer to one question. Value is its number, Text the option that was chosen or what was written.
	FeedbackAnswer FeedbackKind = "answer"
	// FeedbackTicket is a support ticket from Time to Until; State is open or closed, Topic its label.
	FeedbackTicket FeedbackKind = "ticket"
	// FeedbackRequest is a request for figures: asked at Time, answered since Until by Object, visits of which validate it.
	FeedbackRequest FeedbackKind = "request"
	// FeedbackWork is hours (Value) of work of Team in the week that begins at Time; Topic is run or build.
	FeedbackWork FeedbackKind = "work"
)

// FeedbackKinds lists the kinds.
func FeedbackKinds() []FeedbackKind {
	return []FeedbackKind{FeedbackQuestion, FeedbackInvitation, FeedbackAnswer, FeedbackTicket, FeedbackRequest, FeedbackWork}
}

// The topics of work.
const (
	WorkRun   = "run"   // to keep what is there going
	WorkBuild = "build" // to make something new
)

// TableFeedback holds feedback.
const TableFeedback = "feedback"

// Feedback is what people say of the platform or ask of it, or what work on it took. Its identity is (Kind, ID): of several records of one
// identity that with the highest Version counts.
type Feedback struct {
	Kind FeedbackKind `json:"kind"`
	ID   string       `json:"id"`
	Time time.Time    `json:"time"`
	// Until is when it ended; zero: it has not.
	Until time.Time `json:"until,omitzero"`
	// Team is whose it is, or who asked; Persona the role on the journey map.
	Team    string `json:"team,omitempty"`
	Persona string `json:"persona,omitempty"`
	// Survey and Question say what an answer is to; Asked is the kind of the question (nps, csat, choice, text).
	Survey   string `json:"survey,omitempty"`
	Question string `json:"question,omitempty"`
	Asked    string `json:"asked,omitempty"`
	Topic    string `json:"topic,omitempty"`
	Object   string `json:"object,omitempty"`
	State    string `json:"state,omitempty"`
	// Value is a number, its meaning fixed by Kind; nil: none.
	Value *float64 `json:"value,omitempty"`
	Text  string   `json:"text,omitempty"`
	// Extra are fields that the sender gave and nobody here knows, as JSON.
	Extra   string `json:"extra,omitempty"`
	Version uint64 `json:"version"`
}

// Limits of feedback, in bytes.
const (
	maxFeedbackField = 300
	maxFeedbackText  = 8 << 10
	maxFeedbackExtra = 32 << 10
)

// Validate says why a record can never be stored; nil: it can.
func (f *Feedback) Validate() error {
	switch {
	case !slices.Contains(FeedbackKinds(), f.Kind):
		return fmt.Errorf("kind is %q, must be one of %v", f.Kind, FeedbackKinds())
	case strings.TrimSpace(f.ID) == "":
		return fmt.Errorf("id is missing")
	case f.Time.IsZero():
		return fmt.Errorf("time is missing")
	case !f.Until.IsZero() && f.Until.Before(f.Time):
		return fmt.Errorf("until %s is before time %s", f.Until.Format(time.RFC3339), f.Time.Format(time.RFC3339))
	case f.Value != nil && (math.IsNaN(*f.Value) || math.IsInf(*f.Value, 0)):
		return fmt.Errorf("value is %v, must be a finite number", *f.Value)
	case f.Kind == FeedbackWork && (f.Value == nil || *f.Value < 0 || f.Topic != WorkRun && f.Topic != WorkBuild):
		return fmt.Errorf("work needs a value of 0 hours or more, and the topic %s or %s", WorkRun, WorkBuild)
	}
	for _, field := range []struct {
		name, value string
		most        int
	}{
		{"id", f.ID, maxFeedbackField}, {"team", f.Team, maxFeedbackField}, {"persona", f.Persona, maxFeedbackField}, {"survey", f.Survey, maxFeedbackField},
		{"question", f.Question, maxFeedbackField}, {"asked", f.Asked, maxFeedbackField}, {"topic", f.Topic, maxFeedbackField},
		{"object", f.Object, maxFeedbackField}, {"state", f.State, maxFeedbackField}, {"text", f.Text, maxFeedbackText}, {"extra", f.Extra, maxFeedbackExtra},
	} {
		if err := validText(field.name, field.value, field.most); err != nil {
			return err
		}
	}
	return nil
}
