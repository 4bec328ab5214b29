package incident

import (
	"net/http"
	"testing"
)

// FuzzReceive gives any body to both doors: it is taken, or refused for good.
func FuzzReceive(f *testing.F) {
	f.Add(`{"version":"4","alerts":[{"status":"firing","labels":{"service":"shop"},"startsAt":"2026-03-01T11:00:00Z","fingerprint":"a"}]}`)
	f.Add(`{"id":"I-1","service":"shop","start":"2026-03-01T11:00:00Z","followups":[{"id":"P-1","owner":"db"}]}`)
	f.Add(`[{"id":"I-1"},{"id":1}]`)
	f.Add(`{"version":"4","alerts":[{"startsAt":"9999-12-31T23:59:59Z","endsAt":"0001-01-01T00:00:00Z","fingerprint":"a"}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		r := newReceiver(t, &store{}, Mapping{})
		for _, door := range []http.Handler{r.Alertmanager(), r.Native()} {
			switch code, answer := post(door, body); code {
			case http.StatusOK, http.StatusBadRequest:
			default:
				t.Errorf("status %d: %s", code, answer)
			}
		}
	})
}
