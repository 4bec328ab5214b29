package mail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubevalue/kubevalue/reports/render"
)

// service is a scheduler's surroundings: everything that outlives a restart of it.
type service struct {
	t     *testing.T
	box   *postbox
	log   *memoryLog
	pipes *pipes
	zone  *time.Location
	// built lists the periods that were composed, with the time in the zone.
	mu    sync.Mutex
	built []string
	fail  error // of Compose
}

func newService(t *testing.T) *service {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, box: &postbox{}, log: &memoryLog{}, zone: zone}
	s.pipes = s.box.serve(t)
	return s
}

// until sleeps to a local time, e.g. "11-16 07:00" of the year of the fake clock.
func (s *service) until(local string) {
	s.t.Helper()
	at, err := time.ParseInLocation("2006-01-02 15:04", fmt.Sprint(time.Now().UTC().Year())+"-"+local, s.zone)
	if err != nil {
		s.t.Fatal(err)
	}
	time.Sleep(time.Until(at))
	synctest.Wait()
}

// composed lists what was built so far.
func (s *service) composed() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.built)
}

// start runs the service; stop ends it.
func (s *service) start(recipients ...string) (stop func()) {
	s.t.Helper()
	sched, err := NewScheduler(SchedulerConfig{
		Sender: newSender(s.t, Config{Log: s.log, dial: s.pipes.dial}), Zone: s.zone, Logger: slog.New(slog.DiscardHandler),
		Jobs: []Job{{
			Report: weekly.Report, Spec: "0 7 * * MON", Recipients: recipients,
			Period: func(due time.Time) string { return "week before " + due.In(s.zone).Format("01-02") },
			Compose: func(_ context.Context, period string) (render.Mail, error) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.built = append(s.built, time.Now().In(s.zone).Format("01-02 15:04")+" "+period)
				return weekly.Message, s.fail
			},
		}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := sched.Run(ctx); !errors.Is(err, context.Canceled) {
			s.t.Errorf("Run: %v", err)
		}
	})
	return func() { cancel(); running.Wait() }
}

// The fake clock starts on Saturday, 2000-01-01 00:00 UTC.

func TestReportsGoOutWhenDueInTheReportingZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		defer s.start("ann@example.com")()
		s.until("03-27 06:59")
		if n := len(s.box.accepted("")); n != 12 {
			t.Errorf("%d mails before the 13th Monday, want 12", n)
		}
		// Clocks changed on 26 March: 07:00 local is now 05:00 UTC.
		s.until("03-27 07:00")
		if n := len(s.box.accepted("")); n != 13 {
			t.Errorf("%d mails at the 13th Monday, want 13", n)
		}
		wantStrings(t, "built", s.composed()[:2], "01-03 07:00 week before 01-03", "01-10 07:00 week before 01-10")
	})
}

func TestARestartAfterTheDueTimeSendsNothingAgainAndBuildsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		stop := s.start("ann@example.com")
		s.until("01-03 07:01")
		stop()
		defer s.start("ann@example.com")()
		s.until("01-05 12:00")
		if n := len(s.box.accepted("")); n != 1 {
			t.Errorf("%d mails, want 1", n)
		}
		wantStrings(t, "built", s.composed(), "01-03 07:00 week before 01-03")
	})
}

func TestWhatWasMissedIsCaughtUpWithinTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		s.until("01-06 06:59")
		stop := s.start("ann@example.com")
		synctest.Wait()
		stop()
		wantStrings(t, "a minute before three days are over", s.composed(), "01-06 06:59 week before 01-03")

		s.until("01-13 07:01")
		stop = s.start("ann@example.com")
		synctest.Wait()
		stop()
		if len(s.composed()) != 1 || len(s.box.accepted("")) != 1 {
			t.Errorf("built %v after three days", s.composed())
		}
	})
}

func TestFailuresAreRepeatedWithBackoffAlsoAcrossARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		var mu sync.Mutex
		var tries []string
		s.box.rcpt = func(to string) error {
			mu.Lock()
			defer mu.Unlock()
			name, _, _ := strings.Cut(to, "@")
			tries = append(tries, time.Now().In(s.zone).Format("15:04 ")+name)
			switch {
			case name == "gone":
				return refuse(550, "no such user")
			case name == "full" && time.Now().In(s.zone).Format("15:04") < "08:20":
				return refuse(452, "mailbox full")
			}
			return nil
		}
		everybody := []string{"full@example.com", "gone@example.com", "ann@example.com"}
		stop := s.start(everybody...)
		s.until("01-03 07:06")
		stop()
		s.until("01-03 07:10")
		defer s.start(everybody...)()
		s.until("01-04 12:00")
		wantStrings(t, "tries", tries, "07:00 full", "07:00 gone", "07:00 ann", "07:01 full", "07:05 full", "07:21 full", "08:25 full")
		if n := len(s.box.accepted("full@example.com")); n != 1 {
			t.Errorf("the full mailbox got %d mails in the end, want 1", n)
		}
	})
}

func TestAReportThatCannotBeBuiltIsTriedAgainUntilItsTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		s.fail = errors.New("warehouse away")
		defer s.start("ann@example.com")()
		s.until("01-03 07:22")
		wantStrings(t, "built", s.composed(), "01-03 07:00 week before 01-03", "01-03 07:01 week before 01-03", "01-03 07:05 week before 01-03", "01-03 07:21 week before 01-03")
		s.until("01-10 06:59")
		built := s.composed()
		last := built[len(built)-1]
		if last > "01-06 07:00" || last < "01-06 01:00" {
			t.Errorf("last try %s, want it near the limit of three days", last)
		}
		s.mu.Lock()
		s.fail = nil
		s.mu.Unlock()
		s.until("01-10 07:00")
		if n := len(s.box.accepted("")); n != 1 {
			t.Errorf("%d mails, want the next week's", n)
		}
	})
}

func TestStoppingFinishesTheConversation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t)
		s.box.data = func(string) error { time.Sleep(5 * time.Second); return nil }
		stop := s.start("ann@example.com", "bob@example.com")
		s.until("01-03 07:00")
		stop()
		wantStrings(t, "log", s.log.states(), "ann sending", "ann sent")
	})
}

func TestBadJobsAreNamedAtOnce(t *testing.T) {
	_, err := NewScheduler(SchedulerConfig{Jobs: []Job{
		{Report: "weekly/managers", Spec: "7 o'clock", Recipients: []string{"nobody"}},
		{Report: "weekly/consumers", Spec: "@every 1h"},
	}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{`report weekly/managers: schedule "7 o'clock"`, `recipient "nobody"`, `report weekly/consumers: schedule "@every 1h"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q: %v", want, err)
		}
	}
}

func TestNextDueTimeIsInTheReportingZone(t *testing.T) {
	zone := time.FixedZone("UTC+5", 5*3600)
	s, err := NewScheduler(SchedulerConfig{Zone: zone, Jobs: []Job{{Report: "weekly/managers", Spec: "@weekly"}}})
	if err != nil {
		t.Fatal(err)
	}
	got := s.Next("weekly/managers", time.Date(2026, 11, 14, 12, 0, 0, 0, time.UTC))
	if want := time.Date(2026, 11, 15, 0, 0, 0, 0, zone); !got.Equal(want) {
		t.Errorf("next %v, want %v", got, want)
	}
	if got := s.Next("monthly", time.Now()); !got.IsZero() {
		t.Errorf("an unknown report is due at %v", got)
	}
}
