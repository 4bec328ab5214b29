package yamlfile

import (
	"fmt"
	"strings"
	"testing"
)

func dump(n *Node) string {
	switch n.Kind {
	case List:
		parts := []string{}
		for _, i := range n.Items {
			parts = append(parts, dump(i))
		}
		return fmt.Sprintf("[%s]", strings.Join(parts, " "))
	case Map:
		parts := []string{}
		for _, f := range n.Fields {
			parts = append(parts, fmt.Sprintf("%s@%d:%d=%s", f.Key, f.Line, f.Column, dump(f.Value)))
		}
		return fmt.Sprintf("{%s}", strings.Join(parts, " "))
	case Number:
		return fmt.Sprintf("%v@%d:%d", n.Number, n.Line, n.Column)
	case Null:
		return fmt.Sprintf("null@%d:%d", n.Line, n.Column)
	}
	return fmt.Sprintf("%s(%q)@%d:%d", n.Kind[:1], n.Text, n.Line, n.Column)
}

func TestParseKnowsKindsAndPlaces(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"scalars":     {"a: 1\nb: 0.5\nc: 1h\nd: null\ne:\nf: true\ng: 2026-03-01T00:00:00Z\nh: 1e-3\ni: .nan\n", `{a@1:1=1@1:4 b@2:1=0.5@2:4 c@3:1=s("1h")@3:4 d@4:1=null@4:1 e@5:1=null@5:1 f@6:1=b("true")@6:4 g@7:1=s("2026-03-01T00:00:00Z")@7:4 h@8:1=0.001@8:4 i@9:1=NaN@9:4}`},
		"flow":        {"x: {5m: 1, at: \"1h\"}\ny: [a, 2]\n", `{x@1:1={5m@1:5=1@1:9 at@1:12=s("1h")@1:16} y@2:1=[s("a")@2:5 2@2:8]}`},
		"nested":      {"tests:\n  - name: a b\n    slices: \"1/2*3 _\"\n", `{tests@1:1=[{name@2:5=s("a b")@2:11 slices@3:5=s("1/2*3 _")@3:13}]}`},
		"merge":       {"base: &b {x: 1, y: 2}\nz:\n  <<: *b\n  y: 3\nw: *b\n", `{base@1:1={x@1:11=1@1:14 y@1:17=2@1:20} z@2:1={y@4:3=3@4:6 x@1:11=1@1:14} w@5:1={x@1:11=1@1:14 y@1:17=2@1:20}}`},
		"JSON":        {"{\n\t\"a\": [1, null],\n\t\"b\": {\"c\": \"d\"}\n}", `{a@2:2=[1@2:8 null@2:11] b@3:2={c@3:8=s("d")@3:13}}`},
		"CRLF":        {"a: 'one\r\n  two\r\n\r\n  three'\r\nb: |\r\n  x\r\n  y\r\n---\r\n...\r\n", `{a@1:1=s("one two\nthree")@1:4 b@5:1=s("x\ny\n")@5:4}`},
		"number keys": {"1: a\n2.5: b\n", `{1@1:1=s("a")@1:4 2.5@2:1=s("b")@2:6}`},
	} {
		t.Run(name, func(t *testing.T) {
			docs, err := Parse("f", []byte(c.in))
			if err != nil || len(docs) != 1 {
				t.Fatalf("%d documents, %v", len(docs), err)
			}
			if got := dump(docs[0]); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestParseReadsManyDocumentsAndBlocks(t *testing.T) {
	docs, err := Parse("f", []byte("# only a comment\n---\na: |\n  x: 1\n  y: 2\nb: >\n  one\n  two\n---\n\n---\n[1]\n"))
	if err != nil || len(docs) != 2 {
		t.Fatalf("%d documents, %v", len(docs), err)
	}
	a, b := docs[0].Get("a"), docs[0].Get("b")
	if a.Text != "x: 1\ny: 2\n" || a.TextLine != 4 || b.Text != "one two\n" {
		t.Errorf("a %q at line %d, b %q", a.Text, a.TextLine, b.Text)
	}
	if got := docs[1].Items[0]; got.Number != 1 || got.Line != 12 {
		t.Errorf("second document: %s", dump(docs[1]))
	}
}

func TestParseSaysWhereAFaultIs(t *testing.T) {
	for in, want := range map[string]string{
		"a: [1, 2\nb: 3\n":               "f:2:1: ",
		"x: 1\n---\n\n---\na: 1\na: 2\n": "f:6:1: ",
		"a: 1\na: 2\n":                   "f:2:1: ",
		"a: *nothing\n":                  "f:1:4: ",
		"a: b: c\n":                      "f:1:",
		"a: \"open\n":                    "f:1:4: ",
		"x: {a: 1, a: 2}\n":              "f:1:11: ",
		"a: &x [*x]\n":                   "f:1:",
		strings.Repeat("[", 300):         "f:1:",
	} {
		_, err := Parse("f", []byte(in))
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s…", in, err, want)
		}
	}
}

// A colon that no white space follows is a part of a plain scalar, in flow style, too.
func TestColonsInside(t *testing.T) {
	for in, want := range map[string]string{
		"{r: [a:b, c]}":                           "a:b",
		"{r: [[2026-01-05T10:00:00Z, 1]]}":        "2026-01-05T10:00:00Z",
		"- {r: [system:serviceaccount:ns:robot]}": "system:serviceaccount:ns:robot",
		"{r: [a:1]}":                              "a:1",
		"{r: [a: b]}":                             "",
		`{r: ["a":b]}`:                            "",
		"{r: [{a: b}]}":                           "",
	} {
		docs, err := Parse("f", []byte(in))
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		n := docs[0]
		for n.Kind == List && len(n.Items) > 0 || n.Kind == Map && n.Get("r") != nil {
			if n.Kind == List {
				n = n.Items[0]
			} else {
				n = n.Get("r")
			}
		}
		if want == "" && n.Kind != Map || want != "" && (n.Kind != String || n.Text != want) {
			t.Errorf("%s: a %s %q, want %q", in, n.Kind, n.Text, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("a: &x {b: [1, *x]}\n"))
	f.Add([]byte("{\"a\":\t1}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, err := Parse("f", data)
		if err != nil {
			return
		}
		for _, d := range docs {
			if d.Kind == Null {
				t.Error("an empty document is left out")
			}
		}
	})
}
