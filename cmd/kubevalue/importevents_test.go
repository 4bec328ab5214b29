package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kubevalue/kubevalue/collectors"
)

func put(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestImportAndSend imports files beside a running service and sends it a deployment, each of them twice.
func TestImportAndSend(t *testing.T) {
	b := boot(t, "organisation: {timezone: Europe/Berlin}\n")
	visits := put(t, "visits.csv", "user_mail,visited_at,page\nann@example.com,2026-03-01 08:00,Start\nbob@example.com,2026-03-01 09:30,Costs\ncy@example.com,never,Costs\n")
	tickets := put(t, "tickets.tsv", "ticket\tactor\tcreated\nT-1\tann@example.com\t1767225600\nT-2\tbob@example.com\t1767225601\n")
	old := put(t, "old.ndjson", `{"id":"o1","name":"old.event","time":"2025-12-31T23:59:59Z","actor":"ann@example.com"}`+"\n")
	token := put(t, "token", b.token("ci", collectors.EndpointEvents)+"\n")
	for _, stored := range []string{"1 events stored, 0 were there already\n", "0 events stored, 1 were there already\n"} {
		expect(t, 1, "3 rows, 2 taken as events, 1 refused\n  line 4: ", "import", "events", visits, "-c", b.config, "--map", "name==report.visit",
			"--map", "actor=user_mail,time=visited_at", "--map", "object=page", "--time-layout", "2006-01-02 15:04")
		expect(t, 0, "2 rows, 2 taken as events, 0 refused\n", "import", "events", tickets, "-c", b.config, "--source", "tickets",
			"--map", "name==ticket.open", "--map", "id=ticket", "--map", "time=created", "--time-layout", "unix")
		expect(t, 0, "1 rows, 1 taken as events, 0 refused\n"+stored, "import", "events", old, "-c", b.config)
		expect(t, 0, "deployment of 0a1b2c to prod is noted\n", "send", "deployment", "--url", b.url(), "--token-file", token, "--team", "payments",
			"--object", "checkout", "--environment", "prod", "--commit", "0a1b2c", "--commit-time", "2026-03-01T08:00:00+01:00", "--id", "job-1", "--outcome", "failure")
	}
	b.flush()
	want := `old.event 2025-12-31 23:59:59 
report.visit 2026-03-01 07:00:00 Start
report.visit 2026-03-01 08:30:00 Costs
ticket.open 2026-01-01 00:00:00 
ticket.open 2026-01-01 00:00:01 
`
	if got := b.query("SELECT name, formatDateTime(time, '%F %T'), object FROM events WHERE name != 'deployment' ORDER BY time, name LIMIT 100"); sorted(got) != want {
		t.Errorf("imported events:\n%swant\n%s", sorted(got), want)
	}
	want = "payments checkout failure 0a1b2c 2026-03-01T08:00:00+01:00 prod\n"
	if got := b.query(`SELECT actor_team, object, toString(outcome), attributes['commit'], attributes['commit_time'], attributes['environment']
		FROM events WHERE name = 'deployment'`); got != want {
		t.Errorf("deployments:\n%swant\n%s", got, want)
	}
}

func sorted(lines string) string {
	list := strings.SplitAfter(lines, "\n")
	slices.Sort(list)
	return strings.Join(list, "")
}

// expect runs a command line that ends with the code and prints the text.
func expect(t *testing.T, code int, text string, args ...string) {
	t.Helper()
	got, stdout, stderr := program(t, args...)
	if got != code || !strings.Contains(stdout, text) {
		t.Fatalf("kubevalue %s: exit code %d\n%s%s\nwant %d and %q", strings.Join(args, " "), got, stdout, stderr, code, text)
	}
}

// TestSendTriesAgain has a service that is away at first: the event comes again with the same id and the token of the environment.
func TestSendTriesAgain(t *testing.T) {
	var ids []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var event struct {
			ID string `json:"id"`
		}
		if err := json.NewDecoder(r.Body).Decode(&event); err != nil || r.Header.Get("Authorization") != "Bearer secret" || r.URL.Path != "/base/v1/events" {
			t.Errorf("%s %v: %v", r.URL, r.Header, err)
		}
		ids = append(ids, event.ID)
		if len(ids) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer server.Close()
	t.Setenv(tokenEnv, "secret")
	args := []string{"send", "deployment", "--url", server.URL + "/base/", "--team", "a", "--environment", "prod", "--commit", "c", "--commit-time", "2026-03-01T08:00:00Z"}
	expect(t, 0, "is noted", args...)
	if len(ids) != 2 || ids[0] != ids[1] || ids[0] == "" {
		t.Errorf("ids of the attempts: %q", ids)
	}
	t.Setenv(tokenEnv, "")
	if code, _, stderr := program(t, args...); code != 1 || !strings.Contains(stderr, "--token-file") {
		t.Errorf("without a token: exit code %d, %s", code, stderr)
	}
}

// TestSendGivesUp does not repeat what is refused for good.
func TestSendGivesUp(t *testing.T) {
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests++
		http.Error(w, `{"code":"unauthorized"}`, http.StatusUnauthorized)
	}))
	defer server.Close()
	t.Setenv(tokenEnv, "secret")
	code, _, stderr := program(t, "send", "deployment", "--url", server.URL, "--team", "a", "--environment", "prod", "--commit", "c", "--commit-time", "2026-03-01T08:00:00Z")
	if code != 1 || requests != 1 || !strings.Contains(stderr, "401") || strings.Contains(stderr, "secret") {
		t.Errorf("exit code %d after %d requests: %s", code, requests, stderr)
	}
}
