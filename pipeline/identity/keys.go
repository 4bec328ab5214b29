package identity

import (
	"bufio"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Key is a secret that names are hashed with. Whoever has it can tell whether a name is behind a pseudonym.
type Key struct {
	Version uint32
	Secret  []byte
}

// keyBytes is the length of a secret, that of the hash.
const keyBytes = sha256.Size

func (k Key) hash(name string) [32]byte {
	mac := hmac.New(sha256.New, k.Secret)
	mac.Write([]byte(name))
	return [32]byte(mac.Sum(nil))
}

// LoadKeys reads a key file: a line "VERSION HEX" per key, the highest version first in force, older ones to find what they have hashed.
// A file that does not exist is made, with one random key and mode 0600. Readable by others, it is refused.
func LoadKeys(path string) ([]Key, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKeys(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the identity keys: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the identity keys: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("the identity keys in %s can be read by others, and with them every pseudonym: chmod 600 it", path)
	}
	var keys []Key
	for lines := bufio.NewScanner(strings.NewReader(string(text))); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := parseKey(line)
		if err != nil {
			return nil, fmt.Errorf("identity keys in %s: key %d: %w", path, len(keys)+1, err)
		}
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b Key) int { return int(b.Version) - int(a.Version) })
	for i := range keys {
		if i > 0 && keys[i].Version == keys[i-1].Version {
			return nil, fmt.Errorf("identity keys in %s: version %d stands there twice", path, keys[i].Version)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("there is no key in %s: restore it from a backup, since a new key gives everybody a new pseudonym", path)
	}
	return keys, nil
}

func parseKey(line string) (Key, error) {
	version, secret, ok := strings.Cut(line, " ")
	n, err := strconv.ParseUint(version, 10, 31)
	if !ok || err != nil || n == 0 {
		return Key{}, errors.New("want a version from 1, a space, and the secret in hexadecimal")
	}
	bytes, err := hex.DecodeString(strings.TrimSpace(secret))
	if err != nil || len(bytes) < keyBytes {
		return Key{}, fmt.Errorf("want a secret of at least %d bytes in hexadecimal", keyBytes)
	}
	return Key{Version: uint32(n), Secret: bytes}, nil
}

func makeKeys(path string) ([]Key, error) {
	key := Key{Version: 1, Secret: make([]byte, keyBytes)}
	if _, err := rand.Read(key.Secret); err != nil {
		return nil, fmt.Errorf("make an identity key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make an identity key: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make an identity key: %w", err)
	}
	_, err = fmt.Fprintf(f, "%d %s\n", key.Version, hex.EncodeToString(key.Secret))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("make an identity key: %w", err)
	}
	return []Key{key}, nil
}

// surrogate is a random number from 1 to 2^63-1: it says nothing about the name.
func surrogate() (uint64, error) {
	var b [8]byte
	for {
		if _, err := rand.Read(b[:]); err != nil {
			return 0, fmt.Errorf("make a surrogate: %w", err)
		}
		if n := binary.LittleEndian.Uint64(b[:]) >> 1; n != 0 {
			return n, nil
		}
	}
}
