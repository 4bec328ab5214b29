package main

import "strings"

// remedies say what would be right in place of what the YAML parser refuses, by a part of its message; the first that fits counts.
var remedies = []struct{ message, right string }{
	{"double-quoted", `end the text with " on the same line, and write \" for a quote inside of it`},
	{"single-quoted", "end the text with ' on the same line, and write '' for a quote inside of it"},
	{"unknown escape", `in double quotes write \\ for a backslash, or use single quotes`},
	{`\t`, "indent with spaces: YAML takes no tabs"},
	{"reserved character", "put the value in quotes"},
	{"already defined", "give the mapping one of the two, with the values of both"},
	{"directive", "put a value that begins with % in quotes"},
	{"end token ']'", "end the list with ]"},
	{"end token '}'", "end the mapping with }"},
	{"',' or", "separate entries by commas, and close the bracket"},
	{"corresponding to", "remove the closing bracket, or open it before"},
	{"mapping value is not allowed", "write one key: value on each line, keys of one mapping in the same column, and a value with a colon in quotes"},
	{"non-map value", "write key: value, or indent the line so that it belongs to the one above"},
	{"unexpected key name", "write key: value"},
	{"not allowed in this context", "indent it as its neighbours, entries of a list with -"},
}

// remedy is what would be right where the parser says what is wrong.
func remedy(message string) string {
	message = strings.ReplaceAll(message, "\t", "\\t")
	for _, r := range remedies {
		if strings.Contains(message, r.message) {
			return r.right
		}
	}
	return "write key: value on lines of their own, indented with spaces; `kubevalue check --example` shows the form"
}
