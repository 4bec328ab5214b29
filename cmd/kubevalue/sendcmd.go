package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/collectors/usage"
	"github.com/kubevalue/kubevalue/schema"
)

const (
	urlEnv   = "KUBEVALUE_URL"
	tokenEnv = "KUBEVALUE_TOKEN"
)

// Bounds of sending: a CI job should not hang for long, nor fail for a restart of the service.
const (
	sendTimeout = 10 * time.Second
	sendTime    = 2 * time.Minute
)

func sendCommand() *cobra.Command {
	return group("send", "Send an event to a running service, e.g. from a CI job",
		`Sends to a service elsewhere: no configuration is read. The token is one for the endpoint events; it comes from a file or from $`+tokenEnv+`, since other
users of a machine can read command lines.`,
		sendDeploymentCommand())
}

// deployment is what a CI job knows of a change that it has brought into an environment.
type deployment struct {
	url, tokenFile, id, team, object, environment, commit, commitTime, outcome string
}

func sendDeploymentCommand() *cobra.Command {
	var d deployment
	cmd := &cobra.Command{
		Use:   "deployment",
		Short: "Say that a change has reached an environment, or has failed to",
		Long: `Sends the event deployment, from which deployment frequency, change lead time (from the commit's time to the deployment's) and change fail
rate are computed. A service that cannot be reached is tried again for two minutes, and the event still counts once. Certificates of a private
authority are found by $SSL_CERT_FILE.`,
		Example: `  kubevalue send deployment --url https://kubevalue.example.com --token-file /run/secrets/kubevalue --team payments --object checkout \
    --environment prod --commit "$(git rev-parse HEAD)" --commit-time "$(git show -s --format=%cI HEAD)"`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&d.url, "url", os.Getenv(urlEnv), "address of the service (default from $"+urlEnv+")")
	f.StringVar(&d.tokenFile, "token-file", "", "file that holds the token (default: the token itself from $"+tokenEnv+")")
	f.StringVar(&d.team, "team", "", "team whose change it is")
	f.StringVar(&d.object, "object", "", "name of what was deployed")
	f.StringVar(&d.environment, "environment", "", "environment that it has reached, e.g. prod")
	f.StringVar(&d.commit, "commit", "", "commit that was deployed")
	f.StringVar(&d.commitTime, "commit-time", "", "when the commit was made (RFC 3339)")
	f.StringVar(&d.outcome, "outcome", string(schema.OutcomeSuccess), "success or failure")
	f.StringVar(&d.id, "id", "", "what makes this deployment one, e.g. the CI job's id: repeated with the same id it counts once (default: a new one)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := d.check(); err != nil {
			return usageError{err: err, text: cmd.UsageString()}
		}
		token, err := readToken(d.tokenFile)
		if err != nil {
			return err
		}
		body, err := d.event(time.Now())
		if err != nil {
			return err
		}
		if err := sendEvent(cmd.Context(), d.url, token, body); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "deployment of %s to %s is noted\n", d.commit, d.environment)
		return nil
	}
	return cmd
}

// check lists everything that is missing or wrong.
func (d *deployment) check() error {
	var faults []error
	for _, f := range []struct{ flag, value string }{
		{"url", d.url}, {"team", d.team}, {"environment", d.environment}, {"commit", d.commit}, {"commit-time", d.commitTime},
	} {
		if f.value == "" {
			faults = append(faults, fmt.Errorf("--%s is missing", f.flag))
		}
	}
	if d.url != "" && !httpURL(d.url) {
		faults = append(faults, fmt.Errorf("--url %q is no http(s) URL", d.url))
	}
	if _, err := time.Parse(time.RFC3339, d.commitTime); d.commitTime != "" && err != nil {
		faults = append(faults, fmt.Errorf("--commit-time %q is not RFC 3339; write 2026-01-31T08:00:00Z, or use git show -s --format=%%cI", d.commitTime))
	}
	if d.outcome != string(schema.OutcomeSuccess) && d.outcome != string(schema.OutcomeFailure) {
		faults = append(faults, fmt.Errorf("--outcome %q: want success or failure", d.outcome))
	}
	return errors.Join(faults...)
}

// event is the deployment as POST /v1/events takes it.
func (d *deployment) event(now time.Time) ([]byte, error) {
	if d.id == "" {
		d.id = uuid.NewString()
	}
	return json.Marshal(map[string]any{
		"id": d.id, "time": now.UTC().Format(time.RFC3339Nano), "name": usage.EventDeployment, "team": d.team, "object": d.object,
		"outcome":    d.outcome,
		"attributes": map[string]string{usage.AttributeCommit: d.commit, usage.AttributeCommitTime: d.commitTime, usage.AttributeEnvironment: d.environment},
	})
}

// readToken takes the token from a file, or from the environment.
func readToken(file string) (string, error) {
	text := os.Getenv(tokenEnv)
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("read the token: %w", err)
		}
		text = string(data)
	}
	if text = strings.TrimSpace(text); text == "" {
		return "", fmt.Errorf("there is no token: name a file with --token-file or set $%s; `kubevalue token create NAME --endpoint events` makes one", tokenEnv)
	}
	return text, nil
}

// sendEvent posts one event to a service; what a retry can overcome is tried again. The event has an id, so it counts once.
func sendEvent(ctx context.Context, service, token string, event []byte) error {
	target, err := url.JoinPath(service, "/v1/events")
	if err != nil {
		return fmt.Errorf("the address %q: %w", service, err)
	}
	client := &http.Client{Timeout: sendTimeout}
	_, err = backoff.Retry(ctx, func() (struct{}, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(event))
		if err != nil {
			return struct{}{}, backoff.Permanent(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(r)
		if err != nil {
			return struct{}{}, err
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, refusedBy(target, resp, answer)
	}, backoff.WithMaxElapsedTime(sendTime))
	if err != nil {
		return fmt.Errorf("send the event: %w", err)
	}
	return nil
}

// refusedBy is what an answer other than "taken" means: an error for good, or one to come again after.
func refusedBy(target string, resp *http.Response, answer []byte) error {
	if resp.StatusCode == http.StatusAccepted {
		return nil
	}
	err := fmt.Errorf("%s answered %s: %s", target, resp.Status, bytes.TrimSpace(answer))
	if resp.StatusCode < http.StatusInternalServerError && resp.StatusCode != http.StatusTooManyRequests {
		return backoff.Permanent(err)
	}
	if seconds, bad := strconv.Atoi(resp.Header.Get("Retry-After")); bad == nil && seconds > 0 && time.Duration(seconds)*time.Second < sendTime {
		return fmt.Errorf("%w; %w", err, backoff.RetryAfter(seconds))
	}
	return err
}
