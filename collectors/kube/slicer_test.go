package kube

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"pgregory.net/rapid"

	"github.com/kubevalue/kubevalue/schema"
)

// slices takes the slices that were handed over, by group and start in seconds since noon: "good/total", or "gap".
func (r *rig) slices() map[string]string {
	r.handOver()
	got := map[string]string{}
	for _, s := range r.sink.slices {
		text := fmt.Sprintf("%g/%g", s.Good, s.Total)
		if s.State == schema.SliceGap {
			text = "gap"
		}
		got[fmt.Sprintf("%s %g", s.Group, s.Start.Sub(noon).Seconds())] = text
	}
	r.sink.slices = nil
	return got
}

func wantSlices(t *testing.T, r *rig, want map[string]string) {
	t.Helper()
	if diff := cmp.Diff(want, r.slices(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("slices (-want +got):\n%s", diff)
	}
}

func TestASliceCountsTheSecondsWithEnoughPods(t *testing.T) {
	r := newRig(t, noon.Add(-time.Second)).sync(map[string][]any{schema.KindDeployment: {rolled(web(noon, 4), "1", 4, 4)}})
	r.live(time.Second)
	r.tick()
	r.live(10 * time.Second)
	r.put(schema.KindDeployment, rolled(web(noon, 4), "1", 4, 3)) // 25% of 4 may be away
	r.live(10 * time.Second)
	r.put(schema.KindDeployment, rolled(web(noon, 4), "1", 4, 2))
	r.live(5*time.Second + 250*time.Millisecond)
	r.put(schema.KindDeployment, rolled(web(noon, 4), "1", 4, 4))
	r.live(34*time.Second + 750*time.Millisecond + 100*time.Millisecond)
	r.put(schema.KindDeployment, rolled(web(noon, 4), "1", 4, 0)) // in the next slice
	// The watch began within the first slice, and nothing has proven yet that nothing of the second is on its way.
	wantSlices(t, r, map[string]string{"c1/shop/Deployment/web -60": "gap"})
	r.alive()
	r.live(60 * time.Second)
	r.tick()
	r.alive()
	wantSlices(t, r, map[string]string{"c1/shop/Deployment/web 0": "54.75/60", "c1/shop/Deployment/web 60": "0.1/60"})
}

func TestAWorkloadScaledToNoneIsZeroOfZero(t *testing.T) {
	r := newRig(t, noon).sync(map[string][]any{schema.KindDeployment: {rolled(web(noon, 2), "1", 2, 2)}})
	r.live(30 * time.Second)
	d := web(noon, 0)
	d.Generation = 2
	r.put(schema.KindDeployment, rolled(d, "1", 0, 0))
	r.live(90 * time.Second)
	r.tick()
	r.alive()
	wantSlices(t, r, map[string]string{"c1/shop/Deployment/web 0": "30/30", "c1/shop/Deployment/web 60": "0/0"})
}

func TestAWorkloadThatComesOrGoesHasPartOfASlice(t *testing.T) {
	r := newRig(t, noon).sync(nil)
	r.live(20 * time.Second)
	first := web(noon.Add(20*time.Second), 1)
	r.put(schema.KindDeployment, rolled(first, "1", 1, 1))
	r.live(10 * time.Second)
	r.delete(schema.KindDeployment, rolled(first, "1", 1, 1))
	r.live(5 * time.Second)
	second := web(noon.Add(35*time.Second), 1) // of the same name
	second.UID = "uid-second"
	r.put(schema.KindDeployment, rolled(second, "", 0, 0))
	r.live(5 * time.Second)
	r.put(schema.KindDeployment, rolled(second, "1", 1, 1))
	r.live(20 * time.Second)
	r.tick()
	r.alive()
	wantSlices(t, r, map[string]string{"c1/shop/Deployment/web 0": "30/35"})
}

func TestWhatWasNotWatchedIsAGap(t *testing.T) {
	begin := func() (*rig, *feed) {
		r := newRig(t, noon).sync(map[string][]any{schema.KindDeployment: {rolled(web(noon, 1), "1", 1, 1)}})
		return r, r.feeds[schema.KindDeployment]
	}
	const group = "c1/shop/Deployment/web "
	t.Run("a watch was away", func(t *testing.T) {
		r, f := begin()
		passAlive(r, 50*time.Second)
		f.wentDown(r.now())
		passAlive(r, 20*time.Second)
		f.cameUp(r.now())
		passAlive(r, 110*time.Second)
		r.alive()
		wantSlices(t, r, map[string]string{group + "0": "gap", group + "60": "gap", group + "120": "60/60"})
	})
	t.Run("a watch was away, and a list was needed", func(t *testing.T) {
		r, f := begin()
		passAlive(r, 20*time.Second)
		f.wentDown(r.now())
		passAlive(r, 20*time.Second)
		r.list(f.name, rolled(web(noon, 1), "1", 1, 1))
		passAlive(r, 80*time.Second)
		r.alive()
		wantSlices(t, r, map[string]string{group + "0": "gap", group + "60": "60/60"})
	})
	t.Run("a watch was away for a moment", func(t *testing.T) {
		r, f := begin()
		passAlive(r, 50*time.Second)
		f.wentDown(r.now())
		r.pass(time.Second)
		f.cameUp(r.now())
		r.pass(9 * time.Second)
		r.alive()
		r.tick()
		r.alive()
		wantSlices(t, r, map[string]string{group + "0": "60/60"})
	})
	t.Run("a watch is away for a moment at the end", func(t *testing.T) {
		r, f := begin()
		passAlive(r, 50*time.Second)
		r.pass(9500 * time.Millisecond)
		f.wentDown(r.now())
		r.pass(time.Second)
		r.tick()
		r.alive()
		wantSlices(t, r, nil)
		f.cameUp(r.now())
		r.alive()
		wantSlices(t, r, map[string]string{group + "0": "60/60"})
	})
	t.Run("the cluster was silent", func(t *testing.T) {
		r, _ := begin()
		r.pass(59 * time.Second) // a sign of life at the start, and one at the end
		r.pass(time.Second)
		r.tick()
		r.alive()
		wantSlices(t, r, map[string]string{group + "0": "gap"})
	})
	t.Run("the cluster falls silent at the end", func(t *testing.T) {
		r, _ := begin()
		passAlive(r, 50*time.Second)
		r.pass(10 * time.Second)
		r.tick()
		r.pass(proofWait)
		r.tick()
		wantSlices(t, r, nil)
		r.pass(time.Second)
		r.tick()
		wantSlices(t, r, map[string]string{group + "0": "gap"})
	})
	t.Run("the machine slept", func(t *testing.T) {
		r, _ := begin()
		passAlive(r, 30*time.Second)
		r.pass(time.Hour)
		r.tick()
		passAlive(r, 2*time.Minute)
		wantSlices(t, r, map[string]string{group + "3600": "gap", group + "3660": "60/60"})
	})
}

func TestAMeasuredSliceBeatsAGapWhoeverWritesLast(t *testing.T) {
	s := sum{time.Second, time.Second}
	measured, gap := s.slice("g", noon, time.Minute, noon.Add(61*time.Second), true), s.slice("g", noon, time.Minute, noon.Add(time.Hour), false)
	if measured.Version <= gap.Version || gap.Good != 0 || gap.Total != 0 || gap.State != schema.SliceGap {
		t.Errorf("measured %+v, gap %+v", measured, gap)
	}
}

// An oracle that looks at every millisecond must find the same seconds as the meter.
func TestTheMeterAgreesWithLookingAtEveryMillisecond(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const length, slices = 10, 4 // seconds
		type step struct{ at, desired, available, enough int }
		var steps []step
		at := rapid.IntRange(0, 3000).Draw(t, "first")
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			s := step{at: at, desired: rapid.IntRange(0, 4).Draw(t, "desired"), available: rapid.IntRange(0, 4).Draw(t, "available")}
			s.enough = max(1, s.desired-rapid.IntRange(0, 2).Draw(t, "tolerated"))
			steps = append(steps, s)
			at += rapid.IntRange(0, 9000).Draw(t, "wait")
		}
		last := at
		var want [slices]sum
		for ms := 0; ms < slices*length*1000; ms++ {
			now := -1
			for i, s := range steps {
				if s.at <= ms {
					now = i
				}
			}
			if now < 0 || ms >= last {
				continue
			}
			if s := steps[now]; s.desired > 0 {
				slot := &want[ms/(length*1000)]
				slot.total += time.Millisecond
				if s.available >= s.enough {
					slot.good += time.Millisecond
				}
			}
		}
		wanted := map[int]sum{}
		for i := steps[0].at / (length * 1000); i < slices && i*length*1000 <= last; i++ {
			wanted[i] = want[i]
		}
		got := measure(length, slices, last, func(yield func(at time.Duration, w *workload)) {
			for _, s := range steps {
				yield(time.Duration(s.at)*time.Millisecond, &workload{desired: int64(s.desired), available: int64(s.available), enough: int64(s.enough)})
			}
		})
		if diff := cmp.Diff(wanted, got, cmp.AllowUnexported(sum{})); diff != "" {
			t.Fatalf("seconds (-looked at +metered):\n%s", diff)
		}
	})
}

// measure drives a cluster's slices with the states of one workload, which goes at last (in milliseconds).
func measure(length, slices, last int, states func(yield func(time.Duration, *workload))) map[int]sum {
	clock := noon
	m := newMetrics()
	cfg := Config{Slice: time.Duration(length) * time.Second, Now: func() time.Time { return clock }}.withDefaults()
	c := newCluster(cfg, ClusterConfig{Name: "c1"}, newOutbox(cfg, m), m)
	f := &feed{kind: kind{name: schema.KindDeployment, metered: true}, c: c, tracked: map[uid]*tracked{}}
	c.feeds[f.name] = f
	c.begin()
	tr := newTracked(f.name, &object{name: "web"})
	states(func(at time.Duration, w *workload) {
		for ; clock.Before(noon.Add(at)); clock = clock.Add(min(time.Second, noon.Add(at).Sub(clock))) {
			c.begin()
		}
		c.begin()
		f.tracked[uid{}] = tr
		tr.meter.set(clock, w)
	})
	for end := noon.Add(time.Duration(last) * time.Millisecond); clock.Before(end); {
		clock = clock.Add(min(time.Second, end.Sub(clock)))
		c.begin()
	}
	c.endMeter(f, tr)
	delete(f.tracked, uid{})
	for range slices*length + 1 {
		clock = clock.Add(time.Second)
		c.begin()
	}
	got := map[int]sum{}
	for _, w := range c.slices.waiting {
		if i := int(w.start.Sub(noon) / (time.Duration(length) * time.Second)); i < slices {
			got[i] = w.sums[f.name]["c1//Deployment/web"]
		}
	}
	return got
}

func TestHowManyPodsAreEnough(t *testing.T) {
	deployment := func(n int32, kind appsv1.DeploymentStrategyType, unavailable, surge *intstr.IntOrString) int64 {
		d := web(noon, n)
		d.Spec.Strategy.Type = kind
		if unavailable != nil {
			d.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxUnavailable: unavailable, MaxSurge: surge}
		}
		o := &object{}
		fromDeployment(o, d)
		return o.workload.enough
	}
	number := func(n int) *intstr.IntOrString { v := intstr.FromInt32(int32(n)); return &v }
	percent := func(s string) *intstr.IntOrString { v := intstr.FromString(s); return &v }
	for _, c := range []struct {
		got, want int64
		what      string
	}{
		{deployment(4, "", nil, nil), 3, "a quarter of 4 may be away"},
		{deployment(3, "", nil, nil), 3, "a quarter of 3 is rounded down to 0"},
		{deployment(1, "", number(1), number(1)), 1, "at least one"},
		{deployment(10, "", percent("50%"), number(0)), 5, "half"},
		{deployment(10, "", percent("0%"), number(0)), 9, "the controller takes one away when it could not move otherwise"},
		{deployment(10, appsv1.RecreateDeploymentStrategyType, nil, nil), 10, "Recreate tolerates none"},
		{deployment(0, "", nil, nil), 1, "none desired"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", c.what, c.got, c.want)
		}
	}
}
