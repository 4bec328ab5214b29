//go:build bench

package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/kubevalue/kubevalue/collectors/scrape/scrapebench"
)

// TestBenchScrape compares reading the metrics page of a real kube-apiserver with expfmt's parser.
func TestBenchScrape(t *testing.T) {
	page := apiserverPage(t)
	ours, plain, err := scrapebench.Compare(page, 5)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("a page of %d bytes", len(page))
	measure("scrape_parse_vs_expfmt", "bytes/s", ours, plain)
}

// apiserverPage starts a control plane, which is built when it is missing, and gets its API server's metrics.
func apiserverPage(t *testing.T) []byte {
	t.Helper()
	build := exec.CommandContext(t.Context(), "go", "run", ".", "build")
	build.Dir, build.Stderr = filepath.Join("..", "..", "collectors", "kube", "kubetest"), os.Stderr
	out, err := build.Output()
	if err != nil {
		t.Fatalf("build the control plane: %v", err)
	}
	var built struct{ Kubetest string }
	if err := json.Unmarshal(out, &built); err != nil {
		t.Fatal(err)
	}
	up := exec.CommandContext(t.Context(), built.Kubetest, "up", "--dir", filepath.Join(t.TempDir(), "controlplane"))
	stdin, err := up.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := up.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = stdin.Close() // ends it
		_ = up.Wait()
	}()
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	var info struct {
		Server string
		CAFile string `json:"ca_file"`
		Admin  struct{ Token string }
	}
	if err == nil {
		err = json.Unmarshal(line, &info)
	}
	if err != nil {
		t.Fatalf("kubetest printed %q: %v", line, err)
	}
	ca, err := os.ReadFile(info.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, info.Server+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+info.Admin.Token)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v", resp.Status, err)
	}
	return page
}
