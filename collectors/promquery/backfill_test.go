package promquery

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/config"

	"github.com/kubevalue/kubevalue/schema"
)

func TestBackfillInChunksLeavesOutWhatIsKnownAndWhatCameBeforeTheFirstMeasurement(t *testing.T) {
	n := &numbers{good: map[int64]float64{}, total: map[int64]float64{}}
	const length = 2000
	for m := 101; m <= length; m++ { // the first slice with samples starts at minute 100
		if m != 1500 && m != 900 {
			n.good[at(m).Unix()], n.total[at(m).Unix()] = 1, 1
		}
	}
	sink := &tables{slices: map[time.Time]schema.Slice{}}
	// Minute 899 was measured once; the server has lost it meanwhile.
	sink.slices[at(899)] = schema.Slice{Indicator: "login", Revision: Revision(events), Start: at(899), Seconds: 60, Good: 5, Total: 5, State: schema.SliceMeasured}
	var progress []int
	cfg := BackfillConfig{Indicator: events, Ask: n.ask, Sink: sink, Known: sink.known, From: at(0), To: at(length).Add(30 * time.Second), Progress: func(asked int) { progress = append(progress, asked) }}
	sum, err := Backfill(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if want := (BackfillSummary{Asked: 2000, Measured: 1898, Gaps: 1}); sum != want {
		t.Errorf("got %+v, want %+v", sum, want)
	}
	if fmt.Sprint(progress) != "[720 1440 2000]" {
		t.Errorf("progress %v", progress)
	}
	if got := sink.states(98, 102) + " " + sink.states(898, 901) + " " + sink.states(1498, 1501); got != "??oo ooo o_o" {
		t.Errorf("slices %s", got)
	}
	if again, err := Backfill(t.Context(), cfg); err != nil || again.Measured+again.Gaps != 0 {
		t.Errorf("the second run stored %+v, %v", again, err)
	}
}

// answering is a server that always says the same.
func answering(t *testing.T, status int, contentType string, body func(w http.ResponseWriter)) Ask {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		body(w)
	}))
	t.Cleanup(server.Close)
	s, err := NewServer(server.URL, config.HTTPClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return s.Ask
}

func text(s string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { _, _ = w.Write([]byte(s)) }
}

func TestAnswersThatAreNone(t *testing.T) {
	sink := &tables{}
	endless := func(w http.ResponseWriter) {
		block := []byte(strings.Repeat(`{"metric":{},"values":[]},`, 4000))
		_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"matrix","result":[`))
		for range 100_000 { // 10 GB
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}
	for _, c := range []struct {
		name string
		ask  Ask
		want string
	}{
		{"HTML", answering(t, 200, "text/html", text("<html>Sign in</html>")), "expect {"},
		{"gigabytes", answering(t, 200, "application/json", endless), ErrAnswerTooLarge.Error()},
		{"a wrong query", answering(t, 400, "application/json", text(`{"status":"error","errorType":"bad_data","error":"parse error"}`)), "parse error"},
		{"forbidden", answering(t, 403, "text/plain", text("go away")), "403"},
		{"a vector", answering(t, 200, "application/json", text(`{"status":"success","data":{"resultType":"vector","result":[]}}`)), "the answer is a vector"},
		{"two series", answering(t, 200, "application/json", text(`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":"1"},"values":[[1,"1"]]},{"metric":{"a":"2"},"values":[[1,"1"]]}]}}`)), "2 series"},
		{"cut short", answering(t, 200, "application/json", text(`{"status":"success","data":{"resultType":"matrix","result":[`)), "bad_response"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := fetcher{ask: c.ask, known: sink.known, timeout: 20 * time.Second, now: time.Now}
			p, err := compile(events)
			if err != nil {
				t.Fatal(err)
			}
			found, err := f.fetch(t.Context(), p, at(0), at(2))
			if err == nil || !strings.Contains(err.Error(), c.want) || len(found) != 0 {
				t.Errorf("got %d slices and %v; want none and %q", len(found), err, c.want)
			}
		})
	}
}

func TestAServerThatHangsIsLeft(t *testing.T) {
	hanging := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hanging:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(hanging)
	s, err := NewServer(server.URL, config.HTTPClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := compile(events)
	if err != nil {
		t.Fatal(err)
	}
	f := fetcher{ask: s.Ask, known: (&tables{}).known, timeout: 20 * time.Millisecond, now: time.Now}
	if _, err := f.fetch(t.Context(), p, at(0), at(1)); err == nil || !strings.Contains(err.Error(), "deadline exceeded") {
		t.Errorf("got %v", err)
	}
}

func TestBackfillEndsAtARefusal(t *testing.T) {
	asked := 0
	ask := answering(t, 422, "application/json", func(w http.ResponseWriter) {
		asked++
		text(`{"status":"error","errorType":"execution","error":"many-to-many matching"}`)(w)
	})
	_, err := Backfill(t.Context(), BackfillConfig{Indicator: events, Ask: ask, Sink: &tables{}, Known: (&tables{}).known, From: at(0), To: at(10)})
	if err == nil || !Refused(errors.Unwrap(err)) || asked != 1 {
		t.Errorf("asked %d times: %v", asked, err)
	}
}
