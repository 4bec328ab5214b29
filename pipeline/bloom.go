package pipeline

import (
	"encoding/binary"
	"math/bits"

	"github.com/google/uuid"
)

// bloom is a blocked Bloom filter of halves of ids: a set that may take others for its own, and never the reverse. An id has some bits in
// one block, which is a line of the processor's cache.
type bloom struct {
	blocks [][blockWords]uint64
	// marks is how many bits an id has.
	marks int
	// n counts what was added, the same again included.
	n int
}

const (
	blockWords = 8
	blockBytes = blockWords * 8
	// The size of a filter lies between these, in bytes.
	smallestBloom, largestBloom = 8 << 20, 32 << 20
	// roomyBits are the bits that there should be for each id, with which it takes one of 100,000 others for its own; crowdedBits are
	// those with which a larger filter should take its place.
	roomyBits, crowdedBits = 32, 24
	// manyMarks suit a filter with room, fewMarks one that has grown as large as it may: with 80 million ids, it takes one of four others
	// for its own.
	manyMarks, fewMarks = 7, 3
)

// newBloom makes a filter for n ids and some more.
func newBloom(n int) *bloom {
	size := smallestBloom
	for size < largestBloom && size*8 < (n+n/2)*roomyBits {
		size *= 2
	}
	b := &bloom{blocks: make([][blockWords]uint64, size/blockBytes), marks: manyMarks}
	if size*8 < n*crowdedBits/2 {
		b.marks = fewMarks
	}
	return b
}

// crowded says that a larger one would serve better, and can be made.
func (b *bloom) crowded() bool {
	return !b.largest() && b.n*crowdedBits > len(b.blocks)*blockBytes*8
}

func (b *bloom) largest() bool { return len(b.blocks)*blockBytes >= largestBloom }

func (b *bloom) add(half uint64) {
	b.n++
	block, at := b.place(half)
	for range b.marks {
		block[at>>6&(blockWords-1)] |= 1 << (at & 63)
		at >>= 9
	}
}

func (b *bloom) has(half uint64) bool {
	block, at := b.place(half)
	for range b.marks {
		if block[at>>6&(blockWords-1)]&(1<<(at&63)) == 0 {
			return false
		}
		at >>= 9
	}
	return true
}

// place is the block of an id, and where its bits are there, nine bits for each.
func (b *bloom) place(half uint64) (block *[blockWords]uint64, at uint64) {
	high, low := bits.Mul64(half^0x9e3779b97f4a7c15, 0xd6e8feb86659fd93)
	at = high ^ low
	high, _ = bits.Mul64(at*0x9e3779b97f4a7c15, uint64(len(b.blocks)))
	return &b.blocks[high], at
}

// high is the first half of an id, by which event_ids finds it too.
func high(id uuid.UUID) uint64 { return binary.BigEndian.Uint64(id[:8]) }
