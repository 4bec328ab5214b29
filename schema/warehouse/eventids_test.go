package warehouse_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// numbered is an id of which either half may be zero or shared with others.
func numbered(high, low uint64) uuid.UUID {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], high)
	binary.BigEndian.PutUint64(id[8:], low)
	return id
}

func seen(t testing.TB, db *warehouse.DB, ids []uuid.UUID, since time.Time) []string {
	t.Helper()
	found, err := db.SeenEventIDs(t.Context(), ids, since)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for id := range maps.Keys(found) {
		all = append(all, id.String())
	}
	slices.Sort(all)
	return all
}

func TestSeenEventIDs(t *testing.T) {
	db := warehousetest.Open(t)
	zero, other, twin, unseen := numbered(0, 0), numbered(1<<63, 7), numbered(1<<63, 8), numbered(5, 1<<63)
	old, recent := noon.AddDate(0, 0, -7), noon.AddDate(0, 0, -1)
	for range 2 {
		if err := db.InsertEventIDs(t.Context(), "t", []uuid.UUID{zero, other}, []time.Time{old, recent}); err != nil {
			t.Fatal(err)
		}
	}
	all := []uuid.UUID{zero, other, twin, unseen}
	for _, test := range []struct {
		name  string
		ids   []uuid.UUID
		since time.Time
		want  []string
	}{
		{"the very time counts", all, old, []string{zero.String(), other.String()}},
		{"a millisecond later does not", all, old.Add(time.Millisecond), []string{other.String()}},
		{"the next day", all, old.AddDate(0, 0, 1), []string{other.String()}},
		{"of the same half, another id", []uuid.UUID{twin, unseen}, old, nil},
		{"twice the same", []uuid.UUID{other, other}, old, []string{other.String()}},
		{"none asked", nil, old, nil},
		{"in the future", all, noon.AddDate(1, 0, 0), nil},
	} {
		if diff := cmp.Diff(test.want, seen(t, db, test.ids, test.since)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
	result, err := db.Query(t.Context(), "SELECT DISTINCT id FROM event_ids ORDER BY id_high", nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]any{{zero}, {other}}, result.Rows); diff != "" {
		t.Errorf("ids for people (-want +got):\n%s", diff)
	}
}

func TestSeenEventIDsOfManyStatements(t *testing.T) {
	db := warehousetest.Open(t)
	const n = 250_000
	ids := make([]uuid.UUID, n)
	received := make([]time.Time, n)
	for i := range ids {
		ids[i] = numbered(uint64(i)<<40, uint64(i))
		received[i] = noon
	}
	even := func(yield func(uuid.UUID) bool) {
		for i := 0; i < n; i += 2 {
			yield(ids[i])
		}
	}
	if err := db.InsertEventIDs(t.Context(), "t", slices.Collect(even), received[:n/2]); err != nil {
		t.Fatal(err)
	}
	found, err := db.SeenEventIDs(t.Context(), ids, noon)
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range ids {
		if _, ok := found[id]; ok != (i%2 == 0) {
			t.Fatalf("id %d: seen %v", i, ok)
		}
	}
}

func TestEventIDsAreChecked(t *testing.T) {
	db := warehousetest.Open(t)
	for _, test := range []struct {
		token    string
		received []time.Time
		want     string
	}{
		{"t", []time.Time{noon}, "insert 2 rows (table event_ids): column first_received has 1 values"},
		{"t", []time.Time{noon, {}}, "insert 2 rows (table event_ids): row 1: received 0001-01-01T00:00:00Z is outside of 1970-01-01 to 2100-01-01"},
		{"", []time.Time{noon, noon}, "insert 2 rows (table event_ids): the token is empty: a retry would count twice"},
	} {
		err := db.InsertEventIDs(t.Context(), test.token, []uuid.UUID{numbered(1, 1), numbered(2, 2)}, test.received)
		if err == nil || err.Error() != test.want || !warehouse.Permanent(err) {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

// TestSeenEventIDsAgainstAMap compares look-ups with a plain map.
func TestSeenEventIDsAgainstAMap(t *testing.T) {
	db := warehousetest.Open(t)
	random := rand.New(rand.NewPCG(3, 3))
	history := map[uuid.UUID]time.Time{}
	for block := range 6 {
		var ids []uuid.UUID
		var received []time.Time
		for range 8 {
			id := numbered(random.Uint64N(8), random.Uint64N(8))
			at := noon.Add(-time.Duration(random.IntN(8*24)) * time.Hour)
			ids, received = append(ids, id), append(received, at)
			if at.After(history[id]) {
				history[id] = at
			}
		}
		if err := db.InsertEventIDs(t.Context(), fmt.Sprint("block ", block), ids, received); err != nil {
			t.Fatal(err)
		}
	}
	anyID := rapid.Custom(func(t *rapid.T) uuid.UUID {
		return numbered(rapid.Uint64Range(0, 8).Draw(t, "high"), rapid.Uint64Range(0, 8).Draw(t, "low"))
	})
	rapid.Check(t, func(rt *rapid.T) {
		ids := rapid.SliceOfNDistinct(anyID, 0, 20, rapid.ID).Draw(rt, "ids")
		since := noon.Add(time.Duration(rapid.IntRange(-9*24, 0).Draw(rt, "since")) * time.Hour)
		var want []string
		for _, id := range ids {
			if received, ok := history[id]; ok && !received.Before(since) {
				want = append(want, id.String())
			}
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, seen(t, db, ids, since)); diff != "" {
			rt.Fatalf("seen since %s (-want +got):\n%s", since, diff)
		}
	})
}

func BenchmarkSeenEventIDs(b *testing.B) {
	for _, millions := range []int{2, 20} {
		db := warehousetest.Open(b)
		for block := range millions {
			err := db.Exec(b.Context(), fmt.Sprintf(`INSERT INTO event_ids (id_high, id_low, first_received)
				SELECT rand64(1), rand64(2), now64(3) - INTERVAL %d DAY FROM numbers(1000000)`, block%7))
			if err != nil {
				b.Fatal(err)
			}
		}
		for _, n := range []int{100, 1000, 10_000, 100_000} {
			ids := make([]uuid.UUID, n)
			b.Run(fmt.Sprintf("%dM/%d", millions, n), func(b *testing.B) {
				for range b.N {
					for i := range ids {
						ids[i] = uuid.New()
					}
					if len(seen(b, db, ids, time.Now().AddDate(0, 0, -7))) > 0 {
						b.Fatal("random ids were seen")
					}
				}
			})
		}
	}
}
