package identity

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kubevalue/kubevalue/schema"
)

// store keeps links and merges as the warehouse does: the earliest link of a hash wins, the latest merge of an actor.
type store struct {
	mu      sync.Mutex
	keys    map[link]schema.ActorKey
	aliases map[uint64]schema.StoredAlias
	erased  []schema.ActorKey
	loads   int
	fail    func() error
}

func newStore() *store {
	return &store{keys: map[link]schema.ActorKey{}, aliases: map[uint64]schema.StoredAlias{}}
}

func (s *store) ActorKeys(context.Context) ([]schema.ActorKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads++
	return slices.Collect(maps.Values(s.keys)), nil
}

func (s *store) InsertActorKeys(_ context.Context, keys []schema.ActorKey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		if err := s.fail(); err != nil {
			return err
		}
	}
	for _, k := range keys {
		at := link{k.Version, k.Hash}
		if was, ok := s.keys[at]; !ok || k.Created.Before(was.Created) {
			s.keys[at] = k
		}
	}
	return nil
}

func (s *store) Aliases(context.Context) ([]schema.StoredAlias, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.aliases)), nil
}

func (s *store) InsertAliases(_ context.Context, rows []schema.StoredAlias) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range rows {
		if was, ok := s.aliases[a.Actor]; !ok || a.At.After(was.At) {
			s.aliases[a.Actor] = a
		}
	}
	return nil
}

func (s *store) Suppressed(context.Context) ([]schema.ActorKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.erased), nil
}

func (s *store) InsertSuppressed(_ context.Context, keys []schema.ActorKey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erased = append(s.erased, keys...)
	return nil
}

var noon = time.Date(2026, 11, 9, 12, 0, 0, 0, time.UTC)

func key(version byte) Key {
	return Key{Version: uint32(version), Secret: slices.Repeat([]byte{version}, keyBytes)}
}

func resolver(t testing.TB, s Store, rules Rules, keys ...Key) *Resolver {
	t.Helper()
	if len(keys) == 0 {
		keys = []Key{key(1)}
	}
	r, err := New(Config{Rules: rules, Keys: keys, Store: s, Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func resolve(t testing.TB, r *Resolver, names ...string) []uint64 {
	t.Helper()
	actors, err := r.Resolve(context.Background(), names)
	if err != nil {
		t.Fatal(err)
	}
	return actors
}

func TestKindIsDecidedByNameGroupsAndSender(t *testing.T) {
	rules := Rules{
		Machines: []*regexp.Regexp{regexp.MustCompile("^ci-")}, Shared: []*regexp.Regexp{regexp.MustCompile("^kubernetes-admin$")},
		Prefixes: []string{"oidc:"}, Same: map[string]string{"ann2": "ann"},
	}
	r := resolver(t, newStore(), rules)
	for _, tc := range []struct {
		name   string
		groups []string
		said   schema.ActorKind
		want   schema.ActorKind
	}{
		{"", nil, "", schema.ActorUnknown},
		{"", nil, schema.ActorHuman, schema.ActorUnknown},
		{"ann@example.com", []string{"system:authenticated", "team-a"}, "", schema.ActorHuman},
		{"system:serviceaccount:shop:default", nil, "", schema.ActorMachine},
		{"system:node:n1", nil, "", schema.ActorMachine},
		{"system:kube-scheduler", nil, "", schema.ActorMachine},
		{"system:anonymous", nil, "", schema.ActorUnknown},
		{"robot", []string{"system:serviceaccounts"}, "", schema.ActorMachine},
		{"robot", []string{"system:nodes"}, "", schema.ActorMachine},
		{"ci-deployer", nil, "", schema.ActorMachine},
		{"oidc:ci-deployer", nil, "", schema.ActorMachine},
		{"ci-deployer", nil, schema.ActorHuman, schema.ActorHuman},
		{"bob", nil, schema.ActorMachine, schema.ActorMachine},
		{"bob", nil, schema.ActorUnknown, schema.ActorUnknown},
		{"kubernetes-admin", []string{"system:masters"}, "", schema.ActorUnknown},
		{"kubernetes-admin", nil, schema.ActorHuman, schema.ActorUnknown},
		{"bob", []string{"system:masters"}, "", schema.ActorUnknown},
	} {
		if got := r.Kind(tc.name, tc.groups, tc.said); got != tc.want {
			t.Errorf("%q of %v, said to be %q: %s, want %s", tc.name, tc.groups, tc.said, got, tc.want)
		}
	}
}

func TestNamesOfOnePersonHaveOneSurrogate(t *testing.T) {
	r := resolver(t, newStore(), Rules{Prefixes: []string{"oidc:", "eu:"}, Same: map[string]string{"u-7x9": "ann@example.com"}})
	got := resolve(t, r, "ann@example.com", "oidc:Ann@Example.com", "eu:ann@example.com", " ann@example.com", "u-7x9", "oidc:u-7x9", "bob", "", "oidc:")
	for i := range 6 {
		if got[i] != got[0] || got[0] == 0 {
			t.Errorf("name %d of one person: %v", i, got)
		}
	}
	if got[6] == got[0] || got[7] != 0 || got[8] == 0 || got[8] == got[0] {
		t.Errorf("others: %v", got)
	}
	for _, actor := range got {
		if actor >= 1<<63 {
			t.Errorf("surrogate %d has 64 bits", actor)
		}
	}
}

func TestSurrogatesSurviveRestartsAndAreNotDerivedFromTheName(t *testing.T) {
	s := newStore()
	first := resolve(t, resolver(t, s, Rules{}), "ann", "bob")
	if again := resolve(t, resolver(t, s, Rules{}), "bob", "ann"); again[0] != first[1] || again[1] != first[0] {
		t.Errorf("%v, after a restart %v", first, again)
	}
	if other := resolve(t, resolver(t, newStore(), Rules{}), "ann"); other[0] == first[0] {
		t.Error("another warehouse gave the same surrogate: it is not random")
	}
}

func TestReplicasAgreeOnSurrogates(t *testing.T) {
	s := newStore()
	a, b := resolver(t, s, Rules{}), resolver(t, s, Rules{})
	resolve(t, a, "ann") // both have read the store
	resolve(t, b, "ann")
	if x, y := resolve(t, a, "cy"), resolve(t, b, "cy"); x[0] != y[0] {
		t.Errorf("%v and %v", x, y)
	}
}

func TestAFailedInsertDoesNotMakeTwoSurrogates(t *testing.T) {
	s := newStore()
	r := resolver(t, s, Rules{})
	var lost schema.ActorKey
	s.fail = func() error { return errors.New("timed out") }
	if _, err := r.Resolve(context.Background(), []string{"ann"}); err == nil {
		t.Fatal("no error")
	}
	for at, actor := range r.drafts {
		lost = schema.ActorKey{Version: at.version, Hash: at.hash, Actor: actor, Created: noon}
	}
	s.fail = nil
	got := resolve(t, r, "ann")
	if got[0] != lost.Actor {
		t.Errorf("%d, but %d may arrive yet", got[0], lost.Actor)
	}
}

func TestKnownNamesDoNotAskTheStore(t *testing.T) {
	s := newStore()
	r := resolver(t, s, Rules{})
	resolve(t, r, "ann", "bob")
	before := s.loads
	for range 10 {
		resolve(t, r, "bob", "", "ann")
	}
	if s.loads != before {
		t.Errorf("%d more readings of the store", s.loads-before)
	}
}

func TestRotationKeepsSurrogatesAndLinksThemToTheNewKey(t *testing.T) {
	s := newStore()
	old := resolve(t, resolver(t, s, Rules{}, key(1)), "ann", "bob")
	rotated := resolve(t, resolver(t, s, Rules{}, key(2), key(1)), "ann", "cy")
	if rotated[0] != old[0] || rotated[1] == old[1] {
		t.Errorf("before %v, after the rotation %v", old, rotated)
	}
	after := resolve(t, resolver(t, s, Rules{}, key(2)), "ann", "bob", "cy")
	if after[0] != old[0] || after[2] != rotated[1] {
		t.Errorf("without the old key %v", after)
	}
	if after[1] == old[1] {
		t.Error("bob was not seen in the overlap, and only the old key finds him")
	}
}

func TestMergesAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newStore()
		r, err := New(Config{Keys: []Key{key(1)}, Store: s, Now: func() time.Time { return noon }})
		if err != nil {
			t.Fatal(err)
		}
		group := map[string]int{}
		for i := range 8 {
			group[fmt.Sprint("n", i)] = i
		}
		names := slices.Sorted(maps.Keys(group))
		for range rapid.IntRange(1, 20).Draw(t, "merges") {
			from, to := rapid.SampledFrom(names).Draw(t, "from"), rapid.SampledFrom(names).Draw(t, "to")
			if rapid.Bool().Draw(t, "restart") {
				r, _ = New(Config{Keys: []Key{key(1)}, Store: s, Now: func() time.Time { return noon }})
			}
			at := noon.Add(time.Duration(rapid.IntRange(-5, 5).Draw(t, "at")) * time.Hour)
			if err := r.Merge(context.Background(), []schema.Alias{{From: from, To: to, At: at}}); err != nil {
				t.Fatal(err)
			}
			for n, g := range group {
				if g == group[from] && n != from {
					group[n] = group[to]
				}
			}
			group[from] = group[to]
		}
		actors, err := r.Resolve(context.Background(), names)
		if err != nil {
			t.Fatal(err)
		}
		canonical := func(i int) uint64 { // as a reader's join does, in one step
			if a, ok := s.aliases[actors[i]]; ok {
				return a.Canonical
			}
			return actors[i]
		}
		for i := range names {
			for k := range names {
				if (canonical(i) == canonical(k)) != (group[names[i]] == group[names[k]]) {
					t.Fatalf("%s is %d, %s is %d; groups %v", names[i], canonical(i), names[k], canonical(k), group)
				}
			}
		}
	})
}

func TestMergeKeepsWhatAnotherReplicaMerged(t *testing.T) {
	s := newStore()
	a, b := resolver(t, s, Rules{}), resolver(t, s, Rules{})
	names := resolve(t, a, "x", "y", "z")
	resolve(t, b, "x", "y", "z")
	for _, m := range []struct {
		r        *Resolver
		from, to string
	}{{a, "x", "y"}, {b, "y", "z"}} {
		if err := m.r.Merge(context.Background(), []schema.Alias{{From: m.from, To: m.to}}); err != nil {
			t.Fatal(err)
		}
	}
	if s.aliases[names[0]].Canonical != names[2] || s.aliases[names[1]].Canonical != names[2] {
		t.Errorf("%v of %v", s.aliases, names)
	}
}

func TestACircleOfMergesEndsAtItsSmallestMember(t *testing.T) {
	r := resolver(t, newStore(), Rules{})
	for from, to := range map[uint64]uint64{1: 7, 7: 5, 5: 9, 9: 7} {
		r.merged[from] = schema.StoredAlias{Actor: from, Canonical: to}
	}
	for _, actor := range []uint64{1, 5, 7, 9} {
		if got := r.root(actor); got != 5 {
			t.Errorf("%d ends at %d", actor, got)
		}
	}
}

func TestRosterHasTeamsAndMembersAndADigestOfThem(t *testing.T) {
	r := resolver(t, newStore(), Rules{})
	teams := []Team{
		{Name: "a", Members: []string{"ann", "bob"}, From: noon, Voluntary: true, Persona: "developer"},
		{Name: "b", To: noon},
	}
	digest, rows, err := r.Roster(context.Background(), teams)
	if err != nil {
		t.Fatal(err)
	}
	actors := resolve(t, r, "ann", "bob")
	want := []schema.RosterEntry{
		{Team: "a", From: noon, Voluntary: true, Persona: "developer"},
		{Team: "a", Actor: actors[0], From: noon, Voluntary: true, Persona: "developer"},
		{Team: "a", Actor: actors[1], From: noon, Voluntary: true, Persona: "developer"},
		{Team: "b", To: noon},
	}
	if !slices.Equal(rows, want) {
		t.Errorf("%+v\nwant %+v", rows, want)
	}
	if again, _, err := r.Roster(context.Background(), teams); err != nil || again != digest {
		t.Errorf("the same roster has digests %s and %s (%v)", digest, again, err)
	}
	teams[0].Members = teams[0].Members[:1]
	if changed, _, err := r.Roster(context.Background(), teams); err != nil || changed == digest {
		t.Errorf("a roster without bob has the same digest (%v)", err)
	}
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "identity.key")
	made, err := LoadKeys(path)
	if err != nil || len(made) != 1 || made[0].Version != 1 || len(made[0].Secret) != keyBytes {
		t.Fatalf("%v, %v", made, err)
	}
	again, err := LoadKeys(path)
	if err != nil || !slices.Equal(again[0].Secret, made[0].Secret) {
		t.Errorf("read again: %v", err)
	}
	secret := strings.Repeat("ab", keyBytes)
	for name, tc := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"rotated":           {"# keys\n1 " + secret + "\n\n2 " + secret + "\n", 0o600, ""},
		"readable by all":   {"1 " + secret, 0o644, "chmod 600"},
		"empty":             {"# nothing\n", 0o600, "restore it from a backup"},
		"twice one version": {"1 " + secret + "\n1 " + secret, 0o600, "version 1 stands there twice"},
		"no version":        {secret, 0o600, "key 1: want a version"},
		"version 0":         {"0 " + secret, 0o600, "key 1: want a version"},
		"short":             {"1 abcd", 0o600, "at least 32 bytes"},
	} {
		file := filepath.Join(t.TempDir(), "k")
		if err := os.WriteFile(file, []byte(tc.text), tc.mode); err != nil {
			t.Fatal(err)
		}
		keys, err := LoadKeys(file)
		switch {
		case tc.want == "" && (err != nil || keys[0].Version != 2 || keys[1].Version != 1):
			t.Errorf("%s: %v, %v", name, keys, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		case err != nil && strings.Contains(err.Error(), secret):
			t.Errorf("%s: the error shows the secret", name)
		}
	}
}

func BenchmarkResolve(b *testing.B) {
	r := resolver(b, newStore(), Rules{})
	names := make([]string, 2000)
	for i := range names {
		names[i] = fmt.Sprintf("user%d@example.com", i)
	}
	for b.Loop() {
		resolve(b, r, names...)
	}
	b.ReportMetric(float64(b.N*len(names))/b.Elapsed().Seconds(), "names/s")
}
