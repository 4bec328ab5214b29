package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/pipeline"
	"github.com/kubevalue/kubevalue/schema"
)

// command runs kubevalue with the configuration of a booted service and returns what it said on both outputs.
func (b *booted) command(want int, args ...string) string {
	b.t.Helper()
	var out bytes.Buffer
	if code := run(b.t.Context(), append(args, "--config", b.config), &out, &out); code != want {
		b.t.Fatalf("kubevalue %s: exit %d, want %d\n%s", strings.Join(args, " "), code, want, out.String())
	}
	return out.String()
}

// peopleSettings configure a roster and an attribute that is kept.
const peopleSettings = `roster:
  - {team: shop, members: [ann@example.com, bob@example.com]}
spool: {attributes: [commit]}
`

// sendPeople sends what ann, under two names, and bob did, and one record of ann that can never be stored.
func (b *booted) sendPeople() {
	b.t.Helper()
	token := b.token("web", collectors.EndpointEvents, collectors.EndpointSegment)
	for path, body := range map[string]string{
		"/v1/events": `[{"id":"1","name":"deploy","actor":"ann@example.com","object":"anns-thing","attributes":{"commit":"c1","note":"free text"}},
			{"id":"2","name":"deploy","actor":"ann-laptop"},{"id":"3","name":"deploy","actor":"bob@example.com","object":"bobs-thing"}]`,
		"/v1/alias": `{"messageId":"4","userId":"ann@example.com","previousId":"ann-laptop"}`,
		"/v1/track": `{"messageId":"5","userId":"ANN@example.com","event":"old","timestamp":"2020-01-01T00:00:00Z"}`,
	} {
		got := b.post(path, body, "Authorization", bearer(token))
		if got.status >= 300 {
			b.t.Fatalf("POST %s: %d %s", path, got.status, got.body)
		}
	}
	b.flush()
}

func TestErasureOfAPersonWhileTheServiceRuns(t *testing.T) {
	t.Parallel()
	b := boot(t, peopleSettings)
	b.sendPeople()
	figures := func() string {
		return b.query("SELECT count() FROM events") + b.query("SELECT uniqExact(if(a.canonical > 0, a.canonical, e.actor)) FROM events e LEFT JOIN actor_aliases a ON a.actor = e.actor") +
			b.query("SELECT uniqExact(actor) FROM roster_current")
	}
	before := figures()
	if before != "3\n2\n3\n" {
		t.Fatalf("before: %s", before)
	}
	dry := b.command(0, "privacy", "erase", "--actor", "ann-laptop")
	for _, want := range []string{"events          ", "nothing was changed", "remove roster[0].members[0]"} {
		if !strings.Contains(dry, want) {
			t.Errorf("a dry run does not say %q:\n%s", want, dry)
		}
	}
	if got := b.query("SELECT count() FROM suppressed"); got != "0\n" {
		t.Fatalf("a dry run suppressed %s", got)
	}
	export := b.command(0, "privacy", "export", "--actor", "ann@example.com")
	for _, want := range []string{`"object":"anns-thing"`, `"place":"quarantine"`, `"place":"roster"`, `"commit":"c1"`, "actor_aliases: 1", "spool, stored already: "} {
		if !strings.Contains(export, want) {
			t.Errorf("the export has no %s:\n%s", want, export)
		}
	}
	if strings.Contains(export, "bobs-thing") || strings.Contains(export, "free text") {
		t.Errorf("the export has what is not ann's, or was never to be kept:\n%s", export)
	}
	said := b.command(0, "privacy", "erase", "--actor", "ann@example.com", "--confirm")
	if !strings.Contains(said, "belongs to a running service") {
		t.Errorf("the erasure says:\n%s", said)
	}
	if after := figures(); after != before {
		t.Errorf("figures before %safter %s", before, after)
	}
	b.checkErased()

	// What comes late, under an old id or a new one, under either name, or as a merge, brings nobody back.
	token := b.token("late", collectors.EndpointEvents, collectors.EndpointSegment)
	b.post("/v1/events", `[{"id":"9","name":"deploy","actor":"ann@example.com","object":"anns-thing","attributes":{"commit":"c1"}},{"id":"8","name":"deploy","actor":"ann-laptop"}]`, "Authorization", bearer(token))
	b.post("/v1/alias", `{"messageId":"7","userId":"ann@example.com","previousId":"bob@example.com"}`, "Authorization", bearer(token))
	b.flush()
	if got := b.query("SELECT count() FROM events WHERE actor = 0 AND actor_kind = 'unknown' AND object = '' AND empty(attributes)"); got != "2\n" {
		t.Errorf("late events without an actor: %s", got)
	}
	b.checkErased()
	b.command(0, "privacy", "erase", "--actor", "ann@example.com", "--confirm") // again
	b.checkErased()
	if got := b.query("SELECT count() FROM events"); got != "5\n" {
		t.Errorf("events in the end: %s", got)
	}
	if got := b.command(0, "privacy", "export", "--actor", "ann@example.com"); !strings.Contains(got, "this name was erased") || strings.Contains(got, `"place":"events"`) {
		t.Errorf("the export of an erased person:\n%s", got)
	}
}

// checkErased looks for traces of ann, and for bob.
func (b *booted) checkErased() {
	b.t.Helper()
	for sql, want := range map[string]string{
		"SELECT count() FROM actor_keys":    "1\n",
		"SELECT count() FROM actor_aliases": "0\n",
		"SELECT count() FROM erasures":      "0\n",
		"SELECT count() FROM quarantine":    "0\n",
		"SELECT count() FROM events WHERE object = 'anns-thing' OR has(mapKeys(attributes), 'commit')": "0\n",
		"SELECT count() FROM events WHERE object = 'bobs-thing'":                                       "1\n",
	} {
		if got := b.query(sql); got != want {
			b.t.Errorf("%s: %swant %s", sql, got, want)
		}
	}
}

func TestErasureStoresWhatWaitsInTheSpoolOfAStoppedService(t *testing.T) {
	t.Parallel()
	b := boot(t, peopleSettings)
	b.sendPeople()
	// A stopped service's spool: that of an import, which nobody runs.
	dir := b.cfg.path(b.cfg.Spool.Dir) + "-import"
	resolver, err := b.cfg.resolver(b.db, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	pipe, err := pipeline.New(pipeline.Config{Processor: pipeline.ProcessorConfig{Store: b.db, Identity: resolver}, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := pipe.Append(t.Context(), schema.Batch{Events: []schema.Event{{Name: "deploy", Source: "web", Time: time.Now(), Actor: "ann@example.com", Object: "anns-thing"}}}); err != nil {
		t.Fatal(err)
	}
	if err := pipe.Close(); err != nil {
		t.Fatal(err)
	}
	dry := b.command(0, "privacy", "erase", "--actor", "ann@example.com")
	if !strings.Contains(dry, "spool, waiting         1 ") {
		t.Errorf("a dry run says:\n%s", dry)
	}
	b.command(0, "privacy", "erase", "--actor", "ann@example.com", "--confirm")
	b.checkErased()
	if got := b.query("SELECT count() FROM events"); got != "4\n" {
		t.Errorf("events: %s", got)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil || len(left) > 0 {
		t.Errorf("segments with the name are on the disk: %v, %v", left, err)
	}
}

func TestRotationOfTheIdentityKey(t *testing.T) {
	t.Parallel()
	b := boot(t, peopleSettings)
	b.sendPeople()
	if said := b.command(1, "privacy", "keys", "rotate"); !strings.Contains(said, "the service is running") {
		t.Errorf("while the service runs: %s", said)
	}
	before := b.query("SELECT groupUniqArray(actor) FROM (SELECT actor FROM actor_keys ORDER BY actor)")
	// Another directory for the spool is a stopped service.
	text, err := os.ReadFile(b.config)
	if err != nil {
		t.Fatal(err)
	}
	b.config += ".stopped.yaml"
	if err := os.WriteFile(b.config, bytes.ReplaceAll(text, []byte("spool: {"), []byte("spool: {dir: elsewhere, ")), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := b.command(0, "privacy", "keys", "rotate"); !strings.Contains(said, "version 2 is in force") {
		t.Errorf("rotate: %s", said)
	}
	if said := b.command(1, "privacy", "keys", "retire", "1"); !strings.Contains(said, "actors were not seen") {
		t.Errorf("retire at once: %s", said)
	}
	resolver, err := b.cfg.resolver(b.db, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	seen := []string{"ann@example.com", "bob@example.com", "ann-laptop"}
	if _, err := resolver.Resolve(t.Context(), seen); err != nil {
		t.Fatal(err)
	}
	b.command(0, "privacy", "keys", "retire", "1")
	if said := b.command(0, "privacy", "keys", "list"); !strings.Contains(said, "2        in force  3") || strings.Contains(said, "older") {
		t.Errorf("list:\n%s", said)
	}
	after, err := b.cfg.resolver(b.db, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := after.Resolve(t.Context(), seen); err != nil {
		t.Fatal(err)
	}
	if got := b.query("SELECT groupUniqArray(actor) FROM (SELECT actor FROM actor_keys ORDER BY actor)"); got != before {
		t.Errorf("surrogates before %safter %s", before, got)
	}
	if said := b.command(1, "privacy", "keys", "retire", "2"); !strings.Contains(said, "in force") {
		t.Errorf("retire the key in force: %s", said)
	}
}
