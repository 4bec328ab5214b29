package main

import (
	"encoding"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Fault is one thing that is wrong in a configuration file.
type Fault struct {
	File         string
	Line, Column int // from 1; 0: the file as a whole
	Message      string
}

func (f Fault) String() string {
	if f.Line == 0 {
		return fmt.Sprintf("%s: %s", f.File, f.Message)
	}
	return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, f.Message)
}

// Faults is an error that lists all that is wrong, in the order of the file.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}

// yamlFile is a parsed configuration file that remembers where everything stands.
type yamlFile struct {
	name   string
	root   ast.Node
	faults Faults
	// where maps the path of each value ("probes[0].url") to its node.
	where map[string]ast.Node
	env   func(string) (string, bool)
}

// decodeFile decodes YAML into target strictly: unknown keys, wrong types, duplicate keys and unset variables are all collected
// before the first is reported. Variables are replaced in values only, never in keys.
func decodeFile(name string, data []byte, target any) *yamlFile {
	f := &yamlFile{name: name, where: map[string]ast.Node{}, env: os.LookupEnv}
	parsed, err := parser.ParseBytes(data, 0)
	if err != nil {
		f.syntax(err)
		return f
	}
	switch len(parsed.Docs) {
	case 0:
	case 1:
		f.root = parsed.Docs[0].Body
	default:
		f.add(parsed.Docs[1].Body, "a second document; the configuration is one YAML document: remove the line ---")
		return f
	}
	if f.root == nil {
		f.faults = append(f.faults, Fault{File: name, Message: "the file is empty; start from `kubevalue check --example`"})
		return f
	}
	f.decode(f.root, reflect.ValueOf(target).Elem(), "")
	return f
}

func (f *yamlFile) syntax(err error) {
	fault := Fault{File: f.name, Message: err.Error()}
	var se *yaml.SyntaxError
	if asError(err, &se) && se.Token != nil && se.Token.Position != nil {
		fault.Line, fault.Column, fault.Message = se.Token.Position.Line, se.Token.Position.Column, se.Message+": "+remedy(se.Message)
	}
	f.faults = append(f.faults, fault)
}

func (f *yamlFile) add(n ast.Node, format string, args ...any) {
	f.faults = append(f.faults, f.placed(n, format, args...))
}

// placed is a fault where a node stands.
func (f *yamlFile) placed(n ast.Node, format string, args ...any) Fault {
	fault := Fault{File: f.name, Message: fmt.Sprintf(format, args...)}
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key // the token of a block mapping is its first colon
	}
	if n != nil && n.GetToken() != nil && n.GetToken().Position != nil {
		p := n.GetToken().Position
		fault.Line, fault.Column = p.Line, p.Column
	}
	return fault
}

// At adds a fault at the value of a path, or at the nearest parent that the file has.
func (f *yamlFile) At(path, format string, args ...any) {
	f.faults = append(f.faults, f.fault(path, format, args...))
}

// fault is one at the value of a path, or at the nearest parent that the file has.
func (f *yamlFile) fault(path, format string, args ...any) Fault {
	message := fmt.Sprintf("%s: %s", path, fmt.Sprintf(format, args...))
	for p := path; ; p = parentPath(p) {
		if n, ok := f.where[p]; ok {
			return f.placed(n, "%s", message)
		}
		if p == "" {
			return f.placed(f.root, "%s", message)
		}
	}
}

func parentPath(p string) string {
	if i := strings.LastIndexAny(p, ".["); i >= 0 {
		return p[:i]
	}
	return ""
}

// Err is the list of faults in the order of the file, or nil.
func (f *yamlFile) Err() error {
	if len(f.faults) == 0 {
		return nil
	}
	sort.SliceStable(f.faults, func(i, j int) bool {
		a, b := f.faults[i], f.faults[j]
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Column < b.Column
	})
	return f.faults
}

func (f *yamlFile) decode(n ast.Node, v reflect.Value, path string) {
	if _, ok := f.where[path]; !ok {
		f.where[path] = n
	}
	switch t := n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		f.add(n, "%s: anchors and aliases are not supported in the configuration; write the value out", path)
		return
	case *ast.TagNode:
		f.decode(t.Value, v, path)
		return
	case *ast.NullNode:
		return
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if s, ok := f.scalar(n, path); ok {
			if err := u.UnmarshalText([]byte(s)); err != nil {
				f.add(n, "%s: %v", path, err)
			}
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.decode(n, v.Elem(), path)
	case reflect.Struct:
		f.decodeStruct(n, v, path)
	case reflect.Map:
		f.decodeMap(n, v, path)
	case reflect.Slice:
		f.decodeSlice(n, v, path)
	default:
		f.decodeScalar(n, v, path)
	}
}

func mappingValues(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch t := n.(type) {
	case *ast.MappingNode:
		return t.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{t}, true
	}
	return nil, false
}

func (f *yamlFile) decodeStruct(n ast.Node, v reflect.Value, path string) {
	values, ok := mappingValues(n)
	if !ok {
		f.add(n, "%s: a mapping is wanted here (keys: %s)", orRoot(path), strings.Join(structKeys(v.Type()), ", "))
		return
	}
	seen := map[string]bool{}
	for _, kv := range values {
		key := kv.Key.String()
		if seen[key] {
			f.add(kv.Key, "%s: the key stands here twice", joinPath(path, key))
			continue
		}
		seen[key] = true
		field, ok := fieldByKey(v, key)
		if !ok {
			f.add(kv.Key, "%s: unknown key%s", joinPath(path, key), suggestion(key, structKeys(v.Type())))
			continue
		}
		f.decode(kv.Value, field, joinPath(path, key))
	}
}

func (f *yamlFile) decodeMap(n ast.Node, v reflect.Value, path string) {
	values, ok := mappingValues(n)
	if !ok {
		f.add(n, "%s: a mapping of names to values is wanted here", orRoot(path))
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, kv := range values {
		key := strings.Trim(kv.Key.String(), `"'`)
		elem := reflect.New(v.Type().Elem()).Elem()
		f.decode(kv.Value, elem, joinPath(path, key))
		v.SetMapIndex(reflect.ValueOf(key), elem)
	}
}

func (f *yamlFile) decodeSlice(n ast.Node, v reflect.Value, path string) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		f.add(n, "%s: a list is wanted here; start each entry with a dash", orRoot(path))
		return
	}
	out := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
	for i, item := range seq.Values {
		f.decode(item, out.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
	v.Set(out)
}

var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// scalar is the text of a scalar with its variables replaced.
func (f *yamlFile) scalar(n ast.Node, path string) (string, bool) {
	s, ok := n.(ast.ScalarNode)
	if !ok {
		f.add(n, "%s: a single value is wanted here", orRoot(path))
		return "", false
	}
	text := n.GetToken().Value
	if l, ok := n.(*ast.LiteralNode); ok {
		text = l.Value.Value
	} else if str, ok := s.(*ast.StringNode); ok {
		text = str.Value
	}
	return f.expand(n, text, path)
}

func (f *yamlFile) expand(n ast.Node, text, path string) (string, bool) {
	ok := true
	text = variable.ReplaceAllStringFunc(text, func(m string) string {
		name := variable.FindStringSubmatch(m)[1]
		value, set := f.env(name)
		if !set {
			f.add(n, "%s: the environment variable %s is not set", path, name)
			ok = false
		}
		return value
	})
	return text, ok
}

func (f *yamlFile) decodeScalar(n ast.Node, v reflect.Value, path string) {
	text, ok := f.scalar(n, path)
	if !ok {
		return
	}
	if v.Kind() == reflect.String {
		v.SetString(text)
		return
	}
	if err := yaml.Unmarshal([]byte(text), v.Addr().Interface()); err != nil {
		f.add(n, "%s: %q is not %s", path, text, kindName(v.Kind()))
	}
}

func kindName(k reflect.Kind) string {
	switch k {
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "a number"
	default:
		return "a whole number"
	}
}

func orRoot(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}

func joinPath(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func structKeys(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		if key, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); key != "" && key != "-" {
			keys = append(keys, key)
		}
	}
	return keys
}

func fieldByKey(v reflect.Value, key string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if k, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ","); k == key && k != "-" {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// suggestion names the known key that is nearest to a mistyped one, or lists them all.
func suggestion(key string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		if d := editDistance(key, k); d < distance {
			best, distance = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	known = slices.Clone(known)
	slices.Sort(known)
	return "; known here: " + strings.Join(known, ", ")
}

// editDistance is the Levenshtein distance of two short strings.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		previous := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := previous
			if a[i-1] != b[j-1] {
				cost = 1 + min(previous, row[j], row[j-1])
			}
			previous, row[j] = row[j], cost
		}
	}
	return row[len(b)]
}

// addAll adds an error at a path: the faults that it consists of with their own places, or the whole.
func (f *yamlFile) addAll(path string, err error) {
	var faults Faults
	if asError(err, &faults) {
		f.faults = append(f.faults, faults...)
		return
	}
	f.At(path, "%v", err)
}

// each takes a joined error apart.
func each(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // only the outermost join is taken apart
		return joined.Unwrap()
	}
	return []error{err}
}

func indexed(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
