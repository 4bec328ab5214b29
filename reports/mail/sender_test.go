package mail

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/schema"
)

// statuses is an outcome as "recipient status".
func statuses(o Outcome) []string {
	var out []string
	for _, r := range o {
		name, _, _ := strings.Cut(r.Recipient, "@")
		out = append(out, name+" "+string(r.Status))
	}
	return out
}

func wantStrings(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func mustSend(t *testing.T, s *Sender, m Mailing, force bool) Outcome {
	t.Helper()
	out, err := s.Send(t.Context(), m, force)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEveryRecipientGetsOneMailOverOneConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, log := &postbox{}, &memoryLog{}
		s := newSender(t, Config{Log: log, dial: box.serve(t).dial})
		out := mustSend(t, s, to("ann@example.com", "Bob <bob@example.com>", "ANN@example.com", " cy@example.com "), false)
		wantStrings(t, "outcome", statuses(out), "ann sent", "bob sent", "cy sent")
		wantStrings(t, "log", log.states(), "ann sending", "ann sent", "bob sending", "bob sent", "cy sending", "cy sent")
		if n := len(box.accepted("")); n != 3 || box.connections != 1 {
			t.Errorf("%d mails over %d connections, want 3 over 1", n, box.connections)
		}
		out = mustSend(t, s, to("ann@example.com", "dee@example.com"), true)
		wantStrings(t, "second round", statuses(out), "ann already_sent", "dee sent")
	})
}

func TestARestartSendsNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, log := &postbox{}, &memoryLog{}
		l := box.serve(t)
		everybody := to("ann@example.com", "bob@example.com")
		mustSend(t, newSender(t, Config{Log: log, dial: l.dial}), to("ann@example.com"), false)
		out := mustSend(t, newSender(t, Config{Log: log, dial: l.dial}), everybody, false)
		wantStrings(t, "after the restart", statuses(out), "ann already_sent", "bob sent")
		if n := len(box.accepted("ann@example.com")); n != 1 {
			t.Errorf("ann got %d mails", n)
		}
	})
}

func TestACrashWithinAConversationIsVisibleAndNotRepeatedUnasked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, log := &postbox{}, &memoryLog{}
		l := box.serve(t)
		first := newSender(t, Config{Log: log, dial: l.dial})
		// The process ends after the server accepted, before the log was written.
		crash := errors.New("killed")
		log.fail = func(d schema.Delivery) error {
			if d.Status == schema.DeliverySent {
				return crash
			}
			return nil
		}
		if _, err := first.Send(t.Context(), to("ann@example.com"), false); !errors.Is(err, crash) {
			t.Fatalf("error %v, want %v", err, crash)
		}
		log.fail = nil

		second := newSender(t, Config{Log: log, dial: l.dial})
		out := mustSend(t, second, to("ann@example.com", "bob@example.com"), false)
		wantStrings(t, "unasked", statuses(out), "ann unknown", "bob sent")
		if err := out.Err(); err == nil || !strings.Contains(err.Error(), "--force") || !strings.Contains(err.Error(), "ann@example.com") {
			t.Errorf("error %v, want ann's with the way out", err)
		}
		time.Sleep(time.Hour)
		out = mustSend(t, second, to("ann@example.com", "bob@example.com"), true)
		wantStrings(t, "forced", statuses(out), "ann sent", "bob already_sent")
		mails := box.accepted("ann@example.com")
		if len(mails) != 2 {
			t.Fatalf("ann got %d mails, want the first and the forced one", len(mails))
		}
		if a, b := messageIDOf(t, mails[0]), messageIDOf(t, mails[1]); a != b || a == "" {
			t.Errorf("message ids %q and %q, want one and the same", a, b)
		}
	})
}

func TestALogThatFailsAfterSendingIsWrittenLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, log := &postbox{}, &memoryLog{}
		s := newSender(t, Config{Log: log, dial: box.serve(t).dial})
		log.fail = func(d schema.Delivery) error {
			if d.Status == schema.DeliverySent {
				return errors.New("warehouse away")
			}
			return nil
		}
		out, err := s.Send(t.Context(), to("ann@example.com", "bob@example.com"), false)
		if err == nil || !strings.Contains(err.Error(), "was sent to ann@example.com, but the delivery log cannot be written: warehouse away") {
			t.Fatalf("error %v", err)
		}
		wantStrings(t, "outcome", statuses(out), "ann sent")
		log.fail = nil
		wantStrings(t, "next round", statuses(mustSend(t, s, to("ann@example.com", "bob@example.com"), false)), "ann already_sent", "bob sent")
		if got := log.status("ann@example.com"); got != schema.DeliverySent {
			t.Errorf("ann's record is %q, want sent", got)
		}
		if n := len(box.accepted("ann@example.com")); n != 1 {
			t.Errorf("ann got %d mails", n)
		}
	})
}

func TestNothingIsSentThatCannotBeRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box := &postbox{}
		log := &memoryLog{fail: func(schema.Delivery) error { return errors.New("warehouse away") }}
		s := newSender(t, Config{Log: log, dial: box.serve(t).dial})
		if _, err := s.Send(t.Context(), to("ann@example.com"), false); err == nil || !strings.Contains(err.Error(), "nothing was sent") {
			t.Errorf("error %v", err)
		}
		if n := len(box.accepted("")); n != 0 {
			t.Errorf("%d mails went out", n)
		}
	})
}

func TestOneFailingRecipientDoesNotStopTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, log := &postbox{}, &memoryLog{}
		box.rcpt = func(to string) error {
			switch to {
			case "gone@example.com":
				return refuse(550, "no such user")
			case "full@example.com":
				return refuse(452, "mailbox full")
			}
			return nil
		}
		box.data = func(to string) error {
			if to == "strict@example.com" {
				return refuse(554, "looks like spam")
			}
			return nil
		}
		s := newSender(t, Config{Log: log, dial: box.serve(t).dial})
		all := to("gone@example.com", "full@example.com", "not an address", "strict@example.com", "ann@example.com")
		out := mustSend(t, s, all, false)
		wantStrings(t, "outcome", statuses(out), "gone failed", "full failed", "not an address failed", "strict failed", "ann sent")
		for i, want := range []string{"550: ", "452: ", `"not an address" is no mail address`, "554: "} {
			if got := out[i].Err.Error(); !strings.HasPrefix(got, want) {
				t.Errorf("error %q, want it to begin with %q", got, want)
			}
		}
		if !out[0].RetryAt.IsZero() || !out[3].RetryAt.IsZero() || !out[1].RetryAt.Equal(time.Now().Add(time.Minute)) {
			t.Errorf("retry at %v, %v, %v: want never, in a minute, never", out[0].RetryAt, out[1].RetryAt, out[3].RetryAt)
		}
		box.rcpt, box.data = nil, nil
		out = mustSend(t, s, all, false)
		wantStrings(t, "asked again", statuses(out), "gone sent", "full sent", "not an address failed", "strict sent", "ann already_sent")
		if out[1].Attempts != 2 {
			t.Errorf("%d attempts, want 2", out[1].Attempts)
		}
	})
}

func TestAServerThatIsDownFailsARoundOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dials := 0
		log := &memoryLog{}
		s := newSender(t, Config{Log: log, dial: func(context.Context, string, string) (net.Conn, error) {
			dials++
			return nil, errors.New("connection refused")
		}})
		out := mustSend(t, s, to("ann@example.com", "bob@example.com", "cy@example.com"), false)
		wantStrings(t, "outcome", statuses(out), "ann failed", "bob failed", "cy failed")
		if dials != 1 {
			t.Errorf("%d connections tried, want 1", dials)
		}
		if got := log.status("cy@example.com"); got != schema.DeliveryFailed {
			t.Errorf("cy's record is %q, want failed", got)
		}
	})
}

// A server that takes the message and then says nothing may have accepted it.
func TestNoAnswerAfterTheMessageIsUnknownAndNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, log := &postbox{}, &memoryLog{}
		ends := make(chan struct{})
		box.data = func(to string) error {
			if to == "ann@example.com" {
				<-ends
			}
			return nil
		}
		s := newSender(t, Config{Log: log, Timeout: 20 * time.Second, dial: box.serve(t).dial})
		start := time.Now()
		out := mustSend(t, s, to("ann@example.com", "bob@example.com"), false)
		close(ends)
		wantStrings(t, "outcome", statuses(out), "ann unknown", "bob sent")
		if waited := time.Since(start); waited != 20*time.Second {
			t.Errorf("waited %s, want the timeout of 20 s", waited)
		}
		d, _, _ := log.Delivery(t.Context(), weekly.Report, weekly.Period, "ann@example.com")
		if d.Status != schema.DeliverySending || !strings.Contains(d.Error, "did not say whether it accepted") {
			t.Errorf("record %q %q, want sending with the reason", d.Status, d.Error)
		}
		synctest.Wait()
		wantStrings(t, "again", statuses(mustSend(t, s, to("ann@example.com"), false)), "ann unknown")
		if n := len(box.accepted("ann@example.com")); n != 1 {
			t.Errorf("ann got %d mails", n)
		}
	})
}

// A server that hangs costs three timeouts, not one per recipient.
func TestAHangingServerIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, log := &postbox{}, &memoryLog{}
		ends := make(chan struct{})
		box.rcpt = func(string) error { <-ends; return nil }
		l := box.serve(t)
		s := newSender(t, Config{Log: log, Timeout: 20 * time.Second, dial: l.dial})
		start := time.Now()
		out := mustSend(t, s, to("a@example.com", "b@example.com", "c@example.com", "d@example.com", "e@example.com"), false)
		close(ends)
		wantStrings(t, "outcome", statuses(out), "a failed", "b failed", "c failed", "d failed", "e failed")
		if waited := time.Since(start); waited != 60*time.Second {
			t.Errorf("waited %s, want 3 timeouts of 20 s", waited)
		}
		if err := out[4].Err; !strings.Contains(err.Error(), "3 connections") {
			t.Errorf("error %v", err)
		}
		synctest.Wait()
		if n := len(box.accepted("")); n != 0 {
			t.Errorf("the server took %d halves of messages for mails", n)
		}
	})
}

// A relay may close a connection after so many messages: the next one goes over a new one.
func TestAConnectionThatWasClosedBetweenMessagesIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, log := &postbox{}, &memoryLog{}
		l := box.serve(t)
		var server net.Conn
		s := newSender(t, Config{Log: log, dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := l.dial(ctx, network, addr)
			server = c
			return c, err
		}})
		log.fail = func(d schema.Delivery) error {
			if d.Status == schema.DeliverySent && d.Recipient == "ann@example.com" {
				_ = server.Close()
			}
			return nil
		}
		out := mustSend(t, s, to("ann@example.com", "bob@example.com"), false)
		wantStrings(t, "outcome", statuses(out), "ann sent", "bob sent")
		if box.connections != 2 || len(box.accepted("")) != 2 {
			t.Errorf("%d mails over %d connections", len(box.accepted("")), box.connections)
		}
	})
}

func TestACancelledRoundEndsBetweenRecipients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, log := &postbox{}, &memoryLog{}
		ctx, cancel := context.WithCancel(t.Context())
		box.data = func(string) error { cancel(); return nil }
		s := newSender(t, Config{Log: log, dial: box.serve(t).dial})
		out, err := s.Send(ctx, to("ann@example.com", "bob@example.com"), false)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		wantStrings(t, "outcome", statuses(out), "ann sent")
		wantStrings(t, "log", log.states(), "ann sending", "ann sent")
	})
}

func TestAMessageIDFollowsFromTheDelivery(t *testing.T) {
	now := time.Now()
	one := newSender(t, Config{Log: &memoryLog{}, Now: func() time.Time { return now }})
	other := newSender(t, Config{Log: &memoryLog{}, Now: func() time.Time { return now.Add(time.Hour) }})
	id := one.messageID("weekly/managers", "2026-W46", "ann@example.com")
	if again := other.messageID("weekly/managers", "2026-W46", "ann@example.com"); id != again {
		t.Errorf("ids of one delivery: %s and %s", id, again)
	}
	for _, d := range [][3]string{{"weekly/consumers", "2026-W46", "ann@example.com"}, {"weekly/managers", "2026-W47", "ann@example.com"}, {"weekly/managers", "2026-W46", "bob@example.com"}} {
		if one.messageID(d[0], d[1], d[2]) == id {
			t.Errorf("%v has the same id", d)
		}
	}
}

func TestConfigurationFaultsAreNamedAtOnce(t *testing.T) {
	_, err := NewSender(Config{
		Port: 70000, TLS: "ssl", From: "nobody", ReplyTo: "at@", Timeout: -1, UnsubscribeAt: "http://example.com",
		Unsubscribe: &Unsubscribe{Endpoint: "http://example.com", Key: []byte("short")},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"smtp host is empty", "port 70000 is out of range", `tls "ssl" is unknown: use mandatory`, `from "nobody" is no address`,
		`reply_to "at@"`, "timeout -1ns is negative", "must be an https address", "key has 5 bytes", `unsubscribe "http://example.com"`, "delivery log is needed",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q:\n%v", want, err)
		}
	}
	_, err = NewSender(Config{Host: "mx", From: "a@example.com", TLS: TLSNone, Username: "u", Log: &memoryLog{}})
	if err == nil || !strings.Contains(err.Error(), "the password would travel in the clear") {
		t.Errorf("error %v", err)
	}
}

func TestBackoffGrowsToSixHours(t *testing.T) {
	var got []string
	for n := uint32(1); n <= 8; n++ {
		got = append(got, backoff(n).String())
	}
	wantStrings(t, "backoff", got, "1m0s", "4m0s", "16m0s", "1h4m0s", "4h16m0s", "6h0m0s", "6h0m0s", "6h0m0s")
}

func messageIDOf(t *testing.T, m received) string {
	t.Helper()
	msg := parse(t, m)
	return msg.Header.Get("Message-Id")
}

func drain(t *testing.T, r io.Reader) []byte {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
