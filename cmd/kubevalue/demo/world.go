// Package demo simulates an organisation that runs Kubernetes as a product: teams and engineers, clusters in regions, work on
// weekdays, outages with follow-up work. It makes what collectors would send, and sends it through the service's own front
// doors. All of it is invented and follows from a seed; nothing in it is a measurement.
package demo

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// World is the simulated organisation in the half-open interval [Start, End), and for a while after it: days can be asked for until
// the organisation is stopped, namespaces and incidents are planned for another horizon.
type World struct {
	Seed       uint64
	Start, End time.Time
	// Until is now: what would happen later is not told.
	Until     time.Time
	Clusters  []Cluster
	Teams     []Team
	Incidents []Incident
	// Spaces are the namespaces of the teams.
	Spaces []Space
}

// Cluster is a simulated cluster.
type Cluster struct{ Name, Region, Stage string }

// Team is a team with its members and the way it takes to the platform.
type Team struct {
	Name    string
	Members []string
	// Eligible is when the team could first use the platform, Joined when it first did (zero: never), Left when it stopped
	// (zero: it stays).
	Eligible, Joined, Left time.Time
	Voluntary              bool
	// pauses are times in which nobody of the team works with the platform.
	pauses []pause
	// starts is when each member first works with the platform: most as soon as the team does, some are hired later.
	starts []time.Time
	// Clusters are indices of the clusters that the team works on.
	Clusters []int
	// activity is the chance that a member works with the platform on a working day.
	activity float64
	// abandons marks a team that leaves its namespaces behind.
	abandons bool
}

// pause is the half-open time of whole days [from, to).
type pause struct{ from, to time.Time }

// awake is the day itself, or the first one after the pause that it lies in.
func (t *Team) awake(day time.Time) time.Time {
	for _, p := range t.pauses {
		if !day.Before(p.from) && day.Before(p.to) {
			return p.to
		}
	}
	return day
}

// Incident is a simulated interruption of some clusters' API servers.
type Incident struct {
	ID, Title, Class, Origin string
	Start, End               time.Time
	Clusters                 []int
	// Bad is the share of requests that fail meanwhile.
	Bad float64
	// FollowupDone is when the work that it led to was done; zero: there was none.
	FollowupDone time.Time
	Followup     string
}

const (
	teamCount   = 40
	peopleCount = 600
	// horizon is for how long after End new namespaces and incidents are planned.
	horizon = 56 * 24 * time.Hour
)

// NewWorld makes the organisation of a seed over whole weeks that end with the day of now.
func NewWorld(seed uint64, weeks int, now time.Time) *World {
	end := now.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1)
	w := &World{Seed: seed, Start: end.AddDate(0, 0, -7*weeks), End: end, Until: now.UTC()}
	for _, region := range []string{"eu-central", "us-east", "ap-south"} {
		for _, stage := range []string{"prod-a", "prod-b", "staging", "dev"} {
			w.Clusters = append(w.Clusters, Cluster{Name: region + "-" + stage, Region: region, Stage: stage})
		}
	}
	w.makeTeams(rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 3)))
	w.makeIncidents(rand.New(rand.NewPCG(seed, 2)), rand.New(rand.NewPCG(seed, 4)))
	w.makeSpaces(rand.New(rand.NewPCG(seed, 3)), rand.New(rand.NewPCG(seed, 5)))
	return w
}

// week is the start of week i of the simulation, scaled so that the same story fits a shorter one.
func (w *World) week(i float64) time.Time {
	span := w.End.Sub(w.Start)
	return w.Start.Add(time.Duration(float64(span) * i / 26)).Truncate(24 * time.Hour)
}

var teamNames = [teamCount]string{
	"payments", "search", "checkout", "identity", "catalogue", "pricing", "fraud", "shipping", "returns", "loyalty",
	"mobile", "web", "recommendations", "inventory", "warehousing", "invoicing", "ledger", "notifications", "messaging", "support-tools",
	"data-platform", "analytics", "ml-serving", "experiments", "ads", "content", "media", "partners", "b2b", "marketplace",
	"risk", "compliance", "treasury", "hr-tools", "intranet", "maps", "routing", "telemetry", "edge", "legacy-erp",
}

var givenNames = [...]string{
	"ada", "alan", "barbara", "carl", "dorothy", "edsger", "frances", "grace", "hedy", "ivan", "joan", "katherine", "leslie",
	"margaret", "niklaus", "ole", "peter", "radia", "sophie", "tim", "ursula", "vint", "wilma", "xia", "yukihiro", "zhang",
}

// makeTeams lays out the story: a third is there from the start, the others join over four months, three never do, one leaves,
// four were told to come, and three leave namespaces behind. Some teams pause; in the last whole week one has joined, one has come
// back, and one has fallen silent.
func (w *World) makeTeams(r, hired *rand.Rand) {
	people := 0
	for i, name := range teamNames {
		t := Team{Name: name, Voluntary: i%10 != 9, activity: 0.25 + 0.4*r.Float64(), abandons: i%13 == 5}
		size := peopleCount / teamCount
		if i%2 == 0 {
			size += i % 7
		} else {
			size -= (i - 1) % 7
		}
		if i == teamCount-1 {
			size = peopleCount - people
		}
		people += size
		for m := range size {
			t.Members = append(t.Members, fmt.Sprintf("%s.%s.%d@example.com", givenNames[r.IntN(len(givenNames))], name, m))
		}
		t.Eligible, t.Joined = w.Start, w.Start
		if i >= 13 {
			joins := 1 + float64(i-13)*0.62 + 0.6*r.Float64()
			t.Joined = w.week(joins)
			if i%3 == 0 { // the others could have come at once
				t.Eligible = w.week(joins - 1)
			}
			if i%4 == 1 {
				from := joins + 2 + r.Float64()*(22-joins)
				t.pauses = append(t.pauses, pause{w.week(from), w.week(from + 1.5 + r.Float64())})
			}
		}
		w.lastWeek(&t)
		if name == "intranet" || name == "legacy-erp" || name == "treasury" {
			t.Joined = time.Time{}
		}
		if name == "ads" {
			t.Left = w.week(19)
		}
		for range t.Members {
			start := t.Joined
			if hired.Float64() < 0.2 {
				start = t.Joined.Add(time.Duration(hired.Float64() * float64(w.End.Sub(t.Joined)))).Truncate(24 * time.Hour)
			}
			t.starts = append(t.starts, start)
		}
		region := i % 3
		t.Clusters = []int{4*region + i%2, 4*region + 2, 4*region + 3}
		w.Teams = append(w.Teams, t)
	}
}

// lastMonday is the first day of the last week, from Monday to Sunday, that was over when the simulation was made.
func (w *World) lastMonday() time.Time {
	day := w.End.AddDate(0, 0, -1)
	return day.AddDate(0, 0, -7-(int(day.Weekday())+6)%7)
}

// lastWeek is the story of the week that the first reports are about: the last one, from Monday to Sunday, that is over.
func (w *World) lastWeek(t *Team) {
	monday := w.lastMonday()
	switch t.Name {
	case "edge":
		t.Eligible, t.Joined = w.Start, monday.AddDate(0, 0, 1)
	case "b2b":
		t.pauses = []pause{{monday.AddDate(0, 0, -21), monday}}
	case "media":
		t.pauses = []pause{{monday.AddDate(0, 0, -3), monday.AddDate(0, 0, 15)}}
	}
}

// makeIncidents lays out the outages: etcd trouble in one region, again and again with nobody taking the time for it, until the great
// outage and the work that followed it; failing certificates elsewhere with no follow-up, one provider outage, and one incident that is
// under way.
func (w *World) makeIncidents(r, later *rand.Rand) {
	fixed := w.week(17)
	eu := []int{0, 1}
	etcd := Incident{Title: "API server slow while etcd compacts", Class: "etcd-latency", Origin: "own"}
	certificate := Incident{Title: "Webhook certificate expired", Class: "certificates", Origin: "own"}
	for week := 0.6; week < 26; week += 0.5 {
		at := w.week(week)
		switch {
		case at.After(w.week(13.7)) && at.Before(fixed): // the great outage, and the repair
			continue
		case !at.Before(fixed) && r.Float64() < 0.9:
			continue
		}
		w.addIncident(r, at, 10+r.IntN(14), 0.3+0.3*r.Float64(), eu[:1+r.IntN(2)], etcd)
	}
	outage := etcd
	outage.Title, outage.FollowupDone, outage.Followup = "etcd lost quorum in eu-central", fixed, "Faster disks and a defragmentation schedule for etcd"
	w.addIncident(r, w.week(14.1), 170, 1, []int{0, 1, 2}, outage)
	for week := 1.3; week < 26; week += 1.4 {
		w.addIncident(r, w.week(week), 6+r.IntN(8), 0.6, []int{4 + r.IntN(2)}, certificate)
	}
	w.addIncident(later, w.End.AddDate(0, 0, -10), 9, 0.6, []int{4}, certificate) // so that one is over in the last whole week, whatever day it is
	w.addIncident(r, w.week(22.3), 55, 0.9, []int{8, 9, 10, 11}, Incident{Title: "Provider network outage in ap-south", Class: "provider", Origin: "upstream"})
	w.addIncident(r, w.Until, 0, 0.25, []int{9}, Incident{Title: "Old API server overloaded in ap-south", Class: "old-version", Origin: "own"})
	last := &w.Incidents[len(w.Incidents)-1]
	last.Start = w.Until.Truncate(time.Minute).Add(-25 * time.Minute)
	last.End = last.Start.Add(70 * time.Minute)
	for day := w.End; day.Before(w.End.Add(horizon)); day = day.AddDate(0, 0, 9+later.IntN(3)) {
		w.addIncident(later, day, 6+later.IntN(8), 0.6, []int{4 + later.IntN(2)}, certificate)
	}
}

// addIncident adds one that begins some time in the working hours of a day.
func (w *World) addIncident(r *rand.Rand, day time.Time, minutes int, bad float64, clusters []int, in Incident) {
	in.Start = day.Truncate(24 * time.Hour).Add(time.Duration(8*60+r.IntN(600)) * time.Minute)
	in.End = in.Start.Add(time.Duration(minutes) * time.Minute)
	in.ID = fmt.Sprintf("INC-%03d", len(w.Incidents)+1)
	in.Clusters, in.Bad = clusters, bad
	w.Incidents = append(w.Incidents, in)
}

// detected is when somebody noticed.
func (in *Incident) detected() time.Time { return in.Start.Add(4 * time.Minute) }

// bad is the share of a cluster's requests that fail because of incidents at a moment.
func (w *World) bad(cluster int, at time.Time) float64 {
	share := 0.0
	for _, in := range w.Incidents {
		if at.Before(in.Start) || !at.Before(in.End) {
			continue
		}
		for _, c := range in.Clusters {
			if c == cluster {
				share = max(share, in.Bad)
			}
		}
	}
	return share
}
