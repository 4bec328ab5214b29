package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "renew golden files; make generate")

// TestBadConfigurations runs every file of the corpus; beside each stands the exact text that the faults must have.
func TestBadConfigurations(t *testing.T) {
	files, err := filepath.Glob("testdata/config/*.bad.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := loadConfig(file)
			if err == nil {
				t.Fatal("the configuration was accepted")
			}
			got := strings.ReplaceAll(err.Error(), "testdata/config/", "") + "\n"
			golden(t, strings.TrimSuffix(file, ".yaml")+".txt", got)
		})
	}
}

// golden compares with a file, or renews it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; make generate writes it", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); if the change is meant, run make generate:\n%s", file, diff)
	}
}

func TestExampleConfigurationIsValid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kubevalue.yaml")
	if err := os.WriteFile(path, []byte(exampleConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := loadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Roster) != 2 || cfg.Roster[1].Voluntary == nil || *cfg.Roster[1].Voluntary {
		t.Errorf("roster %+v", cfg.Roster)
	}
	if got := cfg.path("data/x"); got != filepath.Join(filepath.Dir(path), "data/x") {
		t.Errorf("relative path became %s", got)
	}
}

func TestVariablesAreReplacedInValuesOnly(t *testing.T) {
	t.Setenv("KV_TEST_NAME", "Example: #1")
	path := filepath.Join(t.TempDir(), "kubevalue.yaml")
	text := "organisation: {name: \"${KV_TEST_NAME}\"}\nidentity: {same: {\"${KV_TEST_NAME}\": ann}}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := loadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Organisation.Name != "Example: #1" {
		t.Errorf("name %q: a variable's value must not be read as YAML", cfg.Organisation.Name)
	}
	if cfg.Identity.Same["${KV_TEST_NAME}"] != "ann" {
		t.Errorf("keys must be left alone, got %v", cfg.Identity.Same)
	}
}

// The file to check may be named as an argument, by --config, or not at all.
func TestCheckFindsItsFile(t *testing.T) {
	t.Setenv(configEnv, "")
	file := filepath.Join(t.TempDir(), "kubevalue.yaml")
	if err := os.WriteFile(file, []byte("objectives: {openslo: [none.yaml]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"an argument":   {[]string{file}, 1, "faults in " + file},
		"a flag":        {[]string{"-c", file}, 1, "faults in " + file},
		"both the same": {[]string{file, "-c", file}, 1, "faults in " + file},
		"two files":     {[]string{file, "-c", "other.yaml"}, 2, "wants one FILE"},
		"no file":       {nil, 1, "there is no configuration at kubevalue.yaml"},
	} {
		code, stdout, stderr := program(t, append([]string{"check"}, c.args...)...)
		if code != c.code || !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("%s: exit code %d\n%s%s\nwant %d and %q", name, code, stdout, stderr, c.code, c.want)
		}
	}
}
