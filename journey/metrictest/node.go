package metrictest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Fault is something wrong with the form of a file; lines and columns count from 1.
type Fault struct {
	File         string
	Line, Column int
	Message      string
}

// Error is file:line:column: message.
func (f *Fault) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, f.Message)
}

// kind is what a node is.
type kind string

const (
	isNull    kind = "null"
	isText    kind = "text"
	isNumber  kind = "number"
	isBool    kind = "boolean"
	isList    kind = "list"
	isMapping kind = "mapping"
)

// node is one value of a file, with its place; anchors, aliases and merge keys are resolved.
type node struct {
	file         string
	line, column int
	kind         kind
	text         string // of scalars, as written
	number       float64
	items        []*node
	fields       []field
}

type field struct {
	key  string
	at   *node // where the key stands
	node *node
}

func (n *node) fault(format string, args ...any) *Fault {
	return &Fault{n.file, n.line, n.column, fmt.Sprintf(format, args...)}
}

// get finds a mapping's value; nil: there is none, or it is null.
func (n *node) get(key string) *node {
	for _, f := range n.fields {
		if f.key == key && f.node.kind != isNull {
			return f.node
		}
	}
	return nil
}

// value is the node as plain data: nil, string, float64, bool, []any, map[string]any.
func (n *node) value() any {
	switch n.kind {
	case isNull:
		return nil
	case isNumber:
		return n.number
	case isBool:
		return strings.EqualFold(n.text, "true")
	case isList:
		items := make([]any, len(n.items))
		for i, item := range n.items {
			items[i] = item.value()
		}
		return items
	case isMapping:
		fields := make(map[string]any, len(n.fields))
		for _, f := range n.fields {
			fields[f.key] = f.node.value()
		}
		return fields
	}
	return n.text
}

// parse reads the documents of a file; empty ones are left out.
func parse(file string, data []byte) (docs []*node, err error) {
	defer func() {
		// The parser is known to panic on some malformed input.
		if r := recover(); r != nil {
			docs, err = nil, &Fault{file, 1, 1, fmt.Sprintf("cannot be parsed as YAML: %v", r)}
		}
	}()
	tree, err := parser.ParseBytes(data, 0)
	if err != nil {
		var at yaml.Error
		if errors.As(err, &at) && at.GetToken() != nil {
			position := at.GetToken().Position
			return nil, &Fault{file, position.Line, position.Column, at.GetMessage()}
		}
		return nil, &Fault{file, 1, 1, err.Error()}
	}
	for _, doc := range tree.Docs {
		if doc.Body == nil {
			continue
		}
		c := converter{file: file, anchors: map[string]*node{}}
		n, err := c.convert(doc.Body)
		if err != nil {
			return nil, err
		}
		if n.kind != isNull {
			docs = append(docs, n)
		}
	}
	return docs, nil
}

// converter turns syntax into nodes.
type converter struct {
	file    string
	anchors map[string]*node
	depth   int
}

// maxDepth of nesting is far beyond any sensible file.
const maxDepth = 64

func (c *converter) at(t *token.Token, k kind, text string) *node {
	return &node{file: c.file, line: t.Position.Line, column: t.Position.Column, kind: k, text: text}
}

func (c *converter) convert(syntax ast.Node) (*node, error) {
	if c.depth++; c.depth > maxDepth {
		return nil, c.at(syntax.GetToken(), isNull, "").fault("nested more than %d deep", maxDepth)
	}
	defer func() { c.depth-- }()
	t := syntax.GetToken()
	switch s := syntax.(type) {
	case *ast.NullNode:
		return c.at(t, isNull, ""), nil
	case *ast.BoolNode:
		return c.at(t, isBool, t.Value), nil
	case *ast.LiteralNode:
		return c.at(t, isText, s.Value.Value), nil
	case *ast.StringNode:
		n := c.at(t, isText, s.Value)
		if number, err := strconv.ParseFloat(s.Value, 64); err == nil && t.Type == token.StringType && startsLikeNumber(s.Value) {
			n.kind, n.number = isNumber, number // the scanner takes 1e3 for a text
		}
		return n, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return c.number(syntax)
	case *ast.AnchorNode:
		n, err := c.convert(s.Value)
		if err == nil {
			c.anchors[s.Name.GetToken().Value] = n
		}
		return n, err
	case *ast.AliasNode:
		name := s.Value.GetToken().Value
		if n := c.anchors[name]; n != nil {
			return n, nil
		}
		return nil, c.at(t, isNull, "").fault("alias *%s has no anchor before it", name)
	case *ast.SequenceNode:
		return c.list(s)
	case *ast.MappingNode:
		return c.mapping(t, s.Values)
	case *ast.MappingValueNode:
		return c.mapping(t, []*ast.MappingValueNode{s})
	}
	return nil, c.at(t, isNull, "").fault("%s is not supported here", strings.ToLower(syntax.Type().String()))
}

func startsLikeNumber(s string) bool {
	return strings.ContainsAny(s[:1], "0123456789-+.") && !strings.ContainsAny(s, "xX_")
}

func (c *converter) number(syntax ast.Node) (*node, error) {
	n := c.at(syntax.GetToken(), isNumber, syntax.GetToken().Value)
	switch s := syntax.(type) {
	case *ast.IntegerNode:
		switch v := s.Value.(type) {
		case int64:
			n.number = float64(v)
		case uint64:
			n.number = float64(v)
		}
	case *ast.FloatNode:
		n.number = s.Value
	default:
		return nil, n.fault("%s is no finite number", n.text)
	}
	return n, nil
}

func (c *converter) list(s *ast.SequenceNode) (*node, error) {
	n := c.at(s.GetToken(), isList, "")
	for _, value := range s.Values {
		item, err := c.convert(value)
		if err != nil {
			return nil, err
		}
		n.items = append(n.items, item)
	}
	return n, nil
}

// mapping resolves merge keys: what the mapping says itself wins over what it merges in.
func (c *converter) mapping(t *token.Token, values []*ast.MappingValueNode) (*node, error) {
	n := c.at(t, isMapping, "")
	if len(values) > 0 {
		first := values[0].Key.GetToken().Position
		n.line, n.column = first.Line, first.Column
	}
	var merged []*node
	for _, v := range values {
		value, err := c.convert(v.Value)
		if err != nil {
			return nil, err
		}
		key := c.at(v.Key.GetToken(), isText, v.Key.GetToken().Value)
		if _, ok := v.Key.(*ast.MergeKeyNode); ok {
			merged = append(merged, value)
			continue
		}
		n.fields = append(n.fields, field{key.text, key, value})
	}
	for _, m := range merged {
		sources := []*node{m}
		if m.kind == isList {
			sources = m.items
		}
		for _, source := range sources {
			for _, f := range source.fields {
				if !n.has(f.key) {
					n.fields = append(n.fields, f)
				}
			}
		}
	}
	return n, nil
}

func (n *node) has(key string) bool {
	for _, f := range n.fields {
		if f.key == key {
			return true
		}
	}
	return false
}
