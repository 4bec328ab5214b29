package catalogue_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/catalogue"
	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// crowdBegins is when the events of crowded begin; the roster changes nine days later.
var crowdBegins = time.Date(2026, 3, 16, 0, 0, 0, 0, time.UTC)

// crowded are some hundred events of six actors over two weeks, and a few in each of the six months after them, in several blocks, some of
// which come twice, with a merged identity and a roster that changes within an hour.
func crowded(t *testing.T) (*warehouse.DB, catalogue.Evaluator) {
	t.Helper()
	db := warehousetest.Open(t)
	begin := crowdBegins
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	for block := range 10 { // four of the two weeks, one of each month from April to September
		first, days, events := begin, 14, 150
		if block >= 4 {
			first, days, events = time.Date(2026, time.Month(block), 1, 0, 0, 0, 0, time.UTC), 30, 50
		}
		var rows []schema.StoredEvent
		for i := range events {
			at := first.Add(time.Duration(random.IntN(days*24*4)) * 15 * time.Minute).Add(time.Duration(random.IntN(2)) * time.Millisecond)
			e := schema.StoredEvent{ID: schema.EventID("test", fmt.Sprint(block, i)), Time: at, Received: at, Source: pick("audit/east", "portal"),
				Name: pick("deployment", "namespaces.create", "pods.delete"), Actor: uint64(random.IntN(6)), ActorKind: schema.ActorKind(pick("human", "machine")),
				Cluster: pick("east", "west"), Namespace: pick("shop", "till"), Persona: pick("", "management"), ActorTeam: pick("", "", "", "c"),
				Outcome: schema.Outcome(pick("success", "success", "failure", "denied")), Resource: pick("", "deployments", "deployments/scale", "pods")}
			if e.Outcome != schema.OutcomeSuccess {
				e.Reason = pick("rbac", "quota", "timeout")
			}
			if e.Name == "deployment" {
				e.Attributes = map[string]string{"environment": pick("production", "test")}
			}
			rows = append(rows, e)
		}
		for range 1 + block%2 {
			if err := db.InsertEvents(t.Context(), schema.EventBlock{Token: fmt.Sprint("block", block), Rows: rows}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := db.InsertAliases(t.Context(), []schema.StoredAlias{{Actor: 5, Canonical: 1, At: begin}}); err != nil {
		t.Fatal(err)
	}
	cut := begin.AddDate(0, 0, 9).Add(10*time.Hour + 20*time.Minute)
	roster := []schema.RosterEntry{{Team: "a"}, {Team: "b"}, {Team: "a", Actor: 1}, {Team: "b", Actor: 1, From: cut}, {Team: "b", Actor: 2, To: cut}, {Team: "a", Actor: 3}}
	if _, err := db.PutRoster(t.Context(), "1", begin, roster); err != nil {
		t.Fatal(err)
	}
	return db, catalogue.Evaluator{Query: journey.Remember(db.Query), Now: func() time.Time { return begin.AddDate(0, 0, 200) },
		Settings: journey.Settings{Calendar: journey.Calendar{Zone: time.UTC, WeekStart: time.Monday}}}
}

// A sum over a number made of all columns that a relation keeps, from it and from the events themselves.
const (
	keptOfAll     = "cityHash64(toString(outcome), reason, toString(actor_kind), name, source, cluster, persona, %[1]s, toUnixTimestamp(%[2]s)) % 1000003"
	keptOfRefused = "cityHash64(toString(outcome), reason, toString(actor_kind), name, source, cluster, persona, %[1]s, toUnixTimestamp(%[2]s), namespace, actor, arraySort(teams)) % 1000003"
)

// What is read from projections and rollups is what the events say.
func TestCountsAreThoseOfTheEvents(t *testing.T) {
	_, e := crowded(t)
	sums := func(id, value, from, where string) journey.Metric {
		return journey.Metric{ID: id, Dimensions: []string{"team", "cluster"}, Sources: []string{"usage"},
			SQL: &journey.MetricSQL{Value: fmt.Sprintf("SELECT period, dim, sum(%s) AS value FROM %s WHERE %s GROUP BY period, dim", value, from, where)}}
	}
	who := func(id, from, where string) journey.Metric {
		m := sums(id, "1", from, where)
		m.SQL.Value = strings.Replace(m.SQL.Value, "sum(1)", "sum(DISTINCT cityHash64(actor) % 1000003)", 1)
		return m
	}
	// The teams that did it, with what they did it to; who did it is not asked, so that members may be put together before.
	const actsOfTeams = "(SELECT *, toString(arrayJoin(if(dim IN ('a', 'b', 'c'), [dim], if(empty(teams), [''], teams)))) AS team FROM acts)"
	teams := func(id, from, what, where string) journey.Metric {
		m := sums(id, "1", from, where)
		m.SQL.Value = strings.Replace(m.SQL.Value, "sum(1)", "sum(DISTINCT cityHash64(team, "+what+") % 1000003)", 1)
		return m
	}
	const seen = "actor_kind = 'human' AND actor != 0 AND outcome = 'success'"
	hash := func(kept, environment, hour string) string {
		return strings.ReplaceAll(fmt.Sprintf(strings.ReplaceAll(kept, "% ", "%% "), environment, hour), "%%", "%")
	}
	e.Metrics = []journey.Metric{
		sums("counts", hash(keptOfAll, "environment", "hour")+" * events", "counts", "name != ''"),
		sums("acts", hash(keptOfAll, "attributes['environment']", "toStartOfHour(time)"), "acts", "name != ''"),
		sums("some counts", "events", "counts", "actor_kind = 'human'"),
		sums("some acts", "1", "acts", "actor_kind = 'human'"),
		sums("refusals", hash(keptOfRefused, "environment", "hour")+" * events", "refusals", "name != ''"),
		sums("refused acts", hash(keptOfRefused, "attributes['environment']", "toStartOfHour(time)"), "acts", "outcome != 'success'"),
		sums("some refusals", "events", "refusals", "reason = 'quota'"),
		sums("some refused acts", "1", "acts", "reason = 'quota' AND outcome != 'success'"),
		who("active", "activity", "actor != 0"),
		who("who acted", "acts", seen),
		who("writers", "writers", "actor != 0"),
		who("who wrote", "acts", seen+" AND startsWith(source, 'audit/')"),
		who("changed", "changed_kinds", "actor != 0"),
		who("who changed", "acts", seen+" AND resource != ''"),
		teams("kinds of teams", "changed_kinds", "kind", "1"),
		teams("what teams changed", actsOfTeams, "splitByChar('/', toString(resource))[1]", seen+" AND resource != ''"),
		teams("active teams", "activity", "''", "1"),
		teams("whose people acted", actsOfTeams, "''", seen),
		teams("writing teams", "writers", "''", "1"),
		teams("whose people wrote", actsOfTeams, "''", seen+" AND startsWith(source, 'audit/')"),
	}
	for zone, grain := range map[string]journey.Grain{"UTC": journey.GrainDay, "Europe/Berlin": journey.GrainWeek, "Asia/Kathmandu": journey.GrainWeek} {
		location, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		e.Settings.Calendar.Zone = location
		all := e.Settings.Calendar.Last(grain, 20, crowdBegins.AddDate(0, 0, 18))
		quiet := e.Settings.Calendar.Last(journey.GrainWeek, 26, e.Now()) // the roster does not change in them
		for _, r := range []journey.Request{{Periods: all}, {Periods: all, By: "team"}, {Periods: all, By: "cluster"}, {Periods: quiet}, {Periods: quiet, By: "team"},
			{Periods: all, Filter: map[string]string{"team": "b"}}, {Periods: all, Filter: map[string]string{"cluster": "east"}}} {
			for i := 0; i < len(e.Metrics); i += 2 {
				if r.Filter["team"] != "" && strings.Contains(e.Metrics[i+1].SQL.Value, actsOfTeams) {
					continue // acts of a team are of people who may have others besides
				}
				counted, plain := figuresOf(t, e, e.Metrics[i].ID, r), figuresOf(t, e, e.Metrics[i+1].ID, r)
				if diff := cmp.Diff(plain, counted); diff != "" || len(plain) == 0 {
					t.Errorf("%s, by %q of %v: %s (-events +counted) %s", zone, r.By, r.Filter, e.Metrics[i].ID, diff)
				}
			}
		}
	}
}

func figuresOf(t *testing.T, e catalogue.Evaluator, id string, r journey.Request) map[string]float64 {
	t.Helper()
	r.Metric = id
	values, err := e.Evaluate(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, v := range values {
		if v.Value != nil && *v.Value != 0 {
			out[fmt.Sprint(v.Period.Label, v.Dimensions)] = *v.Value
		}
	}
	return out
}

// What counts and refusals ask is what the projection keeps: else they would be right, but slow.
func TestCountsReadTheProjection(t *testing.T) {
	_, e := crowded(t)
	e.Metrics = load(t)
	for id, want := range map[string]int{"O29": 1, "O35": 1, "X1": 1, "X10": 1, "O8": 1, "O12": 1, "C9": 1, "C10": 1, "C11": 1, "C12": 1} {
		x, err := e.Explain(t.Context(), journey.Request{Metric: id, Periods: e.Settings.Calendar.Last(journey.GrainWeek, 1, crowdBegins.AddDate(0, 0, 7))})
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for _, s := range x.Statements {
			plan, err := e.Query(t.Context(), "EXPLAIN "+s.SQL, s.Params)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(fmt.Sprint(plan.Rows), "ReadFromMergeTree (counts)") {
				got++
			}
		}
		if got != want {
			t.Errorf("%d statements of %s read the projection, want %d", got, id, want)
		}
	}
}

// Breadth and the number of teams come from the tables of months alone where no day is cut.
func TestTeamsOfWholeDaysReadNoEvents(t *testing.T) {
	_, e := crowded(t)
	e.Metrics = load(t)
	for id, table := range map[string]string{"A4": "activity_kinds", "A2": "activity_months", "O27": "activity_months"} {
		x, err := e.Explain(t.Context(), journey.Request{Metric: id, Periods: e.Settings.Calendar.Last(journey.GrainWeek, 1, e.Now())})
		if err != nil {
			t.Fatal(err)
		}
		read := ""
		for _, s := range x.Statements {
			read += s.SQL
		}
		if strings.Contains(read, "FROM events") || !strings.Contains(read, "FROM "+table) || !strings.Contains(read, "groupBitOr(bits)") {
			t.Errorf("%s reads events, or no months of teams:\n%s", id, read)
		}
	}
}
