package kube

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// endless writes until nobody reads any longer.
func endless(w http.ResponseWriter) (written int) {
	chunk := bytes.Repeat([]byte(" "), 1<<20)
	for {
		n, err := w.Write(chunk)
		if written += n; err != nil {
			return written
		}
	}
}

// A cluster whose answers never end is told from one that answers, and costs no more memory than an answer may have.
func TestAnAnswerThatNeverEnds(t *testing.T) {
	for path, want := range map[string]struct {
		most int
		err  string
	}{
		"/version":                             {maxBrief, "ask for the version: "},
		"/apis/argoproj.io":                    {maxBrief, "longer than 8 MiB"},
		"/apis/apps/v1/deployments?limit=500":  {maxAnswer, ""},
		"/apis/apps/v1/deployments?watch=true": {maxEvent, ""},
	} {
		t.Run(path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := shop()
				asked, longest := false, 0
				a.odd = func(w http.ResponseWriter, r *http.Request) bool {
					at, query, _ := strings.Cut(path, "?")
					if r.URL.Path != at || !strings.Contains(r.URL.RawQuery, query) || asked && at != "/version" { // of the others once is enough
						return false
					}
					asked = true
					w.Header().Set("Content-Type", "application/json")
					n := endless(w)
					a.mu.Lock()
					longest = max(longest, n)
					a.mu.Unlock()
					return true
				}
				watchingIt(t, a, func(c *Collector, _ *sink) {
					time.Sleep(5 * time.Second)
					a.mu.Lock()
					read := longest
					a.mu.Unlock()
					if read <= want.most-1<<20 || read > want.most+2<<20 {
						t.Errorf("%d bytes were read, want some %d", read, want.most)
					}
					if err := c.Status()[0].Err; path == "/version" && (err == nil || !strings.Contains(err.Error(), want.err) || !errors.Is(err, errTooLong)) {
						t.Errorf("the status is %v, want %q", err, want.err)
					}
				})
			})
		})
	}
}

// A page that is too long is asked for again in smaller parts, down to what fits; nothing is missing.
func TestAPageThatIsTooLongIsReadInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 100
		a := newAPIServer()
		for i := range 2 * most {
			a.put("namespaces", namespaceAt(fmt.Sprintf("space-%d", i), time.Now().Add(-time.Hour), nil))
		}
		tooLong := 0
		a.odd = func(w http.ResponseWriter, r *http.Request) bool {
			limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
			if !strings.HasSuffix(r.URL.Path, "/namespaces") || limit <= most {
				return false
			}
			tooLong++
			w.Header().Set("Content-Type", "application/json")
			endless(w)
			return true
		}
		s := watchingIt(t, a, func(c *Collector, _ *sink) {
			time.Sleep(30 * time.Second)
			if status := c.Status()[0]; !status.Synced || status.Err != nil || tooLong != 1 {
				t.Errorf("after %d pages that were too long: %+v", tooLong, status)
			}
		})
		created := 0
		for _, ch := range s.changes {
			if ch.Kind == schema.KindNamespace && ch.Change == schema.ChangeCreated {
				created++
			}
		}
		if created != 2*most || len(s.twice()) > 0 {
			t.Errorf("%d namespaces were created, want %d; twice: %v", created, 2*most, s.twice())
		}
	})
}

func TestABoundEvent(t *testing.T) {
	long := strings.Repeat("x", maxEvent-10)
	for name, test := range map[string]struct {
		text string
		fits bool
	}{
		"many events":             {strings.Repeat(`{"a":[{}]}`+"\n", maxEvent/5), true},
		"a long one":              {`{"a":"` + long + `"}` + "\n" + `{"a":"` + long + `"}`, true},
		"a longer one":            {`{"a":"` + long + strings.Repeat("x", 100_000) + `"}`, false},
		"one of many parts":       {`{"a":[` + strings.Repeat("{}\n,", maxEvent/4), false},
		"one with braces in text": {`{"a":"` + strings.Repeat(`\"}`, maxEvent/3), false},
		"nothing":                 {strings.Repeat("\n", maxEvent+1), false},
	} {
		_, err := io.Copy(io.Discard, &boundEvents{ReadCloser: io.NopCloser(strings.NewReader(test.text))})
		if errors.Is(err, errTooLong) == test.fits {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestABoundAnswer(t *testing.T) {
	for _, length := range []int{0, 9, 10, 11, 1000} {
		body := &boundBody{ReadCloser: io.NopCloser(strings.NewReader(strings.Repeat("x", length))), left: 10, most: 10}
		text, err := io.ReadAll(body)
		if (err != nil) != (length > 10) || len(text) > 10 || err == nil && len(text) != length {
			t.Errorf("of %d bytes %d are read, %v", length, len(text), err)
		}
	}
}
