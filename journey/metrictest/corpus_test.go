package metrictest_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubevalue/kubevalue/journey/metrictest"
)

func TestCorpus(t *testing.T) {
	files, err := filepath.Glob("../testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	exit, err := newRunner(t).Files(t.Context(), files, &out)
	if err != nil {
		t.Fatal(err)
	}
	if exit != metrictest.ExitPassed {
		t.Error(out.String())
	}
}
