package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubevalue/kubevalue/slo"
	"github.com/kubevalue/kubevalue/slo/openslo"
)

// documents are those of the importer's own tests.
const documents = "../../slo/openslo/testdata"

func TestOpenSLODocumentsAreChecked(t *testing.T) {
	kinds, mistakes := filepath.Join(documents, "good", "all_kinds.yaml"), filepath.Join(documents, "good", "mistakes.yaml")
	for name, c := range map[string]struct {
		args  []string
		code  int
		wants []string
	}{
		"all kinds": {[]string{"check", "--strict", kinds}, 0, []string{
			"1 services, 1 data sources, 1 SLIs, 1 notification targets, 1 alert conditions, 1 alert policies, 1 SLOs", "checkout-availability  checkout", "prometheus", "ticket 1d/2h above 3, no data"}},
		"mistakes are understood":          {[]string{"check", mistakes}, 0, []string{"warning: " + mistakes + `:5:9: name "Checkout_SLO"`, "weighted of 2 indicators"}},
		"mistakes are refused":             {[]string{"check", "--strict", mistakes}, 1, []string{"mistakes in OpenSLO documents: ", "\n" + mistakes + ":5:9: ", "[name-format]"}},
		"what cannot be understood":        {[]string{"check", filepath.Join(documents, "bad", "slos.yaml")}, 1, []string{"slos.yaml:26:16: target 99.9 is outside (0, 1): it must be a ratio, such as 0.999 [target-range]"}},
		"no file":                          {[]string{"check"}, 2, []string{"wants the FILEs to check"}},
		"a file that is not there":         {[]string{"check", "nowhere.yaml"}, 1, []string{"nowhere.yaml"}},
		"an export of files and of tables": {[]string{"export", "--at", "2026-01-01", kinds}, 2, []string{"leave the FILEs out"}},
	} {
		code, stdout, stderr := program(t, append([]string{"slo", "openslo"}, c.args...)...)
		for _, want := range c.wants {
			if code != c.code || !strings.Contains(stdout+stderr, want) {
				t.Errorf("%s: exit code %d, want %d with %q:\n%s%s", name, code, c.code, want, stdout, stderr)
			}
		}
	}
}

func TestAnExportOfFilesIsTheSame(t *testing.T) {
	for _, name := range []string{"all_kinds.yaml", "composite.yaml", "any_down.json", "calendar.yaml", "several_objectives.yaml"} {
		file := filepath.Join(documents, "good", name)
		_, before, _ := program(t, "slo", "openslo", "check", file)
		code, exported, stderr := program(t, "slo", "openslo", "export", file)
		again := filepath.Join(t.TempDir(), "exported.yaml")
		if err := os.WriteFile(again, []byte(exported), 0o600); err != nil || code != 0 {
			t.Fatalf("%s: exit code %d, %v, %s", name, code, err, stderr)
		}
		_, after, _ := program(t, "slo", "openslo", "check", again)
		if withoutWarnings(before) != withoutWarnings(after) {
			t.Errorf("%s means\n%sand exported\n%s", name, before, after)
		}
	}
}

func withoutWarnings(text string) string {
	var kept []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "warning:") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// What was in force is exported such that it is read as the same definitions, over the same slices.
func TestDefinitionsInForceAreExported(t *testing.T) {
	s, _ := answerSet(t, exportedObjectives(t)...)
	if _, err := s.recordDefinitions(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, err := s.inForce(t.Context(), s.now())
	if err != nil {
		t.Fatal(err)
	}
	document, unsaid := documentOf(all)
	if len(unsaid) > 0 {
		t.Fatal(unsaid)
	}
	var text bytes.Buffer
	if err := openslo.Export(&text, document); err != nil {
		t.Fatal(err)
	}
	result, err := openslo.Import([]openslo.Source{{Name: "x", Text: text.Bytes()}}, true)
	if err != nil || len(result.Objectives) != len(all) {
		t.Fatalf("%d objectives: %v\n%s", len(result.Objectives), err, text.String())
	}
	from := (&Config{}).sliceSources()
	for i, o := range result.Objectives {
		got, err := from.locate(o)
		if err != nil {
			t.Fatalf("%v\n%s", err, text.String())
		}
		want, _ := all[i].version()
		if again, _ := got.version(); string(again) != string(want) {
			t.Errorf("%s became %s", want, again)
		}
	}
}

// What OpenSLO cannot say is left out and named, and does not keep the others back.
func TestAnExportSaysWhatItLeavesOut(t *testing.T) {
	seconds, abrupt, coarse := hourly("seconds", "shop"), hourly("abrupt", "shop"), hourly("coarse", "shop")
	seconds.Grid = slo.EpochGrid(10 * time.Second)
	abrupt.Definition.Alerts = []slo.AlertWindow{{Severity: "page", Long: 90 * time.Second, Short: 90 * time.Second, Factor: 2}}
	s, _ := answerSet(t, abrupt, coarse, seconds)
	if _, err := s.recordDefinitions(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := &figures{cfg: &Config{zone: time.UTC}, objectives: s}
	at := s.now().Format(time.RFC3339)
	for _, strict := range []bool{false, true} {
		var out, said bytes.Buffer
		cmd := &cobra.Command{}
		cmd.SetContext(t.Context())
		cmd.SetOut(&out)
		cmd.SetErr(&said)
		if err := f.exportInForce(cmd, at, strict); strict != (err != nil) {
			t.Errorf("strict %t: %v", strict, err)
		} else if strict {
			said.WriteString(err.Error())
		}
		if written := strings.Contains(out.String(), "name: coarse"); written == strict || strings.Contains(out.String(), "name: seconds") || strings.Contains(out.String(), "name: abrupt") {
			t.Errorf("strict %t writes:\n%s", strict, out.String())
		}
		for _, want := range []string{"objective seconds cannot be written as OpenSLO: slice of 10s", "objective abrupt cannot be written as OpenSLO: long window of 1m30s"} {
			if !strings.Contains(said.String(), want) {
				t.Errorf("strict %t does not say %q:\n%s", strict, want, said.String())
			}
		}
	}
}

// exportedObjectives are one of each form, in order of name.
func exportedObjectives(t *testing.T) []configuredObjective {
	t.Helper()
	zone, err := slo.LoadZone("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	calendar := hourly("calendar", "shop")
	calendar.Definition.Window = slo.Window{Unit: slo.Month, Count: 2, Zone: zone, Anchor: time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)}
	calendar.Definition.Missing, calendar.Definition.Alerts = slo.MissingBad, []slo.AlertWindow{{Severity: "page", Long: time.Hour, Short: 5 * time.Minute, Factor: 5, For: time.Minute}}
	calendar.Of = map[string]indicator{"calendar": {Name: "cal", Revision: "7", Group: "eu"}}
	calendar.AlertNoData = false
	composite := hourly("composite", "shop")
	composite.Definition.Method, composite.Definition.TimeSliceTarget, composite.Definition.Alerts = "", 0, []slo.AlertWindow{}
	composite.Definition.Composite = &slo.Composite{Kind: slo.AnyDown, Of: []slo.Child{{Name: "a", Weight: 2, TimeSliceTarget: 0.9}, {Name: "b", Weight: 1, TimeSliceTarget: 1}}}
	composite.Of = map[string]indicator{"a": {Name: "a", Revision: "1"}, "b": {Name: "b", Revision: "2", Group: "eu"}}
	grouped := hourly("grouped", "shop")
	grouped.PerGroup, grouped.Definition.Alerts = true, nil
	silent := hourly("silent", "shop") // has no alert at all
	silent.AlertNoData = false
	return []configuredObjective{calendar, composite, grouped, silent}
}
