package identity

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kubevalue/kubevalue/schema"
)

func TestAnErasedNameIsNobodys(t *testing.T) {
	s := newStore()
	r := resolver(t, s, Rules{Prefixes: []string{"oidc:"}}, key(1))
	resolve(t, r, "ann", "bob")
	ann, err := r.Find(context.Background(), "oidc:ann")
	if err != nil || len(ann.Actors) != 1 || ann.Suppressed || !ann.Is("ann") || ann.Is("bob") {
		t.Fatalf("%+v, %v", ann, err)
	}
	if err := s.InsertSuppressed(context.Background(), ann.Links); err != nil {
		t.Fatal(err)
	}
	// The running service knows the link from before.
	if got := resolve(t, r, "ann", "bob", "oidc:ann"); got[0] != 0 || got[1] == 0 || got[2] != 0 {
		t.Errorf("after the erasure: %v", got)
	}
	if err := r.Merge(context.Background(), []schema.Alias{{From: "bob", To: "ann"}}); err != nil || len(s.aliases) > 0 {
		t.Errorf("a merge with an erased name: %v, %v", s.aliases, err)
	}
	_, rows, err := r.Roster(context.Background(), []Team{{Name: "a", Members: []string{"ann", "bob"}}})
	if err != nil || len(rows) != 2 || rows[0].Actor != 0 || rows[1].Actor == 0 {
		t.Errorf("a roster with an erased name: %v, %v", rows, err)
	}
	if again, err := r.Find(context.Background(), "ann"); err != nil || !again.Suppressed {
		t.Errorf("found again: %+v, %v", again, err)
	}
}

func TestATrustedListIsReadOnceUntilItIsNotTrusted(t *testing.T) {
	s := newStore()
	r := resolver(t, s, Rules{}, key(1))
	r.Trust(true)
	resolve(t, r, "ann")
	ann, err := r.Find(context.Background(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.InsertSuppressed(context.Background(), ann.Links); err != nil {
		t.Fatal(err)
	}
	if got := resolve(t, r, "ann"); got[0] == 0 {
		t.Errorf("the list was read again: %v", got)
	}
	r.Trust(false)
	r.Trust(true) // nobody has asked in between
	if got := resolve(t, r, "ann"); got[0] != 0 {
		t.Errorf("the list was not read again: %v", got)
	}
}

func TestAnErasureOutlivesTheRotationOfKeys(t *testing.T) {
	s := newStore()
	r := resolver(t, s, Rules{}, key(1))
	resolve(t, r, "ann")
	ann, err := r.Find(context.Background(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.InsertSuppressed(context.Background(), ann.Links); err != nil {
		t.Fatal(err)
	}
	if got := resolve(t, resolver(t, s, Rules{}, key(2), key(1)), "ann"); got[0] != 0 {
		t.Errorf("with both keys: %v", got)
	}
	if got := resolve(t, resolver(t, s, Rules{}, key(2)), "ann"); got[0] != 0 {
		t.Errorf("with the new key only: %v", got)
	}
}

func TestAPersonIsAllThatWasMerged(t *testing.T) {
	s := newStore()
	r := resolver(t, s, Rules{}, key(1))
	got := resolve(t, r, "ann", "laptop", "phone", "bob")
	if err := r.Merge(context.Background(), []schema.Alias{{From: "laptop", To: "ann"}, {From: "phone", To: "laptop"}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ann", "laptop", "phone"} {
		p, err := resolver(t, s, Rules{}, key(2), key(1)).Find(context.Background(), name)
		want := slices.Sorted(slices.Values(got[:3]))
		if err != nil || !slices.Equal(p.Actors, want) {
			t.Errorf("%s: actors %v, want %v; %v", name, p.Actors, want, err)
		}
		if !p.Is("phone") || !p.Is("ann") || p.Is("bob") {
			t.Errorf("%s: the names of the person are not known", name)
		}
		if len(p.Links) != 4 { // three names under the first key, the given one under the second
			t.Errorf("%s: %d links", name, len(p.Links))
		}
		erasures, err := p.Replacements()
		if err != nil || len(erasures) != 3 || erasures[0].Replacement != erasures[2].Replacement || slices.Contains(got, erasures[0].Replacement) {
			t.Errorf("%s: replacements %v, %v", name, erasures, err)
		}
	}
	p, err := r.Find(context.Background(), "nobody")
	if err != nil || len(p.Actors) != 0 || len(p.Links) != 1 {
		t.Errorf("nobody: %+v, %v", p, err)
	}
}

func TestRotateAndRetire(t *testing.T) {
	path := filepath.Join(t.TempDir(), "identity.key")
	if _, err := Rotate(path); err == nil {
		t.Error("a file that is not there was rotated")
	}
	first, err := LoadKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Rotate(path); err != nil {
		t.Fatal(err)
	}
	keys, err := LoadKeys(path)
	if err != nil || len(keys) != 2 || keys[0].Version != 2 || string(keys[1].Secret) != string(first[0].Secret) || string(keys[0].Secret) == string(first[0].Secret) {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	yes := func() error { return nil }
	for version, want := range map[uint32]string{2: "in force", 7: "no key of version 7"} {
		if err := Retire(path, version, yes); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("retire %d: %v", version, err)
		}
	}
	if err := Retire(path, 1, yes); err != nil {
		t.Fatal(err)
	}
	if left, err := LoadKeys(path); err != nil || len(left) != 1 || left[0].Version != 2 {
		t.Errorf("left: %d keys, %v", len(left), err)
	}
}
