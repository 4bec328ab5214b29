package chdb_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/schema/chdb/chdbtest"
)

// resident is the memory of a process, in MiB.
func resident(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	var kib int
	if _, err := fmt.Sscan(after, &kib); err != nil {
		t.Fatal(err)
	}
	return kib / 1024
}

// peakDuring runs f and returns by how many MiB the engine's memory rose above
// what it was before.
func peakDuring(t *testing.T, pid int, f func()) int {
	t.Helper()
	before, peak := resident(t, pid), 0
	done, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for {
			peak = max(peak, resident(t, pid))
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	f()
	close(done)
	<-watched
	return peak - before
}

func TestALargeResultTakesLittleMemory(t *testing.T) {
	engine := chdbtest.Start(t)
	for _, format := range []string{"Native", "TSV"} {
		rose := peakDuring(t, engine.PID(), func() {
			resp, err := post(t.Context(), engine.Socket(), "max_threads=2", strings.NewReader("SELECT number FROM numbers(100000000) FORMAT "+format))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			n, err := io.Copy(io.Discard, resp.Body)
			if want := int64(8e8); err != nil || n < want {
				t.Errorf("%s: got %d bytes and %v, want %d or more", format, n, err, want)
			}
		})
		t.Logf("%s: memory rose by %d MiB", format, rose)
		if rose > 128 {
			t.Errorf("%s: the engine's memory rose by %d MiB for a result of 800 MB", format, rose)
		}
	}
}

// zeros is an endless row of lines.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = "0\n"[i%2]
	}
	return len(p) &^ 1, nil
}

func TestALargeInsertTakesLittleMemory(t *testing.T) {
	engine := chdbtest.Start(t)
	db := database(t, engine.Socket())
	ask(t, engine.Socket(), "CREATE TABLE "+db+".t (n UInt8) ENGINE = MergeTree ORDER BY n")
	const rows = 20_000_000
	rose := peakDuring(t, engine.PID(), func() {
		params := "max_insert_block_size=65536&min_insert_block_size_rows=65536&query=" + url.QueryEscape("INSERT INTO "+db+".t FORMAT TSV")
		resp, err := post(t.Context(), engine.Socket(), params, io.LimitReader(zeros{}, 2*rows))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, %v", resp.Status, text, err)
		}
	})
	t.Logf("memory rose by %d MiB", rose)
	if rose > 64 {
		t.Errorf("the engine's memory rose by %d MiB for 40 MB of rows", rose)
	}
	if got := ask(t, engine.Socket(), "SELECT count() FROM "+db+".t"); got != fmt.Sprintln(rows) {
		t.Errorf("got %s rows, want %d", got, rows)
	}
}
