package spool

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
)

// SlotSize is the size of a slot, in bytes: one of two places of a small file that are written in turn, so that a torn write
// leaves the other one.
const SlotSize = 4096

type slot struct {
	CRC   uint32          `json:"crc32c"`
	State json.RawMessage `json:"state"`
}

// MarshalSlot is a slot that holds v as JSON; an error when it does not fit.
func MarshalSlot(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("spool: state: %w", err)
	}
	b, err := json.Marshal(slot{CRC: crc32.Checksum(data, castagnoli), State: data})
	if err != nil {
		return nil, fmt.Errorf("spool: state: %w", err)
	}
	if len(b) >= SlotSize {
		return nil, fmt.Errorf("spool: a state of %d bytes does not fit %d", len(b), SlotSize)
	}
	return append(append(b, bytes.Repeat([]byte{' '}, SlotSize-len(b)-1)...), '\n'), nil
}

// UnmarshalSlot reads what MarshalSlot made into v; false: the slot is not whole.
func UnmarshalSlot(b []byte, v any) bool {
	var sl slot
	return json.Unmarshal(b, &sl) == nil && crc32.Checksum(sl.State, castagnoli) == sl.CRC && json.Unmarshal(sl.State, v) == nil
}
