package openslo

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// findingCall finds rule and text of a finding; a text has a space or a verb.
var (
	findingCall = regexp.MustCompile(`\b(?:refuse|warn)\(.*?"([a-z]+(?:-[a-z]+)*)",\s*"([^"]*[ %][^"]*)"`)
	verb        = regexp.MustCompile(`%.|\\.`)
)

// Each refusal and each warning of the code is in the expected output of some document, by its rule and the longest part of its text.
func TestEveryRuleHasADocument(t *testing.T) {
	var outputs strings.Builder
	for _, pattern := range []string{"testdata/good/*.out", "testdata/bad/*.out"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("no files for %s: %v", pattern, err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			outputs.Write(text)
		}
	}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(outputs.String(), "\n")
	found := 0
	for _, name := range sources {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range findingCall.FindAllStringSubmatch(string(text), -1) {
			found++
			rule, message := "["+m[1]+"]", ""
			for _, part := range verb.Split(m[2], -1) {
				if len(part) > len(message) {
					message = part
				}
			}
			seen := false
			for _, line := range lines {
				seen = seen || strings.HasSuffix(line, rule) && strings.Contains(line, message)
			}
			if !seen {
				t.Errorf("%s: no document shows %q %s", name, message, rule)
			}
		}
	}
	if found < 60 {
		t.Errorf("only %d findings in the code: is the pattern still right?", found)
	}
}
