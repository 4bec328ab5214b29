package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/collectors/feedback"
	"github.com/kubevalue/kubevalue/dashboards"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

// FeedbackConfig is what people are asked, and where their tickets come from.
type FeedbackConfig struct {
	Surveys []SurveyConfig `yaml:"surveys"`
	GitHub  GitHubConfig   `yaml:"github"`
}

// SurveyConfig is a survey. The id of a question stands for its text for ever.
type SurveyConfig struct {
	ID        string           `yaml:"id"`
	Title     string           `yaml:"title"`
	Intro     string           `yaml:"intro"`
	Questions []QuestionConfig `yaml:"questions"`
}

// QuestionConfig is a question: nps (0 to 10), csat (1 to 5), choice (of options) or text.
type QuestionConfig struct {
	ID      string   `yaml:"id"`
	Kind    string   `yaml:"kind"`
	Text    string   `yaml:"text"`
	Options []string `yaml:"options"`
}

// GitHubConfig is a webhook for issues, POST /v1/github.
type GitHubConfig struct {
	// SecretFile holds the secret that the webhook is signed with.
	SecretFile string `yaml:"secret_file"`
	// TeamLabel is how labels begin that name the asking team; empty: "team:".
	TeamLabel string `yaml:"team_label"`
}

func (s SurveyConfig) survey() feedback.Survey {
	out := feedback.Survey{ID: s.ID, Title: s.Title, Intro: s.Intro}
	for _, q := range s.Questions {
		out.Questions = append(out.Questions, feedback.Question(q))
	}
	return out
}

func (c *Config) surveys() []feedback.Survey {
	var out []feedback.Survey
	for _, s := range c.Feedback.Surveys {
		out = append(out, s.survey())
	}
	return out
}

func (c *Config) checkFeedback(f *yamlFile) {
	seen := map[string]bool{}
	for i, s := range c.Feedback.Surveys {
		path := indexed("feedback.surveys", i)
		if seen[s.ID] {
			f.At(path+".id", "%q stands here twice", s.ID)
		}
		seen[s.ID] = true
		for _, fault := range each(s.survey().Validate()) {
			f.At(path, "%v", fault)
		}
	}
	if file := c.Feedback.GitHub.SecretFile; file != "" {
		if secret, err := c.githubSecret(); err != nil {
			f.At("feedback.github.secret_file", "%v", err)
		} else if len(secret) < 16 {
			f.At("feedback.github.secret_file", "%s holds %d bytes; a secret of at least 16 cannot be guessed", file, len(secret))
		}
	}
}

func (c *Config) githubSecret() ([]byte, error) {
	if c.Feedback.GitHub.SecretFile == "" {
		return nil, nil
	}
	secret, err := os.ReadFile(c.path(c.Feedback.GitHub.SecretFile))
	return bytes.TrimSpace(secret), err
}

// keepQuestions stores what is asked for the first time, and refuses a question that was asked in other words before.
func keepQuestions(ctx context.Context, db *warehouse.DB, surveys []feedback.Survey, now time.Time) error {
	if len(surveys) == 0 {
		return nil
	}
	asked, err := db.Feedback(ctx, schema.FeedbackQuestion, "")
	if err != nil {
		return err
	}
	known := map[string]schema.Feedback{}
	for _, q := range asked {
		known[q.ID] = q
	}
	var fresh []schema.Feedback
	var faults []error
	for _, s := range surveys {
		for _, q := range s.Questions {
			text := strings.Join(append([]string{q.Text}, q.Options...), "\n")
			is := schema.Feedback{Kind: schema.FeedbackQuestion, ID: s.ID + "/" + q.ID, Time: now, Survey: s.ID, Question: q.ID, Asked: q.Kind, Text: text, Version: 1}
			was, ok := known[is.ID]
			if !ok {
				fresh = append(fresh, is)
			} else if was.Text != is.Text || was.Asked != is.Asked {
				faults = append(faults, fmt.Errorf("survey %q: question %q was asked as %q (%s): answers to other words cannot be compared, so give the new question an id of its own",
					s.ID, q.ID, was.Text, was.Asked))
			}
		}
	}
	if err := errors.Join(faults...); err != nil || len(fresh) == 0 {
		return err
	}
	var ids strings.Builder
	for _, q := range fresh {
		ids.WriteString(q.ID + "\n")
	}
	sum := sha256.Sum256([]byte(ids.String()))
	return db.InsertFeedback(ctx, "questions/"+hex.EncodeToString(sum[:]), fresh)
}

// feedbackDoors are the form of surveys and the webhook for tickets.
func (s *service) feedbackDoors(memory *collectors.BodyMemory) ([]dashboards.Door, error) {
	secret, err := s.cfg.githubSecret()
	if err != nil {
		return nil, fmt.Errorf("feedback.github.secret_file: %w", err)
	}
	limits := feedback.DefaultLimits
	limits.Wire = min(limits.Wire, int64(s.cfg.Server.MaxBody))
	r := feedback.New(feedback.Config{
		Sink: s.pipe, Surveys: s.cfg.surveys(), Limits: limits, Memory: memory, Now: s.now, Secret: secret, TeamLabel: orElse(s.cfg.Feedback.GitHub.TeamLabel, "team:"),
		Invitation: s.invitation,
	})
	return []dashboards.Door{
		{Method: http.MethodGet, Path: feedback.FormPath + ":secret", Handler: r.Form()},
		{Method: http.MethodPost, Path: feedback.FormPath + ":secret", Handler: r.Form()},
		{Method: http.MethodPost, Path: "/v1/github", Handler: r.GitHub()},
	}, nil
}
