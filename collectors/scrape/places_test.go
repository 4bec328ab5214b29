package scrape

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// pagesOfHosts are discovered, and answer every request with a page; it keeps who was asked since that was last looked at.
type pagesOfHosts struct {
	mu         sync.Mutex
	asked      map[string]bool
	discovered []Found
}

func (h *pagesOfHosts) RoundTrip(r *http.Request) (*http.Response, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked[r.URL.Host] = true
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {textFormat}}, Body: io.NopCloser(strings.NewReader(page(200, 1)))}, nil
}

func (h *pagesOfHosts) hosts() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []string
	for host := range h.asked {
		all = append(all, host)
	}
	clear(h.asked)
	slices.Sort(all)
	return strings.Join(all, " ")
}

// discover makes URLs, and the port 1 of hosts, what is discovered, and no others.
func (h *pagesOfHosts) discover(hosts string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.discovered = nil
	for host := range strings.FieldsSeq(hosts) {
		if !strings.Contains(host, "://") {
			host += ":1"
		}
		h.discovered = append(h.discovered, Found{Address: host})
	}
}

func (h *pagesOfHosts) found() []Found {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.discovered
}

func TestAJobReadsNoMoreThanItsTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		hosts := &pagesOfHosts{asked: map[string]bool{}}
		hosts.discover("b c d e")
		registry := prometheus.NewPedanticRegistry()
		c, err := New(Config{
			Sink: &sink{}, Indicators: []Indicator{requests}, Registerer: registry, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Jobs: []Job{{Name: "pods", Targets: []string{"z:1"}, MaxTargets: 3, Discover: hosts.found}},
		})
		if err != nil {
			t.Fatal(err)
		}
		c.jobs[0].client = &http.Client{Transport: hosts}
		stop := running(t, c)
		for _, step := range []struct{ discovered, read, leftOut string }{
			{"b c d e", "b:1 c:1 z:1", "d:1 e:1"},
			{"a b c d e", "b:1 c:1 z:1", "a:1 d:1 e:1"}, // those that are read stay
			{"a c d e", "a:1 c:1 z:1", "d:1 e:1"},
			{"c e", "c:1 e:1 z:1", ""},
			{"c d e", "c:1 e:1 z:1", "d:1"},
		} {
			if got := hosts.looksAt(step.discovered); got != step.read {
				t.Errorf("of %s, read are %s, want %s", step.discovered, got, step.read)
			}
			var leftOut []string
			for _, s := range c.Status() {
				if errors.Is(s.Err, ErrLeftOut) {
					leftOut = append(leftOut, s.Instance)
				}
			}
			if got := strings.Join(leftOut, " "); got != step.leftOut {
				t.Errorf("of %s, left out are %q, want %q", step.discovered, got, step.leftOut)
			}
			if err := testutil.GatherAndCompare(registry, strings.NewReader(fmt.Sprintf(`
# HELP kubevalue_scrape_targets Targets, by whether their page could be read at the newest try: ok or failing; or left_out, as there are too many.
# TYPE kubevalue_scrape_targets gauge
kubevalue_scrape_targets{scrape_job="pods",state="failing"} 0
kubevalue_scrape_targets{scrape_job="pods",state="left_out"} %d
kubevalue_scrape_targets{scrape_job="pods",state="ok"} 3
`, len(leftOut))), "kubevalue_scrape_targets"); err != nil {
				t.Error(err)
			}
		}
		stop()
		if got := strings.Count(log.String(), "more targets than max_targets"); got != 2 {
			t.Errorf("it was warned of %d times, want one for each time that it began:\n%s", got, log.String())
		}
	})
}

// What a target counts while nobody reads it is lost, so one that was read before a restart gets its place again, however late it is found.
func TestTargetsHaveTheirPlacesAgainAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hosts, state := &pagesOfHosts{asked: map[string]bool{}}, filepath.Join(t.TempDir(), "scrape.json")
		hosts.discover("c d")
		begin := func() func() {
			c, err := New(Config{
				Sink: &sink{}, Indicators: []Indicator{requests}, State: state,
				Jobs: []Job{{Name: "pods", MaxTargets: 2, Discover: hosts.found}},
			})
			if err != nil {
				t.Fatal(err)
			}
			c.jobs[0].client = &http.Client{Transport: hosts}
			return running(t, c)
		}
		read := func(found, want string) {
			t.Helper()
			if diff := cmp.Diff(want, hosts.looksAt(found)); diff != "" {
				t.Errorf("of %s, read are other targets (-want +got):\n%s", found, diff)
			}
		}
		stop := begin()
		read("c d", "c:1 d:1")
		read("a b c d", "c:1 d:1")
		stop()
		hosts.discover("") // the cluster is not listed yet
		stop = begin()
		read("a b", "a:1 b:1")
		read("a b c d", "c:1 d:1")
		read("a b c d", "c:1 d:1")
		stop()
	})
}

// looksAt makes hosts what is discovered, and says which are read then.
func (h *pagesOfHosts) looksAt(hosts string) string {
	h.discover(hosts)
	time.Sleep(rediscover)
	synctest.Wait()
	h.hosts()
	time.Sleep(DefaultInterval)
	synctest.Wait()
	return h.hosts()
}

// Everybody who may annotate a pod may get the annotation wrong: targets come and go all the same, and files that cannot be read keep no pods.
func TestATargetThatCannotBeKeepsNoPlaceOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		hosts, listed := &pagesOfHosts{asked: map[string]bool{}}, filepath.Join(t.TempDir(), "listed.json")
		write := func(text string) {
			if err := os.WriteFile(listed, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(`[{"targets": ["z:1"]}]`)
		c, err := New(Config{
			Sink: &sink{}, Indicators: []Indicator{requests}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Jobs: []Job{{Name: "pods", MaxTargets: 3, Files: []string{listed}, Discover: hosts.found}},
		})
		if err != nil {
			t.Fatal(err)
		}
		c.jobs[0].client = &http.Client{Transport: hosts}
		stop := running(t, c)
		for _, step := range []struct{ discovered, listed, read string }{
			{"a b ftp://x", `[{"targets": ["z:1"]}]`, "a:1 b:1 z:1"},
			{"c d ftp://x", `[{"targets": ["z:1"]}]`, "c:1 d:1 z:1"},
			{"e f ftp://x", "<html>", "e:1 f:1 z:1"},
		} {
			write(step.listed)
			if got := hosts.looksAt(step.discovered); got != step.read {
				t.Errorf("of %s, read are %s, want %s", step.discovered, got, step.read)
			}
		}
		stop()
		if got := strings.Count(log.String(), "ftp://x"); got != 1 {
			t.Errorf("it was warned of the target that cannot be %d times, want once:\n%s", got, log.String())
		}
	})
}

func TestListedTargetsAreAllRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hosts := &pagesOfHosts{asked: map[string]bool{}}
		c, err := New(Config{
			Sink: &sink{}, Indicators: []Indicator{requests},
			Jobs: []Job{{Name: "pods", Targets: []string{"x:1", "y:1", "z:1"}, MaxTargets: 2, Discover: hosts.found}},
		})
		if err != nil {
			t.Fatal(err)
		}
		c.jobs[0].client = &http.Client{Transport: hosts}
		stop := running(t, c)
		if got := hosts.looksAt("a x"); got != "x:1 y:1 z:1" {
			t.Errorf("read are %s, want those that are listed", got)
		}
		stop()
	})
}

// running runs a collector until the function that it returns is called.
func running(t *testing.T, c *Collector) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
