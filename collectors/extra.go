package collectors

import (
	"encoding/json"
	"maps"
	"slices"
)

// Bounded is an object as JSON, of at most so many bytes: of one that is too large the first fields by name.
func Bounded(fields map[string]json.RawMessage, most int) (json.RawMessage, error) {
	kept, size := map[string]json.RawMessage{}, len("{}")
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		name, err := json.Marshal(key)
		if err != nil {
			return nil, err
		}
		if size += len(name) + len(fields[key]) + len(":,"); size > most {
			break
		}
		kept[key] = fields[key]
	}
	return json.Marshal(kept)
}
