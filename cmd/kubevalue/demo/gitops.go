package demo

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// syncsDay is what Argo CD says of the teams' applications: most are in sync, but when somebody changes something by hand.
func (w *World) syncsDay(midnight time.Time, add func(schema.ResourceChange)) {
	r := rand.New(rand.NewPCG(w.Seed^0xa6, uint64(midnight.Unix())))
	for i := range w.Spaces {
		s := &w.Spaces[i]
		odd := r.Float64()
		from := workTime(r, midnight)
		took := time.Duration(5+r.ExpFloat64()*120) * time.Minute
		if s.Feature {
			continue
		}
		team := w.Teams[s.Team].Name
		app := w.change(s.Cluster, schema.KindApplication, "argocd", s.Name)
		app.Created, app.Team, app.TeamSource = s.Born, team, "label"
		synced := func(state string) schema.ResourceChange {
			app.Attributes = map[string]string{"sync": state, "health": "Healthy"}
			return app
		}
		if first := later(s.Born, w.Start); w.within(first, midnight) {
			add(at(synced("Synced"), schema.ChangeObserved, first.Format(time.DateOnly), first))
		}
		if odd < 0.08 && from.After(s.Ready) && !s.Ready.IsZero() && (s.Emptied.IsZero() || from.Add(took).Before(s.Emptied)) {
			key := strconv.FormatInt(from.UnixMilli(), 10)
			add(at(synced("OutOfSync"), schema.ChangeUpdated, key, from))
			add(at(synced("Synced"), schema.ChangeUpdated, key+"-back", later(from.Add(time.Minute), earlier(from.Add(took), midnight.Add(24*time.Hour-time.Second)))))
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// longestPreview bounds the life of a cluster for previews.
const longestPreview = 8

// previewsDay is what Cluster API tells of the clusters for previews that people order from the clusters for development: they are there
// within minutes, but for one in twelve, and gone after some days.
func (w *World) previewsDay(midnight time.Time, add func(schema.ResourceChange)) {
	for back := range longestPreview + 1 {
		day := midnight.AddDate(0, 0, -back)
		if day.Before(w.Start) || day.Weekday() == time.Saturday || day.Weekday() == time.Sunday {
			continue
		}
		r := rand.New(rand.NewPCG(w.Seed^0xca, uint64(day.Unix())))
		for n := range 1 + r.IntN(3) {
			w.preview(r, day, n, add)
		}
	}
}

func (w *World) preview(r *rand.Rand, day time.Time, n int, add func(schema.ResourceChange)) {
	t := &w.Teams[r.IntN(len(w.Teams))]
	c := w.change(4*r.IntN(3)+3, schema.KindManagedCluster, "previews", fmt.Sprintf("preview-%s-%d", day.Format("0102"), n))
	c.Created, c.Team, c.TeamSource = workTime(r, day), t.Name, "label"
	took := time.Duration(9+r.ExpFloat64()*6) * time.Minute
	fails := r.IntN(12) == 0
	gone := c.Created.AddDate(0, 0, 2+r.IntN(longestPreview-2))
	add(at(c, schema.ChangeCreated, "", c.Created))
	if fails {
		gone = c.Created.Add(2 * time.Hour)
	} else {
		c.FirstReady = c.Created.Add(took).Truncate(time.Millisecond)
		ready := at(c, schema.ChangeReady, "", c.FirstReady)
		ready.DurationMS = new(float64(took.Milliseconds()))
		add(ready)
	}
	add(at(c, schema.ChangeDeleted, "", gone))
}
