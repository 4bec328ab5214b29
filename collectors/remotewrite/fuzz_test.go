package remotewrite

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/prompb"
)

// FuzzReceive takes any body: packed as it must be, or not.
func FuzzReceive(f *testing.F) {
	good := prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{
		Labels:  []prompb.Label{{Name: "__name__", Value: "requests_total"}, {Name: "instance", Value: "a"}, {Name: "job", Value: "j"}},
		Samples: []prompb.Sample{{Value: 1, Timestamp: start.UnixMilli()}, {Value: 2, Timestamp: start.UnixMilli() + 15_000}},
	}}}
	body, err := good.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body, true)
	f.Add(snappy.Encode(nil, body), false)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}, false) // unpacks to 4 GiB, as it says
	f.Fuzz(func(t *testing.T, body []byte, pack bool) {
		if pack {
			body = snappy.Encode(nil, body)
		}
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set("Authorization", "Bearer secret")
		r.Header.Set("Content-Encoding", "snappy")
		w := httptest.NewRecorder()
		newBench(t).ServeHTTP(w, r)
		switch w.Code {
		case http.StatusNoContent, http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		default:
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	})
}
