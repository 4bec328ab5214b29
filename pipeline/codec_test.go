package pipeline

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"github.com/kubevalue/kubevalue/schema"
)

func anyText(t *rapid.T, label string) string {
	return rapid.SampledFrom([]string{"", "a", "b", "a longer one", "ünï", "\x00", strings.Repeat("x", 300)}).Draw(t, label)
}

func anyTime(t *rapid.T, label string) time.Time {
	return time.UnixMilli(rapid.Int64Range(-1_000, maxTime.UnixMilli()).Draw(t, label)).UTC()
}

func anyNumber(t *rapid.T, label string) *float64 {
	return rapid.Ptr(rapid.SampledFrom([]float64{0, 1, -1.5, math.MaxFloat64, math.SmallestNonzeroFloat64}), true).Draw(t, label)
}

func anyBatch(t *rapid.T) schema.Batch {
	b := schema.Batch{Backfill: rapid.Bool().Draw(t, "backfill")}
	for range rapid.IntRange(0, 5).Draw(t, "events") {
		e := schema.Event{
			Time: anyTime(t, "time"), Received: anyTime(t, "received"), Value: anyNumber(t, "value"), DurationMS: anyNumber(t, "duration"),
			Groups:     rapid.SliceOfN(rapid.SampledFrom([]string{"", "g", "h"}), 0, 3).Draw(t, "groups"),
			Attributes: rapid.MapOfN(rapid.SampledFrom([]string{"k1", "k2", "k3"}), rapid.SampledFrom([]string{"", "v"}), 0, 3).Draw(t, "attributes"),
		}
		for _, field := range texts(&e) {
			*field = anyText(t, "text")
		}
		if n := len(b.Events); n > 0 && rapid.Bool().Draw(t, "same attributes") {
			e.Attributes = b.Events[n-1].Attributes // the very same map
		}
		b.Events = append(b.Events, e)
	}
	for range rapid.IntRange(0, 3).Draw(t, "slices") {
		b.Slices = append(b.Slices, schema.Slice{
			Indicator: anyText(t, "indicator"), Revision: anyText(t, "revision"), Group: anyText(t, "group"), State: schema.SliceState(anyText(t, "state")),
			Start: anyTime(t, "start").Truncate(time.Second), Seconds: rapid.Uint32().Draw(t, "seconds"), Good: rapid.Float64().Draw(t, "good"),
			Total: rapid.Float64().Draw(t, "total"), Version: rapid.Uint64().Draw(t, "version"),
		})
	}
	for range rapid.IntRange(0, 3).Draw(t, "aliases") {
		b.Aliases = append(b.Aliases, schema.Alias{Source: anyText(t, "source"), From: anyText(t, "from"), To: anyText(t, "to"), At: anyTime(t, "at")})
	}
	for range rapid.IntRange(0, 2).Draw(t, "changes") {
		b.Changes = append(b.Changes, schema.ResourceChange{
			Resource: schema.Resource{Cluster: anyText(t, "cluster"), UID: anyText(t, "uid"), Labels: map[string]string{"k": anyText(t, "label")}},
			Change:   schema.ChangeReady, Time: anyTime(t, "time"), Value: new(rapid.Float64().Draw(t, "value")),
		})
	}
	for range rapid.IntRange(0, 2).Draw(t, "incidents") {
		b.Incidents = append(b.Incidents, schema.Incident{
			ID: anyText(t, "id"), Service: "s", Start: anyTime(t, "start"), Links: []string{anyText(t, "link")}, Version: rapid.Uint64().Draw(t, "version"),
			Followups: []schema.Followup{{ID: "f", Due: anyTime(t, "due")}},
		})
	}
	return b
}

func TestBatchesComeOutAsTheyWentIn(t *testing.T) {
	keep := map[string]bool{"k1": true, "k2": true}
	var c encoder // one for all, as in use
	rapid.Check(t, func(t *rapid.T) {
		b := anyBatch(t)
		payload, err := c.encode(&b, keep)
		if err != nil {
			t.Fatal(err)
		}
		if n, _, err := batchLen(payload); err != nil || n != b.Len() {
			t.Fatalf("%d records, want %d (%v)", n, b.Len(), err)
		}
		got, err := decode(payload, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Events {
			delete(b.Events[i].Attributes, "k3")
		}
		if d := cmp.Diff(b, got, cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
	})
}

func TestABatchCutShortIsNoBatch(t *testing.T) {
	b := schema.Batch{Events: []schema.Event{{ID: "1", Name: "n", Time: maxTime, Attributes: map[string]string{"k": "v"}}}, Slices: []schema.Slice{{Indicator: "i"}}}
	var c encoder
	if _, err := c.encode(&b, map[string]bool{"k": true}); err != nil {
		t.Fatal(err)
	}
	for n := range len(c.body) {
		payload := append([]byte{codecFormat, 2}, s2.Encode(nil, c.body[:n])...)
		if _, err := decode(payload, nil); err == nil {
			t.Errorf("%d of %d bytes are a batch", n, len(c.body))
		}
	}
	for name, payload := range map[string][]byte{
		"nothing": {}, "another format": {9, 1, 0}, "no body": {codecFormat, 1}, "longer": append([]byte{codecFormat, 2}, s2.Encode(nil, append(c.body, 0))...),
	} {
		if _, err := decode(payload, nil); err == nil {
			t.Errorf("%s is a batch", name)
		}
	}
}

func TestAnUnpackingBombIsRefused(t *testing.T) {
	payload := append([]byte{codecFormat, 1}, s2.Encode(nil, make([]byte, maxBody+1))...)
	if _, err := decode(payload, nil); err == nil || !strings.Contains(err.Error(), "cannot be unpacked") {
		t.Errorf("got %v", err)
	}
	b := schema.Batch{Events: make([]schema.Event, maxBody/1000)}
	for i := range b.Events {
		b.Events[i].ID = fmt.Sprint(i, strings.Repeat("x", 1000))
	}
	if _, err := new(encoder).encode(&b, nil); err == nil || !strings.Contains(err.Error(), "send smaller batches") {
		t.Errorf("got %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	b := schema.Batch{
		Events:    []schema.Event{{ID: "1", Name: "n", Groups: []string{"g"}, Attributes: map[string]string{"k": "v"}, Value: new(1.5)}, {ID: "2"}},
		Slices:    []schema.Slice{{Indicator: "i", Seconds: 60}},
		Aliases:   []schema.Alias{{From: "a", To: "b"}},
		Incidents: []schema.Incident{{ID: "x"}},
	}
	keep := map[string]bool{"k": true}
	var c encoder
	if _, err := c.encode(&b, keep); err != nil {
		f.Fatal(err)
	}
	f.Add(c.body)
	f.Add([]byte{0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := decode(append([]byte{codecFormat, 1}, s2.Encode(nil, body)...), nil)
		if err != nil {
			return
		}
		// What can be read can be written and read again; its attributes are all kept.
		for _, e := range got.Events {
			for k := range e.Attributes {
				keep[k] = true
			}
		}
		payload, err := new(encoder).encode(&got, keep)
		if err != nil {
			return // too large now
		}
		if _, err := decode(payload, nil); err != nil {
			t.Errorf("%v after writing it again", err)
		}
	})
}

// benchBatch is a thousand events as a fleet's clients send them.
func benchBatch() (b schema.Batch, sent int) {
	now := time.Now()
	for i := range 1000 {
		e := schema.Event{
			ID: fmt.Sprintf("%08x-%04x-4c5e-9f3a-%012x", i*2654435761, i%65536, uint64(i)*0x9e3779b97f4a7c15>>16), Source: "platform",
			Time: now.Add(-time.Duration(i*7919%3600_000) * time.Millisecond), Received: now, Name: "deployments.update",
			Actor: fmt.Sprintf("user%d@example.com", i*31%2000), Team: fmt.Sprintf("team-%d", i%40), Cluster: fmt.Sprintf("cluster-%d", i%12),
			Namespace: fmt.Sprintf("team-%d-prod", i%40), Resource: "deployments", Object: fmt.Sprintf("service-%d", i*17%500),
			Outcome: schema.OutcomeSuccess,
		}
		b.Events = append(b.Events, e)
		text, _ := json.Marshal(map[string]any{
			"id": e.ID, "time": e.Time, "name": e.Name, "actor": e.Actor, "team": e.Team, "cluster": e.Cluster, "namespace": e.Namespace,
			"resource": e.Resource, "object": e.Object, "outcome": e.Outcome,
		})
		sent += len(text) + 1
	}
	return b, sent
}

func BenchmarkEncode(b *testing.B) {
	batch, sent := benchBatch()
	var c encoder
	var payload []byte
	for b.Loop() {
		payload, _ = c.encode(&batch, nil)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*1000), "ns/event")
	b.ReportMetric(float64(len(payload))/float64(sent), "size/payload")
}

func BenchmarkDecode(b *testing.B) {
	batch, _ := benchBatch()
	payload, err := new(encoder).encode(&batch, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var events []schema.Event
	for b.Loop() {
		got, err := decode(payload, events)
		if err != nil {
			b.Fatal(err)
		}
		events = got.Events
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*1000), "ns/event")
}

// BenchmarkCompression compares what a batch could be packed with.
func BenchmarkCompression(b *testing.B) {
	batch, sent := benchBatch()
	var c encoder
	if _, err := c.encode(&batch, nil); err != nil {
		b.Fatal(err)
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		b.Fatal(err)
	}
	for name, pack := range map[string]func([]byte) []byte{
		"s2":        func(dst []byte) []byte { return s2.Encode(dst, c.body) },
		"s2 better": func(dst []byte) []byte { return s2.EncodeBetter(dst, c.body) },
		"zstd":      func(dst []byte) []byte { return z.EncodeAll(c.body, dst[:0]) },
		"none":      func([]byte) []byte { return c.body },
	} {
		b.Run(name, func(b *testing.B) {
			dst := make([]byte, s2.MaxEncodedLen(len(c.body)))
			var packed []byte
			for b.Loop() {
				packed = pack(dst)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*1000), "ns/event")
			b.ReportMetric(float64(len(packed))/float64(sent), "size/payload")
		})
	}
}

// TestSharedAttributesAreEncodedOnce has more maps than the encoder keeps in mind, and each of them twice.
func TestSharedAttributesAreEncodedOnce(t *testing.T) {
	const maps = 2*attributesKept + 1
	keep := map[string]bool{"k": true}
	var b schema.Batch
	for i := range 2 * maps {
		e := schema.Event{Name: "n", Source: "s", Time: minTime, Received: minTime, Attributes: map[string]string{"k": fmt.Sprint(i), "dropped": "x"}}
		switch {
		case i >= maps:
			e.Attributes = b.Events[i-maps].Attributes
		case i%7 == 0:
			e.Attributes = map[string]string{"dropped": "x"}
		}
		b.Events = append(b.Events, e)
	}
	var c encoder
	for range 2 { // the second time in used room
		payload, err := c.encode(&b, keep)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(payload, nil)
		if err != nil || len(got.Events) != len(b.Events) {
			t.Fatalf("%d events, error %v", len(got.Events), err)
		}
		for i := range got.Events {
			want := map[string]string{"k": fmt.Sprint(i % maps)}
			if i%maps%7 == 0 {
				want = nil
			}
			if diff := cmp.Diff(want, got.Events[i].Attributes); diff != "" {
				t.Fatalf("event %d:\n%s", i, diff)
			}
		}
	}
}
