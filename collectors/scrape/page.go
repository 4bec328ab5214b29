package scrape

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

// Limits bound what one target may cost. All are above 0.
type Limits struct {
	// Body bounds the bytes of a page, unpacked.
	Body int64
	// Series bounds the series of a page, SeriesBytes the text of one of them, and Labels how many labels it has.
	Series, SeriesBytes, Labels int
}

// DefaultLimits fit the largest kube-apiservers.
var DefaultLimits = Limits{Body: 128 << 20, Series: 500_000, SeriesBytes: 16 << 10, Labels: 64}

var (
	// ErrTooMuch means that a page is over one of the limits; nothing of it counts.
	ErrTooMuch = errors.New("the page is over a limit")
	// ErrNoPage means that a page is not in the text format of Prometheus or OpenMetrics; nothing of it counts.
	ErrNoPage = errors.New("the page is no exposition of metrics")
)

const (
	// keptUnseen is how long the last value of a series that is gone is remembered: one that comes back goes on from it.
	keptUnseen = time.Hour
	// oldest is how old a sample with a time of its own may be; an older one is stale.
	oldest = 5 * time.Minute
)

// series is what is known of one series of a target.
type series struct {
	// of is what it counts for; none: it is only passed over.
	of []Use
	// value is the last one, and page the number of the page that had it; known: there was a value to count from.
	value float64
	page  uint64
	known bool
	seen  time.Time
}

// pages reads the pages of one target, one after the other.
type pages struct {
	counters *Counters
	labels   labels.Labels // of the target
	limits   Limits
	symbols  *labels.SymbolTable
	known    map[string]*series
	// before are the values of series before a restart, until the first page after it.
	before map[string]float64
	page   uint64
	// read is when the newest page was read that counted; zero: there was none.
	read  time.Time
	swept time.Time
	found []sample
}

// sample is one value of a page that counts for something.
type sample struct {
	*series
	value float64
}

// events are what one page adds to an indicator.
type events struct {
	part, total float64
	// measured says that there is a total, and something to count it from.
	measured bool
}

// problems count samples of a page that were passed over.
type problems struct{ notNumbers, duplicates, stale, forgotten int }

func newPages(counters *Counters, target labels.Labels, limits Limits) *pages {
	return &pages{counters: counters, labels: target, limits: limits, symbols: labels.NewSymbolTable(), known: map[string]*series{}}
}

// take reads a page that was fetched at a time and says what it adds to each indicator. gap is the longest time since the page before
// over which values are compared: beyond it counting begins anew. A page with any fault adds nothing, and counting goes on from
// the page before.
func (p *pages) take(body []byte, contentType string, at time.Time, gap time.Duration) ([]events, problems, error) {
	parser, err := textparse.New(body, contentType, p.symbols, textparse.ParserOptions{})
	if parser == nil || err != nil {
		return nil, problems{}, fmt.Errorf("%w: its Content-Type is %q, want text/plain or application/openmetrics-text", ErrNoPage, contentType)
	}
	p.page++
	p.found = p.found[:0]
	var trouble problems
	err = p.samples(parser, at, &trouble)
	var added []events
	if err == nil {
		added = p.count(at, gap)
	}
	p.sweep(at, &trouble)
	return added, trouble, err
}

// samples notes the samples of a page.
func (p *pages) samples(parser textparse.Parser, at time.Time, trouble *problems) error {
	for n := 0; ; {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrNoPage, err)
		}
		if entry != textparse.EntrySeries {
			continue
		}
		if n++; n > p.limits.Series {
			return fmt.Errorf("%w: more than %d series", ErrTooMuch, p.limits.Series)
		}
		if err := p.sample(parser, at, trouble); err != nil {
			return err
		}
	}
}

// sample notes the sample that the parser stands at, when it counts for something.
func (p *pages) sample(parser textparse.Parser, at time.Time, trouble *problems) error {
	text, stamp, value := parser.Series()
	s, ok := p.known[string(text)] // no copy is made for looking it up
	if !ok {
		var err error
		if s, err = p.series(parser, text); err != nil {
			return err
		}
		p.known[string(text)] = s
	}
	s.seen = at
	if len(s.of) == 0 {
		return nil
	}
	switch {
	case stamp != nil && *stamp < at.Add(-oldest).UnixMilli():
		trouble.stale++
		s.value, s.known = value, true // what it counted before is not of now
	case math.IsNaN(value) || math.IsInf(value, 0) || value < 0:
		trouble.notNumbers++
	case s.page == p.page:
		trouble.duplicates++
	default:
		s.page = p.page
		p.found = append(p.found, sample{s, value})
	}
	return nil
}

// series finds out what a series that was not known counts for.
func (p *pages) series(parser textparse.Parser, text []byte) (*series, error) {
	if len(text) > p.limits.SeriesBytes {
		return nil, fmt.Errorf("%w: a series of %d bytes, more than %d", ErrTooMuch, len(text), p.limits.SeriesBytes)
	}
	var l labels.Labels
	parser.Labels(&l)
	if l.Len() > p.limits.Labels {
		return nil, fmt.Errorf("%w: a series with %d labels, more than %d", ErrTooMuch, l.Len(), p.limits.Labels)
	}
	b := labels.NewBuilder(l)
	p.labels.Range(func(own labels.Label) { b.Set(own.Name, own.Value) })
	s := &series{of: p.counters.Uses(b.Labels())}
	s.value, s.known = p.before[string(text)]
	return s, nil
}

// count compares the samples of a page with those before.
func (p *pages) count(at time.Time, gap time.Duration) []events {
	out := make([]events, len(p.counters.indicators))
	goesOn := !p.read.IsZero() && at.Sub(p.read) <= gap
	for _, s := range p.found {
		more := 0.0
		switch {
		case !goesOn:
		case s.known && s.value >= s.series.value:
			more = s.value - s.series.value
		default: // it began anew, or for the first time while the target was watched: at zero
			more = s.value
		}
		for _, u := range s.of {
			e := &out[u.Indicator]
			if u.Total {
				e.total += more
				e.measured = goesOn
			} else {
				e.part += more
			}
		}
		s.series.value, s.known = s.value, true
	}
	p.read, p.before = at, nil
	return out
}

// sweep forgets series that are long gone; of too many, all of other pages that count for nothing. When that is not enough, the target makes up
// new counters with every page: all are forgotten, and counting begins anew.
func (p *pages) sweep(at time.Time, trouble *problems) {
	full := len(p.known) > 2*p.limits.Series
	if !full && at.Sub(p.swept) < keptUnseen/4 {
		return
	}
	p.swept = at
	for text, s := range p.known {
		if at.Sub(s.seen) > keptUnseen || full && len(s.of) == 0 && s.seen.Before(at) {
			delete(p.known, text)
		}
	}
	if len(p.known) > 2*p.limits.Series {
		trouble.forgotten = len(p.known)
		clear(p.known)
		p.read = time.Time{}
	}
}
