// Package scrapebench measures how pages of metrics are read and counted, beside the plain way: expfmt's parser into the typed
// families of client_model.
package scrapebench

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/kubevalue/kubevalue/collectors/scrape"
)

const (
	contentType = "text/plain; version=0.0.4"
	// pagesPerRound are read in a turn of each side.
	pagesPerRound = 10
)

// indicators are those of a kube-apiserver.
var indicators = []scrape.Indicator{
	{Name: "availability", Bad: `apiserver_request_total{verb!~"WATCH|CONNECT",code=~"5.."}`, Total: `apiserver_request_total{verb!~"WATCH|CONNECT"}`},
	{Name: "latency", Good: `apiserver_request_sli_duration_seconds_bucket{verb="GET",le=~"1|1[.]0"}`, Total: `apiserver_request_sli_duration_seconds_count{verb="GET"}`},
}

// Compare measures both sides in turn on one page in the text format, and gives the bytes per second of the best round of each: what else
// the machine does slows rounds down, and never speeds them up. As in a service, the first page of a target is not the usual one, and
// does not count. rounds is at least 1.
func Compare(page []byte, rounds int) (ours, plain float64, err error) {
	counters, err := scrape.NewCounters(indicators)
	if err != nil {
		return 0, 0, err
	}
	pages := counters.Pages(labels.FromStrings("job", "apiserver", "instance", "bench"), scrape.DefaultLimits)
	at := time.Unix(1_763_283_600, 0)
	series, err := pages.Read(page, contentType, at)
	if err != nil || series == 0 {
		return 0, 0, fmt.Errorf("%d series: %w", series, errors.Join(err, errors.New("no page of metrics")))
	}
	read := func() error {
		at = at.Add(15 * time.Second)
		_, err := pages.Read(page, contentType, at)
		return err
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	parse := func() error {
		_, err := parser.TextToMetricFamilies(bytes.NewReader(page))
		return err
	}
	for range max(rounds, 1) {
		if ours, err = speed(ours, len(page), read); err != nil {
			return 0, 0, err
		}
		if plain, err = speed(plain, len(page), parse); err != nil {
			return 0, 0, err
		}
	}
	return ours, plain, nil
}

// speed is the bytes per second of a round, or the best so far.
func speed(best float64, size int, read func() error) (float64, error) {
	began := time.Now()
	for range pagesPerRound {
		if err := read(); err != nil {
			return 0, err
		}
	}
	return max(best, pagesPerRound*float64(size)/time.Since(began).Seconds()), nil
}
