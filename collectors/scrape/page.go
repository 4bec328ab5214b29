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
	// of are the indicators that it counts for; none: it is only passed over.
	of []use
	// value is the last one, and page the number of the page that had it; known: there was a value to count from.
	value float64
	page  uint64
	known bool
	seen  time.Time
}

// use is an indicator, by its place, and whether the series counts for its total or its part.
type use struct {
	indicator int
	total     bool
}

// pages reads the pages of one target, one after the other.
type pages struct {
	indicators []*counted
	labels     labels.Labels // of the target
	limits     Limits
	symbols    *labels.SymbolTable
	known      map[string]*series
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
type problems struct{ notNumbers, duplicates, stale int }

func newPages(indicators []*counted, target labels.Labels, limits Limits) *pages {
	return &pages{indicators: indicators, labels: target, limits: limits, symbols: labels.NewSymbolTable(), known: map[string]*series{}}
}

// take reads a page that was fetched at a time and says what it adds to each indicator. gap is the longest time since the page before
// over which values are compared: beyond it counting begins anew. A page with any fault adds nothing, and counting goes on from
// the page before.
func (p *pages) take(body []byte, contentType string, at time.Time, gap time.Duration) ([]events, problems, error) {
	parser, err := textparse.New(body, contentType, p.symbols, textparse.ParserOptions{})
	if parser == nil {
		return nil, problems{}, fmt.Errorf("%w: %w", ErrNoPage, err)
	}
	p.page++
	p.found = p.found[:0]
	var trouble problems
	for n := 0; ; {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, trouble, fmt.Errorf("%w: %w", ErrNoPage, err)
		}
		if entry != textparse.EntrySeries {
			continue
		}
		if n++; n > p.limits.Series {
			return nil, trouble, fmt.Errorf("%w: more than %d series", ErrTooMuch, p.limits.Series)
		}
		if err := p.sample(parser, at, &trouble); err != nil {
			return nil, trouble, err
		}
	}
	return p.count(at, gap), trouble, nil
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
	l = b.Labels()
	s := &series{}
	s.value, s.known = p.before[string(text)]
	for i, c := range p.indicators {
		if matches(c.total, l) {
			s.of = append(s.of, use{i, true})
		}
		if matches(c.part, l) {
			s.of = append(s.of, use{i, false})
		}
	}
	return s, nil
}

// count compares the samples of a page with those before.
func (p *pages) count(at time.Time, gap time.Duration) []events {
	out := make([]events, len(p.indicators))
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
			e := &out[u.indicator]
			if u.total {
				e.total += more
				e.measured = goesOn
			} else {
				e.part += more
			}
		}
		s.series.value, s.known = s.value, true
	}
	p.read, p.before = at, nil
	p.sweep(at)
	return out
}

// sweep forgets series that are long gone.
func (p *pages) sweep(at time.Time) {
	if at.Sub(p.swept) < keptUnseen/4 {
		return
	}
	p.swept = at
	for text, s := range p.known {
		if at.Sub(s.seen) > keptUnseen {
			delete(p.known, text)
		}
	}
}
