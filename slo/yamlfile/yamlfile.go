// Package yamlfile reads YAML (and so JSON) into plain nodes that know their line and column, with anchors, aliases and
// merge keys resolved, for readers that must say where a fault is.
package yamlfile

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Fault is something wrong at a place of a file; lines and columns count from 1.
type Fault struct {
	File         string
	Line, Column int
	Message      string
}

// Error is file:line:column: message.
func (f *Fault) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, f.Message)
}

// Kind is what a node is.
type Kind string

// The kinds.
const (
	Null   Kind = "null"
	String Kind = "string"
	Number Kind = "number"
	Bool   Kind = "boolean"
	List   Kind = "list"
	Map    Kind = "mapping"
)

// Node is one value.
type Node struct {
	File         string
	Line, Column int
	Kind         Kind
	Text         string  // of scalars, as written (strings without quotes)
	Number       float64 // of numbers
	Items        []*Node // of lists
	Fields       []Field // of mappings, in order, keys unique
	// TextLine is the file's line on which the first line of Text stands, for block scalars.
	TextLine int
}

// Field is one entry of a mapping.
type Field struct {
	Key          string
	Line, Column int
	Value        *Node
}

// Fault makes a fault at the node's place.
func (n *Node) Fault(format string, args ...any) *Fault {
	return &Fault{n.File, n.Line, n.Column, fmt.Sprintf(format, args...)}
}

// Get finds a mapping's value, nil when there is none.
func (n *Node) Get(key string) *Node {
	if n == nil {
		return nil
	}
	for _, f := range n.Fields {
		if f.Key == key {
			return f.Value
		}
	}
	return nil
}

// IsNull says whether the node is absent or null.
func (n *Node) IsNull() bool { return n == nil || n.Kind == Null }

// Parse reads all documents of a file; empty ones are left out. The error is a *Fault.
func Parse(file string, data []byte) ([]*Node, error) { return ParseWithin(file, data, 0) }

// ParseWithin is Parse for a text that stands in a file behind that many lines.
func ParseWithin(file string, data []byte, before int) (docs []*Node, err error) {
	defer func() {
		// The parser is known to panic on some malformed input.
		if r := recover(); r != nil {
			docs, err = nil, &Fault{file, 1 + before, 1, fmt.Sprintf("cannot be parsed as YAML: %v", r)}
		}
	}()
	text := strings.ReplaceAll(strings.TrimPrefix(string(data), "\ufeff"), "\r\n", "\n")
	if t := strings.TrimLeft(text, " \t\r\n"); strings.HasPrefix(t, "{") || strings.HasPrefix(t, "[") {
		text = strings.ReplaceAll(text, "\t", " ") // JSON may be indented by tabs, YAML may not
	}
	for _, chunk := range split(text) {
		chunk.offset += before
		n, err := parseDocument(file, chunk)
		if err != nil {
			return nil, err
		}
		if n.Kind != Null {
			docs = append(docs, n)
		}
	}
	return docs, nil
}

// chunk is the text of one document and the number of lines before it.
type chunk struct {
	text   string
	offset int
}

// split cuts a file at its document markers, which YAML allows nowhere else at the start of a line. (The parser itself
// drops every document after an empty one.)
func split(text string) []chunk {
	var out []chunk
	var current []string
	from := 0
	flush := func(next int) {
		if slices.ContainsFunc(current, hasContent) {
			out = append(out, chunk{strings.Join(current, "\n") + "\n", from})
		}
		current, from = nil, next
	}
	for i, line := range strings.Split(text, "\n") {
		switch {
		case line == "---" || strings.HasPrefix(line, "--- ") || strings.HasPrefix(line, "---\t"):
			flush(i)
			current = append(current, "   "+line[3:])
		case line == "...":
			flush(i + 1)
		default:
			current = append(current, line)
		}
	}
	flush(0)
	return out
}

// hasContent says whether a line is more than a comment or a directive before a document.
func hasContent(line string) bool {
	line = strings.TrimSpace(line)
	return line != "" && line[0] != '#' && line[0] != '%'
}

func parseDocument(file string, ch chunk) (*Node, error) {
	c := converter{file: file, offset: ch.offset, anchors: map[string]*Node{}}
	parsed, err := parser.ParseBytes([]byte(ch.text), 0)
	if err != nil {
		return nil, c.syntaxFault(err)
	}
	if len(parsed.Docs) == 0 || parsed.Docs[0].Body == nil {
		return &Node{File: file, Line: 1 + ch.offset, Column: 1, Kind: Null}, nil
	}
	return c.node(parsed.Docs[0].Body, 0)
}

func (c *converter) syntaxFault(err error) *Fault {
	var syntax *yaml.SyntaxError
	if errors.As(err, &syntax) && syntax.Token != nil {
		return c.at(syntax.Token).Fault("%s", syntax.Message)
	}
	return c.at(nil).Fault("%s", err)
}

type converter struct {
	file    string
	offset  int // lines before the document
	anchors map[string]*Node
}

const maxDepth = 100

func (c *converter) at(t *token.Token) *Node {
	n := &Node{File: c.file, Line: 1 + c.offset, Column: 1}
	if t != nil && t.Position != nil {
		n.Line, n.Column = t.Position.Line+c.offset, t.Position.Column
	}
	return n
}

func (c *converter) node(in ast.Node, depth int) (*Node, error) {
	if in == nil {
		n := c.at(nil)
		n.Kind = Null
		return n, nil
	}
	n := c.at(in.GetToken())
	if depth > maxDepth {
		return nil, n.Fault("nested deeper than %d levels", maxDepth)
	}
	switch v := in.(type) {
	case *ast.NullNode, *ast.CommentGroupNode, *ast.CommentNode:
		n.Kind = Null
	case *ast.BoolNode:
		n.Kind, n.Text = Bool, v.Token.Value
	case *ast.StringNode:
		n.Kind, n.Text, n.TextLine = String, v.Value, n.Line
		if v.Token.Type == token.StringType && plainNumber.MatchString(v.Value) {
			return c.number(n, in) // such as 1e-3, which the parser takes for a string
		}
	case *ast.LiteralNode:
		n.Kind, n.Text, n.TextLine = String, v.Value.Value, n.Line+1
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return c.number(n, in)
	case *ast.SequenceNode:
		n.Kind = List
		for _, item := range v.Values {
			value, err := c.node(item, depth+1)
			if err != nil {
				return nil, err
			}
			n.Items = append(n.Items, value)
		}
	case *ast.MappingNode:
		if text, ok := colonInside(v); ok {
			n.Line, n.Column = c.place(v.Values[0].Key)
			n.Kind, n.Text, n.TextLine = String, text, n.Line
			return n, nil
		}
		n.Kind = Map
		if len(v.Values) > 0 {
			n.Line, n.Column = c.place(v.Values[0].Key)
		}
		return n, c.fields(n, v.Values, depth)
	case *ast.MappingValueNode:
		n.Kind = Map
		n.Line, n.Column = c.place(v.Key)
		return n, c.fields(n, []*ast.MappingValueNode{v}, depth)
	case *ast.AnchorNode:
		value, err := c.node(v.Value, depth+1)
		if err != nil {
			return nil, err
		}
		c.anchors[v.Name.GetToken().Value] = value
		return value, nil
	case *ast.AliasNode:
		value := c.anchors[v.Value.GetToken().Value]
		if value == nil {
			return nil, n.Fault("alias *%s without an anchor before it", v.Value.GetToken().Value)
		}
		return value, nil
	case *ast.TagNode:
		return c.node(v.Value, depth+1)
	default:
		return nil, n.Fault("cannot use %s here", in.Type())
	}
	return n, nil
}

// colonInside is the text of a plain scalar with a colon in it, such as ns:pod or 2026-01-05T10:00:00Z in {a: [ns:pod]}: a colon ends a key
// only before white space, but in a list within a mapping in flow style the parser takes any for one.
func colonInside(m *ast.MappingNode) (string, bool) {
	if len(m.Values) != 1 || m.Start == nil || m.Start.Value != ":" {
		return "", false
	}
	key, colon, value := m.Values[0].Key.GetToken(), m.Start.Position, m.Values[0].Value.GetToken()
	_, scalar := m.Values[0].Value.(ast.ScalarNode)
	quoted := value.Type == token.SingleQuoteType || value.Type == token.DoubleQuoteType
	if !scalar || quoted || key.Type != token.StringType || value.Position.Line != colon.Line || value.Position.Column != colon.Column+1 {
		return "", false
	}
	return key.Value + ":" + value.Value, true
}

func (c *converter) place(n ast.Node) (line, column int) {
	at := c.at(n.GetToken())
	return at.Line, at.Column
}

var plainNumber = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)

func (c *converter) number(n *Node, in ast.Node) (*Node, error) {
	n.Kind, n.Text = Number, in.GetToken().Value
	switch v := in.(type) {
	case *ast.IntegerNode:
		switch i := v.Value.(type) {
		case int64:
			n.Number = float64(i)
		case uint64:
			n.Number = float64(i)
		}
	case *ast.FloatNode:
		n.Number = v.Value
	default:
		text := n.Text
		if _, ok := in.(*ast.StringNode); !ok {
			text = strings.ReplaceAll(text, ".", "") // .inf, -.Inf, .nan
		}
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, n.Fault("%q is not a number", n.Text)
		}
		n.Number = f
	}
	return n, nil
}

func (c *converter) fields(n *Node, values []*ast.MappingValueNode, depth int) error {
	var merged []*Node
	for _, v := range values {
		value, err := c.node(v.Value, depth+1)
		if err != nil {
			return err
		}
		line, column := c.place(v.Key)
		if _, ok := v.Value.(*ast.NullNode); ok || v.Value == nil {
			value.Line, value.Column = line, column
		}
		if v.Key.IsMergeKey() {
			merged = append(merged, value)
			continue
		}
		key, err := c.key(v.Key)
		if err != nil {
			return err
		}
		if n.Get(key) != nil {
			return &Fault{c.file, line, column, fmt.Sprintf("key %q is given twice", key)}
		}
		n.Fields = append(n.Fields, Field{key, line, column, value})
	}
	for _, m := range merged {
		if err := n.merge(m); err != nil {
			return err
		}
	}
	return nil
}

func (c *converter) key(k ast.MapKeyNode) (string, error) {
	switch v := k.(type) {
	case *ast.StringNode:
		return v.Value, nil
	case *ast.MappingKeyNode, *ast.AliasNode, *ast.AnchorNode:
		return "", c.at(k.GetToken()).Fault("only plain keys can be used")
	}
	return k.GetToken().Value, nil
}

// merge adds the fields of a merge key's value that are not there yet.
func (n *Node) merge(from *Node) error {
	switch from.Kind {
	case Map:
		for _, f := range from.Fields {
			if n.Get(f.Key) == nil {
				n.Fields = append(n.Fields, f)
			}
		}
		return nil
	case List:
		for _, item := range from.Items {
			if err := n.merge(item); err != nil {
				return err
			}
		}
		return nil
	}
	return from.Fault("a merge key needs a mapping")
}
