package main

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
)

// TestAnErasureCanBeLifted erases and lifts while the service runs, with and without events in between.
func TestAnErasureCanBeLifted(t *testing.T) {
	t.Parallel()
	b := boot(t, peopleSettings)
	b.sendPeople()
	token := b.token("web again", collectors.EndpointEvents)
	say := func(id string) {
		b.post("/v1/events", `[{"id":"`+id+`","name":"back","actor":"ann@example.com"}]`, "Authorization", bearer(token))
		b.flush()
	}
	old := b.query("SELECT actor FROM events WHERE object = 'anns-thing'")
	if got := b.command(1, "privacy", "lift", "--actor", "bob@example.com"); !strings.Contains(got, "was not erased") {
		t.Errorf("lifting what is not there says:\n%s", got)
	}
	b.command(0, "privacy", "erase", "--actor", "ann@example.com", "--confirm")
	if got := b.command(0, "privacy", "lift", "--actor", "ann@example.com"); !strings.Contains(got, "nothing was changed") {
		t.Errorf("without --confirm it says:\n%s", got)
	}
	b.command(0, "privacy", "lift", "--actor", "ann@example.com", "--confirm")
	say("20")
	if got := b.query("SELECT actor FROM events WHERE name = 'back'"); got == "0\n" || got == old {
		t.Errorf("ann came back as %swas %s", got, old)
	}
	if got := b.query("SELECT count(), countIf(actor IN (SELECT actor FROM events WHERE name = 'back')) FROM actor_keys"); got != "2 1\n" {
		t.Errorf("links, and ann's: %s", got)
	}
	b.command(0, "privacy", "erase", "--actor", "ann@example.com", "--confirm")
	say("21")
	b.checkErased()
	b.command(0, "privacy", "lift", "--actor", "ann@example.com", "--confirm")
	say("22")
	if got := b.query("SELECT countIf(actor = 0), uniqExact(actor) FROM events WHERE name = 'back'"); got != "1 3\n" {
		t.Errorf("back without an actor, and actors of it: %s", got)
	}
}

// TestAnInterruptedErasureIsFinishedAtTheNextStart stops an erasure after its first steps.
func TestAnInterruptedErasureIsFinishedAtTheNextStart(t *testing.T) {
	t.Parallel()
	b := boot(t, peopleSettings)
	b.sendPeople()
	d, err := openDesk(t.Context(), b.cfg, b.db, "ann@example.com")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.db.InsertSuppressed(t.Context(), d.person.Links); err != nil {
		t.Fatal(err)
	}
	begun, err := d.person.Replacements()
	if err == nil {
		err = d.db.InsertErasures(t.Context(), begun)
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second start finds nothing to do
		pipe, err := openPipeline(context.WithoutCancel(t.Context()), b.cfg, b.db, pipelineParts{dir: t.TempDir(), log: slog.New(slog.DiscardHandler), now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		if err := pipe.Close(); err != nil {
			t.Fatal(err)
		}
		b.checkErased()
	}
	if got := b.query("SELECT count() FROM events"); got != "3\n" {
		t.Errorf("events: %s", got)
	}
}
