//go:build e2e

package dashboards_test

import (
	"context"
	"flag"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/kubevalue/kubevalue/dashboards"
)

var pictures = flag.String("pictures", "", "a folder into which pictures of the pages are written: as much as a screen shows")

// pages are those of the sample, with how many charts each draws.
var pages = []struct {
	name, path string
	charts     int
}{
	{"journey", "/?for=", 0},
	{"journey-management", "/?for=management", 0},
	{"metric", "/metric/C15", 1},
	{"objectives", "/objectives", 0},
	{"objective", "/objectives/api-eu", 2},
	{"adoption", "/adoption", 4},
	{"adoption-people", "/adoption?of=people", 4},
	{"fleet", "/fleet", 0},
	{"problem", "/metric/none", 0},
}

// screen is a way to look at a page.
type screen struct {
	name          string
	width, height int64
	dark, phone   bool
	noScript      bool
}

var screens = []screen{
	{name: "light", width: 1280, height: 900},
	{name: "dark", width: 1280, height: 900, dark: true},
	{name: "phone", width: 390, height: 844, phone: true},
	{name: "noscript", width: 1280, height: 900, noScript: true},
}

func TestE2EPages(t *testing.T) {
	server := httptest.NewServer(dashboards.New(sampleConfig()))
	defer server.Close()
	browser := chromium(t)
	for _, s := range screens {
		for _, p := range pages {
			t.Run(s.name+"/"+p.name, func(t *testing.T) {
				want := p.charts
				if s.noScript {
					want = 0
				}
				looked := look(browser, t, s, server.URL+p.path)
				if *pictures != "" {
					if err := os.WriteFile(filepath.Join(*pictures, p.name+"-"+s.name+".png"), looked.picture, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				looked.check(t, s, server.URL, p.name == "problem")
				if looked.Canvases != want {
					t.Errorf("%d charts are drawn, want %d", looked.Canvases, want)
				}
				if s.noScript && looked.Hidden != p.charts {
					t.Errorf("%d of %d empty drawings are hidden without JavaScript", looked.Hidden, p.charts)
				}
			})
		}
	}
}

// chromium starts a browser for the test.
func chromium(t *testing.T) context.Context {
	t.Helper()
	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-quic", true),
		chromedp.WSURLReadTimeout(5*time.Minute)) // 20 s by itself, which a slow machine takes to start it
	allocator, stop := chromedp.NewExecAllocator(t.Context(), flags...)
	t.Cleanup(stop)
	browser, closeBrowser := chromedp.NewContext(allocator)
	t.Cleanup(closeBrowser)
	if err := chromedp.Do(browser); err != nil {
		t.Fatalf("start Chromium: %v; `make debian` installs it", err)
	}
	return browser
}

// looks is what a browser saw of a page.
type looks struct {
	Canvases, Hidden     int
	Width, Window        int
	Wide                 []string
	H1                   int
	Headings             []int
	Dark                 bool
	requests, complaints []string
	picture              []byte
}

// listener collects what a page asks for and what the browser complains about.
type listener struct {
	mu                   sync.Mutex
	requests, complaints []string
}

func (l *listener) hear(event any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		l.requests = append(l.requests, e.Request.URL)
	case *log.EventEntryAdded:
		l.complaints = append(l.complaints, fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
	case *runtime.EventConsoleAPICalled:
		l.complaints = append(l.complaints, fmt.Sprintf("console.%s", e.Type))
	case *runtime.EventExceptionThrown:
		l.complaints = append(l.complaints, e.ExceptionDetails.Text)
	}
}

// prepare makes a tab look like a screen.
func prepare(tab context.Context, t *testing.T, s screen) {
	t.Helper()
	scheme := "light"
	if s.dark {
		scheme = "dark"
	}
	call(tab, t, network.Enable, network.EnableParams{})
	call(tab, t, log.Enable, cdp.Empty{})
	call(tab, t, runtime.Enable, cdp.Empty{})
	call(tab, t, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: s.width, Height: s.height, DeviceScaleFactor: 1, Mobile: s.phone})
	call(tab, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
	call(tab, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: s.noScript})
}

// use does what people do with pages: press Tab, which leads past the navigation, point at a chart, which opens its tooltip, and print.
func use(tab context.Context, t *testing.T) {
	t.Helper()
	if err := chromedp.Do(tab, chromedp.KeyEvent(kb.Tab)); err != nil {
		t.Fatalf("press Tab: %v", err)
	}
	first, err := chromedp.Run(tab, chromedp.Evaluate[[]any](`(() => {
		const e = document.activeElement, r = e.getBoundingClientRect();
		const seen = [e.className, r.left >= 0 && r.width > 0, getComputedStyle(e).outlineStyle];
		e.blur();
		return seen;
	})()`))
	if want := []any{"skip", true, "solid"}; err != nil || !slices.Equal(first, want) {
		t.Errorf("the first Tab leads to %v (class, seen, outline), want %v: %v", first, want, err)
	}
	at, err := chromedp.Run(tab, chromedp.Evaluate[[]float64](`(() => {
		const place = document.querySelector('[data-chart]');
		if (!place) return [];
		place.scrollIntoView();
		const r = place.getBoundingClientRect();
		return [r.left + r.width / 2, r.top + r.height / 2];
	})()`))
	if err == nil && len(at) == 2 {
		err = chromedp.Do(tab, chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, at[0], at[1]))
	}
	if err == nil {
		err = chromedp.Do(tab, chromedp.Evaluate[chromedp.Void](`new Promise((done) => {
			dispatchEvent(new Event('beforeprint'));
			dispatchEvent(new Event('afterprint'));
			requestAnimationFrame(() => requestAnimationFrame(() => { scrollTo(0, 0); done(); }));
		})`, chromedp.EvalAwaitPromise))
	}
	if err != nil {
		t.Fatalf("use the page: %v", err)
	}
}

func call[P, R any](tab context.Context, t *testing.T, command cdp.Command[P, R], params P) {
	t.Helper()
	if _, err := chromedp.Call(tab, command, params); err != nil {
		t.Fatalf("%s: %v", command.Method, err)
	}
}

const measure = `(() => ({
	canvases: document.querySelectorAll('[data-chart] canvas').length,
	hidden: [...document.querySelectorAll('[data-chart]')].filter(e => getComputedStyle(e).display === 'none').length,
	width: document.documentElement.scrollWidth, window: innerWidth,
	wide: [...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll, pre, .quiet') && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.tagName + '.' + e.className).slice(0, 5),
	h1: document.querySelectorAll('h1').length,
	headings: [...document.querySelectorAll('h1,h2,h3,h4')].map(e => Number(e.tagName[1])),
	dark: matchMedia('(prefers-color-scheme: dark)').matches,
}))()`

func look(browser context.Context, t *testing.T, s screen, address string) looks {
	t.Helper()
	page, done := chromedp.NewContext(browser)
	defer done()
	if err := chromedp.Do(page); err != nil { // opens the tab, which lives as long as this context
		t.Fatal(err)
	}
	tab, cancel := context.WithTimeout(page, 5*time.Minute)
	defer cancel()
	var heard listener
	if err := chromedp.Listen(page, heard.hear); err != nil {
		t.Fatal(err)
	}
	prepare(tab, t, s)
	if err := chromedp.Do(tab, chromedp.Navigate(address)); err != nil {
		t.Fatalf("open %s: %v", address, err)
	}
	if !s.noScript {
		use(tab, t)
	}
	out, err := chromedp.Run(tab, chromedp.Evaluate[looks](measure))
	if err != nil {
		t.Fatalf("look at %s: %v", address, err)
	}
	if *pictures != "" {
		if out.picture, err = chromedp.Run(tab, chromedp.CaptureScreenshot()); err != nil {
			t.Fatalf("take a picture of %s: %v", address, err)
		}
	}
	heard.mu.Lock()
	defer heard.mu.Unlock()
	out.requests, out.complaints = heard.requests, heard.complaints
	if out.Dark != s.dark {
		t.Errorf("prefers dark: %v, want %v", out.Dark, s.dark)
	}
	return out
}

// check is what every page must keep to. The answer 404 of a problem page is a complaint of the browser by itself.
func (l looks) check(t *testing.T, s screen, own string, problem bool) {
	t.Helper()
	for _, r := range l.requests {
		u, err := url.Parse(r)
		if err != nil || (u.Scheme != "data" && !strings.HasPrefix(r, own+"/")) {
			t.Errorf("the page asked for %s, which is not ours", r)
		}
	}
	for _, c := range l.complaints {
		if !problem || !strings.Contains(c, "404") {
			t.Errorf("the browser complains: %s", c)
		}
	}
	if l.Width > int(s.width) || l.Window > int(s.width) || len(l.Wide) > 0 { // a phone's window grows with what is in it
		t.Errorf("the page is %d pixels wide in a window of %d on a screen of %d: %v", l.Width, l.Window, s.width, l.Wide)
	}
	if l.H1 != 1 {
		t.Errorf("%d headings of the first level, want 1", l.H1)
	}
	for i := 1; i < len(l.Headings); i++ {
		if l.Headings[i] > l.Headings[i-1]+1 {
			t.Errorf("headings jump from level %d to %d", l.Headings[i-1], l.Headings[i])
		}
	}
}
