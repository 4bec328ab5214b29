package schema_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

func changeAt(change schema.Change, at time.Time, width time.Duration) *schema.ResourceChange {
	c := &schema.ResourceChange{Change: change, Time: at}
	if width > 0 {
		c.From = at.Add(-width)
	}
	return c
}

func TestTheMostExactRecordOfAChangeWins(t *testing.T) {
	exact, narrow, wide := changeAt(schema.ChangeDeleted, noon, 0), changeAt(schema.ChangeDeleted, noon, time.Second), changeAt(schema.ChangeDeleted, noon.Add(time.Hour), time.Hour)
	if exact.Precedence() <= narrow.Precedence() || narrow.Precedence() <= wide.Precedence() {
		t.Errorf("precedence of exact, narrow, wide: %d, %d, %d; want falling ones", exact.Precedence(), narrow.Precedence(), wide.Precedence())
	}
	early, late := changeAt(schema.ChangeObserved, noon, 0), changeAt(schema.ChangeObserved, noon.Add(time.Millisecond), time.Hour)
	if early.Precedence() >= late.Precedence() {
		t.Error("of two observations the earlier one wins")
	}
}

func TestTheNewestRecordIsTheState(t *testing.T) {
	order := []*schema.ResourceChange{
		changeAt(schema.ChangeDeleted, noon.Add(-time.Millisecond), 0),
		changeAt(schema.ChangeCreated, noon, 0),
		changeAt(schema.ChangeReady, noon, time.Hour),
		changeAt(schema.ChangeTerminating, noon, 0),
		changeAt(schema.ChangeDeleted, noon, 0),
		changeAt(schema.ChangeObserved, noon.Add(time.Millisecond), 0),
		{Change: schema.ChangeReady, Time: noon.Add(-time.Hour), Seen: noon.Add(2 * time.Millisecond)},
	}
	for i := range order[1:] {
		if a, b := order[i], order[i+1]; a.StatePrecedence() >= b.StatePrecedence() {
			t.Errorf("%s at %s comes after %s at %s", a.Change, a.Time, b.Change, b.Time)
		}
	}
}

func TestEveryChangeHasARankOfItsOwn(t *testing.T) {
	seen := map[uint64]schema.Change{}
	for _, change := range schema.Changes() {
		rank := changeAt(change, noon, 0).StatePrecedence()
		if was, ok := seen[rank]; ok {
			t.Errorf("%s and %s have one rank", was, change)
		}
		seen[rank] = change
	}
}

func TestAChangesStateIsPartOfItsJSON(t *testing.T) {
	text, err := json.Marshal(schema.Batch{Changes: []schema.ResourceChange{{
		Resource: schema.Resource{Cluster: "c", Kind: schema.KindNode, UID: "u", Name: "n", Version: "v1.36.3"}, Change: schema.ChangeObserved, Time: noon,
	}}})
	const want = `{"changes":[{"cluster":"c","kind":"Node","uid":"u","name":"n","version":"v1.36.3","change":"observed","time":"2026-11-02T12:00:00Z"}]}`
	if err != nil || string(text) != want {
		t.Errorf("JSON is %s (%v), want %s", text, err, want)
	}
	var back schema.Batch
	if err := json.Unmarshal(text, &back); err != nil || back.Len() != 1 || back.Changes[0].Version != "v1.36.3" || back.Changes[0].Validate() != nil {
		t.Errorf("back comes %+v, %v", back, err)
	}
	back.Changes[0].Region = strings.Repeat("é", 151)
	if err := back.Changes[0].Validate(); err == nil || !strings.Contains(err.Error(), "region has 302 bytes") {
		t.Errorf("a long region: %v", err)
	}
}
