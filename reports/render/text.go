package render

import (
	"strings"
	"unicode/utf8"

	"github.com/kubevalue/kubevalue/reports"
)

// textWidth is the width of plain text in columns: what a terminal and a quoting mail program have.
const textWidth = 80

// Text is the report in plain text, 80 columns wide, without anything that only the HTML says.
func Text(r reports.Report) string {
	p := newPage(r)
	var w textWriter
	w.line(joinWords(" - ", p.Org, p.Title))
	w.line(p.Period + ", " + p.Days)
	if p.Partial != "" {
		w.wrap("", p.Partial)
	}
	w.heading("What changed")
	w.wrap("", p.Headline.Changed)
	w.heading("Why")
	w.wrap("", p.Headline.Why)
	w.heading("Decision")
	w.wrap("", p.Headline.Decision)
	w.exceptions(p)
	w.trends(p)
	w.objectives(p)
	w.followups(p)
	for i, s := range p.Sections {
		w.section(s)
		if i == 0 {
			w.teams(p)
		}
	}
	w.list("How far to trust it", p.Quality)
	if len(p.Gaps) > 0 {
		w.line("")
		w.line("Not measured yet, by the journey map:")
		for _, g := range p.Gaps {
			w.wrap("- ", g)
		}
	}
	w.list("How to read it", p.Reading)
	if p.BaseURL != "" {
		w.line("")
		w.line("Every figure with its definition, query and history:")
		w.line(p.BaseURL)
	}
	return w.String()
}

// textWriter writes lines of at most textWidth columns.
type textWriter struct{ strings.Builder }

func (w *textWriter) line(s string) {
	w.WriteString(strings.TrimRight(s, " "))
	w.WriteByte('\n')
}

func (w *textWriter) heading(s string) {
	w.line("")
	w.line(strings.ToUpper(s))
}

// wrap breaks a text into lines, the first after lead and the others indented by its width.
func (w *textWriter) wrap(lead, s string) {
	indent := strings.Repeat(" ", utf8.RuneCountInString(lead))
	for i, l := range wrapped(s, textWidth-len(indent)) {
		if i == 0 {
			w.line(lead + l)
			continue
		}
		w.line(indent + l)
	}
}

// wrapped breaks at spaces; a word longer than the width stays whole.
func wrapped(s string, width int) []string {
	var lines []string
	current := ""
	for _, word := range strings.Fields(s) {
		switch {
		case current == "":
			current = word
		case utf8.RuneCountInString(current)+1+utf8.RuneCountInString(word) <= width:
			current += " " + word
		default:
			lines = append(lines, current)
			current = word
		}
	}
	return append(lines, current)
}

func (w *textWriter) list(title string, lines []string) {
	w.heading(title)
	for _, l := range lines {
		w.wrap("- ", l)
	}
}

func (w *textWriter) exceptions(p page) {
	if len(p.Exceptions) == 0 {
		return
	}
	w.heading("Needs attention")
	for _, e := range p.Exceptions {
		lead := "watch   "
		if e.Act {
			lead = "DECIDE  "
		}
		title := e.Title
		if e.Owner != "" {
			title += " [" + e.Owner + "]"
		}
		w.wrap(lead, title)
		w.wrap("        ", e.Detail)
	}
	if p.MoreExceptions != "" {
		w.line(p.MoreExceptions)
	}
}

func (w *textWriter) followups(p page) {
	if len(p.Followups) == 0 {
		return
	}
	w.heading("Did the work on incidents help?")
	for _, f := range p.Followups {
		text := f.Title + ": " + f.Verdict + ". " + f.Text + "."
		if f.Reason != "" {
			text += " It cannot be told, since " + f.Reason + "."
		}
		w.wrap("- ", text)
	}
}

func (w *textWriter) trends(p page) {
	if len(p.Charts) == 0 {
		return
	}
	var points []string
	for _, c := range p.Charts {
		points = append(points, c.Point)
	}
	w.list("Trends", points)
}

// columns of the tables: the first takes what the others leave.
const (
	valueWidth  = 14
	changeWidth = 18
	targetWidth = 14
	titleWidth  = textWidth - valueWidth - changeWidth - targetWidth
)

func (w *textWriter) objectives(p page) {
	w.heading("Stability")
	if len(p.Objectives) > 0 {
		w.cells(cellsOf{"Objective", "Uptime", "", "Budget left"})
	}
	for _, o := range p.Objectives {
		w.cells(cellsOf{o.Title, o.Week, "", o.Left})
		for _, note := range append([]string{o.Basis, o.WeekNote, o.LeftNote, o.Owner}, append(o.Incidents, o.Operations...)...) {
			if note != "" {
				w.wrap("    ", note)
			}
		}
	}
	if p.ObjectivesNote != "" {
		w.wrap("", p.ObjectivesNote)
	}
}

func (w *textWriter) section(s section) {
	w.heading(s.Title)
	if len(s.Rows) > 0 {
		w.cells(cellsOf{"Figure", "This week", "Change", "Target"})
	}
	for _, r := range s.Rows {
		w.cells(cellsOf{r.Title, r.Value, ascii(r.Change), ascii(r.Target)})
		w.wrap("    ", joinWords("; ", r.Basis, r.ValueNote, noted("change", r.ChangeNote), noted("target", r.TargetNote), r.Owner))
		if r.Parts != "" {
			w.wrap("    ", r.Parts)
		}
	}
	if s.Note != "" {
		w.wrap("", s.Note)
	}
}

func (w *textWriter) teams(p page) {
	if len(p.Teams) > 0 {
		w.line("")
	}
	for _, t := range p.Teams {
		w.wrap(pad(t.Title, 14), t.Names)
	}
	if p.TeamsNote != "" {
		w.wrap("", p.TeamsNote)
	}
}

// cellsOf is a row of a table: left, then three right-aligned.
type cellsOf [4]string

// cells writes a row; what does not fit into its column takes lines of its own.
func (w *textWriter) cells(c cellsOf) {
	widths := [4]int{titleWidth, valueWidth, changeWidth, targetWidth}
	var columns [4][]string
	height := 1
	for i, text := range c {
		columns[i] = wrapped(text, widths[i]-1)
		height = max(height, len(columns[i]))
	}
	for l := range height {
		row := ""
		for i, col := range columns {
			text := ""
			if l < len(col) {
				text = col[l]
			}
			if i == 0 {
				row += pad(text, widths[0])
				continue
			}
			row += strings.Repeat(" ", max(1, widths[i]-utf8.RuneCountInString(text))) + text
		}
		w.line(row)
	}
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

// ascii spells out what old mail programs and fonts draw too wide.
func ascii(s string) string {
	return strings.NewReplacer("▲ ", "", "▼ ", "", "≥ ", ">= ", "≤ ", "<= ").Replace(s)
}

func noted(what, note string) string {
	if note == "" {
		return ""
	}
	return what + " " + note
}

// joinWords joins what is not empty.
func joinWords(sep string, parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, sep)
}
