package identity

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzKeyFile reads keys that can be used, or says what is wrong; what it writes, it reads again.
func FuzzKeyFile(f *testing.F) {
	f.Add([]byte("1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n"))
	f.Add([]byte("# comment\n\n2 zz\n"))
	f.Add([]byte("4294967295 00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "identity.key")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		keys, err := LoadKeys(path)
		if err != nil {
			return
		}
		for i, k := range keys {
			if k.Version == 0 || len(k.Secret) < keyBytes || i > 0 && keys[i-1].Version <= k.Version {
				t.Fatalf("key %d of %q cannot be used", i, text)
			}
		}
		if err := writeKeys(path, keys); err != nil {
			t.Fatal(err)
		}
		again, err := LoadKeys(path)
		if err != nil || len(again) != len(keys) {
			t.Fatalf("%q, written again: %d keys, %v", text, len(again), err)
		}
	})
}
