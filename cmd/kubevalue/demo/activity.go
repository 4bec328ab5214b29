package demo

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// Action is one thing that somebody did, as the API server of Cluster saw it.
type Action struct {
	At       time.Time
	Cluster  int
	User     string
	Groups   []string
	Verb     string
	Group    string // API group
	Resource string
	Sub      string
	// Namespace is the object's namespace; for namespaces themselves it is empty.
	Namespace, Name string
	Code            int
	Message         string
	Latency         time.Duration
	// Removed is the release that will not have the version of the API any longer by which it was done; empty: it is not deprecated.
	Removed string
}

// UsageEvent is one event for the native events API.
type UsageEvent struct {
	ID         string            `json:"id"`
	Time       time.Time         `json:"time"`
	Name       string            `json:"name"`
	Actor      string            `json:"actor"`
	Team       string            `json:"team,omitempty"`
	Persona    string            `json:"persona,omitempty"`
	Cluster    string            `json:"cluster,omitempty"`
	Namespace  string            `json:"namespace,omitempty"`
	Object     string            `json:"object,omitempty"`
	Outcome    string            `json:"outcome,omitempty"`
	Value      *float64          `json:"value,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
}

// Day is what happens on one day of the simulation.
type Day struct {
	Actions []Action
	Events  []UsageEvent
	// Rollouts are what the clusters saw of deployments.
	Rollouts []schema.ResourceChange
}

// Day simulates the day that starts at midnight; the same seed gives the same day, whichever days were asked for before.
func (w *World) Day(midnight time.Time) Day {
	r := rand.New(rand.NewPCG(w.Seed, uint64(midnight.Unix())))
	d := Day{}
	weekend := midnight.Weekday() == time.Saturday || midnight.Weekday() == time.Sunday
	for i := range w.Teams {
		t := &w.Teams[i]
		if t.Joined.IsZero() || midnight.Before(t.Joined) || !t.Left.IsZero() && !midnight.Before(t.Left) || t.awake(midnight).After(midnight) {
			continue
		}
		w.teamDay(&d, r, t, midnight, weekend)
	}
	if !weekend {
		w.managersDay(&d, r, midnight)
	}
	w.spacesDay(&d, midnight)
	d.Actions = slices.DeleteFunc(d.Actions, func(a Action) bool { return a.At.After(w.Until) })
	d.Events = slices.DeleteFunc(d.Events, func(e UsageEvent) bool { return e.Time.After(w.Until) })
	d.Rollouts = slices.DeleteFunc(d.Rollouts, func(c schema.ResourceChange) bool { return c.Time.After(w.Until) })
	return d
}

func (w *World) teamDay(d *Day, r *rand.Rand, t *Team, midnight time.Time, weekend bool) {
	for m := range t.Members {
		chance := t.activity * rampUp(midnight.Sub(t.Joined))
		if weekend {
			chance *= 0.03
		}
		if midnight.Before(t.starts[m]) || r.Float64() >= chance {
			continue
		}
		w.personDay(d, r, t, m, midnight)
	}
	if weekend {
		return
	}
	w.surveyDay(d, r, t, midnight)
	for range 2 + r.IntN(4) {
		w.deployment(d, r, t, midnight)
	}
}

// rampUp is how much of its later activity a team shows some time after it joined.
func rampUp(since time.Duration) float64 { return min(1, 0.35+0.65*since.Hours()/(6*7*24)) }

func (w *World) personDay(d *Day, r *rand.Rand, t *Team, m int, midnight time.Time) {
	for range 1 + r.IntN(6) {
		cluster := t.Clusters[r.IntN(len(t.Clusters))]
		what, code := "patch deployments", 200
		switch p := r.Float64(); {
		case p < 0.42:
		case p < 0.58:
			what = "update configmaps"
		case p < 0.68:
			what, code = "create deployments", 201
		case p < 0.74:
			what = "delete deployments"
		case p < 0.80:
			what, code = "create pods/exec", 101
		case p >= 0.865 && p < 0.90:
			what, code = "create deployments", 403 // quota
		case p >= 0.90 && p < 0.93:
			what, code = "delete secrets", 403 // RBAC
		default:
			what = "patch services"
		}
		a := action(r, midnight, cluster, t, m, what, code)
		if code == 403 && what == "create deployments" {
			a.Message = fmt.Sprintf("deployments.apps %q is forbidden: exceeded quota: team, requested: pods=4, used: pods=20, limited: pods=20", a.Name)
		} else if code == 403 {
			a.Message = fmt.Sprintf("secrets %q is forbidden: User %q cannot delete resource \"secrets\" in API group \"\" in the namespace %q", a.Name, a.User, a.Namespace)
		}
		if code < 400 && r.Float64() < w.bad(cluster, a.At) {
			a.Code, a.Message = 504, "etcdserver: request timed out"
		}
		d.Actions = append(d.Actions, a)
	}
}

// surveyDay is the question that all people are asked every eight weeks, and that some answer; they are kinder since the etcd work.
func (w *World) surveyDay(d *Day, r *rand.Rand, t *Team, midnight time.Time) {
	if week := int(w.End.Sub(midnight).Hours() / (7 * 24)); week%8 != 1 || midnight.Weekday() != time.Wednesday {
		return
	}
	for m, member := range t.Members {
		if midnight.Before(t.starts[m]) || r.Float64() > 0.3 {
			continue
		}
		answer := float64(5 + r.IntN(6))
		if midnight.After(w.week(17)) {
			answer = min(10, answer+float64(r.IntN(3)))
		}
		d.Events = append(d.Events, UsageEvent{
			ID: fmt.Sprintf("survey-%s-%d", member, midnight.Unix()), Time: workTime(r, midnight), Name: "survey.answer", Actor: member,
			Object: "recommend", Value: &answer,
		})
	}
}

var apiGroups = map[string]string{"deployments": "apps"}

func action(r *rand.Rand, midnight time.Time, cluster int, t *Team, member int, what string, code int) Action {
	verb, resource, _ := strings.Cut(what, " ")
	sub := ""
	if resource == "pods/exec" {
		resource, sub = "pods", "exec"
	}
	a := Action{
		At: workTime(r, midnight), Cluster: cluster, User: t.Members[member], Groups: []string{"team-" + t.Name, "system:authenticated"},
		Verb: verb, Group: apiGroups[resource], Resource: resource, Sub: sub, Code: code,
		Namespace: t.Name, Name: fmt.Sprintf("%s-%d", resource[:3], r.IntN(30)), Latency: time.Duration(5+r.IntN(60)) * time.Millisecond,
	}
	return a
}

// workTime is a moment between 07:00 and 17:00 UTC, most likely around noon.
func workTime(r *rand.Rand, midnight time.Time) time.Time {
	return midnight.Add(7*time.Hour + time.Duration((r.Float64()+r.Float64())*5*float64(time.Hour))).Truncate(time.Millisecond)
}

// deployment is a CI job that deploys: its service account patches, the job tells of commit and outcome, and the cluster shows
// the rollout. Deployments fail more often while the API server does.
func (w *World) deployment(d *Day, r *rand.Rand, t *Team, midnight time.Time) {
	cluster := t.Clusters[r.IntN(len(t.Clusters))]
	a := action(r, midnight, cluster, t, 0, "patch deployments", 200)
	a.Name = []string{"web", "worker"}[r.IntN(2)]
	a.User = "system:serviceaccount:" + t.Name + ":ci-deployer"
	a.Groups = []string{"system:serviceaccounts", "system:serviceaccounts:" + t.Name, "system:authenticated"}
	outcome := "success"
	if r.Float64() < 0.06+0.8*w.bad(cluster, a.At) {
		outcome, a.Code, a.Message = "failure", 500, "rollout did not become ready"
	}
	if t.outdated(midnight, w) {
		a.Removed = "1.38"
	}
	d.Actions = append(d.Actions, a)
	rolled := func(a Action, commit, outcome string) {
		if s := w.main(t, cluster); s != nil && a.At.After(s.Ready) {
			d.Rollouts = append(d.Rollouts, w.rollout(r, s, a.Name, commit[:10], a.At, outcome == "failure")...)
		}
	}
	rolled(a, d.told(r, t, w.Clusters[cluster], a, outcome), outcome)
	if outcome == "failure" && r.Float64() < 0.9 {
		again := a
		again.At, again.Code, again.Message = a.At.Add(time.Duration(min(360, 10+r.ExpFloat64()*90))*time.Minute), 200, ""
		d.Actions = append(d.Actions, again)
		rolled(again, d.told(r, t, w.Clusters[cluster], again, "success"), "success")
	}
}

// outdated tells whether the CI jobs of a team still call a deprecated API: with each upgrade fewer do.
func (t *Team) outdated(at time.Time, w *World) bool {
	i := slices.Index(teamNames[:], t.Name)
	return i%5 == 2 && at.Before(w.week(float64(12+2*(i/5)))) || t.abandons
}

// told is what the CI job tells of a deployment, whose commit it returns.
func (d *Day) told(r *rand.Rand, t *Team, c Cluster, a Action, outcome string) string {
	commit := fmt.Sprintf("%016x%016x%08x", r.Uint64(), r.Uint64(), r.Uint32())
	lead := time.Duration(20+r.ExpFloat64()*400) * time.Minute
	d.Events = append(d.Events, UsageEvent{
		ID: "deploy-" + commit[:20], Time: a.At, Name: "deployment", Actor: "ci-" + t.Name, Team: t.Name, Cluster: c.Name,
		Namespace: t.Name, Object: a.Name, Outcome: outcome,
		Attributes: map[string]string{"commit": commit, "commit_time": a.At.Add(-lead).UTC().Format(time.RFC3339), "environment": c.environment()},
	})
	return commit
}

// managersDay is the few managers who look at reports, more of them as the platform grows.
func (w *World) managersDay(d *Day, r *rand.Rand, midnight time.Time) {
	age := midnight.Sub(w.Start).Hours() / w.End.Sub(w.Start).Hours()
	for m := range 12 {
		if r.Float64() < 0.04+0.2*age {
			at := workTime(r, midnight)
			d.Events = append(d.Events, UsageEvent{
				ID: fmt.Sprintf("visit-%d-%d", m, at.UnixMilli()), Time: at, Name: "report.visit",
				Actor: fmt.Sprintf("manager.%d@example.com", m), Persona: "management", Object: "journey",
			})
		}
	}
}
