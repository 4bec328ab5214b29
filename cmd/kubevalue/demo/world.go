// Package demo simulates an organisation that runs Kubernetes as a product: teams and engineers, clusters in regions, work on
// weekdays, outages with follow-up work. It makes what collectors would send, and sends it through the service's own front
// doors. All of it is invented and follows from a seed; nothing in it is a measurement.
package demo

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// World is the simulated organisation in the half-open interval [Start, End).
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
	// starts is when each member first works with the platform: most as soon as the team does, some are hired later.
	starts []time.Time
	// Clusters are indices of the clusters that the team works on.
	Clusters []int
	// activity is the chance that a member works with the platform on a working day.
	activity float64
	// abandons marks a team that leaves its namespaces behind.
	abandons bool
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
	w.makeIncidents(rand.New(rand.NewPCG(seed, 2)))
	w.makeSpaces(rand.New(rand.NewPCG(seed, 3)))
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
// four were told to come, and three leave namespaces behind.
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
			t.Eligible = w.week(float64(i-13) / 3)
			t.Joined = t.Eligible.AddDate(0, 0, 2+r.IntN(21))
		}
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

// makeIncidents lays out the outages: etcd trouble in one region, again and again with nobody taking the time for it, until the great
// outage and the work that followed it; failing certificates elsewhere with no follow-up, and one provider outage.
func (w *World) makeIncidents(r *rand.Rand) {
	fixed := w.week(17)
	add := func(week float64, minutes int, bad float64, clusters []int, in Incident) {
		in.Start = w.week(week).Add(time.Duration(8*60+r.IntN(600)) * time.Minute)
		in.End = in.Start.Add(time.Duration(minutes) * time.Minute)
		in.ID = fmt.Sprintf("INC-%03d", len(w.Incidents)+1)
		in.Clusters, in.Bad = clusters, bad
		w.Incidents = append(w.Incidents, in)
	}
	eu := []int{0, 1}
	const etcd = "etcd-latency"
	for week := 0.6; week < 26; week += 0.5 {
		at := w.week(week)
		switch {
		case at.After(w.week(13.7)) && at.Before(fixed): // the great outage, and the repair
			continue
		case !at.Before(fixed) && r.Float64() < 0.9:
			continue
		}
		add(week, 10+r.IntN(14), 0.3+0.3*r.Float64(), eu[:1+r.IntN(2)], Incident{Title: "API server slow while etcd compacts", Class: etcd, Origin: "own"})
	}
	add(14.1, 170, 1, []int{0, 1, 2}, Incident{Title: "etcd lost quorum in eu-central", Class: etcd, Origin: "own",
		FollowupDone: fixed, Followup: "Faster disks and a defragmentation schedule for etcd"})
	for week := 1.3; week < 26; week += 1.4 {
		add(week, 6+r.IntN(8), 0.6, []int{4 + r.IntN(2)}, Incident{Title: "Webhook certificate expired", Class: "certificates", Origin: "own"})
	}
	add(21.2, 55, 0.9, []int{8, 9, 10, 11}, Incident{Title: "Provider network outage in ap-south", Class: "provider", Origin: "upstream"})
}

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
