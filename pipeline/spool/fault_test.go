package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/kubevalue/kubevalue/collectors"
)

// faults makes the files of segments slow or failing.
type faults struct {
	slow     time.Duration
	syncs    int
	gate     chan struct{} // writes wait until it is closed
	waiting  atomic.Int32
	capacity int64 // of each file in bytes; 0: endless
	failSync error
	unsynced int // bytes written since the last sync
	failCut  error
}

func (f *faults) create(path string) (file, error) {
	real, err := createSegment(path)
	if err != nil {
		return nil, err
	}
	return &faultyFile{file: real, f: f}, nil
}

type faultyFile struct {
	file
	f *faults
}

func (w *faultyFile) WriteAt(b []byte, offset int64) (int, error) {
	if w.f.gate != nil {
		w.f.waiting.Add(1)
		<-w.f.gate
	}
	if w.f.capacity > 0 && offset+int64(len(b)) > w.f.capacity {
		fits := max(0, w.f.capacity-offset)
		n, err := w.file.WriteAt(b[:fits], offset)
		return n, errors.Join(err, syscall.ENOSPC)
	}
	w.f.unsynced += len(b)
	return w.file.WriteAt(b, offset)
}

func (w *faultyFile) Sync() error {
	w.f.unsynced = 0
	w.f.syncs++
	time.Sleep(w.f.slow)
	if w.f.failSync != nil {
		return w.f.failSync
	}
	return w.file.Sync()
}

func (w *faultyFile) Truncate(size int64) error {
	if w.f.failCut != nil {
		return w.f.failCut
	}
	return w.file.Truncate(size)
}

func TestAppendReturnsAfterTheSync(t *testing.T) {
	f := &faults{}
	s := open(t, Options{Dir: t.TempDir(), SegmentBytes: 300, create: f.create})
	for range 20 {
		appendAll(t, s, strings.Repeat("x", 50))
		if f.unsynced > 0 {
			t.Fatalf("%d bytes were acknowledged and not synced", f.unsynced)
		}
	}
}

func TestAWriteThatFailsLeavesNoTrace(t *testing.T) {
	for name, set := range map[string]func(*faults){
		"disk full in the middle of a record": func(f *faults) { f.capacity = 150 },
		"sync fails":                          func(f *faults) { f.failSync = syscall.EIO },
		"disk full at sync":                   func(f *faults) { f.failSync = syscall.ENOSPC },
		"file too large":                      func(f *faults) { f.failSync = syscall.EFBIG },
	} {
		t.Run(name, func(t *testing.T) {
			dir, f := t.TempDir(), &faults{}
			s := open(t, Options{Dir: dir, create: f.create})
			appendAll(t, s, "one")
			used := s.Bytes()
			set(f)
			err := s.Append(context.Background(), uuid.New(), make([]byte, 500))
			if full := !errors.Is(f.failSync, syscall.EIO); err == nil || errors.Is(err, collectors.ErrFull) != full {
				t.Errorf("error %v, full should be %v", err, full)
			}
			if s.Bytes() != used || s.Records() != 1 {
				t.Errorf("%d bytes and %d records after the failure, before it %d and 1", s.Bytes(), s.Records(), used)
			}
			*f = faults{}
			want(t, s, "one")
			appendAll(t, s, "two")
			want(t, s, "one", "two")
			s.Close()
			s = open(t, Options{Dir: dir})
			if s.Torn() != nil {
				t.Errorf("torn: %v", s.Torn())
			}
			want(t, s, "one", "two")
		})
	}
}

func TestAFullDiskLeavesNoEmptySegments(t *testing.T) {
	f := &faults{capacity: 100}
	s := open(t, Options{Dir: t.TempDir(), create: f.create})
	for range 3 {
		if err := s.Append(context.Background(), uuid.New(), make([]byte, 500)); !errors.Is(err, collectors.ErrFull) {
			t.Fatal(err)
		}
	}
	if list, err := listSegments(s.o.Dir); err != nil || len(list) > 0 || s.Bytes() != 0 {
		t.Errorf("segments %v, %d bytes, %v", list, s.Bytes(), err)
	}
	*f = faults{}
	appendAll(t, s, "one")
	want(t, s, "one")
}

func TestWhatCannotBeCutOffIsStillNoRecord(t *testing.T) {
	dir, f := t.TempDir(), &faults{}
	s := open(t, Options{Dir: dir, create: f.create})
	appendAll(t, s, "one")
	f.capacity, f.failCut = 150, syscall.EIO
	if err := s.Append(context.Background(), uuid.New(), make([]byte, 500)); !errors.Is(err, collectors.ErrFull) {
		t.Fatal(err)
	}
	*f = faults{}
	appendAll(t, s, "two")
	want(t, s, "one", "two")
	s.Close()
	got, _ := readAll(t, open(t, Options{Dir: dir}))
	if strings.Join(got, "|") != "one|two" {
		t.Errorf("after reopening: %q", got)
	}
}

// TestFullDisk fills a real small file system where mounting is allowed, and one of files that are full at 64 KiB elsewhere.
func TestFullDisk(t *testing.T) {
	dir, f := t.TempDir(), &faults{}
	switch err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); {
	case err == nil:
		t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	case errors.Is(err, syscall.EPERM):
		f.capacity = 64 << 10
	default:
		t.Fatal(err)
	}
	o := Options{Dir: filepath.Join(dir, "spool"), create: f.create}
	s := open(t, o)
	id, sent := 0, []string{}
	for round := range 4 {
		for refused := 0; refused < 20; id++ {
			payload := fmt.Sprintf("%d:%s", id, strings.Repeat("x", 100+id*997%9000))
			switch err := s.Append(context.Background(), uuid.New(), []byte(payload)); {
			case err == nil:
				sent = append(sent, payload)
			case errors.Is(err, collectors.ErrFull):
				refused++
			default:
				t.Fatal(err)
			}
			if len(sent) > 1000 {
				t.Fatal("the disk never fills")
			}
		}
		want(t, s, sent...)
		if round%2 == 0 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, o)
			want(t, s, sent...)
		}
		if err := s.Seal(Manifest{First: s.Cursor(), End: s.End()}); err != nil {
			t.Fatalf("sealing on a full disk: %v", err)
		}
		if err := s.Advance(s.End(), len(sent)); err != nil {
			t.Fatalf("draining on a full disk: %v", err)
		}
		sent = nil
		if s.Bytes() != 0 {
			t.Errorf("round %d: %d bytes are left after all was drained", round, s.Bytes())
		}
	}
}

// TestSpoolAgainstModel does random things to a spool, crashes included, and compares it with a plain list.
func TestSpoolAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		root, err := os.MkdirTemp(memory(), "spool-model-*")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(root)
		m := &model{root: root, segment: int64(rapid.IntRange(100, 1000).Draw(t, "segment"))}
		m.open(t)
		defer func() { m.s.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"append": m.append, "drain": m.drain, "seal": m.seal, "reopen": m.reopen, "crash": m.crash, "": m.check,
		})
	})
}

// memory is a directory without a disk behind it, where there is one: the model is about crashes of the process.
func memory() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return os.TempDir()
}

type model struct {
	root    string
	copies  int
	segment int64
	s       *Spool
	acked   []string // behind the cursor
	sealed  *Manifest
	id      uuid.UUID
	made    int
}

func (m *model) dir() string { return filepath.Join(m.root, fmt.Sprint(m.copies)) }

func (m *model) open(t *rapid.T) {
	s, err := Open(Options{Dir: m.dir(), SegmentBytes: m.segment})
	if err != nil {
		t.Fatal(err)
	}
	if m.s = s; m.id == uuid.Nil {
		m.id = s.ID()
	}
	if s.ID() != m.id {
		t.Fatal("another id after opening")
	}
	if got, ok := s.Sealed(); ok != (m.sealed != nil) || ok && got != *m.sealed {
		t.Fatalf("sealed %v %v, want %v", got, ok, m.sealed)
	}
}

func (m *model) payload(t *rapid.T) string {
	m.made++
	return fmt.Sprintf("%d:%s", m.made, strings.Repeat("y", rapid.IntRange(0, 400).Draw(t, "size")))
}

func (m *model) append(t *rapid.T) {
	p := m.payload(t)
	if err := m.s.Append(context.Background(), uuid.New(), []byte(p)); err != nil {
		t.Fatal(err)
	}
	m.acked = append(m.acked, p)
}

func (m *model) drain(t *rapid.T) {
	n := rapid.IntRange(0, len(m.acked)).Draw(t, "n")
	r := m.s.NewReader(m.s.Cursor())
	defer r.Close()
	for range n {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.s.Advance(r.Position(), n); err != nil {
		t.Fatal(err)
	}
	m.acked, m.sealed = m.acked[n:], nil
}

func (m *model) seal(t *rapid.T) {
	mf := Manifest{First: m.s.Cursor(), End: m.s.End(), Batch: uuid.New()}
	if err := m.s.Seal(mf); err != nil {
		t.Fatal(err)
	}
	m.sealed = &mf
}

func (m *model) reopen(t *rapid.T) {
	if err := m.s.Close(); err != nil {
		t.Fatal(err)
	}
	m.open(t)
}

// crash leaves what is on disk, with any prefix of a record that was being written, and perhaps zeros behind it.
func (m *model) crash(t *rapid.T) {
	old := m.dir()
	last := m.s.segments
	m.copies++
	if err := os.CopyFS(m.dir(), os.DirFS(old)); err != nil {
		t.Fatal(err)
	}
	if err := m.s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(last); n > 0 {
		number := last[n-1].number
		unacked := m.payload(t)
		rec := appendRecord(nil, markerOf(m.id, number), uuid.New(), []byte(unacked))
		n := rapid.IntRange(0, len(rec)).Draw(t, "bytes written")
		zeros := rapid.SampledFrom([]int{0, 1, 5000}).Draw(t, "zeros")
		f, err := os.OpenFile(segmentPath(m.dir(), number), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(append(rec[:n:n], make([]byte, zeros)...)); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if n == len(rec) {
			m.acked = append(m.acked, unacked) // whole on disk: it may count, though nobody was told
		}
	}
	m.open(t)
}

func (m *model) check(t *rapid.T) {
	r := m.s.NewReader(m.s.Cursor())
	defer r.Close()
	var got []string
	for {
		rec, err := r.Next()
		if err != nil {
			break
		}
		got = append(got, string(rec.Payload))
	}
	if !slices.Equal(got, m.acked) {
		t.Fatalf("got %q\nwant %q", got, m.acked)
	}
	if m.s.Records() != int64(len(m.acked)) {
		t.Fatalf("%d records, want %d", m.s.Records(), len(m.acked))
	}
	if len(m.acked) > 0 && r.Position() != m.s.End() {
		t.Fatalf("read to %v, end %v", r.Position(), m.s.End())
	}
	onDisk := int64(0)
	list, err := listSegments(m.dir())
	if err != nil {
		t.Fatal(err)
	}
	for _, seg := range list {
		onDisk += seg.size
	}
	if m.s.Bytes() != onDisk {
		t.Fatalf("%d bytes, on disk are %d", m.s.Bytes(), onDisk)
	}
}

// FuzzSegment puts a record between any two stretches of bytes: it is found, and nothing that is no record is.
func FuzzSegment(f *testing.F) {
	id := uuid.MustParse("6ba7b810-9dad-41d1-80b4-00c04fd430c8")
	marker := markerOf(id, 1)
	header := appendHeader(nil, id, 1)
	record := appendRecord(nil, marker, id, []byte("payload"))
	f.Add([]byte{}, []byte{})
	f.Add(header, record[:len(record)-1])
	f.Add(header[3:], record)
	f.Add(append(header[:len(header):len(header)], record[:20]...), record[1:])
	f.Add(marker[:], marker[:])
	f.Fuzz(func(t *testing.T, before, after []byte) {
		b := append(append(bytes.Clone(before), record...), after...)
		src := newSource(bytes.NewReader(b), id, segment{number: 1, size: int64(len(b))})
		if len(before) < headerSize {
			return // no record starts within the header
		}
		found := false
		for at := int64(0); at < src.size; {
			next, err := src.next(at)
			if err != nil {
				t.Fatal(err)
			}
			if next == src.size {
				break
			}
			fr, payload, err := src.record(next)
			if err != nil {
				t.Fatalf("next said %d: %v", next, err)
			}
			found = found || next == int64(len(before)) && string(payload) == "payload"
			if at = next + int64(frameSize+fr.length); next < int64(len(before)) {
				at = next + 1 // a record of before may reach into ours
			}
		}
		if !found {
			t.Errorf("the record at %d was not found", len(before))
		}
		end, why, err := src.validEnd()
		if err != nil || end > src.size || end < src.size && why == nil {
			t.Errorf("the valid part ends at %d of %d (%v, %v)", end, src.size, why, err)
		}
	})
}

func TestASpoolWithGarbageInItsSegmentGoesOn(t *testing.T) {
	id := uuid.New()
	header := appendHeader(nil, id, 1)
	record := appendRecord(nil, markerOf(id, 1), id, []byte("one"))
	whole := slices.Concat(header, record)
	for name, b := range map[string][]byte{
		"nothing": {}, "half a header": header[:10], "a header": header, "a shifted segment": whole[3:], "noise": bytes.Repeat([]byte("noise"), 50),
	} {
		dir := t.TempDir()
		slot, err := marshalSlot(state{Spool: id})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.WriteFile(filepath.Join(dir, stateName), slot, 0o600), os.WriteFile(segmentPath(dir, 1), b, 0o600)); err != nil {
			t.Fatal(err)
		}
		s := open(t, Options{Dir: dir})
		if s.Records() != 0 || s.Bytes() != 0 || s.End() != s.Cursor() {
			t.Errorf("%s: %d records, %d bytes, end %v", name, s.Records(), s.Bytes(), s.End())
		}
		appendAll(t, s, "new")
		want(t, s, "new")
	}
}
