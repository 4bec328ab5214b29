package identity

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Rotate puts a new key in front of those of a key file, and returns all of them. Names are hashed with the new key from the next start
// on; the older keys find who was seen under them, and must stay until everybody who still comes was seen again. The file must exist.
func Rotate(path string) ([]Key, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("rotate the identity keys: %w", err)
	}
	keys, err := LoadKeys(path)
	if err != nil {
		return nil, err
	}
	key := Key{Version: keys[0].Version + 1, Secret: make([]byte, keyBytes)}
	if _, err := rand.Read(key.Secret); err != nil {
		return nil, fmt.Errorf("rotate the identity keys: %w", err)
	}
	keys = append([]Key{key}, keys...)
	return keys, writeKeys(path, keys)
}

// Retire takes the key of a version out of a key file, when mayGo has nothing against it. The key in force stays.
func Retire(path string, version uint32, mayGo func() error) error {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("retire an identity key: %w", err)
	}
	keys, err := LoadKeys(path)
	if err != nil {
		return err
	}
	if keys[0].Version == version {
		return fmt.Errorf("version %d is the key in force: rotate first", version)
	}
	left := slices.DeleteFunc(slices.Clone(keys), func(k Key) bool { return k.Version == version })
	if len(left) == len(keys) {
		return fmt.Errorf("there is no key of version %d in %s", version, path)
	}
	if err := mayGo(); err != nil {
		return err
	}
	return writeKeys(path, left)
}

// writeKeys replaces a key file as a whole, so that a crash leaves the old one or the new one.
func writeKeys(path string, keys []Key) error {
	var text strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&text, "%d %s\n", k.Version, hex.EncodeToString(k.Secret))
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".identity-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write the identity keys: %w", err)
	}
	_, err = f.WriteString(text.String())
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write the identity keys: %w", errors.Join(err, os.Remove(f.Name())))
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("write the identity keys: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("write the identity keys: %w", err)
	}
	return nil
}
