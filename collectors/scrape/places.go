package scrape

import (
	"cmp"
	"errors"
	"maps"
	"slices"
)

// ErrLeftOut means that a discovered target is not read, as its job has more targets than MaxTargets.
var ErrLeftOut = errors.New("left out")

// maxLeftOutShown bounds how many targets of a job that are left out are named. Their number is told in full.
const maxLeftOutShown = 100

// place says which targets of a job are kept when it has too many: the lower, the sooner. A target that has one keeps its place.
type place int

const (
	// listed in the configuration, or in a file that it names: never left out.
	listed place = iota
	// readBefore the restart: one that comes late must find its place again, so that what it counted meanwhile is not lost.
	readBefore
	// readNow, since it had come when there was room.
	readNow
	// newcomer that nobody has read.
	newcomer
)

// choose gives places to targets, and takes note of those that are left out: of two of the same place, it is the later by its key.
func (c *Collector) choose(j *job, found map[string]target, running map[string]watched) map[string]place {
	places := make(map[string]place, len(found))
	all := 0 // that are listed
	c.counting.RLock()
	for key, t := range found {
		one, reads := running[key]
		_, before := c.before[key]
		switch {
		case !t.asked:
			places[key] = listed
			all++
		case before || reads && one.place == readBefore:
			places[key] = readBefore
		case reads:
			places[key] = readNow
		default:
			places[key] = newcomer
		}
	}
	c.counting.RUnlock()
	var leftOut []target
	if kept := max(j.MaxTargets, all); len(places) > kept {
		order := slices.SortedFunc(maps.Keys(places), func(a, b string) int { return cmp.Or(cmp.Compare(places[a], places[b]), cmp.Compare(a, b)) })
		for _, key := range order[kept:] {
			leftOut = append(leftOut, found[key])
			delete(places, key)
		}
	}
	c.noteLeftOut(j, leftOut)
	return places
}

// noteLeftOut warns when a job begins to leave targets out, and says when it does so no more.
func (c *Collector) noteLeftOut(j *job, leftOut []target) {
	c.standing.Lock()
	was := len(c.standing.leftOut[j.Name])
	c.standing.leftOut[j.Name] = leftOut
	c.standing.Unlock()
	switch {
	case was == 0 && len(leftOut) > 0:
		c.cfg.Logger.Warn("a job has more targets than max_targets: some of those that were discovered are left out", "job", j.Name, "max_targets", j.MaxTargets, "left_out", len(leftOut), "first", leftOut[0].url)
	case was > 0 && len(leftOut) == 0:
		c.cfg.Logger.Info("all targets of a job have a place again", "job", j.Name, "max_targets", j.MaxTargets)
	}
}
