package interval

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

// Newcombe (1998), Statistics in Medicine 17, 857-872, table I, method 3.
func TestWilsonAgainstPublishedFigures(t *testing.T) {
	for _, c := range []struct{ k, n, low, high float64 }{
		{81, 263, 0.2553, 0.3662}, {15, 148, 0.0624, 0.1605}, {0, 20, 0, 0.1611}, {1, 29, 0.0061, 0.1718},
	} {
		low, high, ok := Wilson(c.k, c.n)
		if !ok {
			t.Fatalf("%v of %v is undefined", c.k, c.n)
		}
		near(t, "low", low, c.low, 5e-5)
		near(t, "high", high, c.high, 5e-5)
	}
	for _, c := range [][2]float64{{0, 0}, {3, 2}, {-1, 2}} {
		if _, _, ok := Wilson(c[0], c[1]); ok {
			t.Errorf("%v of %v has an interval", c[0], c[1])
		}
	}
}

func TestFinitePopulation(t *testing.T) {
	low, high, _ := WilsonFinite(5, 10, 1e12)
	wantLow, wantHigh, _ := Wilson(5, 10)
	near(t, "low in a vast population", low, wantLow, 1e-9)
	near(t, "high in a vast population", high, wantHigh, 1e-9)
	low, high, ok := WilsonFinite(4, 10, 10)
	if !ok || low != 0.4 || high != 0.4 {
		t.Errorf("a census has the interval [%v, %v]", low, high)
	}
	if _, _, ok := WilsonFinite(4, 11, 10); ok {
		t.Error("more answers than people have an interval")
	}
}

func TestAdjustedWald(t *testing.T) {
	low, high, _ := AdjustedWald(5, 10)
	near(t, "low", low, 0.2366, 5e-5)
	near(t, "high", high, 0.7634, 5e-5)
}

func TestNetPromoter(t *testing.T) {
	score, low, high, ok := NetPromoter(5, 2, 10)
	if !ok {
		t.Fatal("undefined")
	}
	near(t, "score", score, 0.3, 1e-12)
	// p = 5.75/13, d = 2.75/13: 0.230769 ± 1.959964 sqrt((0.653846 - 0.053254)/13)
	near(t, "low", low, -0.190504, 1e-5)
	near(t, "high", high, 0.652042, 1e-5)
}

// Newcombe (1998), Statistics in Medicine 17, 873-890, table II, method 10.
func TestDifferenceAgainstPublishedFigures(t *testing.T) {
	for _, c := range []struct{ k1, n1, k2, n2, low, high float64 }{
		{56, 70, 48, 80, 0.0524, 0.3339}, {9, 10, 3, 10, 0.1705, 0.8090}, {5, 56, 0, 29, -0.0381, 0.1926}, {10, 10, 0, 10, 0.6075, 1},
	} {
		d, low, high, ok := Difference(c.k1, c.n1, c.k2, c.n2)
		if !ok {
			t.Fatalf("%+v is undefined", c)
		}
		near(t, "difference", d, c.k1/c.n1-c.k2/c.n2, 1e-12)
		near(t, "low", low, c.low, 5e-5)
		near(t, "high", high, c.high, 5e-5)
	}
	if _, _, _, ok := Difference(1, 2, 0, 0); ok {
		t.Error("nothing differs from something")
	}
}

func TestMeanWithT(t *testing.T) {
	mean, low, high, ok, bounded := Mean([]float64{1, 2, 3, 4, 5})
	if !ok || !bounded {
		t.Fatal("undefined")
	}
	near(t, "mean", mean, 3, 1e-12)
	near(t, "low", low, 3-2.776445*math.Sqrt(0.5), 1e-5)
	near(t, "high", high, 3+2.776445*math.Sqrt(0.5), 1e-5)
	if _, _, _, ok, bounded := Mean([]float64{7}); !ok || bounded {
		t.Error("one value has a mean and no interval")
	}
	if _, _, _, ok, _ := Mean(nil); ok {
		t.Error("nothing has a mean")
	}
}

// The 6-MP arm of Freireich et al. (1963), as in Kalbfleisch and Prentice: median 23 weeks, at 95% from 13 to open.
func TestKaplanMeierOnLeukaemiaRemissions(t *testing.T) {
	reached := []float64{6, 6, 6, 7, 10, 13, 16, 22, 23}
	censored := []float64{6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35}
	var all []Observation
	for _, d := range reached {
		all = append(all, Observation{d, true})
	}
	for _, d := range censored {
		all = append(all, Observation{d, false})
	}
	s := KaplanMeier(all)
	if s.N != 21 || s.Reached != 9 || s.Censored != 12 {
		t.Errorf("counts %+v", s)
	}
	if s.Median == nil || *s.Median != 23 {
		t.Errorf("median %v", s.Median)
	}
	if s.Low == nil || *s.Low != 13 || s.High != nil {
		t.Errorf("interval %v to %v", s.Low, s.High)
	}
	if s := KaplanMeier(nil); s.N != 0 || s.Median != nil {
		t.Errorf("nothing gives %+v", s)
	}
}

// Without censoring the Kaplan-Meier median is the lower sample median.
func TestKaplanMeierWithoutCensoring(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		durations := rapid.SliceOfN(rapid.Float64Range(0, 100), 1, 60).Draw(rt, "durations")
		var all []Observation
		for _, d := range durations {
			all = append(all, Observation{d, true})
		}
		got := KaplanMeier(all).Median
		below := 0
		for _, d := range durations {
			if d <= *got {
				below++
			}
		}
		if 2*below < len(durations) {
			rt.Fatalf("only %d of %v got there by %v", below, durations, *got)
		}
		for _, d := range durations {
			earlier := 0
			for _, e := range durations {
				if e <= d {
					earlier++
				}
			}
			if d < *got && 2*earlier >= len(durations) {
				rt.Fatalf("%v is earlier than the median %v of %v", d, *got, durations)
			}
		}
	})
}

func TestBootstrap(t *testing.T) {
	values := make([]float64, 40)
	for i := range values {
		values[i] = float64(i % 10)
	}
	mean := func(drawn []int) (float64, bool) {
		sum := 0.0
		for _, i := range drawn {
			sum += values[i]
		}
		return sum / float64(len(drawn)), true
	}
	low, high, ok := Bootstrap(len(values), 7, mean)
	_, wantLow, wantHigh, _, _ := Mean(values)
	if !ok {
		t.Fatal("undefined")
	}
	near(t, "low", low, wantLow, 0.2)
	near(t, "high", high, wantHigh, 0.2)
	again, _, _ := Bootstrap(len(values), 7, mean)
	if again != low {
		t.Errorf("the same seed gives %v and %v", low, again)
	}
	if _, _, ok := Bootstrap(1, 7, mean); ok {
		t.Error("one cluster has an interval")
	}
	if _, _, ok := Bootstrap(9, 7, func([]int) (float64, bool) { return 0, false }); ok {
		t.Error("an undefined statistic has an interval")
	}
}

// Intervals that were published stay the same when they are computed anew.
func TestDrawsAreThoseOfTheStandardLibrary(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		drawn := make([]int, rapid.SampledFrom([]int{1, 2, 3, 17, 64, 400, 1 << 12}).Draw(rt, "n"))
		draw(rand.NewPCG(seed, 1), drawn)
		library := rand.New(rand.NewPCG(seed, 1))
		for i, got := range drawn {
			if want := library.IntN(len(drawn)); got != want {
				rt.Fatalf("the draw %d is %d, want %d", i, got, want)
			}
		}
	})
}

func TestSystemUsability(t *testing.T) {
	if s, ok := SystemUsability([10]int{5, 1, 5, 1, 5, 1, 5, 1, 5, 1}); !ok || s != 100 {
		t.Errorf("best answers score %v", s)
	}
	if s, _ := SystemUsability([10]int{3, 3, 3, 3, 3, 3, 3, 3, 3, 3}); s != 50 {
		t.Errorf("neutral answers score %v", s)
	}
	if _, ok := SystemUsability([10]int{0, 3, 3, 3, 3, 3, 3, 3, 3, 3}); ok {
		t.Error("an item of 0 was accepted")
	}
}

// A draw's statistics are those of the values written out.
func TestDrawnStatistics(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		groups := rapid.SliceOfN(rapid.SliceOfN(rapid.Float64Range(0, 10), 0, 5), 1, 6).Draw(rt, "groups")
		times := rapid.SampledFrom([]int{1, 1, 150}).Draw(rt, "times")
		for i, group := range groups {
			groups[i] = slices.Repeat(group, times)
			for j := range groups[i] {
				groups[i][j] += float64(j % 7)
			}
		}
		drawn := rapid.SliceOfN(rapid.IntRange(0, len(groups)-1), 1, 8).Draw(rt, "drawn")
		var all []float64
		for _, i := range drawn {
			all = append(all, groups[i]...)
		}
		median, ok := DrawnMedian(groups)(drawn)
		wantMedian, wantOK := Median(all)
		mean, _ := DrawnMean(groups)(drawn)
		wantMean, _, _, _, _ := Mean(all)
		if ok != wantOK || ok && (math.Abs(median-wantMedian) > 1e-12 || math.Abs(mean-wantMean) > 1e-9) {
			rt.Fatalf("median %v, mean %v of %v; want %v, %v", median, mean, all, wantMedian, wantMean)
		}
	})
}
