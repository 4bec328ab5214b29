package kube

import (
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// slicer cuts what the meters of a cluster say into slices. A finished slice waits until a sign of life from after its end
// proves that nothing of it is still on its way.
type slicer struct {
	length time.Duration
	start  time.Time // of the slice under way; zero: none yet
	// ended are workloads that went in the slice under way.
	ended   map[string]ended
	waiting []finished
	// measured and all count slices of workloads.
	measured, all int64
}

type ended struct {
	kind string
	sum  sum
}

// finished is a slice that waits for its proof: the sums of each kind's workloads, by group.
type finished struct {
	start, end time.Time
	sums       map[string]map[string]sum
}

// longestJump is how many slices the clock may jump over: more were slept through.
const longestJump = 5

func newSlicer(length time.Duration) slicer {
	return slicer{length: length, ended: map[string]ended{}}
}

// closeSlices ends the slices that are over. It must be called before anything changes.
func (c *cluster) closeSlices(now time.Time) {
	s := &c.slices
	current := now.Truncate(s.length)
	if s.start.IsZero() || current.Before(s.start) || current.Sub(s.start) > longestJump*s.length {
		if !s.start.IsZero() { // the clock was set, or the machine asleep
			c.okSince = now
			c.discardMeters(now)
		}
		s.start = current
		return
	}
	for ; s.start.Before(current); s.start = s.start.Add(s.length) {
		c.closeSlice(s.start, s.start.Add(s.length))
	}
}

func (c *cluster) closeSlice(start, end time.Time) {
	s := &c.slices
	done := finished{start: start, end: end, sums: map[string]map[string]sum{}}
	for group, e := range s.ended {
		done.add(e.kind, group, e.sum)
	}
	clear(s.ended)
	for _, f := range c.feeds {
		if !f.metered {
			continue
		}
		for _, t := range f.tracked {
			if sum, there := t.meter.take(end); there {
				done.add(f.name, schema.WorkloadGroup(c.cc.Name, t.res.Namespace, f.name, t.res.Name), sum)
			}
		}
	}
	if len(done.sums) > 0 {
		s.waiting = append(s.waiting, done)
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

func (f *finished) add(kind, group string, s sum) {
	if f.sums[kind] == nil {
		f.sums[kind] = map[string]sum{}
	}
	was := f.sums[kind][group] // a workload of this name that went within the slice
	f.sums[kind][group] = sum{min(was.good+s.good, f.end.Sub(f.start)), min(was.total+s.total, f.end.Sub(f.start))}
}

func (c *cluster) discardMeters(now time.Time) {
	clear(c.slices.ended)
	for _, f := range c.feeds {
		for _, t := range f.tracked {
			t.meter.advance(now)
			t.meter.good, t.meter.total = 0, 0
		}
	}
}

// endMeter keeps what a workload has in the slice under way when it goes.
func (c *cluster) endMeter(f *feed, t *tracked) {
	if !f.metered {
		return
	}
	if s, there := t.meter.take(c.now()); there {
		group := schema.WorkloadGroup(c.cc.Name, t.res.Namespace, f.name, t.res.Name)
		was := c.slices.ended[group].sum
		c.slices.ended[group] = ended{f.name, sum{was.good + s.good, was.total + s.total}}
	}
}

// settle hands over the finished slices that asked, the time of a request that was answered, proves, or that have waited too long.
func (s *slicer) settle(c *cluster, asked time.Time) {
	now := c.now()
	kept := s.waiting[:0]
	for _, w := range s.waiting {
		proven, late := !asked.Before(w.end), now.Sub(w.end) > proofWait
		if !late && (!proven || c.aWatchComesBack(w)) {
			kept = append(kept, w)
			continue
		}
		s.hand(c, w, proven || !c.lastOK.Before(w.end), now)
	}
	clear(s.waiting[len(kept):])
	s.waiting = kept
}

// aWatchComesBack tells whether a watch is away that may come back in time.
func (c *cluster) aWatchComesBack(w finished) bool {
	for kind := range w.sums {
		if f := c.feeds[kind]; f != nil && f.synced && !f.up && !f.okSince.After(w.start) && c.now().Sub(f.downSince) <= shortBreak {
			return true
		}
	}
	return false
}

func (s *slicer) hand(c *cluster, w finished, proven bool, now time.Time) {
	var slices []schema.Slice
	for kind, sums := range w.sums {
		f := c.feeds[kind]
		measured := proven && f.synced && f.up && !f.okSince.After(w.start) && !c.okSince.IsZero() && !c.okSince.After(w.start)
		for group, sum := range sums {
			slices = append(slices, sum.slice(group, w.start, s.length, now, measured))
		}
		s.all += int64(len(sums))
		state := schema.SliceGap
		if measured {
			s.measured += int64(len(sums))
			state = schema.SliceMeasured
		}
		c.metrics.slices.WithLabelValues(c.cc.Name, string(state)).Add(float64(len(sums)))
	}
	c.out.Put(schema.Batch{Slices: slices})
}
