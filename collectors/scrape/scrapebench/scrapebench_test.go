package scrapebench

import (
	"fmt"
	"strings"
	"testing"
)

// TestBothSidesReadAPage keeps the measure honest: both read every series of a page.
func TestBothSidesReadAPage(t *testing.T) {
	var b strings.Builder
	b.WriteString("# HELP apiserver_request_total Counter of requests.\n# TYPE apiserver_request_total counter\n")
	for i := range 2000 {
		fmt.Fprintf(&b, "apiserver_request_total{code=\"200\",component=\"apiserver\",group=\"apps\",resource=\"r%d\",scope=\"resource\",verb=\"GET\",version=\"v1\"} %d\n", i, i)
	}
	ours, plain, err := Compare([]byte(b.String()), 1)
	if err != nil || ours <= 0 || plain <= 0 {
		t.Fatalf("%v and %v bytes/s, %v", ours, plain, err)
	}
	t.Logf("%.0f and %.0f MB/s: %.1f times as fast", ours/1e6, plain/1e6, ours/plain)
	if _, _, err := Compare([]byte("<html>"), 1); err == nil {
		t.Error("HTML was measured")
	}
}
