package collectors

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 9, 12, 0, 0, 0, time.UTC)} }

func openTokens(t *testing.T, path string, c *clock) *TokenStore {
	t.Helper()
	s, err := OpenTokens(path, c.Now)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func grant(c *clock) Grant {
	return Grant{Name: "ci", Endpoints: []string{EndpointEvents}, Expires: c.Now().Add(time.Hour)}
}

func TestTokenIsGoodForItsEndpointsUntilItExpires(t *testing.T) {
	c, ctx := newClock(), context.Background()
	s := openTokens(t, filepath.Join(t.TempDir(), "tokens.json"), c)
	want := grant(c)
	want.Teams, want.Backfill = []string{"payments"}, true
	token, err := s.Create(want)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(token, TokenPrefix) || len(token) != len(TokenPrefix)+43 {
		t.Errorf("token has an unexpected form (length %d)", len(token))
	}
	want.Source = "ci"
	got, err := s.Authenticate(ctx, token, EndpointEvents)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Grant{})); d != "" {
		t.Error(d)
	}
	if _, err := s.Authenticate(ctx, token, EndpointAudit); !errors.Is(err, ErrForbidden) {
		t.Errorf("other endpoint: %v", err)
	}
	for _, wrong := range []string{"", "kv_", token[:len(token)-1], token + "A", strings.ToLower(token)} {
		if _, err := s.Authenticate(ctx, wrong, EndpointEvents); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("wrong token: %v", err)
		} else if wrong != "" && wrong != "kv_" && strings.Contains(err.Error(), wrong) {
			t.Error("the error shows the token")
		}
	}
	c.Add(time.Hour)
	if _, err := s.Authenticate(ctx, token, EndpointEvents); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("expired: %v", err)
	}
}

func TestTokenFileHoldsNoTokenAndIsPrivate(t *testing.T) {
	c := newClock()
	path := filepath.Join(t.TempDir(), "new", "tokens.json")
	token, err := openTokens(t, path, c).Create(grant(c))
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), token) || strings.Contains(string(data), strings.TrimPrefix(token, TokenPrefix)) {
		t.Error("the file holds the token")
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenTokens(path, c.Now); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that others can read: %v", err)
	}
}

func TestOtherProcessesSeeChanges(t *testing.T) {
	c, ctx := newClock(), context.Background()
	path := filepath.Join(t.TempDir(), "tokens.json")
	service, cli := openTokens(t, path, c), openTokens(t, path, c)
	token, err := cli.Create(grant(c))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := service.Authenticate(ctx, token, EndpointEvents); err != nil {
		t.Errorf("after create: %v", err)
	}
	if err := cli.Revoke("ci"); err != nil {
		t.Fatal(err)
	}
	if _, err := service.Authenticate(ctx, token, EndpointEvents); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("after revoke: %v", err)
	}
	if err := cli.Revoke("ci"); err == nil {
		t.Error("a second revoke found something")
	}
}

func TestConcurrentCreatesAllStay(t *testing.T) {
	c := newClock()
	path := filepath.Join(t.TempDir(), "tokens.json")
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		store := openTokens(t, path, c)
		wg.Go(func() {
			g := grant(c)
			g.Name = name
			if _, err := store.Create(g); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	list, err := openTokens(t, path, c).List()
	if err != nil {
		t.Fatal(err)
	}
	var names string
	for _, tok := range list {
		names += tok.Name
	}
	if names != "abcdef" {
		t.Errorf("got %q", names)
	}
}

func TestCreateRefuses(t *testing.T) {
	c := newClock()
	s := openTokens(t, filepath.Join(t.TempDir(), "tokens.json"), c)
	if _, err := s.Create(grant(c)); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		edit func(*Grant)
		want string
	}{
		"a name in use":       {func(*Grant) {}, `token "ci" exists`},
		"no name":             {func(g *Grant) { g.Name = "" }, `name "" must have`},
		"no endpoint":         {func(g *Grant) { g.Endpoints = nil }, "endpoints must name"},
		"an unknown endpoint": {func(g *Grant) { g.Endpoints = []string{"event"} }, `endpoint "event" must be one of events, audit`},
		"a negative rate":     {func(g *Grant) { g.Rate = -1 }, "rate -1 must lie"},
		"the past":            {func(g *Grant) { g.Expires = c.Now() }, "must lie in the future"},
	} {
		g := grant(c)
		tc.edit(&g)
		if _, err := s.Create(g); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

func TestRateHoldsOverTimeWhateverTheBatchSize(t *testing.T) {
	for _, batch := range []int{1, 400, 1000, 7000} {
		c, ctx := newClock(), context.Background()
		s := openTokens(t, filepath.Join(t.TempDir(), "tokens.json"), c)
		g := grant(c)
		g.Rate = 500
		token, err := s.Create(g)
		if err != nil {
			t.Fatal(err)
		}
		taken, refused := 0, 0
		for range 60_000 { // a minute in milliseconds
			c.Add(time.Millisecond)
			got, err := s.Authenticate(ctx, token, EndpointEvents)
			if err == nil {
				err = got.Charge(batch)
			}
			var wait *RateLimitError
			switch {
			case err == nil:
				taken += batch
			case errors.Is(err, ErrRateLimited) && errors.As(err, &wait) && wait.RetryAfter > 0:
				refused++
			default:
				t.Fatal(err)
			}
		}
		if most := 60*500 + minBurst + batch; taken > most || taken < 60*500-batch || refused == 0 {
			t.Errorf("batches of %d: %d events in a minute at 500/s (refused %d times)", batch, taken, refused)
		}
	}
}

func TestAChangedFileDoesNotRefillARate(t *testing.T) {
	c, ctx := newClock(), context.Background()
	s := openTokens(t, filepath.Join(t.TempDir(), "tokens.json"), c)
	g := grant(c)
	g.Rate = 10
	token, err := s.Create(g)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Authenticate(ctx, token, EndpointEvents)
	if err != nil {
		t.Fatal(err)
	}
	if err := got.Charge(minBurst); err != nil {
		t.Fatal(err)
	}
	g.Name = "other"
	if _, err := s.Create(g); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Authenticate(ctx, token, EndpointEvents); !errors.Is(err, ErrRateLimited) {
		t.Errorf("after another token was created: %v", err)
	}
}

func TestGrantCoversTeamsAndClusters(t *testing.T) {
	g := Grant{Teams: []string{"a"}, Clusters: []string{"x"}}
	if !g.AllowsTeam("a") || !g.AllowsTeam("") || g.AllowsTeam("b") || !g.AllowsCluster("x") || g.AllowsCluster("") {
		t.Error("a named list must be the limit")
	}
	if g = (Grant{}); !g.AllowsTeam("b") || !g.AllowsCluster("y") {
		t.Error("an empty list must allow any")
	}
}

func TestAllTokensShareOneRate(t *testing.T) {
	c, ctx := newClock(), context.Background()
	s := openTokens(t, filepath.Join(t.TempDir(), "tokens.json"), c)
	s.LimitAll(2000)
	var tokens []string
	for _, name := range []string{"a", "b"} {
		g := grant(c)
		g.Name, g.Endpoints, g.Rate = name, []string{EndpointEvents, EndpointAPI}, 1500
		token, err := s.Create(g)
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, token)
	}
	charge := func(token string, n int) error {
		g, err := s.Authenticate(ctx, token, EndpointEvents)
		if err != nil {
			return err
		}
		return g.Charge(n)
	}
	if err := charge(tokens[0], 1500); err != nil {
		t.Fatal(err)
	}
	var wait *RateLimitError
	if err := charge(tokens[1], 1500); !errors.As(err, &wait) || !wait.Shared || wait.RetryAfter != 500*time.Millisecond {
		t.Errorf("the second token's batch, with 500 left of all: %v", err)
	}
	if err := charge(tokens[0], 10); !errors.As(err, &wait) || wait.Shared {
		t.Errorf("the first token's own rate: %v", err)
	}
	// Neither refusal has cost the other rate anything.
	if err := charge(tokens[1], 500); err != nil {
		t.Errorf("what is left of all: %v", err)
	}
	if err := charge(tokens[1], 1); !errors.As(err, &wait) || !wait.Shared {
		t.Errorf("nothing is left of all: %v", err)
	}
	if _, err := s.Authenticate(ctx, tokens[1], EndpointAPI); err != nil {
		t.Errorf("reading: %v", err)
	}
	c.Add(time.Second)
	if err := charge(tokens[1], 1000); err != nil {
		t.Errorf("a second later: %v", err)
	}
}
