//go:build e2e

package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kubevalue/kubevalue/slo/freeport"
)

// TestE2EDemo starts the simulated organisation as a newcomer does, looks at every page, and waits for what happens in the next minute.
func TestE2EDemo(t *testing.T) {
	t.Parallel()
	dir, base := t.TempDir(), fmt.Sprintf("127.0.0.1:%d", freeport.Get(t))
	p := start(t, kubevalueBinary(t), "demo", "--weeks", "4", "--seed", "5", "--dir", dir, "--listen", base)
	said := ""
	for !strings.Contains(said, "Ready after") {
		line, err := p.lines.ReadString('\n')
		if err != nil {
			t.Fatalf("the demo ended after %q: %v", said, err)
		}
		said += line
	}
	page := func(path string) string {
		resp, err := http.Get("http://" + base + path)
		must(t, "open "+path, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		must(t, "read "+path, err)
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s answered %s", path, resp.Status)
		}
		return string(body)
	}
	for path, want := range map[string]string{
		"/": "At a glance", "/metric/C15": "By cluster", "/metric/O2?by=team": "By team", "/objectives": "alert firing: page", "/objectives/ap-south-prod-b": "Old API server overloaded",
		"/objectives/ap-south-production": "any down of 2 indicators", "/objectives/production": "weighted of 6 indicators", "/adoption": "edge", "/fleet": "12 clusters in 3 regions; all of them report.",
	} {
		if body := page(path); !strings.Contains(body, want) {
			t.Errorf("%s lacks %q", path, want)
		}
	}
	value := kubevalue(t, "slo", "value", "-c", filepath.Join(dir, "kubevalue.yaml"))
	if !regexp.MustCompile(`(?m)^production +production +99\.5% +EUR +[0-9]`).MatchString(value) || !strings.Contains(value, "without a price, and not guessed: clusters") {
		t.Errorf("kubevalue slo value says\n%s", value)
	}
	for _, audience := range []string{"managers", "consumers"} {
		files, err := filepath.Glob(filepath.Join(dir, "reports", "weekly-"+audience+"-*.html"))
		if err != nil || len(files) != 1 || !strings.Contains(said, files[0]) {
			t.Fatalf("reports for %s: %v %v, and it says %s", audience, files, err, said)
		}
		report, err := os.ReadFile(files[0])
		must(t, "read the report", err)
		if strings.Contains(string(report), "@example.com") {
			t.Errorf("the report for %s names people", audience)
		}
	}
	told := regexp.MustCompile(`(?m)^kubevalue_pipeline_received_records_total\{kind="change"\} (\S+)$`)
	before := told.FindString(page("/metrics"))
	if before == "" {
		t.Fatal("/metrics does not say how many changes in clusters were received")
	}
	eventually(t, "the organisation works on", func() error {
		if told.FindString(page("/metrics")) == before {
			return fmt.Errorf("nothing more than %q was received", before)
		}
		return nil
	})
}
