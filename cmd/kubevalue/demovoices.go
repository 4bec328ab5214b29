package main

import (
	"context"
	"net/url"
	"time"

	"github.com/kubevalue/kubevalue/cmd/kubevalue/demo"
	"github.com/kubevalue/kubevalue/schema"
)

// demoSecret is what the simulated organisation's GitHub signs with. It keeps nothing.
const demoSecret = "the simulated secret of a simulated webhook"

// demoSecretFile holds it in the demo's directory.
const demoSecretFile = "github-secret"

// demoVoices is the part of the demo's configuration about what people are asked, what things cost and what is offered.
func demoVoices(cfg map[string]any) {
	cfg["feedback"] = map[string]any{
		"github": map[string]any{"secret_file": demoSecretFile},
		"surveys": []map[string]any{{
			"id": demo.SurveyID, "title": "How do you like the platform?", "intro": "The platform team reads the answers, and publishes the figures.",
			"questions": []map[string]any{
				{"id": demo.QuestionHappy, "kind": "csat", "text": "How satisfied are you with the platform?"},
				{"id": demo.QuestionWhyNot, "kind": "choice", "text": "What keeps you from using it more?", "options": demo.WhyNot()},
				{"id": "more", "kind": "text", "text": "What should we know?"},
			},
		}},
	}
	cfg["costs"] = map[string]any{
		"currency":  "EUR",
		"nodes":     []map[string]any{{"class": demo.NodeLarge, "per_hour": 0.48}, {"class": demo.NodeSmall, "per_hour": 0.21}},
		"storage":   []map[string]any{{"class": demo.StorageDisk, "per_gib_month": 0.11}},
		"balancers": []map[string]any{{"per_hour": 0.025}},
	}
	cfg["capabilities"] = []map[string]any{
		{"name": "deploy", "owner": "platform", "events": []string{"deployments.create", "deployments.patch", "deployment"}},
		{"name": "configure", "owner": "platform", "events": []string{"configmaps.update"}},
		{"name": "expose", "owner": "network", "events": []string{"services.patch"}},
		{"name": "look inside", "owner": "platform", "events": []string{"pods/exec.create"}},
		{"name": "own namespaces", "owner": "platform", "events": []string{"namespaces.create", "namespaces.delete"}},
		{"name": "share volumes", "owner": "storage", "events": []string{"persistentvolumeclaims.create"}},
	}
}

// demoInvited is how many people are asked by links of the survey's own form when the demo starts.
const demoInvited = 40

// askDemo makes one-time links to the survey, as `kubevalue feedback invite` does, and lets the people behind them answer in its form.
func (s *service) askDemo(ctx context.Context, doors demo.Doors, world *demo.World) error {
	now := s.now().UTC().Truncate(time.Millisecond)
	var links []string
	var rows []schema.Feedback
	for _, t := range world.Teams[:4] {
		of := schema.Feedback{Team: t.Name, Survey: demo.SurveyID, Time: now, Until: now.AddDate(0, 0, 14)}
		asked, secrets := s.cfg.invite(of, demoInvited/4)
		rows, links = append(rows, asked...), append(links, secrets...)
	}
	if err := s.pipe.Append(ctx, schema.Batch{Feedback: rows}); err != nil {
		return err
	}
	if err := s.pipe.Flush(ctx); err != nil {
		return err
	}
	for i, link := range links {
		u, err := url.Parse(link)
		if err != nil {
			return err
		}
		links[i] = u.Path
	}
	return world.Answer(ctx, doors, links)
}
