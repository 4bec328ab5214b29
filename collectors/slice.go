package collectors

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// DefaultSlice is the length of slices unless an indicator says otherwise.
const DefaultSlice = time.Minute

// CheckSlice refuses a length of slices that is not whole seconds or doesn't divide a day.
func CheckSlice(length time.Duration) error {
	if length < time.Second || length%time.Second != 0 || (24*time.Hour)%length != 0 {
		return fmt.Errorf("slice %s: want whole seconds that divide a day", length)
	}
	return nil
}

// SliceStart is the start of the slice of a length that a time lies in: slices begin at multiples of their length since the Unix epoch.
func SliceStart(t time.Time, length time.Duration) time.Time {
	step := int64(length / time.Second)
	at := t.Unix()
	return time.Unix(at-((at%step)+step)%step, 0).UTC()
}

// Revision is schema.Slice.Revision: the hash of what an indicator measures, 16 hexadecimal digits. Indicators with the same revision
// give comparable slices. The definition consists of texts, finite numbers and the like, which can always be encoded; anything else
// is a fault of the caller and panics.
func Revision(definition any) string {
	text, err := json.Marshal(definition)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}
