package remotewrite

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestAKillLosesNothingAndCountsNothingTwice(t *testing.T) {
	b := newBench(t)
	state := filepath.Join(t.TempDir(), "remotewrite.json")
	b.begin(state)
	at := func(seconds int) { b.now = start.Add(time.Duration(seconds) * time.Second) }
	told := func(want string) {
		t.Helper()
		if got := b.told(4); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	b.send2(of("", 0, 1, 15, 1, 30, 1), of("200", 0, 100, 15, 110, 30, 120), of("500", 30, 2))
	at(31)
	b.save()
	b.send2(of("", 45, 1), of("200", 45, 130), of("500", 45, 3)) // acknowledged, and then a kill
	b.begin(state)
	b.send2(of("", 60, 1), of("200", 60, 140), of("500", 60, 3), of("503", 60, 4)) // what was lost is in the increase
	at(80)
	b.save()
	b.tally.sums.HandOver(t.Context(), b.sink, b.now, b.cfg.Logger)
	told("2/22 - - -")
	b.begin(state)                                               // killed before it was saved that the slice was handed over
	b.send2(of("", 75, 1), of("200", 75, 150), of("500", 75, 3)) //
	at(160)
	b.save()
	b.tally.sums.HandOver(t.Context(), b.sink, b.now, b.cfg.Logger)
	told("2/22 5/35 - -") // 20 good ones, and one more of 500 besides the four of 503, since 30 s; 10 good ones after it
	taken := b.sink.taken
	b.save()
	b.begin(state)
	at(200)
	b.tally.sums.HandOver(t.Context(), b.sink, b.now, b.cfg.Logger)
	if b.sink.taken != taken {
		t.Error("after a restart, what was handed over is handed over again")
	}
	b.send2(of("200", 195, 200), of("", 195, 1))
	at(260)
	b.tally.sums.HandOver(t.Context(), b.sink, b.now, b.cfg.Logger)
	told("2/22 5/35 - 0/50")
}

func TestDamagedStateBeginsAnew(t *testing.T) {
	b := newBench(t)
	state := filepath.Join(t.TempDir(), "remotewrite.json")
	if err := os.WriteFile(state, []byte(`{"counted":`), 0o600); err != nil {
		t.Fatal(err)
	}
	b.begin(state)
	b.send2(of("", 0, 1, 15, 1), of("200", 0, 100, 15, 110))
	b.save()
	b.begin(state)
	b.send2(of("", 30, 1), of("200", 30, 130))
	b.now = start.Add(90 * time.Second)
	b.tally.sums.HandOver(t.Context(), b.sink, b.now, b.cfg.Logger)
	if got := b.told(1); got != "0/30" {
		t.Errorf("%s, want 0/30", got)
	}
}
