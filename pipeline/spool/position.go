package spool

import (
	"cmp"
	"fmt"
)

// Position is a place between two records of the log. The zero Position lies before all of them.
type Position struct {
	// Segment is the number of the segment's file, from 1; numbers are never used again.
	Segment uint64 `json:"segment"`
	// Offset is in bytes from the start of that file.
	Offset int64 `json:"offset"`
}

// Compare is negative when p lies before q, 0 when they are the same, else positive.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Segment, q.Segment), cmp.Compare(p.Offset, q.Offset))
}

// Before says whether p lies before q.
func (p Position) Before(q Position) bool { return p.Compare(q) < 0 }

// String is SEGMENT.OFFSET.
func (p Position) String() string { return fmt.Sprintf("%d.%d", p.Segment, p.Offset) }
