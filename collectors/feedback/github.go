package feedback

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

// errSignature means that a webhook was not signed with the secret.
var errSignature = signatureError{}

type signatureError struct{}

func (signatureError) Error() string {
	return "the signature X-Hub-Signature-256 is missing, or is not that of this body and of the secret in feedback.github.secret_file"
}

func (signatureError) Unwrap() error { return collectors.ErrUnauthorized }

// errForm means that a body is not what GitHub sends.
var errForm = errors.New("the body is not an issues event of GitHub")

// GitHub is the webhook for issues, which are support tickets. What was signed with another secret is refused with 401; events of other
// kinds are answered with 200 and left out. Fields that nobody here knows are kept, but for persons and what they wrote.
func (r *Receiver) GitHub() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, release, err := collectors.ReadBody(w, req, r.cfg.Limits, r.cfg.Memory)
		if err != nil {
			collectors.Refuse(w, err)
			return
		}
		defer release()
		if !r.signed(req.Header.Get("X-Hub-Signature-256"), body) {
			collectors.Refuse(w, errSignature)
			return
		}
		n, err := r.tickets(req.Context(), req.Header.Get("X-GitHub-Event"), body)
		switch {
		case errors.Is(err, errForm):
			collectors.Problem(w, http.StatusBadRequest, "bad_request", err.Error())
		case err != nil:
			collectors.Refuse(w, err)
		default:
			collectors.Answer(w, http.StatusOK, map[string]int{"taken": n})
		}
	})
}

func (r *Receiver) signed(signature string, body []byte) bool {
	given, err := hex.DecodeString(strings.TrimPrefix(signature, "sha256="))
	if err != nil || len(r.cfg.Secret) == 0 || !strings.HasPrefix(signature, "sha256=") {
		return false
	}
	mac := hmac.New(sha256.New, r.cfg.Secret)
	mac.Write(body)
	return hmac.Equal(given, mac.Sum(nil))
}

func (r *Receiver) tickets(ctx context.Context, event string, body []byte) (int, error) {
	if event != "issues" {
		return 0, nil
	}
	ticket, err := r.ticket(body)
	if err != nil {
		return 0, err
	}
	return 1, r.cfg.Sink.Append(ctx, schema.Batch{Feedback: []schema.Feedback{ticket}})
}

// personal are the fields of an issue that name persons or hold what they wrote, and the addresses that name the issue again.
func personal(key string) bool {
	switch key {
	case "user", "assignee", "assignees", "closed_by", "title", "body", "body_html", "body_text", "performed_via_github_app", "reactions", "pull_request":
		return true
	}
	return strings.HasSuffix(key, "url")
}

func (r *Receiver) ticket(body []byte) (schema.Feedback, error) {
	var in struct {
		Action     string                     `json:"action"`
		Issue      map[string]json.RawMessage `json:"issue"`
		Repository struct {
			FullName string `json:"full_name"`
		} `json:"repository"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return schema.Feedback{}, fmt.Errorf("%w: %w", errForm, err)
	}
	var issue struct {
		Number  int64     `json:"number"`
		State   string    `json:"state"`
		Created time.Time `json:"created_at"`
		Updated time.Time `json:"updated_at"`
		Closed  time.Time `json:"closed_at"`
		Labels  []struct {
			Name string `json:"name"`
		} `json:"labels"`
	}
	text, err := json.Marshal(in.Issue)
	if err == nil {
		err = json.Unmarshal(text, &issue)
	}
	if err != nil {
		return schema.Feedback{}, fmt.Errorf("%w: issue: %w", errForm, err)
	}
	if in.Repository.FullName == "" || issue.Number == 0 || issue.Created.IsZero() || issue.Updated.IsZero() {
		return schema.Feedback{}, fmt.Errorf("%w: want repository.full_name and issue.number, created_at and updated_at", errForm)
	}
	t := schema.Feedback{
		Kind: schema.FeedbackTicket, ID: fmt.Sprintf("%s#%d", in.Repository.FullName, issue.Number), Time: issue.Created.UTC(), Until: issue.Closed.UTC(),
		State: issue.State, Version: uint64(max(0, issue.Updated.UnixMilli())),
	}
	if issue.Closed.IsZero() {
		t.Until = time.Time{}
	}
	if in.Action == "deleted" || in.Action == "transferred" {
		t.State, t.Version = in.Action, t.Version+1
	}
	for _, label := range issue.Labels {
		if team, ok := strings.CutPrefix(label.Name, r.cfg.TeamLabel); ok && r.cfg.TeamLabel != "" {
			t.Team = team
		} else if t.Topic == "" {
			t.Topic = label.Name
		}
	}
	for _, key := range []string{"number", "state", "created_at", "updated_at", "closed_at", "labels"} {
		delete(in.Issue, key)
	}
	maps.DeleteFunc(in.Issue, func(key string, _ json.RawMessage) bool { return personal(key) })
	extra, err := collectors.Bounded(in.Issue, maxExtra)
	t.Extra = string(extra)
	return t, err
}

// maxExtra bounds the unknown fields that are kept, in bytes.
const maxExtra = 16 << 10
