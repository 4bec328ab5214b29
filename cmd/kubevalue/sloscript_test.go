package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestADashIsStandardInput(t *testing.T) {
	for name, c := range map[string]struct {
		cmd  *cobra.Command
		args []string
		text string
		want string
	}{
		"tests of objectives": {sloTestCommand(), []string{"--pure", "-"}, "tests:\n  - name: x\n    objectiv: {}\n", "stdin:3:5: "},
		"OpenSLO documents":   {openSLOCheckCommand(), []string{"-"}, "apiVersion: openslo/v1\nkind: Service\nmetadata: {name: shop}\nspec: {}\n", "1 services, "},
	} {
		var out strings.Builder
		c.cmd.SetIn(strings.NewReader(c.text))
		c.cmd.SetOut(&out)
		c.cmd.SetArgs(c.args)
		_ = c.cmd.ExecuteContext(t.Context())
		if !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: no %q in\n%s", name, c.want, out.String())
		}
	}
}

// A file that cannot be read, or is malformed, is told and keeps no other file's tests from running.
func TestSLOTestRunsWhatItCan(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const test = `tests:
  - name: one
    objective: {name: o, target: 0.9, window: 1h, method: occurrences}
    start: 2026-03-01T00:00:00Z
    slice: 5m
    slices: "9/10*12"
    expect: [{sli: SLI}]
`
	good, bad := write("good.yaml", strings.Replace(test, "SLI", "0.9", 1)), write("bad.yaml", strings.Replace(test, "SLI", "1", 1))
	malformed := write("malformed.yaml", "tests: [{nam: x}]\n")
	for name, c := range map[string]struct {
		files          []string
		code           int
		stdout, stderr string
	}{
		"all pass":         {[]string{good, good}, 0, "2 passed, 0 failed\n", ""},
		"one fails":        {[]string{good, bad}, 1, "sli: want 1, got 0.9 (by slices)", ""},
		"one is malformed": {[]string{malformed, bad}, 2, "0 passed, 1 failed, 1 malformed files\n", ""},
		"one is missing":   {[]string{filepath.Join(dir, "none.yaml"), good}, 2, "1 passed, 0 failed\n", "none.yaml: no such file"},
		"a directory":      {[]string{dir, bad}, 2, "0 passed, 1 failed\n", "is a directory: name files with tests"},
		"no file":          {nil, 2, "", "wants the FILEs to run"},
	} {
		code, stdout, stderr := program(t, append([]string{"slo", "test", "--pure"}, c.files...)...)
		if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) {
			t.Errorf("%s: exit code %d\n%s%s\nwant %d, %q and %q", name, code, stdout, stderr, c.code, c.stdout, c.stderr)
		}
	}
}
