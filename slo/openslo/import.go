package openslo

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/slo"
	"github.com/kubevalue/kubevalue/slo/yamlfile"
)

// Source is a file, or a document inside of one: FirstLine is then the file's line of its first line, else 0.
type Source struct {
	Name      string
	Text      []byte
	FirstLine int
}

// Result is what an import understood.
type Result struct {
	Document   Document
	Objectives []Objective // in order of the files
	Warnings   Findings
}

// Objective is what the engine evaluates, with where its slices come from.
type Objective struct {
	// Definition is valid. Its name is the SLO's; one of several objectives of an SLO has /displayName, or /number from
	// 1, behind it.
	Definition  slo.Objective
	Service     string
	DisplayName string
	Description string
	Labels      Labels
	// Indicator is nil for composites, whose Children are by the child's name.
	Indicator *Indicator
	Children  map[string]Indicator
	// SliceWindow is the length of a slice that the document asks for, 0 when it does not say.
	SliceWindow time.Duration
	// AlertNoData asks for an alert when nobody has measured anything: unless a policy says that there is none, and no other one that
	// there is.
	AlertNoData bool
	// Resolved asks for a notification when an alert ends; true without policies.
	Resolved bool
	// Targets are the names of the notification targets of its policies, in order, by the severity of their conditions.
	Targets map[string][]string
	File    string
	Line    int
}

// Indicator is an SLI with its sources resolved: Threshold with Op and Value, Raw, or Total with Good or Bad.
type Indicator struct {
	Name      string
	Counter   bool
	Good      *MetricSource
	Bad       *MetricSource
	Total     *MetricSource
	Raw       *MetricSource
	RawType   string // success or failure
	Threshold *MetricSource
	// Op says how a measured value has to compare with Value to be good: lte, gte, lt, gt.
	Op    string
	Value float64
	// Connection is the connectionDetails of the DataSource that the first source with one names.
	Connection map[string]any
}

// Sources are the indicator's metric sources.
func (i Indicator) Sources() []*MetricSource {
	var out []*MetricSource
	for _, s := range []*MetricSource{i.Good, i.Bad, i.Total, i.Raw, i.Threshold} {
		if s != nil {
			out = append(out, s)
		}
	}
	return out
}

// Type is the type of the metric sources in lower case, such as kubevalue or prometheus.
func (i Indicator) Type() string {
	for _, s := range i.Sources() {
		return strings.ToLower(s.Type)
	}
	return ""
}

// Probe is the probe whose slices are the indicator: every source has type kubevalue and spec {probe: NAME}.
func (i Indicator) Probe() (string, bool) {
	name := ""
	for _, s := range i.Sources() {
		probe, ok := s.Spec["probe"].(string)
		if !strings.EqualFold(s.Type, "kubevalue") || !ok || name != "" && name != probe {
			return "", false
		}
		name = probe
	}
	return name, name != ""
}

// Import reads objects and resolves their references, which may be in any of the sources. strict makes refusals of
// warnings. The error is [Findings]. A metricSource may refer to a configured server of type Prometheus as well as to a DataSource.
func Import(sources []Source, strict bool, configured ...string) (Result, error) {
	return read(&recorder{strict: strict, configured: configured}, sources)
}

// ImportMeasured reads a document whose slices are at hand, as [Import] does without strict: it may refer to SLIs and DataSources that
// are in none of the sources, with a warning.
func ImportMeasured(source Source) (Result, error) {
	return read(&recorder{measured: true}, []Source{source})
}

func read(rec *recorder, sources []Source) (Result, error) {
	var out Result
	for _, src := range sources {
		docs, err := yamlfile.ParseWithin(src.Name, src.Text, max(0, src.FirstLine-1))
		var fault *yamlfile.Fault
		if errors.As(err, &fault) {
			rec.refusals = append(rec.refusals, &Finding{src.Name, fault.Line, fault.Column, "syntax", fault.Message})
		}
		for _, doc := range docs {
			out.Document.add(rec, doc)
		}
		if len(docs) == 0 && err == nil {
			rec.warn(&yamlfile.Node{File: src.Name, Line: max(1, src.FirstLine), Column: 1}, "empty", "no objects in it")
		}
	}
	res := newResolver(rec, &out.Document)
	for i := range out.Document.SLOs {
		out.Objectives = append(out.Objectives, res.slo(&out.Document.SLOs[i])...)
	}
	rec.refusals.sort()
	rec.warnings.sort()
	out.Warnings = rec.warnings
	if len(rec.refusals) > 0 {
		return Result{Warnings: rec.warnings}, rec.refusals
	}
	return out, nil
}

var shorthand = regexp.MustCompile(`^([0-9]+)([mhdwMQY])$`)

// parseShorthand splits OpenSLO's durations, such as 28d or 1M.
func parseShorthand(text string) (n int, unit string, err error) {
	m := shorthand.FindStringSubmatch(text)
	if m == nil {
		return 0, "", fmt.Errorf("%q is not a duration: write a number and one of m, h, d, w, M, Q, Y, such as 28d or 1M", text)
	}
	if n, err = strconv.Atoi(m[1]); err != nil || time.Duration(n) > slo.MaxLength/fixed[m[2]] {
		return 0, "", fmt.Errorf("%q is longer than 200 years", text)
	}
	return n, m[2], nil
}

// fixed is the length of a unit that has one; months and longer ones are nominal.
var fixed = map[string]time.Duration{
	"m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
	"M": 30 * 24 * time.Hour, "Q": 90 * 24 * time.Hour, "Y": 365 * 24 * time.Hour,
}

var calendarUnits = map[string]slo.Unit{"d": slo.Day, "w": slo.Week, "M": slo.Month, "Q": slo.Quarter, "Y": slo.Year}
