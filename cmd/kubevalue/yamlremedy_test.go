package main

import (
	"strings"
	"testing"
)

func TestMalformedYAMLSaysWhatWouldBeRight(t *testing.T) {
	for text, right := range map[string]string{
		"a: \"x\n":         `end the text with "`,
		"a: 'x\n":          "end the text with '",
		"a: \"\\q\"\n":     "use single quotes",
		"a:\n\tb: 1\n":     "indent with spaces",
		"a: b: c\n":        "a value with a colon in quotes",
		"a: 1\n b: 2\n":    "keys of one mapping in the same column",
		"a: [1, 2\n":       "end the list with ]",
		"a: {b: 1\n":       "end the mapping with }",
		"a: ]\n":           "remove the closing bracket",
		"a: @x\n":          "put the value in quotes",
		"a: %x\n":          "in quotes",
		"a\nb: 1\n":        "write key: value",
		"a: 1\n- b\n":      "write key: value",
		"a:\n  - b\n c: 1": "indent it as its neighbours",
	} {
		f := decodeFile("x.yaml", []byte(text), &struct{}{})
		if len(f.faults) != 1 || f.faults[0].Line == 0 || !strings.Contains(f.faults[0].Message, right) {
			t.Errorf("%q: %v, want %q", text, f.faults, right)
		}
	}
}
