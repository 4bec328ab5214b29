package spool

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/google/uuid"
)

// A segment is a file NUMBER.seg:
//
//	header:  magic [8] | spool id [16] | number u64 | crc32c of the fields before u32
//	records: marker [8] | payload length u32 | crc32c of length, id and payload u32 | batch id [16] | payload
//
// All integers are little-endian. The marker is 8 bytes that belong to this segment of this spool, so that after damage the
// next record is found by its marker, and a sender cannot forge one inside a payload.
const (
	magic      = "KVSPOOL1"
	headerSize = len(magic) + 16 + 8 + 4
	markerSize = 8
	frameSize  = markerSize + 4 + 4 + 16

	// MaxPayload bounds the payload of one record, in bytes.
	MaxPayload = 64 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendHeader(b []byte, id uuid.UUID, segment uint64) []byte {
	start := len(b)
	b = append(b, magic...)
	b = append(b, id[:]...)
	b = binary.LittleEndian.AppendUint64(b, segment)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

func validHeader(b []byte, id uuid.UUID, segment uint64) bool {
	return bytes.Equal(b, appendHeader(nil, id, segment))
}

func markerOf(id uuid.UUID, segment uint64) [markerSize]byte {
	sum := sha256.Sum256(appendHeader([]byte("marker"), id, segment))
	return [markerSize]byte(sum[:])
}

func appendRecord(b []byte, marker [markerSize]byte, id uuid.UUID, payload []byte) []byte {
	b = append(b, marker[:]...)
	length := len(b)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = binary.LittleEndian.AppendUint32(b, checksum(b[length:length+4], id[:], payload))
	b = append(b, id[:]...)
	return append(b, payload...)
}

func checksum(parts ...[]byte) uint32 {
	var crc uint32
	for _, p := range parts {
		crc = crc32.Update(crc, castagnoli, p)
	}
	return crc
}

// frame is what precedes a payload.
type frame struct {
	length int
	crc    uint32
	id     uuid.UUID
}

// parseFrame reads a frame of frameSize bytes; it fails when it cannot be one.
func parseFrame(b []byte, marker [markerSize]byte) (frame, error) {
	if !bytes.Equal(b[:markerSize], marker[:]) {
		return frame{}, fmt.Errorf("no record starts with %x", b[:markerSize])
	}
	f := frame{
		length: int(binary.LittleEndian.Uint32(b[markerSize:])),
		crc:    binary.LittleEndian.Uint32(b[markerSize+4:]),
		id:     uuid.UUID(b[markerSize+8 : frameSize]),
	}
	if f.length > MaxPayload {
		return frame{}, fmt.Errorf("a length of %d bytes is above %d", f.length, MaxPayload)
	}
	return f, nil
}

func (f frame) check(b, payload []byte) error {
	if got := checksum(b[markerSize:markerSize+4], f.id[:], payload); got != f.crc {
		return fmt.Errorf("checksum %08x, the record says %08x", got, f.crc)
	}
	return nil
}
