//go:build e2e

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

var surveyPictures = flag.String("survey-pictures", "", "a folder into which pictures of the survey's form are written")

// form is a survey's form in a browser.
type form struct {
	t   *testing.T
	tab context.Context
}

func openForm(t *testing.T, link string) *form {
	t.Helper()
	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-quic", true),
		chromedp.WSURLReadTimeout(2*patience)) // 20 s by itself, which a slow machine takes to start it
	allocator, stop := chromedp.NewExecAllocator(t.Context(), flags...)
	t.Cleanup(stop)
	browser, done := chromedp.NewContext(allocator)
	t.Cleanup(done)
	tab, cancel := context.WithTimeout(browser, 2*patience)
	t.Cleanup(cancel)
	f := &form{t, tab}
	must(t, "open the form", chromedp.Do(tab, chromedp.Navigate(link)))
	return f
}

// press presses keys one after the other.
func (f *form) press(keys ...string) {
	f.t.Helper()
	for _, key := range keys {
		must(f.t, "press a key", chromedp.Do(f.tab, chromedp.KeyEvent(key)))
	}
}

func evaluated[T any](f *form, script string) T {
	f.t.Helper()
	got, err := chromedp.Run(f.tab, chromedp.Evaluate[T](script))
	must(f.t, script, err)
	return got
}

// await waits until an expression is true.
func (f *form) await(what, script string) {
	f.t.Helper()
	eventually(f.t, what, func() error {
		if ok, err := chromedp.Run(f.tab, chromedp.Evaluate[bool](script)); err != nil || !ok {
			text, _ := chromedp.Run(f.tab, chromedp.Evaluate[string]("document.body.innerText"))
			return fmt.Errorf("%w: the page says %s", err, text)
		}
		return nil
	})
}

// spoken are role and name of what a screen reader comes by, with what it says besides.
func (f *form) spoken() []string {
	f.t.Helper()
	tree, err := chromedp.Call(f.tab, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	must(f.t, "read the accessibility tree", err)
	said := func(v *accessibility.Value) (text string) {
		if v != nil {
			_ = json.Unmarshal(v.Value, &text) // what is no text is none
		}
		return text
	}
	var out []string
	for _, node := range tree.Nodes {
		line := said(node.Role) + " " + said(node.Name)
		if more := said(node.Description); more != "" {
			line += " (" + more + ")"
		}
		if !node.Ignored {
			out = append(out, line)
		}
	}
	return out
}

// picture writes what a screen shows.
func (f *form) picture(name string, width int64, dark, phone bool) {
	f.t.Helper()
	if *surveyPictures == "" {
		return
	}
	scheme := map[bool]string{true: "dark", false: "light"}[dark]
	_, err := chromedp.Call(f.tab, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 1100, DeviceScaleFactor: 1, Mobile: phone})
	must(f.t, "set the screen", err)
	_, err = chromedp.Call(f.tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	must(f.t, "set the colours", err)
	data, err := chromedp.Run(f.tab, chromedp.CaptureScreenshot())
	must(f.t, "take a picture", err)
	must(f.t, "write it", os.WriteFile(filepath.Join(*surveyPictures, name+".png"), data, 0o600))
}

// TestE2EASurveyIsAnsweredByKeyboard lets somebody who sees no screen and has no mouse answer a survey by a one-time link, with a mistake.
func TestE2EASurveyIsAnsweredByKeyboard(t *testing.T) {
	t.Parallel()
	settings := strings.Replace(surveySettings, "  github: {secret_file: SECRET}\n", "", 1)
	b := boot(t, strings.Replace(settings, "options: [too slow, too dear]}", "options: [too slow, too dear]}\n        - {id: more, kind: text, text: What should we know?}", 1))
	_, secret, _ := strings.Cut(strings.TrimSpace(b.command(0, "feedback", "invite", "q4", "--team", "red")), "/survey/")
	link := b.url() + "/survey/" + secret
	f := openForm(t, link)
	for _, want := range []string{
		"heading The platform", "radiogroup Would you recommend it? (0 is not at all likely, 10 is extremely likely.)", "radiogroup Why do you not use it?", "radio too dear",
		"radio No answer", "textbox What should we know? (At most 2000 characters. Please name nobody.)", "button Send answers",
	} {
		if said := f.spoken(); !slices.Contains(said, want) {
			t.Errorf("a screen reader does not say %q, but\n%s", want, strings.Join(said, "\n"))
		}
	}
	for _, s := range []struct {
		name        string
		width       int64
		dark, phone bool
	}{{"light", 1000, false, false}, {"dark", 1000, true, false}, {"phone", 390, false, true}} {
		f.picture("form-"+s.name, s.width, s.dark, s.phone)
	}
	// The mistake: a page that somebody kept from a survey with other options.
	evaluated[bool](f, `document.querySelector('input[value="too slow"]').value = 'too old', true`)
	f.press(kb.Tab, " ", kb.ArrowRight, kb.ArrowRight) // recommend: 0, 1, 2
	f.press(kb.Tab, kb.Tab, " ")                       // past the satisfaction, to the reason
	f.press(kb.Tab, "m", "o", "r", "e", kb.Tab, kb.Enter)
	f.await("the mistake is shown", `document.title.startsWith('Please check')`)
	f.await("the focus is on what is wrong", `document.activeElement.className === 'problems'`)
	f.picture("mistake-light", 1000, false, false)
	f.picture("mistake-dark", 1000, true, false)
	// The link leads to the question, never to an answer: there the same Enter would send the form.
	f.press(kb.Tab, kb.Enter)
	f.await("the question is focused", `document.activeElement.id === 'why-not'`)
	f.press(kb.Tab, " ")
	if got := evaluated[[]string](f, `[...document.querySelectorAll(':checked')].map(e => e.name + '=' + e.value).concat(document.querySelector('textarea').value)`); !slices.Equal(got, []string{"recommend=2", "why-not=too slow", "more"}) {
		t.Errorf("after the mistake, what is said is %v", got)
	}
	f.press(kb.Tab, kb.Tab, kb.Enter)
	f.await("the answers are taken", `document.body.innerText.includes('Thank you')`)
	f.picture("thanks", 1000, false, false)
	b.flush()
	if rows := b.query("SELECT question, ifNull(toString(value), '-'), text, team FROM feedback FINAL WHERE kind = 'answer' ORDER BY question"); rows != "more - more red\nrecommend 2  red\nwhy-not - too slow red\n" {
		t.Errorf("stored:\n%s", rows)
	}
	must(t, "open the link again", chromedp.Do(f.tab, chromedp.Navigate(link)))
	if text := evaluated[string](f, "document.body.innerText"); !strings.Contains(text, "answered through this link already") {
		t.Errorf("the link works twice: %s", text)
	}
}
