package main

import (
	"context"
	"log/slog"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/collectors/feedback"
	"github.com/kubevalue/kubevalue/pipeline"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// emptySpool is a pipeline that nobody drains.
func emptySpool(t *testing.T, db *warehouse.DB, now func() time.Time) *pipeline.Pipeline {
	t.Helper()
	dir := t.TempDir()
	resolver, err := (&Config{Identity: IdentityConfig{KeyFile: filepath.Join(dir, "identity.key")}}).resolver(db, now)
	if err != nil {
		t.Fatal(err)
	}
	pipe, err := pipeline.New(pipeline.Config{Processor: pipeline.ProcessorConfig{Store: db, Identity: resolver, Now: now}, Dir: filepath.Join(dir, "spool")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pipe.Close(); err != nil {
			t.Error(err)
		}
	})
	return pipe
}

// bootAfter boots a service whose predecessor left a batch in the spool.
func bootAfter(t *testing.T, left schema.Batch, settings string) *booted {
	t.Helper()
	at := bootPlace{dir: t.TempDir(), dsn: warehousetest.DSN(t), now: time.Now}
	bootWith(t, at, settings).stop()
	cfg, err := loadConfig(filepath.Join(at.dir, "kubevalue.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	killed, err := newService(t.Context(), cfg, at.now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer killed.close()
	if err := killed.pipe.Append(t.Context(), left); err != nil {
		t.Fatal(err)
	}
	killed.close()
	return bootWith(t, at, settings)
}

// asSender sends again while the service is busy: with what its predecessor left, on a disk that syncs slowly, that takes longer than it lets
// senders wait.
func asSender(t *testing.T, send func() sent) (got sent) {
	t.Helper()
	waitFor(t, "another answer than 503", func() bool {
		got = send()
		return got.status != http.StatusServiceUnavailable
	})
	return got
}

// TestWhatIsKnownOfAClusterIncludesTheSpool: a service that has just started must not take for new what its predecessor has told the spool.
func TestWhatIsKnownOfAClusterIncludesTheSpool(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	b := bootAfter(t, schema.Batch{Changes: []schema.ResourceChange{{
		Resource: schema.Resource{Cluster: "c1", Kind: schema.KindDeployment, UID: "uid-web", Namespace: "shop", Name: "web", Created: now.Add(-time.Hour)},
		Change:   schema.ChangeObserved, Key: now.Format(time.DateOnly), Time: now, Seen: now,
	}}}, "")
	known, err := b.liveResources(t.Context(), "c1")
	if err != nil || len(known) != 1 || known[0].Name != "web" {
		t.Errorf("known are %+v, %v; want the deployment that was told a moment ago", known, err)
	}
}

// TestAnAlertThatEndsKeepsWhatTheSpoolKnowsOfIt: what people have said of an incident is still in the spool when its alert is resolved.
func TestAnAlertThatEndsKeepsWhatTheSpoolKnowsOfIt(t *testing.T) {
	start := time.Now().UTC().Add(-time.Hour).Truncate(time.Second)
	in := schema.Incident{
		ID: "alertmanager/f1/" + strconv.FormatInt(start.Unix(), 10), Service: "shop", Class: "etcd-latency", Cause: "a full disk", Origin: schema.OriginOwn, Start: start,
		Followups: []schema.Followup{{ID: "PLAT-1", Title: "watch the disk"}}, Version: uint64(start.UnixMilli()),
	}
	b := bootAfter(t, schema.Batch{Incidents: []schema.Incident{in}}, "")
	alert := `{"version":"4","alerts":[{"status":"resolved","labels":{"service":"shop"},"startsAt":"` + start.Format(time.RFC3339) +
		`","endsAt":"` + start.Add(time.Minute).Format(time.RFC3339) + `","fingerprint":"f1"}]}`
	token := b.token("am", collectors.EndpointIncidents)
	if got := asSender(t, func() sent { return b.post("/v1/alertmanager", alert, "Authorization", bearer(token)) }); got.status != http.StatusOK {
		t.Fatalf("the alert was answered %d: %s", got.status, got.body)
	}
	if err := b.pipe.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	known, err := knownIncidents(t.Context(), b.db)
	if got := known[in.ID]; err != nil || got.Cause != in.Cause || got.Class != in.Class || len(got.Followups) != 1 || got.Resolved.IsZero() {
		t.Errorf("the incident is %+v, %v; want it resolved, with its cause and its follow-up", got, err)
	}
}

// TestALinkThatWasUsedBeforeARestartIsUsed: the answers are still in the spool.
func TestALinkThatWasUsedBeforeARestartIsUsed(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	secret, id := feedback.NewSecret()
	b := bootAfter(t, schema.Batch{Feedback: []schema.Feedback{{
		Kind: schema.FeedbackInvitation, ID: id, Time: now, Until: now.Add(time.Hour), Survey: "q4", State: "answered", Version: 2,
	}}}, "feedback: {surveys: [{id: q4, title: Platform, questions: [{id: csat, kind: csat, text: How satisfied are you?}]}]}\n")
	if got := asSender(t, func() sent { return b.send(http.MethodGet, feedback.FormPath+secret, nil) }); got.status != http.StatusGone || !strings.Contains(got.body, "already") {
		t.Errorf("the link is answered %d: %s", got.status, got.body)
	}
}

// TestWhatIsInTheSpoolIsOnItsWayForAWhile: alerts do not take what the spool holds after the warehouse was away for what nobody has measured, but a
// spool that is never stored is no excuse.
func TestWhatIsInTheSpoolIsOnItsWayForAWhile(t *testing.T) {
	var b backlog
	noon := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for _, look := range []struct {
		at, waits time.Duration
		onItsWay  bool
	}{
		{0, time.Second, false}, {time.Minute, time.Hour, true}, {2 * time.Minute, time.Minute, false},
		{3 * time.Minute, 20 * time.Minute, true}, {17 * time.Minute, 34 * time.Minute, true}, {18 * time.Minute, 35 * time.Minute, false},
	} {
		if got := b.holdsUp(noon.Add(look.at), look.waits, true); got != look.onItsWay {
			t.Errorf("at %s records wait for %s: on their way is %t, want %t", look.at, look.waits, got, look.onItsWay)
		}
	}
}

// TestAWarehouseThatIsAwayAgainHasTimeToCatchUpAgain: it answered for two minutes between two hours, too few to store what waited.
func TestAWarehouseThatIsAwayAgainHasTimeToCatchUpAgain(t *testing.T) {
	o := hourly("checkout", "shop")
	set, db := answerSet(t, o)
	now := answerNow
	clock := func() time.Time { return now }
	set.now = clock
	s := &service{cfg: &Config{}, now: clock, figures: &figures{objectives: set}, pipe: emptySpool(t, db, clock), log: slog.New(slog.DiscardHandler)}
	if err := s.pipe.Append(t.Context(), schema.Batch{Events: []schema.Event{{Name: "deploy", Source: "web", Time: now, Actor: "ann", Object: "shop"}}}); err != nil {
		t.Fatal(err)
	}
	away, cancel := context.WithCancel(t.Context())
	cancel()
	for _, look := range []struct {
		after    time.Duration
		ctx      context.Context
		onItsWay bool
	}{
		{time.Hour, away, false}, {time.Minute, t.Context(), true}, {2 * time.Minute, t.Context(), true}, {time.Minute, away, false}, {time.Hour, away, false},
		{time.Minute, t.Context(), true}, {14 * time.Minute, t.Context(), true}, {time.Minute, t.Context(), false},
	} {
		now = now.Add(look.after)
		inputs := s.alertInputs(look.ctx)
		if len(inputs) != 1 || inputs[0].OnItsWay != look.onItsWay || (inputs[0].Status != nil) != (look.ctx == t.Context()) {
			t.Errorf("after %s: inputs %+v, want on their way %t", now.Sub(answerNow), inputs, look.onItsWay)
		}
	}
}
