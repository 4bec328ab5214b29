package demo_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/cmd/kubevalue/demo"
	"github.com/kubevalue/kubevalue/schema"
)

// desk takes what is sent to the doors of a service, and counts how often each record came.
type desk struct {
	events    map[string]int
	slices    map[string]int
	changes   map[string]schema.ResourceChange
	incidents map[string]schema.Incident
	posts     int
	closed    bool
}

func newDesk() *desk {
	return &desk{map[string]int{}, map[string]int{}, map[string]schema.ResourceChange{}, map[string]schema.Incident{}, 0, false}
}

func (d *desk) doors() demo.Doors {
	return demo.Doors{BaseURL: "http://desk", Client: &http.Client{Transport: d}, Revision: func(string) string { return "1" }}
}

func (d *desk) RoundTrip(r *http.Request) (*http.Response, error) {
	if d.closed {
		return nil, errors.New("nobody there")
	}
	d.posts++
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	switch {
	case strings.HasPrefix(r.URL.Path, "/audit/"):
		var list struct {
			Items []struct {
				AuditID string `json:"auditID"`
			} `json:"items"`
		}
		err = json.Unmarshal(body, &list)
		for _, e := range list.Items {
			d.events[e.AuditID]++
		}
	case r.URL.Path == "/v1/events":
		var list []demo.UsageEvent
		err = json.Unmarshal(body, &list)
		for _, e := range list {
			d.events[e.ID]++
		}
	default:
		var b schema.Batch
		err = json.Unmarshal(body, &b)
		d.take(b)
	}
	return &http.Response{StatusCode: http.StatusAccepted, Status: "202 Accepted", Body: http.NoBody}, err
}

func (d *desk) take(b schema.Batch) {
	for _, s := range b.Slices {
		d.slices[s.Indicator+s.Group+s.Start.String()]++
	}
	for _, c := range b.Changes {
		key := c.Cluster + c.Kind + c.UID + string(c.Change) + c.Key
		if was, ok := d.changes[key]; !ok || c.Precedence() >= was.Precedence() {
			d.changes[key] = c
		}
	}
	for _, in := range b.Incidents {
		if d.incidents[in.ID].Version <= in.Version {
			d.incidents[in.ID] = in
		}
	}
}

// What is told minute by minute is what would have been told at once, but for clusters, whose record is renewed.
func TestTheOrganisationGoesOnAsPlanned(t *testing.T) {
	atOnce, bitByBit := newDesk(), newDesk()
	w := demo.NewWorld(3, 4, now)
	until := time.Date(2026, 11, 18, 23, 59, 0, 0, time.UTC)
	if _, err := w.Send(t.Context(), bitByBit.doors(), func(int, int, demo.Sent) {}); err != nil {
		t.Fatal(err)
	}
	open := 0
	for _, in := range bitByBit.incidents {
		if in.Resolved.IsZero() {
			open++
		}
	}
	if open != 1 {
		t.Errorf("%d incidents are under way at the start, want 1", open)
	}
	for _, clock := range []string{"13:31", "13:32", "13:32", "13:40", "14:15", "16:00", "16:00", "15:00", "23:59"} {
		at, err := time.Parse("15:04", clock)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Tell(t.Context(), bitByBit.doors(), now.Truncate(24*time.Hour).Add(time.Duration(at.Hour()*60+at.Minute())*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	whole := demo.NewWorld(3, 4, now)
	whole.Until = until
	if _, err := whole.Send(t.Context(), atOnce.doors(), func(int, int, demo.Sent) {}); err != nil {
		t.Fatal(err)
	}
	for _, d := range []*desk{atOnce, bitByBit} {
		for key, c := range d.changes {
			if c.Kind == schema.KindCluster && !c.Time.Before(now.Truncate(time.Hour)) {
				delete(d.changes, key)
			}
		}
	}
	if diff := cmp.Diff(atOnce.events, bitByBit.events); diff != "" {
		t.Errorf("events (- at once, + bit by bit):\n%s", diff)
	}
	if diff := cmp.Diff(atOnce.slices, bitByBit.slices); diff != "" {
		t.Errorf("slices (- at once, + bit by bit):\n%s", diff)
	}
	if diff := cmp.Diff(atOnce.changes, bitByBit.changes); diff != "" {
		t.Errorf("changes (- at once, + bit by bit):\n%s", diff)
	}
	if diff := cmp.Diff(atOnce.incidents, bitByBit.incidents); diff != "" {
		t.Errorf("incidents (- at once, + bit by bit):\n%s", diff)
	}
}

func TestDaysAfterTheEndAreLikeThoseBefore(t *testing.T) {
	w, d := demo.NewWorld(1, 4, now), newDesk()
	if err := w.Tell(t.Context(), d.doors(), now.AddDate(0, 0, 14)); err != nil {
		t.Fatal(err)
	}
	born, incidents := 0, 0
	for _, c := range d.changes {
		if c.Kind == schema.KindNamespace && c.Change == schema.ChangeCreated && c.Time.After(w.End) {
			born++
		}
	}
	for _, in := range d.incidents {
		if in.Start.After(w.End) && !in.Resolved.IsZero() {
			incidents++
		}
	}
	if len(d.events) < 5_000 || len(d.slices) < 14*280*12 || born < 20 || incidents < 1 {
		t.Errorf("in two weeks %d events, %d slices, %d new namespaces, %d incidents", len(d.events), len(d.slices), born, incidents)
	}
}

func TestTheOrganisationIsToldEveryMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, d := demo.NewWorld(1, 2, time.Now()), newDesk()
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		faults := 0
		go w.Live(ctx, d.doors(), time.Now, func(error) { faults++ })
		time.Sleep(3*time.Minute + time.Second)
		synctest.Wait()
		for _, c := range w.Clusters {
			seen := time.Time{}
			for _, change := range d.changes {
				if change.Kind == schema.KindCluster && change.Cluster == c.Name && change.Time.After(seen) {
					seen = change.Time
				}
			}
			if time.Since(seen) > time.Minute {
				t.Errorf("%s was heard of %s ago", c.Name, time.Since(seen))
			}
		}
		d.closed = true
		told := len(d.slices)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if faults != 10 {
			t.Errorf("%d faults in ten minutes without a service, want 10", faults)
		}
		d.closed = false
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(d.slices) - told; n != 2*len(w.Clusters) {
			t.Errorf("%d slices were told after the service came back, want those of ten minutes, %d", n, 2*len(w.Clusters))
		}
		stop()
		synctest.Wait()
	})
}
