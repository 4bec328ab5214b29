package schema_test

import (
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/kubevalue/kubevalue/schema"
)

// TestEventIDsAreUUIDsOfVersion5 holds the ids against another implementation: were they to change, events would count again.
func TestEventIDsAreUUIDsOfVersion5(t *testing.T) {
	root := uuid.MustParse("5b1d8f0e-5a0c-4d3e-9a52-7c1f6f0f4b0a")
	rapid.Check(t, func(t *rapid.T) {
		source, id := rapid.StringN(0, 40, 300).Draw(t, "source"), rapid.StringN(0, 300, 600).Draw(t, "id")
		want := uuid.NewSHA1(uuid.NewSHA1(root, []byte(source)), []byte(id))
		if got := schema.EventID(source, id); got != want {
			t.Fatalf("EventID(%q, %q) = %s, want %s", source, id, got, want)
		}
		if got := schema.NewEventIDs(source).ID(id); got != want {
			t.Fatalf("NewEventIDs(%q).ID(%q) = %s, want %s", source, id, got, want)
		}
	})
}
