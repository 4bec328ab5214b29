package mail

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/kubevalue/kubevalue/schema"
)

func request(t *testing.T, h http.Handler, method, url string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, strings.TrimPrefix(url, "https://kv.example.com"), strings.NewReader("List-Unsubscribe=One-Click")))
	return w
}

func TestOneClickEndsAReportForOneRecipient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, log := &postbox{}, &memoryLog{}
		u := &Unsubscribe{Endpoint: "https://kv.example.com/unsubscribe", Key: []byte("0123456789abcdef"), Log: log}
		s := newSender(t, Config{Log: log, Unsubscribe: u, dial: box.serve(t).dial})
		link := u.URL(weekly.Report, "ann@example.com")

		// A link scanner that only looks must not unsubscribe anybody.
		if w := request(t, u, "GET", link); w.Code != 200 || !strings.Contains(w.Body.String(), `<form method="post">`) {
			t.Fatalf("GET: %d %s", w.Code, w.Body)
		}
		wantStrings(t, "after GET", statuses(mustSend(t, s, to("ann@example.com"), false)), "ann sent")

		if w := request(t, u, "POST", link); w.Code != 200 || !strings.Contains(w.Body.String(), "You will not get this report again") {
			t.Fatalf("POST: %d %s", w.Code, w.Body)
		}
		next := to("ann@example.com", "bob@example.com")
		next.Period = "2026-W47"
		out := mustSend(t, s, next, true)
		wantStrings(t, "after POST", statuses(out), "ann unsubscribed", "bob sent")
		if err := out.Err(); err != nil {
			t.Errorf("somebody who left is no failure: %v", err)
		}
		next.Report = "weekly/consumers"
		wantStrings(t, "another report", statuses(mustSend(t, s, next, false)), "ann sent", "bob sent")
	})
}

func TestUnsubscribeRefuses(t *testing.T) {
	log := &memoryLog{}
	u := &Unsubscribe{Endpoint: "https://kv.example.com/unsubscribe", Key: []byte("0123456789abcdef"), Log: log}
	link := u.URL(weekly.Report, "ann@example.com")
	if w := request(t, u, "POST", strings.Replace(link, "ann", "bob", 1)); w.Code != http.StatusNotFound {
		t.Errorf("another recipient with ann's signature: %d", w.Code)
	}
	if w := request(t, u, "POST", strings.Replace(link, "managers", "consumers", 1)); w.Code != http.StatusNotFound {
		t.Errorf("another report with this signature: %d", w.Code)
	}
	if w := request(t, u, "DELETE", link); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("DELETE: %d", w.Code)
	}
	if len(log.history) != 0 {
		t.Errorf("recorded %v", log.history)
	}
	log.fail = func(schema.Delivery) error { return errors.New("warehouse away") }
	if w := request(t, u, "POST", link); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("POST without a log: %d", w.Code)
	}
}
