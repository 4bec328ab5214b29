package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubevalue/kubevalue/collectors"
)

// program runs a command line and returns the exit code with both outputs.
func program(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	b := boot(t, "  max_body: 64KiB\n")
	token := b.token("app", collectors.EndpointEvents, collectors.EndpointSegment)
	other := b.token("audit", collectors.EndpointAudit)
	const good = `{"id":"never","name":"never.stored"}`
	for name, c := range map[string]struct {
		path, body, authorization string
		status                    int
		contains                  string
	}{
		"malformed among good ones": {"/v1/events", `[{"id":"1","name":"good"},{"id":"2","name":""},{"id":"3","name":"good"},{"id":"4","name":"good","nam":1}]`, bearer(token),
			http.StatusBadRequest, `"accepted":2,"rejected":2,"errors":[{"index":1,"reason":"name: missing"},{"index":3,`},
		"a line that is no JSON":  {"/v1/events", "{\"id\":\"5\",\"name\":\"good\"}\nnonsense\n", bearer(token), http.StatusBadRequest, `"errors":[{"index":1,`},
		"too late":                {"/v1/events", `{"id":"6","name":"late","time":"2020-01-01T00:00:00Z"}`, bearer(token), http.StatusBadRequest, "more than 30 days ago"},
		"no JSON at all":          {"/v1/events", "nonsense", bearer(token), http.StatusBadRequest, `"code":"bad_request"`},
		"no token":                {"/v1/events", good, "", http.StatusUnauthorized, `"code":"unauthorized"`},
		"an unknown token":        {"/v1/events", good, bearer("kv_unknown"), http.StatusUnauthorized, `"code":"unauthorized"`},
		"a token for another":     {"/v1/events", good, bearer(other), http.StatusForbidden, `"code":"forbidden"`},
		"no token at audit":       {"/audit/prod", auditList, "", http.StatusUnauthorized, `"code":"unauthorized"`},
		"no token at segment":     {"/v1/track", `{"event":"never.stored","userId":"ann"}`, "", http.StatusUnauthorized, `"code":"unauthorized"`},
		"no token at posthog":     {"/capture/", `{"event":"never.stored","distinct_id":"ann"}`, "", http.StatusUnauthorized, ""},
		"no token at cloudevents": {"/v1/cloudevents", `{}`, "", http.StatusUnauthorized, `"code":"unauthorized"`},
		"too large":               {"/v1/events", `{"id":"7","name":"never.stored","object":"` + strings.Repeat("x", 65<<10) + `"}`, bearer(token), http.StatusRequestEntityTooLarge, `"code":"too_large"`},
		"a foreign bad event":     {"/v1/track", `{"messageId":"s1","userId":"ann","event":""}`, bearer(token), http.StatusOK, "true"},
	} {
		got := b.post(c.path, c.body, "Authorization", c.authorization)
		if got.status != c.status || !strings.Contains(got.body, c.contains) {
			t.Errorf("%s: %d %s, want %d with %s", name, got.status, got.body, c.status, c.contains)
		}
		if got.status == http.StatusUnauthorized && got.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no WWW-Authenticate", name)
		}
	}
	b.flush()
	if got := b.query("SELECT name, count() FROM events GROUP BY name ORDER BY name"); got != "good 3\n" {
		t.Errorf("events in the table:\n%swant the good ones", got)
	}
	if got := b.query("SELECT reason FROM quarantine"); got != "segment: the event has no name\n" {
		t.Errorf("quarantine: %s", got)
	}
}

// TestAFullSpool takes the warehouse away and sends until the spool is full.
func TestAFullSpool(t *testing.T) {
	t.Parallel()
	b := boot(t, "spool: {dir: spool, max_bytes: 1MiB}\n")
	token := b.token("app", collectors.EndpointEvents)
	if err := b.db.Close(); err != nil {
		t.Fatal(err)
	}
	var got sent
	for i := range 200 {
		var body strings.Builder
		for j := range 10 {
			fmt.Fprintf(&body, "{\"id\":\"%d-%d\",\"name\":\"a\",\"attributes\":{\"commit\":\"", i, j)
			for range 50 {
				body.WriteString(rand.Text()) // what repeats would be packed
			}
			body.WriteString("\"}}\n")
		}
		if got = b.post("/v1/events", body.String(), "Authorization", bearer(token), "Content-Type", "application/x-ndjson"); got.status != http.StatusAccepted {
			break
		}
	}
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || !strings.Contains(got.body, `"code":"full"`) {
		t.Errorf("a full spool answers %d %s, Retry-After %q", got.status, got.body, got.header.Get("Retry-After"))
	}
	if got := b.send(http.MethodGet, "/readyz", nil); got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "warehouse") {
		t.Errorf("/readyz without a warehouse: %d %s", got.status, got.body)
	}
}

func TestWrongUsage(t *testing.T) {
	for line, want := range map[string]string{
		"serv":                    `did you mean "serve"?`,
		"serve --confg x":         "did you mean --config?",
		"serve now":               `unknown command "now" for "kubevalue serve"`,
		"slo statsu":              `did you mean "status"?`,
		"import evnets":           `did you mean "events"?`,
		"import events":           "wants the FILEs to import",
		"import events --mapp a":  "did you mean --map?",
		"send deploymnt":          `did you mean "deployment"?`,
		"token create":            "wants a NAME",
		"demo --weeks one":        "--weeks",
		"send deployment --url x": "--commit is missing",
	} {
		code, stdout, stderr := program(t, strings.Fields(line)...)
		if code != 2 || !strings.Contains(stderr, want) || !strings.Contains(stderr, "Usage:") || stdout != "" {
			t.Errorf("kubevalue %s: exit code %d\n%s%s\nwant %q, the usage, and exit code 2", line, code, stdout, stderr, want)
		}
	}
}

// A suggestion that is no more than a guess is worse than none.
func TestFarWordsAreNoSuggestions(t *testing.T) {
	for _, word := range []string{"foo", "x", "dashboard", "ls"} {
		code, _, stderr := program(t, word)
		if code != 2 || strings.Contains(stderr, "did you mean") {
			t.Errorf("kubevalue %s: exit code %d, %s", word, code, stderr)
		}
	}
}

// TestMissingLibrary looks at what is said when libchdb is nowhere, or not where it was said to be.
func TestMissingLibrary(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	for name, c := range map[string]struct{ variable, setting string }{
		"nowhere":                 {},
		"not at the variable's":   {variable: filepath.Join(t.TempDir(), "libchdb.so")},
		"not at the setting's":    {setting: ", library: missing.so"},
		"the variable is no file": {variable: t.TempDir()},
	} {
		t.Setenv("KUBEVALUE_LIBCHDB", c.variable)
		config := filepath.Join(t.TempDir(), "kubevalue.yaml")
		if err := os.WriteFile(config, []byte("warehouse: {dsn: \"embedded:warehouse\""+c.setting+"}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, command := range []string{"serve", "migrate"} {
			code, _, stderr := program(t, command, "--config", config)
			if code != 1 || !strings.Contains(stderr, "libchdb") || !strings.Contains(stderr, "`kubevalue engine install`") {
				t.Errorf("%s, kubevalue %s: exit code %d, %s", name, command, code, stderr)
			}
		}
	}
}
