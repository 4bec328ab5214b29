package remotewrite

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"

	"github.com/kubevalue/kubevalue/collectors"
	"github.com/kubevalue/kubevalue/collectors/scrape"
	"github.com/kubevalue/kubevalue/schema"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type sink struct {
	slices map[time.Time]schema.Slice
	taken  int
	err    error
}

func (s *sink) Append(_ context.Context, b schema.Batch) error {
	if s.err != nil {
		return s.err
	}
	for _, one := range b.Slices {
		s.slices[one.Start] = one
		s.taken++
	}
	return nil
}

// bench is a receiver with a clock that tests set.
type bench struct {
	*Receiver
	sink *sink
	now  time.Time
	t    *testing.T
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{sink: &sink{slices: map[time.Time]schema.Slice{}}, now: start, t: t}
	b.begin("")
	return b
}

// begin makes a receiver, with a file for what it counts.
func (b *bench) begin(state string) {
	b.t.Helper()
	r, err := New(Config{
		Indicators: []scrape.Indicator{{Name: "requests", Bad: `requests_total{code=~"5.."}`, Total: "requests_total"}},
		Authenticate: func(_ context.Context, token, endpoint string) (collectors.Grant, error) {
			if token != "secret" || endpoint != collectors.EndpointRemoteWrite {
				return collectors.Grant{}, collectors.ErrUnauthorized
			}
			return collectors.Grant{}, nil
		},
		Sink: b.sink, Now: func() time.Time { return b.now }, State: state,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.Receiver = r
}

// of is a series of requests by code with values at seconds after the start, in turns.
func of(code string, values ...float64) prompb.TimeSeries {
	s := prompb.TimeSeries{Labels: []prompb.Label{{Name: "__name__", Value: "requests_total"}, {Name: "code", Value: code}, {Name: "instance", Value: "a"}, {Name: "job", Value: "api"}}}
	if code == "" {
		s.Labels = []prompb.Label{{Name: "__name__", Value: "up"}, {Name: "instance", Value: "a"}, {Name: "job", Value: "api"}}
	}
	for i := 0; i+1 < len(values); i += 2 {
		s.Samples = append(s.Samples, prompb.Sample{Timestamp: start.Add(time.Duration(values[i] * float64(time.Second))).UnixMilli(), Value: values[i+1]})
	}
	return s
}

func packed(t *testing.T, series ...prompb.TimeSeries) []byte {
	t.Helper()
	body, err := (&prompb.WriteRequest{Timeseries: series}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return snappy.Encode(nil, body)
}

func (b *bench) post(body []byte, header ...string) (int, string) {
	req := httptest.NewRequest(http.MethodPost, "/api/v1/write", bytes.NewReader(body))
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Authorization", "Bearer secret")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, req)
	return w.Code, w.Body.String()
}

func (b *bench) send2(series ...prompb.TimeSeries) {
	b.t.Helper()
	if code, text := b.post(packed(b.t, series...)); code != http.StatusNoContent {
		b.t.Fatal(code, text)
	}
}

// told are the slices that were handed over up to a minute: bad/total, or - for none.
func (b *bench) told(minutes int) string {
	var out []string
	for m := range minutes {
		s, ok := b.sink.slices[start.Add(time.Duration(m)*time.Minute)]
		switch {
		case !ok:
			out = append(out, "-")
		case s.State == schema.SliceGap:
			out = append(out, "_")
		default:
			out = append(out, fmt.Sprintf("%v/%v", s.Total-s.Good, s.Total))
		}
	}
	return strings.Join(out, " ")
}

func TestEventsAreCountedByTheTimesOfTheirSamples(t *testing.T) {
	b := newBench(t)
	at := func(seconds int, want string) {
		t.Helper()
		b.now = start.Add(time.Duration(seconds) * time.Second)
		b.handOver(t.Context())
		if got := b.told(8); got != want {
			t.Errorf("after %d s: %s, want %s", seconds, got, want)
		}
	}
	b.send2(of("", 0, 1, 15, 1), of("200", 0, 100, 15, 110, 30, 120))
	at(59, "- - - - - - - -") // it is not over
	b.send2(of("200", 45, 130, 60, 140), of("500", 45, 3), of("", 45, 1, 60, 1))
	at(70, "- - - - - - - -") // it has not settled
	at(75, "3/33 - - - - - - -")
	taken := b.sink.taken
	b.send2(of("200", 45, 130, 30, 999), of("500", 45, 3)) // twice, and out of order
	at(100, "3/33 - - - - - - -")
	if b.sink.taken != taken {
		t.Error("what came twice was handed over again")
	}
	b.send2(of("500", 59, 5)) // late, from a slow shard
	at(135, "5/35 0/10 - - - - - -")
	b.send2(of("200", 65, 5, 70, 7), of("500", 65, math.NaN(), 70, -1)) // a restart, and what is no count
	at(200, "5/35 0/17 - - - - - -")
	b.send2(of("200", 375, 1000, 390, 1001), of("503", 390, 9), of("504", 375, 50), of("", 375, 1, 390, 1)) // after more than five minutes
	at(450, "5/35 0/17 - - - - 9/10 -")
	b.sink.err = collectors.ErrFull
	b.send2(of("200", 420, 1003))
	at(500, "5/35 0/17 - - - - 9/10 -")
	b.sink.err = nil
	at(505, "5/35 0/17 - - - - 9/10 0/2")
	b.now = start.Add(10 * time.Hour)
	b.send2(of("200", 435, 2000)) // from a sender that was away for too long
	at(10*3600+60, "5/35 0/17 - - - - 9/10 0/2")
}

// TestAScrapeThatFailedIsNone: the first thing that is heard of a target is that it could not be scraped. What its counters have counted by
// then was not counted now.
func TestAScrapeThatFailedIsNone(t *testing.T) {
	b := newBench(t)
	stale := math.Float64frombits(value.StaleNaN)
	b.send2(of("200", 0, stale), of("500", 0, stale), of("", 0, 0))
	b.send2(of("200", 15, 1000, 30, 1009), of("500", 15, 7, 30, 8))
	b.send2(of("200", 35, stale), of("500", 35, stale))
	b.send2(of("200", 45, 1018), of("500", 45, 8), of("503", 45, 2))
	b.now = start.Add(90 * time.Second)
	b.handOver(t.Context())
	if got := b.told(1); got != "3/21" {
		t.Errorf("told %s, want 3/21", got)
	}
}

func TestBodiesThatAreNoRemoteWrite(t *testing.T) {
	bomb := snappy.Encode(nil, make([]byte, 64<<20))
	for _, c := range []struct {
		name   string
		body   []byte
		header []string
		want   int
	}{
		{"HTML", []byte("<html>"), nil, 400},
		{"no protocol buffers", snappy.Encode(nil, []byte("<html>")), nil, 400},
		{"cut short", packed(t, of("200", 0, 1))[:20], nil, 400},
		{"a bomb", bomb, nil, 413},
		{"too large", make([]byte, DefaultLimits.Wire+1), nil, 413},
		{"gzip", packed(t), []string{"Content-Encoding", "gzip"}, 415},
		{"remote write 2.0", packed(t), []string{"Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"}, 415},
		{"a wrong token", packed(t, of("200", 0, 1)), []string{"Authorization", "Bearer wrong"}, 401},
	} {
		b := newBench(t)
		if code, text := b.post(c.body, c.header...); code != c.want || !strings.Contains(text, `"status":"error","code":"`) || len(b.tally.series) != 0 {
			t.Errorf("%s: %d %s, want %d", c.name, code, text, c.want)
		}
	}
}

func TestSeriesThatAreLongGoneAreForgotten(t *testing.T) {
	b := newBench(t)
	b.send2(of("200", 0, 1, 15, 2), of("", 0, 1))
	b.now = start.Add(5 * time.Hour)
	b.handOver(t.Context()) // what nobody was told of is told
	b.handOver(t.Context())
	saved, _ := b.tally.sums.Save()
	if len(b.tally.series)+len(b.tally.targets)+len(saved.Open) != 0 {
		t.Errorf("%d series, %d targets, %d slices are remembered", len(b.tally.series), len(b.tally.targets), len(saved.Open))
	}
}

func TestASampleFromTheFutureHarmsNobody(t *testing.T) {
	b := newBench(t)
	b.send2(of("", 0, 1), of("200", 0, 100))
	b.send2(of("", 1e9, 1), of("200", 1e9, 5000, 1e9+1, 6000)) // in thirty years
	b.send2(of("", 15, 1, 30, 1), of("200", 15, 110, 30, 120), of("500", 30, 2))
	b.now = start.Add(80 * time.Second)
	b.handOver(t.Context())
	if got := b.told(1); got != "2/22" {
		t.Errorf("%s, want 2/22", got)
	}
}

func TestLabelsThatAreTooLongAreNotRemembered(t *testing.T) {
	b := newBench(t)
	long, many := of("200", 0, 1), of("200", 0, 1)
	long.Labels[1].Value = strings.Repeat("2", 20_000)
	for i := range 70 {
		many.Labels = append(many.Labels, prompb.Label{Name: fmt.Sprintf("l%02d", i), Value: "x"})
	}
	b.send2(long, many)
	if len(b.tally.series) != 0 {
		t.Errorf("%d series are remembered", len(b.tally.series))
	}
	if n := testutil.ToFloat64(b.samples.WithLabelValues("too_many")); n != 2 {
		t.Errorf("%v samples were passed over, want 2", n)
	}
}
