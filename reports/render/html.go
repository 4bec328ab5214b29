package render

import (
	"bytes"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"

	"github.com/kubevalue/kubevalue/reports"
)

//go:embed templates
var files embed.FS

// Styles of the pieces that repeat. Mail programs drop style sheets, so they are written into the elements.
var styles = map[string]string{
	"font":  "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;",
	"small": "font-size:12px;line-height:17px;color:#57606a;",
	"h2":    "margin:0;font-size:17px;line-height:24px;font-weight:600;color:#1f2328;",
	"cell":  "padding:8px 0;border-top:1px solid #d8dee4;vertical-align:top;font-size:14px;line-height:20px;",
	"good":  "color:#00588f;",
	"bad":   "color:#b3420a;",
	"plain": "color:#57606a;",
}

var layout = template.Must(template.New("mail").Funcs(template.FuncMap{
	"style": func(name string) template.CSS { return template.CSS(styles[name]) }, //nolint:gosec // constants of this file
	"tone":  func(t tone) template.CSS { return template.CSS(styles[string(t)]) }, //nolint:gosec // constants of this file
	// Comments that only Word's renderer reads; the template engine would drop them.
	"mso": func(s string) template.HTML { return template.HTML("<!--[if mso]>" + s + "<![endif]-->") }, //nolint:gosec // constants of the template
}).ParseFS(files, "templates/*.tmpl"))

// HTML is the report as one file that needs nothing else: the pictures are inside.
func HTML(r reports.Report) ([]byte, error) {
	images, err := Charts(r)
	if err != nil {
		return nil, err
	}
	src := map[string]string{}
	for _, img := range images {
		src[img.ContentID] = "data:image/png;base64," + base64.StdEncoding.EncodeToString(img.PNG)
	}
	return page2HTML(newPage(r), src)
}

// Message is the report as a mail: HTML with pictures by Content-ID, and plain text.
func Message(r reports.Report) (Mail, error) {
	images, err := Charts(r)
	if err != nil {
		return Mail{}, err
	}
	src := map[string]string{}
	for _, img := range images {
		src[img.ContentID] = "cid:" + img.ContentID
	}
	p := newPage(r)
	html, err := page2HTML(p, src)
	if err != nil {
		return Mail{}, err
	}
	return Mail{Subject: p.Subject, HTML: string(html), Text: Text(r), Images: images}, nil
}

// Charts draws the report's charts, in its order.
func Charts(r reports.Report) ([]Image, error) {
	var out []Image
	for _, c := range r.Charts {
		png, err := chartPNG(c)
		if err != nil {
			return nil, err
		}
		out = append(out, Image{ContentID: c.ID + "." + r.Period.Label + "@kubevalue", Name: c.ID + ".png", PNG: png})
	}
	return out, nil
}

// page2HTML fills the template; src has the address of each picture by its Content-ID.
func page2HTML(p page, src map[string]string) ([]byte, error) {
	type drawn struct {
		chart
		URL           template.URL
		Width, Height int
	}
	data := struct {
		page
		Drawn [][]drawn
	}{page: p}
	for i, c := range p.Charts {
		for id, url := range src {
			if id[:len(c.ID)+1] == c.ID+"." {
				c.Src = url
			}
		}
		d := drawn{chart: c, URL: template.URL(c.Src), Width: chartWidth, Height: chartHeight} //nolint:gosec // a cid: or data: URL made here
		if i%2 == 0 {
			data.Drawn = append(data.Drawn, nil)
		}
		data.Drawn[len(data.Drawn)-1] = append(data.Drawn[len(data.Drawn)-1], d)
	}
	var out bytes.Buffer
	if err := layout.ExecuteTemplate(&out, "mail.html.tmpl", data); err != nil {
		return nil, fmt.Errorf("rendering the report: %w", err)
	}
	return out.Bytes(), nil
}
