package auditbench

import "testing"

func TestBothSidesSeeAllEventsOfTheSample(t *testing.T) {
	body, err := Sample(Batch)
	if err != nil {
		t.Fatal(err)
	}
	for name, decode := range map[string]func([]byte) (int, error){"ours": Decode, "stdlib": DecodeStdlib} {
		if n, err := decode(body); err != nil || n != Batch {
			t.Errorf("%s: %d events, error %v, want %d", name, n, err, Batch)
		}
	}
	if size := len(body) / Batch; size < 900 || size > 2500 {
		t.Errorf("an event of the sample has %d bytes, real ones have 1 to 2.5 KB", size)
	}
}

func benchmark(b *testing.B, decode func([]byte) (int, error)) {
	body, err := Sample(Batch)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if n, err := decode(body); err != nil || n != Batch {
			b.Fatalf("%d events, error %v", n, err)
		}
	}
}

func BenchmarkDecode(b *testing.B)       { benchmark(b, Decode) }
func BenchmarkDecodeStdlib(b *testing.B) { benchmark(b, DecodeStdlib) }

func TestCompareMeasuresBothSides(t *testing.T) {
	ours, stdlib, err := Compare(1)
	if err != nil || ours <= 0 || stdlib <= 0 {
		t.Errorf("%v and %v bytes per second, error %v", ours, stdlib, err)
	}
}
