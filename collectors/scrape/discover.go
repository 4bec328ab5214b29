package scrape

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/prometheus/model/labels"
)

// target is one page with the labels of all its series.
type target struct {
	url    string
	labels labels.Labels
	// asked: it is none of those that the configuration lists, itself or by its files.
	asked bool
}

// targetGroup is an entry of a file_sd file.
type targetGroup struct {
	Targets []string          `yaml:"targets"`
	Labels  map[string]string `yaml:"labels"`
}

// Validate names everything that is wrong with a job that has its defaults, joined into one error.
func (j Job) Validate() error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("scrape: job %q: "+format, append([]any{j.Name}, args...)...))
	}
	if j.Name == "" {
		fault("name: want one: it is the label job")
	}
	if len(j.Targets)+len(j.Files) == 0 && j.Discover == nil {
		fault("targets: want some, or files, or kubernetes")
	}
	if j.Interval < time.Second || j.Interval > time.Hour {
		fault("interval %s: want 1s to 1h", j.Interval)
	}
	if j.Timeout <= 0 || j.Timeout > j.Interval {
		fault("timeout %s: want more than 0 and at most the interval of %s", j.Timeout, j.Interval)
	}
	for _, t := range j.Targets {
		if _, err := j.target(t, nil); err != nil {
			fault("%w", err)
		}
	}
	for _, pattern := range j.Files {
		if _, err := filepath.Glob(pattern); err != nil {
			fault("files %q: %w", pattern, err)
		}
	}
	if j.MaxTargets < 1 {
		fault("max_targets %d: want at least 1", j.MaxTargets)
	}
	if l := j.Limits; l.Body < 0 || l.Series < 0 || l.SeriesBytes < 0 || l.Labels < 0 {
		fault("limits: want numbers above 0")
	}
	return errors.Join(faults...)
}

// target makes one of a URL, or of host:port.
func (j Job) target(address string, more map[string]string) (target, error) {
	full := address
	if !strings.Contains(address, "://") {
		full = j.Scheme + "://" + address + j.Path
	}
	u, err := url.Parse(full)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return target{}, fmt.Errorf("target %q: want host:port, or a URL that begins with http:// or https:// and has no password in it", u.Redacted())
	}
	b := labels.NewBuilder(labels.EmptyLabels())
	b.Set("instance", u.Host)
	b.Set("job", j.Name)
	for _, set := range []map[string]string{j.Labels, more} {
		for name, value := range set {
			if !strings.HasPrefix(name, "__") {
				b.Set(name, value)
			}
		}
	}
	return target{url: full, labels: b.Labels()}, nil
}

// discovered are the job's targets now, by what makes them different, and what is wrong with those that cannot be read. With an error, there
// are more of those that the configuration lists: some files could not be read.
func (j Job) discovered() (out map[string]target, odd []error, err error) {
	out = map[string]target{}
	var faults []error
	one := func(address string, more map[string]string, asked bool) {
		t, err := j.target(address, more)
		if err != nil {
			odd = append(odd, err)
			return
		}
		t.asked = asked
		out[t.url+" "+t.labels.String()] = t
	}
	add := func(addresses []string, more map[string]string) {
		for _, address := range addresses {
			one(address, more, false)
		}
	}
	if j.Discover != nil {
		for _, f := range j.Discover() {
			one(f.Address, f.Labels, true)
		}
	}
	add(j.Targets, nil)
	for _, pattern := range j.Files {
		files, err := filepath.Glob(pattern)
		faults = append(faults, err)
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				faults = append(faults, fmt.Errorf("read a file of targets: %w", err))
				continue
			}
			var groups []targetGroup
			if err := yaml.Unmarshal(text, &groups); err != nil { // JSON is YAML
				faults = append(faults, fmt.Errorf("%s is no list of {targets: […], labels: {…}}: %w", name, err))
				continue
			}
			for _, g := range groups {
				add(g.Targets, g.Labels)
			}
		}
	}
	return out, odd, errors.Join(faults...)
}
