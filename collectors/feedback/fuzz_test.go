package feedback

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzGitHub takes any signed body: a ticket, or nothing.
func FuzzGitHub(f *testing.F) {
	f.Add(`{"action":"opened","repository":{"full_name":"a/b"},"issue":{"number":1,"state":"open","created_at":"2026-11-01T00:00:00Z","updated_at":"2026-11-01T00:00:00Z","labels":[{"name":"team:red"}]}}`)
	f.Add(`{"issue":{"number":1e400}}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, body string) {
		d := newDesk(t)
		w := d.deliver(body, "issues", "a shared secret of GitHub")
		if taken := len(d.sink.batches) > 0; taken != (w.Code == http.StatusOK) || !taken && w.Code != http.StatusBadRequest {
			t.Errorf("status %d, %d batches: %s", w.Code, len(d.sink.batches), w.Body)
		}
	})
}

// FuzzForm fills the form with anything.
func FuzzForm(f *testing.F) {
	f.Add("recommend=9&happy=4&why-not=too+slow&more=text")
	f.Add("recommend=11&happy=%00&more=%ff")
	f.Add("%zz=;&&")
	f.Fuzz(func(t *testing.T, form string) {
		d := newDesk(t)
		r := httptest.NewRequest(http.MethodPost, FormPath+url.PathEscape(d.secret), strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		d.Form().ServeHTTP(w, r)
		if w.Code >= http.StatusInternalServerError {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	})
}
