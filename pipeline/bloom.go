package pipeline

import (
	"encoding/binary"
	"math/bits"

	"github.com/google/uuid"
	"github.com/greatroar/blobloom"
)

// bloom is a blocked Bloom filter of halves of ids: a set that may take others for its own, and never the reverse.
type bloom struct {
	*blobloom.Filter
	// n counts what was added, the same again included.
	n int
}

const (
	// The size of a filter lies between these, in bytes.
	smallestBloom, largestBloom = 8 << 20, 32 << 20
	// roomyBits are the bits that there should be for each id, with which it takes some eight of 100,000 others for its own; crowdedBits are
	// those with which a larger filter should take its place.
	roomyBits, crowdedBits = 32, 24
	// manyMarks suit a filter with room, fewMarks one that has grown as large as it may: with 80 million ids, it takes one of four others
	// for its own. An id has one bit less than that.
	manyMarks, fewMarks = 8, 4
)

// newBloom makes a filter for n ids and some more.
func newBloom(n int) *bloom {
	size := smallestBloom
	for size < largestBloom && size*8 < (n+n/2)*roomyBits {
		size *= 2
	}
	marks := manyMarks
	if size*8 < n*crowdedBits/2 {
		marks = fewMarks
	}
	return &bloom{Filter: blobloom.New(uint64(size)*8, marks)}
}

// crowded says that a larger one would serve better, and can be made.
func (b *bloom) crowded() bool {
	return !b.largest() && uint64(b.n)*crowdedBits > b.NumBits()
}

func (b *bloom) largest() bool { return b.NumBits() >= largestBloom*8 }

func (b *bloom) add(half uint64) {
	b.n++
	b.Add(hash(half))
}

func (b *bloom) has(half uint64) bool { return b.Has(hash(half)) }

// hash spreads the halves of ids, which share the bits of a UUID's version, over all blocks.
func hash(half uint64) uint64 {
	high, low := bits.Mul64(half^0x9e3779b97f4a7c15, 0xd6e8feb86659fd93)
	return high ^ low
}

// high is the first half of an id, by which event_ids finds it too.
func high(id uuid.UUID) uint64 { return binary.BigEndian.Uint64(id[:8]) }
