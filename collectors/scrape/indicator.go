package scrape

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/kubevalue/kubevalue/collectors"
)

// Indicator counts events by the counters of all targets: Total with one of Good and Bad, each a selector such as
// apiserver_request_total{job="apiserver",code!~"5.."}. Besides the labels of a series it may name those of its target: job, instance
// and what the configuration adds.
type Indicator struct {
	// Name is schema.Slice.Indicator.
	Name string
	// Good, Bad and Total are selectors. While no series matches Total nothing is measured; where none matches Good or Bad there was no
	// such event.
	Good, Bad, Total string
	// Slice is the length of a slice, in whole seconds; collectors.DefaultSlice when zero.
	Slice time.Duration
}

// WithDefaults fills what is not set.
func (i Indicator) WithDefaults() Indicator {
	if i.Slice == 0 {
		i.Slice = collectors.DefaultSlice
	}
	return i
}

// Validate names everything that is wrong with an indicator, joined into one error.
func (i Indicator) Validate() error {
	_, err := compile(i)
	return err
}

// Revision is the hash of what an indicator counts: indicators with the same revision give comparable slices.
func Revision(i Indicator) string {
	i = i.WithDefaults()
	i.Name = ""
	return collectors.Revision(i)
}

// counted is an indicator with its selectors read.
type counted struct {
	Indicator
	revision    string
	part, total []*labels.Matcher
}

func compile(i Indicator) (*counted, error) {
	i = i.WithDefaults()
	c := &counted{Indicator: i, revision: Revision(i)}
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("scrape: indicator %q: "+format, append([]any{i.Name}, args...)...))
	}
	if i.Name == "" {
		fault("name: want one")
	}
	if err := collectors.CheckSlice(i.Slice); err != nil {
		fault("%w", err)
	}
	if i.Total == "" || (i.Good == "") == (i.Bad == "") {
		fault("want total with one of good and bad")
		return nil, errors.Join(faults...)
	}
	read := func(what, selector string) []*labels.Matcher {
		matchers, err := parser.NewParser(parser.Options{}).ParseMetricSelector(selector)
		if err != nil {
			fault("%s: %q is no selector such as requests_total{code=~\"5..\"}: %w", what, selector, err)
		}
		return matchers
	}
	c.total = read("total", i.Total)
	if i.Good != "" {
		c.part = read("good", i.Good)
	} else {
		c.part = read("bad", i.Bad)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return c, nil
}

// matches says whether a series has what all matchers want.
func matches(all []*labels.Matcher, l labels.Labels) bool {
	for _, m := range all {
		if !matchesValue(m, l.Get(m.Name)) {
			return false
		}
	}
	return true
}

// matchesValue compares a label with what a matcher wants. Bounds of buckets and quantiles are numbers: a page may write 1 where another one,
// or Prometheus from version 3 on, has 1.0, and both are meant.
func matchesValue(m *labels.Matcher, value string) bool {
	ok := m.Matches(value)
	if m.Name != labels.BucketLabel && m.Name != "quantile" {
		return ok
	}
	other, whole := strings.CutSuffix(value, ".0")
	if _, err := strconv.ParseInt(value, 10, 64); err == nil {
		other, whole = value+".0", true
	}
	switch {
	case !whole:
		return ok
	case m.Type == labels.MatchNotEqual, m.Type == labels.MatchNotRegexp:
		return ok && m.Matches(other)
	}
	return ok || m.Matches(other)
}
