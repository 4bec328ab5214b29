package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/schema"
)

func TestWhatIsMendedIsStoredOnce(t *testing.T) {
	t.Parallel()
	b := boot(t, "spool: {max_lateness: 30d}\n")
	token := b.token("web", collectors.EndpointSegment)
	late := time.Now().AddDate(0, 0, -40).UTC().Format(time.RFC3339)
	for _, body := range []string{
		fmt.Sprintf(`{"messageId":"1","userId":"ann","event":"late","timestamp":%q}`, late),
		fmt.Sprintf(`{"userId":"ann","event":"nameless","timestamp":%q}`, late),
		`{"messageId":"2","userId":"ann","event":"ancient","timestamp":"2020-01-01T00:00:00Z"}`,
		`{"messageId":"3","userId":"ann"}`,
	} {
		if got := b.post("/v1/track", body, "Authorization", bearer(token)); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	if list := b.command(0, "quarantine", "list"); strings.Count(list, "held") != 4 || strings.Contains(list, "ann") {
		t.Errorf("list:\n%s", list)
	}
	if summary := b.command(0, "quarantine", "list", "--summary"); !strings.Contains(summary, "3     event    web") {
		t.Errorf("summary:\n%s", summary)
	}
	if said := b.command(1, "quarantine", "retry", "--all"); !strings.Contains(said, "0 records stored") || !strings.Contains(said, "4 records still held") {
		t.Errorf("before the configuration is mended:\n%s", said)
	}
	text, err := os.ReadFile(b.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.config, bytes.ReplaceAll(text, []byte("30d"), []byte("60d")), 0o600); err != nil {
		t.Fatal(err)
	}
	said := b.command(1, "quarantine", "retry", "--all")
	if !strings.Contains(said, "2 records stored") || !strings.Contains(said, "2 records still held") || !strings.Contains(said, "max") && !strings.Contains(said, "history needs") {
		t.Errorf("retry:\n%s", said)
	}
	// A crash between the tables and the decision.
	rows, err := b.db.Quarantined(t.Context(), schema.QuarantineQuery{State: schema.QuarantineRetried, Limit: 10})
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d are retried, %v", len(rows), err)
	}
	if err := b.db.DecideQuarantine(t.Context(), rows, schema.QuarantineHeld); err != nil {
		t.Fatal(err)
	}
	b.command(0, "quarantine", "retry", rows[0].ID.String(), rows[1].ID.String()[:20])
	if got := b.query("SELECT name, count() FROM events GROUP BY name ORDER BY name"); got != "late 1\nnameless 1\n" {
		t.Errorf("events:\n%s", got)
	}
	if said := b.command(1, "quarantine", "retry", rows[0].ID.String()); !strings.Contains(said, "was retried") {
		t.Errorf("again: %s", said)
	}
	if said := b.command(0, "quarantine", "drop", "--kind", "message"); !strings.Contains(said, "1 record dropped") {
		t.Errorf("drop: %s", said)
	}
	if list := b.command(0, "quarantine", "list"); strings.Count(list, "held") != 1 {
		t.Errorf("list in the end:\n%s", list)
	}
	if list := b.command(0, "quarantine", "list", "--all"); strings.Count(list, "retried") != 2 || strings.Count(list, "dropped") != 1 {
		t.Errorf("list of all in the end:\n%s", list)
	}
}

func TestQuarantineShowAndMistakes(t *testing.T) {
	t.Parallel()
	b := boot(t, "")
	row := schema.Quarantined{ID: uuid.MustParse("5f3a9100-0000-4000-8000-000000000001"), Time: time.Now().UTC(), Source: "web", Kind: "event", Reason: "no name", Payload: `{"id":"7","actor":"ann"}`}
	twin := row
	twin.ID = uuid.MustParse("5f3a9100-0000-4000-8000-000000000002")
	damaged := schema.Quarantined{ID: uuid.MustParse("77777777-0000-4000-8000-000000000001"), Time: time.Now().UTC(), Source: "spool", Kind: "segment", Reason: "damaged", Payload: "AAAA"}
	if err := b.db.InsertQuarantine(t.Context(), []schema.Quarantined{row, twin, damaged}); err != nil {
		t.Fatal(err)
	}
	if shown := b.command(0, "quarantine", "show", row.ID.String()); !strings.Contains(shown, `"actor": "ann"`) || !strings.Contains(shown, "reason:  no name") {
		t.Errorf("show:\n%s", shown)
	}
	for args, want := range map[string]string{
		"show 5f3a91":    "several ids",
		"show 99":        "no id in quarantine begins",
		"retry 77777777": "cannot be retried",
		"retry 5f3a9100-0000-4000-8000-000000000001": "name is missing",
	} {
		if said := b.command(1, append([]string{"quarantine"}, strings.Fields(args)...)...); !strings.Contains(said, want) {
			t.Errorf("%s: %s, want %q", args, said, want)
		}
	}
}
