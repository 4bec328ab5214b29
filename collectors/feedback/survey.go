// Package feedback takes what people say of the platform and ask of it: answers to surveys through a form behind one-time links, and
// support tickets by GitHub's webhook. Nobody is named in what it hands over.
package feedback

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The kinds of questions.
const (
	QuestionNPS    = "nps"    // 0 to 10: would you recommend it?
	QuestionCSAT   = "csat"   // 1 to 5: how satisfied are you?
	QuestionChoice = "choice" // one of Options, e.g. why a team does not use the platform
	QuestionText   = "text"   // free text
)

// Question is a question of a survey. Its ID stands for its text for ever.
type Question struct {
	ID, Kind, Text string
	// Options are those of a choice.
	Options []string
}

// Survey is a list of questions.
type Survey struct {
	ID, Title string
	// Intro is said above the questions; who reads the answers belongs there.
	Intro     string
	Questions []Question
}

var surveyID = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// Validate names every fault of a survey at once.
func (s Survey) Validate() error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("survey %q: "+format, append([]any{s.ID}, args...)...))
	}
	if !surveyID.MatchString(s.ID) {
		fault("the id must be lower-case letters, digits, - and _, at most 64")
	}
	if s.Title == "" || len(s.Questions) == 0 {
		fault("a title and at least one question are needed")
	}
	seen := map[string]bool{}
	for _, q := range s.Questions {
		if !surveyID.MatchString(q.ID) || seen[q.ID] {
			fault("question %q: the id must be lower-case letters, digits, - and _, and stand there once", q.ID)
		}
		seen[q.ID] = true
		if q.Text == "" {
			fault("question %q: the text is missing", q.ID)
		}
		if !slices.Contains([]string{QuestionNPS, QuestionCSAT, QuestionChoice, QuestionText}, q.Kind) {
			fault("question %q: kind is %q, must be nps, csat, choice or text", q.ID, q.Kind)
		}
		if (q.Kind == QuestionChoice) != (len(q.Options) > 1) {
			fault("question %q: two options or more belong to a choice, and only to that", q.ID)
		}
	}
	return errors.Join(faults...)
}

// scale is the range of numbers of a question; false: it is none of numbers.
func (q Question) scale() (low, high int, ok bool) {
	switch q.Kind {
	case QuestionNPS:
		return 0, 10, true
	case QuestionCSAT:
		return 1, 5, true
	}
	return 0, 0, false
}

// options are what can be chosen; none: the answer is free text.
func (q Question) options() []string {
	low, high, ok := q.scale()
	if !ok {
		return q.Options
	}
	var all []string
	for n := low; n <= high; n++ {
		all = append(all, strconv.Itoa(n))
	}
	return all
}

// ends says what the ends of a scale mean, or how long a text may be.
func (q Question) ends() string {
	switch q.Kind {
	case QuestionNPS:
		return "0 is not at all likely, 10 is extremely likely."
	case QuestionCSAT:
		return "1 is very dissatisfied, 5 is very satisfied."
	case QuestionText:
		return fmt.Sprintf("At most %d characters. Please name nobody.", maxText)
	}
	return ""
}

// answer is what was said to a question; nothing was said: false.
func (q Question) answer(said string) (value *float64, text string, given bool, err error) {
	said = strings.TrimSpace(strings.ReplaceAll(said, "\r\n", "\n")) // as browsers count them
	if said == "" {
		return nil, "", false, nil
	}
	if low, high, ok := q.scale(); ok {
		n, err := strconv.Atoi(said)
		if err != nil || n < low || n > high {
			return nil, "", false, fmt.Errorf("%q is not a whole number from %d to %d", said, low, high)
		}
		return new(float64(n)), "", true, nil
	}
	if q.Kind == QuestionChoice && !slices.Contains(q.Options, said) {
		return nil, "", false, fmt.Errorf("%q is none of the options", said)
	}
	if n := utf8.RuneCountInString(said); n > maxText {
		return nil, "", false, fmt.Errorf("it has %d characters, at most %d are kept", n, maxText)
	}
	return nil, said, true, nil
}

// maxText bounds a free text, in characters.
const maxText = 2000

// secretBytes is the length of the secret in a link.
const secretBytes = 18

// NewSecret makes the secret of a link, and the ID of the invitation that it stands for, by which alone it is stored.
func NewSecret() (secret, id string) {
	var b [secretBytes]byte
	_, _ = rand.Read(b[:]) // it never fails
	secret = base64.RawURLEncoding.EncodeToString(b[:])
	return secret, InvitationID(secret)
}

// InvitationID is the ID of the invitation that a secret stands for.
func InvitationID(secret string) string {
	sum := sha256.Sum256([]byte("kubevalue survey " + secret))
	return hex.EncodeToString(sum[:16])
}
