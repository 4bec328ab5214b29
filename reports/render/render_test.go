package render

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/reports"
	"github.com/kubevalue/kubevalue/reports/internal/sample"
)

//go:generate go test -run Golden . -update

var update = flag.Bool("update", false, "write the golden files")

func build(t *testing.T, src reports.Sources, o reports.Options) reports.Report {
	t.Helper()
	r, err := reports.Build(t.Context(), sample.Now, src, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// empty is a platform that has just been installed: nothing is defined, nothing was measured.
func empty(t *testing.T) reports.Report {
	o := sample.Options(reports.Managers)
	o.Adoption, o.Org, o.BaseURL, o.Calendar.WeekStart, o.Period = nil, "", "", time.Sunday, "2026-W46"
	return build(t, reports.Sources{Metrics: sample.Metric, Evaluate: sample.Evaluate}, o)
}

func variants(t *testing.T) map[string]reports.Report {
	return map[string]reports.Report{
		"managers":  build(t, sample.Sources(), sample.Options(reports.Managers)),
		"consumers": build(t, sample.Sources(), sample.Options(reports.Consumers)),
		"empty":     empty(t),
	}
}

func message(t *testing.T, r reports.Report) Mail {
	t.Helper()
	m, err := Message(r)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestGoldenMail(t *testing.T) {
	for name, r := range variants(t) {
		m := message(t, r)
		golden(t, name+".html", m.HTML)
		golden(t, name+".txt", "Subject: "+m.Subject+"\n\n"+m.Text)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs; look at it, and renew it with `make generate` (-want +got):\n%s", file, diff)
	}
}

func TestTheSameReportGivesTheSameMail(t *testing.T) {
	r := build(t, sample.Sources(), sample.Options(reports.Managers))
	if diff := cmp.Diff(message(t, r), message(t, build(t, sample.Sources(), sample.Options(reports.Managers)))); diff != "" {
		t.Errorf("two mails of one report differ:\n%s", diff)
	}
}

// gmailClips is the size from which Gmail cuts a mail off; the aim leaves room for transfer encoding.
const gmailClips = 100_000

// big is a report with as much of everything as may be shown.
func big(t *testing.T) reports.Report {
	src := sample.Sources()
	next := src.Metrics
	src.Metrics = func(id string) (journey.Metric, bool) {
		m, ok := next(strings.Split(id, "#")[0])
		m.ID, m.Title = id, m.Title+" with a title that does not want to end at all "+id
		return m, ok
	}
	evaluate := src.Evaluate
	src.Evaluate = func(ctx context.Context, r journey.Request) ([]journey.Value, error) {
		r.Metric = strings.Split(r.Metric, "#")[0]
		return evaluate(ctx, r)
	}
	var phases []journey.Phase
	for p := range 3 {
		var cells []journey.Cell
		for i := range 20 {
			cells = append(cells, journey.Cell{Perspective: "platform", Metrics: []journey.CellMetric{{Metric: fmt.Sprintf("C11#%d.%d", p, i), Target: new(1.0)}}})
			cells = append(cells, journey.Cell{Perspective: "application", Gap: &journey.Gap{Reason: strings.Repeat("because nobody measures it ", 3)}})
		}
		phases = append(phases, journey.Phase{ID: "p", Title: "Phase", Activities: []journey.Activity{{ID: "a", Title: "Activity", Cells: cells}}})
	}
	src.Map.Phases = phases
	src.Status = func(ctx context.Context, at time.Time) ([]reports.ObjectiveStatus, error) {
		var out []reports.ObjectiveStatus
		for i := range 30 {
			all, err := sample.Status(ctx, at)
			if err != nil {
				return nil, err
			}
			for _, s := range all {
				s.Title += fmt.Sprintf(" number %d", i)
				out = append(out, s)
			}
		}
		return out, nil
	}
	return build(t, src, sample.Options(reports.Consumers))
}

func TestAMailStaysBelowTheSizeThatMailProgramsCut(t *testing.T) {
	all := variants(t)
	all["big"] = big(t)
	for name, r := range all {
		if size := len(message(t, r).HTML); size > gmailClips {
			t.Errorf("%s: %d bytes of HTML without images, want at most %d", name, size, gmailClips)
		}
	}
}

// What classic Outlook, Gmail and image blockers do not show must not be needed.
func TestTheMailUsesOnlyWhatMailProgramsShow(t *testing.T) {
	for name, r := range variants(t) {
		m := message(t, r)
		_, body, _ := strings.Cut(m.HTML, "<body")
		for _, never := range []string{"display:flex", "display:grid", "<svg", "<script", "<form", "<link", "http://", "@import", "url(", "ZgotmplZ", "<no value>", "%!"} {
			if strings.Contains(body, never) {
				t.Errorf("%s: the mail has %q", name, never)
			}
		}
		for _, tag := range regexp.MustCompile(`(?s)<img[^>]*>`).FindAllString(body, -1) {
			for _, need := range []string{`width="304"`, `height="168"`, `src="cid:`} {
				if !strings.Contains(tag, need) {
					t.Errorf("%s: %s has no %s", name, tag, need)
				}
			}
			if alt := regexp.MustCompile(`alt="([^"]*)"`).FindStringSubmatch(tag); alt == nil || len(alt[1]) < 40 {
				t.Errorf("%s: the alternative text of %s does not say the point", name, tag)
			}
		}
		for _, meta := range []string{`name="color-scheme" content="light dark"`, `name="supported-color-schemes"`, `name="viewport"`, `<html lang="en"`} {
			if !strings.Contains(m.HTML, meta) {
				t.Errorf("%s: no %s", name, meta)
			}
		}
		for _, table := range regexp.MustCompile(`<table[^>]*>`).FindAllString(body, -1) {
			if !strings.Contains(table, "width=") {
				t.Errorf("%s: a table without an explicit width: %s", name, table)
			}
		}
	}
}

func TestEveryPictureIsReferredToOnce(t *testing.T) {
	m := message(t, build(t, sample.Sources(), sample.Options(reports.Managers)))
	if len(m.Images) != 4 {
		t.Fatalf("%d pictures, want 4", len(m.Images))
	}
	for _, img := range m.Images {
		if n := strings.Count(m.HTML, `"cid:`+img.ContentID+`"`); n != 1 {
			t.Errorf("%s is referred to %d times", img.ContentID, n)
		}
	}
}

func TestTheFileNeedsNothingElse(t *testing.T) {
	html, err := HTML(build(t, sample.Sources(), sample.Options(reports.Managers)))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(html, []byte(`src="data:image/png;base64,`)); n != 4 {
		t.Errorf("%d pictures inside, want 4", n)
	}
	if bytes.Contains(html, []byte("cid:")) {
		t.Error("a picture is outside of the file")
	}
}

func TestNamesCannotBecomeMarkup(t *testing.T) {
	src := sample.Sources()
	src.Teams = func(_ context.Context, p, _ journey.Period) ([]reports.TeamUse, error) {
		return []reports.TeamUse{{Team: `<img src=x onerror="alert(1)">`, Members: 9, Eligible: true, Active: true, First: p.From, Last: p.From}}, nil
	}
	m := message(t, build(t, src, sample.Options(reports.Managers)))
	if strings.Contains(m.HTML, "<img src=x") || !strings.Contains(m.HTML, "&lt;img src=x") {
		t.Error("a team's name became markup")
	}
}

func TestTheTextFitsEightyColumns(t *testing.T) {
	all := variants(t)
	all["big"] = big(t)
	for name, r := range all {
		for i, l := range strings.Split(Text(r), "\n") {
			if n := utf8.RuneCountInString(l); n > textWidth {
				t.Errorf("%s: line %d has %d columns: %s", name, i+1, n, l)
			}
			if strings.HasSuffix(l, " ") {
				t.Errorf("%s: line %d ends with a space", name, i+1)
			}
		}
	}
}

func TestManagersMailNamesNoPodOrNamespaceAndNoMailASmallTeam(t *testing.T) {
	for name, r := range variants(t) {
		m := message(t, r)
		everything := m.Subject + m.HTML + m.Text
		if strings.Contains(everything, sample.Small) {
			t.Errorf("%s: the mail names a team of two", name)
		}
		for _, hidden := range sample.Hidden {
			if r.Audience == reports.Managers && strings.Contains(everything, hidden) {
				t.Errorf("%s: the mail has %q", name, hidden)
			}
		}
	}
}

// Every figure has its period, zone, sample size and coverage, in both forms.
func TestEveryFigureSaysWhatItStandsOn(t *testing.T) {
	r := build(t, sample.Sources(), sample.Options(reports.Managers))
	m := message(t, r)
	for _, form := range []string{m.HTML, m.Text} {
		flat := strings.Join(strings.Fields(form), " ")
		for _, want := range []string{"2026-W46", "Europe/Berlin", "Mon 9 Nov to Sun 15 Nov 2026", "n 40, coverage 100%", "n 10,080, coverage 99.1%", "n 7, coverage 83%", "withheld: small group, fewer than 5 people"} {
			if !strings.Contains(flat, want) {
				t.Errorf("the mail does not say %q", want)
			}
		}
	}
	for _, s := range newPage(r).Sections {
		for _, row := range s.Rows {
			if !strings.Contains(row.Basis, "coverage") || row.ValueNote == "" && !strings.Contains(row.Basis, "n ") {
				t.Errorf("%s stands on %q", row.Title, row.Basis)
			}
		}
	}
}

func TestChartsAreSharpAndShowTheLimit(t *testing.T) {
	r := build(t, sample.Sources(), sample.Options(reports.Managers))
	images, err := Charts(r)
	if err != nil {
		t.Fatal(err)
	}
	red := map[string]bool{}
	for _, img := range images {
		pic, err := png.Decode(bytes.NewReader(img.PNG))
		if err != nil {
			t.Fatal(err)
		}
		if size := pic.Bounds().Size(); size.X != 2*chartWidth || size.Y != 2*chartHeight {
			t.Errorf("%s is %v, want twice %d x %d", img.Name, size, chartWidth, chartHeight)
		}
		if len(img.PNG) > 30_000 {
			t.Errorf("%s has %d bytes", img.Name, len(img.PNG))
		}
		for y := range 2 * chartHeight {
			for x := range 2 * chartWidth {
				if color.NRGBAModel.Convert(pic.At(x, y)) == inkRed {
					red[img.Name] = true
				}
			}
		}
	}
	if want := map[string]bool{"budget-weeks.png": true, "budget-months.png": true}; !cmp.Equal(red, want) {
		t.Errorf("red in %v, want it where the limit was exceeded: %v", red, want)
	}
}

func TestLongSeriesAreLabelledWhereItMatters(t *testing.T) {
	var c reports.Chart
	for i := range 12 {
		c.Points = append(c.Points, reports.ChartPoint{Label: "x", Value: new(float64(i % 5))})
	}
	c.Points[0].Value, c.Points[11].Value = nil, nil
	if got := (values{c}).labelled(); !slices.Equal(got, []int{1, 10}) {
		t.Errorf("a line is labelled at %v, want its first and last value", got)
	}
	c.Bars, c.Over, c.Limit = true, true, new(3.5)
	if got := (values{c}).labelled(); !slices.Equal(got, []int{4, 9, 10}) {
		t.Errorf("bars are labelled at %v, want those beyond the limit and the last", got)
	}
}
