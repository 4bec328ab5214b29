package collectors

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
)

// TokenPrefix starts every token, so that scanners of repositories and logs know one when they see it.
const TokenPrefix = "kv_"

const (
	tokenFileVersion = 1
	tokenBytes       = 32
	maxTokenName     = 200
)

// Token is a grant in the store, without the secret itself.
type Token struct {
	Grant
	// Created is when the token was made.
	Created time.Time `json:"created"`
	// Hash is the SHA-256 of the token in hexadecimal. The token has 256 random bits, so a plain hash gives nothing away.
	Hash string `json:"sha256"`
}

type tokenFile struct {
	Version int     `json:"version"`
	Tokens  []Token `json:"tokens"`
}

// TokenStore keeps the hashes of tokens with their grants in one JSON file of mode 0600. Changes are atomic, and are seen
// by other processes at their next Authenticate: `kubevalue token revoke` needs no restart of the service.
type TokenStore struct {
	path string
	now  func() time.Time

	mu     sync.Mutex
	read   fs.FileInfo // what the file was when it was read; nil: there was none
	tokens []storedToken
	limits map[string]*limit // by hash, so that a changed file does not refill a rate
	shared *limit            // of all tokens together; nil: none
}

type storedToken struct {
	Token
	hash [sha256.Size]byte
}

// OpenTokens opens the store at path; a file that does not exist is an empty store. It fails when the file cannot be
// read, is not a store, or can be read by others than its owner.
func OpenTokens(path string, now func() time.Time) (*TokenStore, error) {
	s := &TokenStore{path: path, now: now, limits: map[string]*limit{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refresh(); err != nil {
		return nil, err
	}
	return s, nil
}

// Create stores the grant and returns its new token, which cannot be had again. The name must be unused; the source is the
// name when it is empty; Expires must lie in the future.
func (s *TokenStore) Create(g Grant) (string, error) {
	if g.Source == "" {
		g.Source = g.Name
	}
	now := s.now().UTC().Truncate(time.Second)
	if err := checkGrant(g, now); err != nil {
		return "", err
	}
	secret := make([]byte, tokenBytes)
	rand.Read(secret) // never fails
	token := TokenPrefix + base64.RawURLEncoding.EncodeToString(secret)
	hash := sha256.Sum256([]byte(token))
	g.Expires = g.Expires.UTC()
	err := s.change(func(f *tokenFile) error {
		if i := slices.IndexFunc(f.Tokens, func(t Token) bool { return t.Name == g.Name }); i >= 0 {
			return fmt.Errorf("token %q exists since %s: revoke it first or choose another name", g.Name, f.Tokens[i].Created.Format(time.DateOnly))
		}
		f.Tokens = append(f.Tokens, Token{Grant: g, Created: now, Hash: hex.EncodeToString(hash[:])})
		return nil
	})
	if err != nil {
		return "", err
	}
	return token, nil
}

// List returns all tokens by name, expired ones included.
func (s *TokenStore) List() ([]Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refresh(); err != nil {
		return nil, err
	}
	list := make([]Token, 0, len(s.tokens))
	for _, t := range s.tokens {
		list = append(list, t.Token)
	}
	slices.SortFunc(list, func(a, b Token) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Revoke removes the token of that name; it fails when there is none.
func (s *TokenStore) Revoke(name string) error {
	return s.change(func(f *tokenFile) error {
		kept := slices.DeleteFunc(slices.Clone(f.Tokens), func(t Token) bool { return t.Name == name })
		if len(kept) == len(f.Tokens) {
			return fmt.Errorf("no token is named %q: `kubevalue token list` shows the names", name)
		}
		f.Tokens = kept
		return nil
	})
}

// Authenticate implements the function type of that name. An unreadable file is an error of its own, and nobody gets in.
func (s *TokenStore) Authenticate(_ context.Context, token, endpoint string) (Grant, error) {
	if !strings.HasPrefix(token, TokenPrefix) {
		return Grant{}, ErrUnauthorized
	}
	hash := sha256.Sum256([]byte(token))
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refresh(); err != nil {
		return Grant{}, err
	}
	// All tokens are compared, so that the time taken says nothing about which one came close.
	found := -1
	for i := range s.tokens {
		if subtle.ConstantTimeCompare(s.tokens[i].hash[:], hash[:]) == 1 {
			found = i
		}
	}
	if found < 0 || !s.now().Before(s.tokens[found].Expires) {
		return Grant{}, ErrUnauthorized
	}
	t := &s.tokens[found]
	if !t.AllowsEndpoint(endpoint) {
		return Grant{}, fmt.Errorf("%w: token %q is good for %s, not for %q", ErrForbidden, t.Name, strings.Join(t.Endpoints, ", "), endpoint)
	}
	g := t.Grant
	g.limit = s.limits[t.Hash]
	if err := g.limit.free(); err != nil {
		return Grant{}, err
	}
	if endpoint == EndpointAPI {
		return g, nil // reading charges nothing
	}
	g.shared = s.shared
	return g, g.shared.free()
}

// LimitAll bounds the events per second that all tokens together may send; 0: no limit. It is for the start, before the first
// Authenticate.
func (s *TokenStore) LimitAll(perSecond float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shared = newLimit(perSecond, s.now); s.shared != nil {
		s.shared.shared = true
	}
}

// refresh reads the file again when it is another one than before.
func (s *TokenStore) refresh() error {
	info, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		s.read, s.tokens = nil, nil
		return nil
	}
	if err != nil {
		return fmt.Errorf("token store: %w", err)
	}
	if s.read != nil && os.SameFile(s.read, info) && s.read.ModTime().Equal(info.ModTime()) && s.read.Size() == info.Size() {
		return nil
	}
	f, err := readTokens(s.path)
	if err != nil {
		return err
	}
	tokens := make([]storedToken, len(f.Tokens))
	limits := make(map[string]*limit, len(f.Tokens))
	for i, t := range f.Tokens {
		tokens[i].Token = t
		if n, err := hex.Decode(tokens[i].hash[:], []byte(t.Hash)); err != nil || n != sha256.Size {
			return fmt.Errorf("token store %s: token %q has no SHA-256: revoke and create it again", s.path, t.Name)
		}
		if limits[t.Hash] = s.limits[t.Hash]; limits[t.Hash] == nil {
			limits[t.Hash] = newLimit(t.Rate, s.now)
		}
	}
	s.read, s.tokens, s.limits = info, tokens, limits
	return nil
}

// change rewrites the file under a lock that other processes respect.
func (s *TokenStore) change(edit func(*tokenFile) error) error {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return fmt.Errorf("token store: %w", err)
	}
	lock := flock.New(s.path+".lock", flock.SetPermissions(0o600))
	if err := lock.Lock(); err != nil {
		return fmt.Errorf("token store: lock %s.lock: %w", s.path, err)
	}
	defer lock.Close()
	f, err := readTokens(s.path)
	if err != nil {
		return err
	}
	if err := edit(&f); err != nil {
		return err
	}
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("token store: %w", err)
	}
	if err := replaceFile(s.path, append(data, '\n')); err != nil {
		return fmt.Errorf("token store: %w", err)
	}
	return nil
}

func readTokens(path string) (tokenFile, error) {
	f := tokenFile{Version: tokenFileVersion}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return f, fmt.Errorf("token store: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return f, fmt.Errorf("token store %s has mode %#o: others must not read it, run `chmod 600 %s`", path, mode, path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return f, fmt.Errorf("token store: %w", err)
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return f, fmt.Errorf("token store %s: %w", path, err)
	}
	if f.Version != tokenFileVersion {
		return f, fmt.Errorf("token store %s has version %d, this program knows %d", path, f.Version, tokenFileVersion)
	}
	return f, nil
}

func checkGrant(g Grant, now time.Time) error {
	var faults []error
	if g.Name == "" || len(g.Name) > maxTokenName {
		faults = append(faults, fmt.Errorf("name %q must have 1 to %d bytes", g.Name, maxTokenName))
	}
	if len(g.Endpoints) == 0 {
		faults = append(faults, fmt.Errorf("endpoints must name at least one of %s", strings.Join(Endpoints(), ", ")))
	}
	for _, e := range g.Endpoints {
		if !slices.Contains(Endpoints(), e) {
			faults = append(faults, fmt.Errorf("endpoint %q must be one of %s", e, strings.Join(Endpoints(), ", ")))
		}
	}
	if g.Rate < 0 || math.IsNaN(g.Rate) || g.Rate > math.MaxInt32 {
		faults = append(faults, fmt.Errorf("rate %v must lie between 0 (no limit) and %d events per second", g.Rate, math.MaxInt32))
	}
	if !g.Expires.After(now) {
		faults = append(faults, fmt.Errorf("expires %s must lie in the future", g.Expires.Format(time.RFC3339)))
	}
	return errors.Join(faults...)
}
