package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kubevalue/kubevalue/collectors"
)

func open(t testing.TB, o Options) *Spool {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func appendAll(t testing.TB, s *Spool, payloads ...string) {
	t.Helper()
	for _, p := range payloads {
		if err := s.Append(context.Background(), uuid.New(), []byte(p)); err != nil {
			t.Fatal(err)
		}
	}
}

// readAll reads from the cursor to the end: payloads and damages in their order.
func readAll(t testing.TB, s *Spool) (payloads []string, damages []*Damage) {
	t.Helper()
	r := s.NewReader(s.Cursor())
	defer r.Close()
	for {
		rec, err := r.Next()
		var d *Damage
		switch {
		case errors.Is(err, io.EOF):
			return payloads, damages
		case errors.As(err, &d):
			damages = append(damages, d)
		case err != nil:
			t.Fatal(err)
		default:
			payloads = append(payloads, string(rec.Payload))
		}
	}
}

func want(t testing.TB, s *Spool, payloads ...string) {
	t.Helper()
	got, damages := readAll(t, s)
	if strings.Join(got, "|") != strings.Join(payloads, "|") || len(damages) > 0 {
		t.Errorf("got %q with %d damages, want %q", got, len(damages), payloads)
	}
}

func TestReopenFindsWhatWasAppendedAndNotDrained(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, SegmentBytes: 200})
	id := s.ID()
	appendAll(t, s, "one", "two", "three", "four", "", strings.Repeat("x", 300), "seven")
	r := s.NewReader(s.Cursor())
	for range 2 {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}
	r.Close()
	if err := s.Advance(r.Position(), 2); err != nil {
		t.Fatal(err)
	}
	m := Manifest{First: r.Position(), End: s.End(), Batch: uuid.New()}
	if err := s.Seal(m); err != nil {
		t.Fatal(err)
	}
	if s.Records() != 5 {
		t.Errorf("%d records, want 5", s.Records())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, Options{Dir: dir, SegmentBytes: 200})
	want(t, s, "three", "four", "", strings.Repeat("x", 300), "seven")
	if got, ok := s.Sealed(); !ok || got != m {
		t.Errorf("sealed %v %v, want %v", got, ok, m)
	}
	if s.Records() != 5 || s.ID() != id || s.End() != m.End {
		t.Errorf("records %d, id %v, end %v", s.Records(), s.ID(), s.End())
	}
	appendAll(t, s, "eight")
	want(t, s, "three", "four", "", strings.Repeat("x", 300), "seven", "eight")
}

func TestOneProcessOwnsASpool(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	if _, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "in use by another kubevalue") {
		t.Errorf("second open: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, Options{Dir: dir})
	if err := s.Append(context.Background(), uuid.New(), nil); !errors.Is(err, errClosed) {
		t.Errorf("append after close: %v", err)
	}
}

func TestPassedSegmentsGoAndTheirSpaceComesBack(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir(), MaxBytes: 8000})
	payload := strings.Repeat("p", 900)
	fill := func() (n int) {
		for {
			err := s.Append(context.Background(), uuid.New(), []byte(payload))
			if errors.Is(err, collectors.ErrFull) {
				return n
			}
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	for round := range 5 {
		if n := fill(); n < 6 || n > 8 {
			t.Errorf("round %d: %d records of 900 bytes fit 8000 bytes", round, n)
		}
		if err := s.Advance(s.End(), int(s.Records())); err != nil {
			t.Fatal(err)
		}
		if s.Bytes() != 0 {
			t.Errorf("%d bytes after all was drained", s.Bytes())
		}
	}
	if list, err := listSegments(s.o.Dir); err != nil || len(list) != 0 {
		t.Errorf("segments left: %v, %v", list, err)
	}
}

func TestAQuietSpoolKeepsNothingThatIsDrained(t *testing.T) {
	now := time.Unix(1000, 0)
	s := open(t, Options{Dir: t.TempDir(), Now: func() time.Time { return now }})
	appendAll(t, s, "a person's name")
	if err := s.Advance(s.End(), 1); err != nil {
		t.Fatal(err)
	}
	if s.Bytes() == 0 {
		t.Error("a new segment was given up at once: every append would pay for a new one")
	}
	now = now.Add(drainedAge)
	appendAll(t, s, "another")
	if err := s.Advance(s.End(), 1); err != nil {
		t.Fatal(err)
	}
	if list, err := listSegments(s.o.Dir); err != nil || len(list) != 0 {
		t.Errorf("segments left: %v, %v", list, err)
	}
}

func TestManyCallersShareSyncs(t *testing.T) {
	counting := &faults{}
	s := open(t, Options{Dir: t.TempDir(), create: counting.create})
	counting.slow = 2 * time.Millisecond
	const callers, each = 64, 20
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				if err := s.Append(context.Background(), uuid.New(), fmt.Appendf(nil, "%d-%d", c, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, _ := readAll(t, s)
	if len(got) != callers*each {
		t.Errorf("%d records, want %d", len(got), callers*each)
	}
	next := map[string]int{}
	for _, p := range got {
		caller, i, _ := strings.Cut(p, "-")
		if i != fmt.Sprint(next[caller]) {
			t.Fatalf("caller %s: record %s, want %d", caller, i, next[caller])
		}
		next[caller]++
	}
	if counting.syncs > callers*each/4 {
		t.Errorf("%d syncs for %d appends of %d callers", counting.syncs, callers*each, callers)
	}
}

func TestAppendGivesUpWithItsContextAndThenNothingIsAppended(t *testing.T) {
	f := &faults{gate: make(chan struct{})}
	s := open(t, Options{Dir: t.TempDir(), create: f.create})
	var wg sync.WaitGroup
	wg.Go(func() { // holds the disk
		if err := s.Append(context.Background(), uuid.New(), []byte("first")); err != nil {
			t.Error(err)
		}
	})
	for f.waiting.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithCancel(context.Background())
	wg.Go(func() {
		if err := s.Append(ctx, uuid.New(), []byte("second")); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled while it waited: %v", err)
		}
	})
	for queued := 0; queued == 0; {
		s.mu.Lock()
		queued = len(s.queue)
		s.mu.Unlock()
	}
	cancel()
	for queued := 1; queued > 0; {
		s.mu.Lock()
		queued = len(s.queue)
		s.mu.Unlock()
	}
	close(f.gate)
	wg.Wait()
	want(t, s, "first")
}

func TestOversizedPayloadIsRefused(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	if err := s.Append(context.Background(), uuid.New(), make([]byte, MaxPayload+1)); err == nil || !strings.Contains(err.Error(), "smaller batches") {
		t.Errorf("got %v", err)
	}
	if err := s.Append(context.Background(), uuid.New(), make([]byte, MaxPayload)); err != nil {
		t.Errorf("the largest payload: %v", err)
	}
}

func TestEveryFlippedByteCostsAtMostItsRecord(t *testing.T) {
	for _, followed := range []bool{false, true} {
		t.Run(fmt.Sprintf("another segment follows: %v", followed), func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, Options{Dir: dir, SegmentBytes: 150})
			payloads := []string{"alpha", "beta", strings.Repeat("gamma", 4)}
			appendAll(t, s, payloads...)
			end := s.End()
			if followed {
				payloads = append(payloads, "delta")
				appendAll(t, s, "delta")
			}
			if grown := s.End().Segment != end.Segment; grown != followed {
				t.Fatal("the segment's size does not fit this test")
			}
			id := s.ID()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			for i := range end.Offset {
				checkFlip(t, dir, i, id, payloads)
			}
		})
	}
}

// checkFlip flips byte i of the first segment of a copy of dir and reads the copy.
func checkFlip(t *testing.T, dir string, i int64, id uuid.UUID, payloads []string) {
	t.Helper()
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	path := segmentPath(copied, 1)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[i] ^= 0x10
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	hit := -1 // the record that holds byte i
	for at, k := int64(headerSize), 0; at <= i; k++ {
		hit = k
		at += int64(frameSize + len(payloads[k]))
	}
	var left []string
	for k, p := range payloads {
		if k != hit {
			left = append(left, p)
		}
	}
	s, err := Open(Options{Dir: copied})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got, damages := readAll(t, s)
	if strings.Join(got, "|") != strings.Join(left, "|") {
		t.Fatalf("byte %d: got %q, want %q", i, got, left)
	}
	if torn := s.Torn(); torn != nil {
		damages = append(damages, torn)
	}
	if len(damages) != 1 {
		t.Fatalf("byte %d: %d damages", i, len(damages))
	}
	if s.ID() != id {
		t.Fatalf("byte %d: another id", i)
	}
	if damages[0] == s.Torn() {
		path = filepath.Join(copied, "damaged", fmt.Sprintf("%020d-%d-%d.bin", 1, damages[0].From.Offset, damages[0].To.Offset))
	} else if path, _, err = s.Rescue(damages[0], 10); err != nil {
		t.Fatal(err)
	}
	saved, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(saved, b[damages[0].From.Offset:damages[0].To.Offset]) || damages[0].From.Offset > i || damages[0].To.Offset <= i {
		t.Fatalf("byte %d: the damaged bytes were not saved (%v)", i, damages[0])
	}
}

func TestAForgedRecordInsideAPayloadStaysAPayload(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	other := open(t, Options{Dir: t.TempDir()})
	forged := appendRecord(nil, markerOf(other.ID(), 1), uuid.New(), []byte("forged"))
	appendAll(t, s, string(forged), "after")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := segmentPath(dir, 1)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[headerSize+markerSize] ^= 1 // the length of the first record
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	got, damages := readAll(t, open(t, Options{Dir: dir}))
	if len(got) != 1 || got[0] != "after" || len(damages) != 1 {
		t.Errorf("got %q and %v", got, damages)
	}
}

func TestZerosAtTheEndAreNoRecord(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	appendAll(t, s, "one")
	s.Close()
	f, err := os.OpenFile(segmentPath(dir, 1), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(make([]byte, 5000)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	s = open(t, Options{Dir: dir})
	if s.Torn() != nil {
		t.Errorf("torn: %v", s.Torn())
	}
	want(t, s, "one")
	if left, _ := filepath.Glob(filepath.Join(dir, "damaged", "*")); len(left) > 0 {
		t.Errorf("zeros were saved: %v", left)
	}
}

func TestLostOrTornStateStartsFromTheOldestSegment(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"removed": os.Remove,
		"zeroed":  func(path string) error { return os.WriteFile(path, make([]byte, 2*slotSize), 0o600) },
		"garbage": func(path string) error { return os.WriteFile(path, []byte(`{"crc32c":1,"state":{}}`), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, Options{Dir: dir})
			appendAll(t, s, "one", "two")
			id, end := s.ID(), s.End()
			s.Close()
			if err := damage(filepath.Join(dir, stateName)); err != nil {
				t.Fatal(err)
			}
			s = open(t, Options{Dir: dir})
			want(t, s, "one", "two")
			if s.ID() != id {
				t.Error("the id is in the segments, but another one was made")
			}
			appendAll(t, s, "three")
			if s.End().Segment == end.Segment {
				t.Error("a segment's number was used again")
			}
		})
	}
}

func TestATornSlotLeavesTheOther(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	appendAll(t, s, "one", "two")
	r := s.NewReader(s.Cursor())
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if err := s.Advance(r.Position(), 1); err != nil {
		t.Fatal(err)
	}
	before := s.state
	s.Close()
	after := before
	after.Sequence++
	after.Cursor = s.End()
	whole, err := marshalSlot(after)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, stateName)
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(bytes.TrimSpace(whole)) {
		torn := bytes.Clone(old)
		slot := torn[after.Sequence%2*slotSize:][:slotSize]
		if copy(slot, whole[:n]); bytes.Equal(slot, whole) {
			break // what was there before ends in the same bytes
		}
		if err := os.WriteFile(path, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		_, got, known, err := openState(dir)
		if err != nil || !known || got.Cursor != before.Cursor {
			t.Fatalf("%d bytes of the slot written: cursor %v (%v, %v), want %v", n, got.Cursor, known, err, before.Cursor)
		}
	}
}

func TestAReaderFollowsTheLog(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir(), SegmentBytes: 150})
	r := s.NewReader(s.Cursor())
	defer r.Close()
	for i := range 10 {
		changed := s.Changed()
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Fatalf("before record %d: %v", i, err)
		}
		appendAll(t, s, fmt.Sprint(i))
		<-changed
		if rec, err := r.Next(); err != nil || string(rec.Payload) != fmt.Sprint(i) || rec.End != s.End() {
			t.Fatalf("record %d: %q, %v", i, rec.Payload, err)
		}
		if i == 5 {
			if err := s.Advance(r.Position(), 6); err != nil { // removes what the reader has open
				t.Fatal(err)
			}
		}
	}
}

func TestOldestIsTheFirstRecordBehindTheCursor(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	if _, ok := s.Oldest(); ok {
		t.Error("an empty spool has an oldest record")
	}
	ids := []uuid.UUID{uuid.New(), uuid.New()}
	for _, id := range ids {
		if err := s.Append(context.Background(), id, nil); err != nil {
			t.Fatal(err)
		}
	}
	r := s.NewReader(s.Cursor())
	for _, id := range ids {
		if got, ok := s.Oldest(); !ok || got != id {
			t.Errorf("oldest %v %v, want %v", got, ok, id)
		}
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		if err := s.Advance(r.Position(), 1); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := s.Oldest(); ok {
		t.Error("a drained spool has an oldest record")
	}
}
