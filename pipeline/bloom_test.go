package pipeline

import (
	"math/rand/v2"
	"testing"
)

// TestBloom counts what a filter takes for its own, which must never be too little and should not be much more.
func TestBloom(t *testing.T) {
	for _, test := range []struct {
		name         string
		expected, n  int
		bytes, wrong int // of 100,000 others, at most
	}{
		{"a small one that nothing is expected of", 0, 100_000, smallestBloom, 5},
		{"one with room", 1_000_000, 1_000_000, 8 << 20, 10},
		{"a crowded one, which is to be replaced", 1_000_000, 4_000_000, 8 << 20, 500},
		{"the largest, though it were too small", 80_000_000, 1_000_000, largestBloom, 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBloom(test.expected)
			if got := int(b.NumBits() / 8); got != test.bytes {
				t.Errorf("%d bytes, want %d", got, test.bytes)
			}
			own := rand.New(rand.NewPCG(1, 2))
			for range test.n {
				b.add(own.Uint64())
			}
			own = rand.New(rand.NewPCG(1, 2))
			for i := range test.n {
				if id := own.Uint64(); !b.has(id) {
					t.Fatalf("the %dth id, %x, is forgotten", i, id)
				}
			}
			wrong := 0
			for range 100_000 {
				if b.has(own.Uint64()) {
					wrong++
				}
			}
			if wrong > test.wrong {
				t.Errorf("%d of 100,000 others are taken for its own, want at most %d", wrong, test.wrong)
			}
			if crowded := test.name == "a crowded one, which is to be replaced"; b.crowded() != crowded {
				t.Errorf("crowded: %v", b.crowded())
			}
		})
	}
}

// TestBloomOfSimilarIDs has ids that differ in a few bits only.
func TestBloomOfSimilarIDs(t *testing.T) {
	b := newBloom(0)
	for i := range uint64(100_000) {
		b.add(i << 1)
	}
	wrong := 0
	for i := range uint64(100_000) {
		if b.has(i<<1 | 1) {
			wrong++
		}
	}
	if wrong > 1 {
		t.Errorf("%d of 100,000 neighbours are taken for its own", wrong)
	}
}
