package main

import (
	"io"
	"os"
)

// standardInput is what stands for it among the names of files.
const standardInput = "-"

// readInput reads a file, or standard input, and returns how to call it in messages.
func readInput(stdin io.Reader, name string) (shown string, text []byte, err error) {
	if name == standardInput {
		text, err = io.ReadAll(stdin)
		return "stdin", text, err
	}
	text, err = os.ReadFile(name)
	return name, text, err
}
