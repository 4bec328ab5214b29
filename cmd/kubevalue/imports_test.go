package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/kubevalue/kubevalue/"

// allowed says, for a folder and all below it, which of our packages it may import: the architecture in one table. The longest
// matching folder decides. cmd is not listed: the one place that wires everything may import everything.
var allowed = map[string][]string{
	"schema":                         nil,
	"schema/warehouse":               {"schema", "schema/migrations", "schema/chdb"},
	"schema/chdb":                    {"schema/chdb"},
	"cmd/kubevalue/demo":             {"schema"},
	"collectors":                     {"schema", "collectors"},
	"pipeline":                       {"schema", "collectors", "pipeline"},
	"slo":                            {"slo"},
	"journey":                        {"schema", "slo", "journey"},
	"reports":                        {"schema", "slo", "journey", "reports"},
	"dashboards":                     {"schema", "slo", "journey", "reports", "dashboards"},
	"schema/warehouse/warehousetest": {"schema", "schema/warehouse", "schema/chdb"},
}

// confined says which folder alone may import a library outside tests.
var confined = map[string]string{
	"k8s.io/client-go":                 "collectors/kube",
	"github.com/ClickHouse":            "schema/warehouse",
	"github.com/ebitengine/purego":     "schema/chdb",
	"github.com/wneessen/go-mail":      "reports/mail",
	"github.com/gin-gonic/gin":         "dashboards",
	"github.com/go-echarts/go-echarts": "dashboards",
}

type listedPackage struct {
	ImportPath string
	Imports    []string
}

func TestImportRules(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; packages++ {
		var p listedPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for _, fault := range importFaults(p) {
			t.Error(fault)
		}
	}
	if packages < 10 {
		t.Fatalf("go list found %d packages: the rules were not checked", packages)
	}
}

// importFaults lists the imports of a package that the architecture does not allow.
func importFaults(p listedPackage) []string {
	folder := strings.TrimPrefix(p.ImportPath, module)
	if folder == "cmd/kubevalue" {
		folder = "cmd"
	}
	var faults []string
	for _, imported := range p.Imports {
		if ours, ok := strings.CutPrefix(imported, module); ok && folder != "cmd" && !mayImport(folder, ours) {
			faults = append(faults, folder+" must not import "+ours+": see the table of allowed imports in imports_test.go")
		}
		for library, home := range confined {
			if within(imported, library) && !within(folder, home) {
				faults = append(faults, folder+" must not import "+imported+": only "+home+" may")
			}
		}
	}
	return faults
}

func mayImport(folder, imported string) bool {
	rule, found := "", false
	for f := range allowed {
		if within(folder, f) && len(f) >= len(rule) {
			rule, found = f, true
		}
	}
	if !found {
		return false
	}
	for _, a := range allowed[rule] {
		if imported == a || a != "schema" && within(imported, a) {
			return true
		}
	}
	return false
}

func within(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }

func TestImportRulesRefuse(t *testing.T) {
	for _, p := range []listedPackage{
		{module + "slo", []string{module + "schema"}},
		{module + "journey", []string{module + "schema/warehouse"}},
		{module + "collectors/audit", []string{module + "pipeline"}},
		{module + "schema", []string{module + "slo"}},
		{module + "journey", []string{"github.com/gin-gonic/gin"}},
		{module + "cmd/kubevalue", []string{"k8s.io/client-go/kubernetes"}},
		{module + "newfolder", []string{module + "schema"}},
	} {
		if len(importFaults(p)) == 0 {
			t.Errorf("%s importing %v was allowed", p.ImportPath, p.Imports)
		}
	}
}
