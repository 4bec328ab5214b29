//go:build bench

package metrictest_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/journey"
	"github.com/kubevalue/kubevalue/journey/analysis"
	"github.com/kubevalue/kubevalue/journey/catalogue"
	"github.com/kubevalue/kubevalue/schema/chdb/chdbtest"
	"github.com/kubevalue/kubevalue/schema/warehouse"
	"github.com/kubevalue/kubevalue/schema/warehouse/warehousetest"
)

// benchEvents is 50 million unless KUBEVALUE_BENCH_EVENTS says otherwise: 20,000 people and machines over a year.
func benchEvents(t *testing.T) int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("KUBEVALUE_BENCH_EVENTS"), "50000000"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// write runs a statement that writes; the warehouse has no door for it.
func write(t *testing.T, db *warehouse.DB, sql string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", chdbtest.Start(t).Socket())
	}}}
	defer client.CloseIdleConnections()
	response, err := client.Post("http://engine/?database="+db.Database(), "text/plain", strings.NewReader(sql))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v %s", sql, err, text)
	}
}

var benchStart = time.Date(2025, 1, 6, 0, 0, 0, 0, time.UTC)

const benchDays = 364

// fill writes n events in order of time, a fifth of them by machines, and a roster of 400 teams. At 50 million, that is 137,000 events a
// day: 34% patches of workloads, 6% creations, 3% deployment events, 0.5% new namespaces (690 a day), one in 23 refused or failed.
func fill(t *testing.T, db *warehouse.DB, n int) {
	const chunk = 2_000_000
	for from := 0; from < n; from += chunk {
		write(t, db, fmt.Sprintf(`INSERT INTO events
SELECT generateUUIDv4() AS id, fromUnixTimestamp64Milli(toInt64(%[1]d + number * %[2]d / %[3]d), 'UTC') AS time, time AS received,
    if(h %% 10 = 0, 'portal', concat('audit/c', toString(h2 %% 12))) AS source,
    transform(roundDown(h3 %% 1000, [0, 340, 400, 520, 720, 800, 880, 940, 945, 975]), [0, 340, 400, 520, 720, 800, 880, 940, 945, 975],
        ['deployments.patch', 'deployments.create', 'services.patch', 'configmaps.update', 'pods/exec.create', 'pods.delete', 'secrets.update', 'namespaces.create', 'deployment', 'report.visit'], '') AS name,
    1 + toUInt64(20000 * pow((h %% 1000003) / 1000003, 2)) AS actor, if(actor %% 5 = 0, 'machine', 'human') AS actor_kind,
    '' AS actor_team, '' AS team_source, '' AS owner_team, '' AS persona, concat('c', toString(h2 %% 12)) AS cluster,
    if(name = 'namespaces.create', concat('ns', toString(number)), concat('ns', toString(actor %% 400))) AS namespace, splitByChar('.', name)[1] AS resource, concat('o', toString(h2 %% 50)) AS object,
    if(h2 %% 23 = 0, if(h3 %% 2 = 0, 'denied', 'failure'), 'success') AS outcome, if(outcome = 'denied', if(h %% 3 = 0, 'quota', 'rbac'), '') AS reason,
    if(startsWith(source, 'audit/'), toFloat64(h3 %% 200), NULL) AS duration_ms, NULL AS value, false AS clamped,
    if(name = 'deployment', map('commit_time', toString(time - toIntervalSecond(h %% 90000))), map()) AS attributes
FROM (SELECT number, cityHash64(number) AS h, cityHash64(number, 1) AS h2, cityHash64(number, 2) AS h3 FROM numbers(%[4]d, %[5]d))
SETTINGS max_insert_threads = 1`, benchStart.UnixMilli(), int64(benchDays)*86400000, n, from, min(chunk, n-from)))
	}
	write(t, db, `INSERT INTO roster SELECT 1, concat('team', toString(number % 400)), if(number < 400, 0, number - 400), toDateTime64('1900-01-01 00:00:00', 3, 'UTC'),
toDateTime64('2299-12-31 00:00:00', 3, 'UTC'), number % 3 != 0, '' FROM numbers(20400)`)
	write(t, db, "INSERT INTO roster_versions VALUES (1, 'bench', now64(3))")
}

// measured are the seconds of some repetitions, sorted.
func measured(t *testing.T, rounds int, run func() error) []float64 {
	t.Helper()
	var all []float64
	for range rounds {
		start := time.Now()
		if err := run(); err != nil {
			t.Fatal(err)
		}
		all = append(all, time.Since(start).Seconds())
	}
	slices.Sort(all)
	return all
}

// p95 is the 95th percentile of a sorted sample.
func p95(sorted []float64) float64 { return sorted[(len(sorted)*95+99)/100-1] }

// benchmark asks one warehouse.
type benchmark struct {
	t         *testing.T
	db        *warehouse.DB
	evaluator catalogue.Evaluator
	weeks     []journey.Period
	now       time.Time
}

// timing is the time of a measure and of the straightforward query on the raw table, in seconds.
type timing struct{ value, baseline float64 }

func newBenchmark(t *testing.T, events int) benchmark {
	b := benchmark{t: t, db: warehousetest.Open(t), now: benchStart.AddDate(0, 0, benchDays)}
	begin := time.Now()
	fill(t, b.db, events)
	t.Logf("%d events in %s", events, time.Since(begin))
	metrics, err := catalogue.Load()
	if err != nil {
		t.Fatal(err)
	}
	calendar := journey.Calendar{Zone: time.UTC, WeekStart: time.Monday}
	b.evaluator = catalogue.Evaluator{Query: b.db.Query, Metrics: metrics, Now: func() time.Time { return b.now },
		Settings: journey.Settings{Calendar: calendar, NotValue: journey.DefaultNotValue, SmallGroup: 5, MinSample: true}}
	b.weeks = calendar.Last(journey.GrainWeek, 26, b.now)
	return b
}

// raw times a plain query.
func (b benchmark) raw(sql string) float64 {
	return p95(measured(b.t, 3, func() error {
		_, err := b.db.Query(b.t.Context(), sql, map[string]any{"from": b.weeks[0].From, "quarter": b.weeks[13].From})
		return err
	}))
}

// metrics are the 95th percentile over all metrics, three times each, over 26 weeks, and that of the worst metric.
func (b benchmark) metrics() (all, worst timing) {
	base := b.raw(`SELECT toMonday(time) AS week, uniqExact(actor) FROM events
		WHERE actor_kind = 'human' AND outcome = 'success' AND time >= {from:DateTime64(3, 'UTC')} GROUP BY week`)
	all.baseline, worst.baseline = base, base
	var sample []float64
	for _, m := range b.evaluator.Metrics {
		one := measured(b.t, 3, func() error {
			_, err := b.evaluator.Evaluate(b.t.Context(), journey.Request{Metric: m.ID, Periods: b.weeks})
			return err
		})
		b.t.Logf("%-4s 26 weeks %6.0f ms", m.ID, p95(one)*1000)
		sample, worst.value = append(sample, one...), max(worst.value, p95(one))
	}
	slices.Sort(sample)
	all.value = p95(sample)
	return all, worst
}

// week is the whole catalogue for the last week, against one query of that week for each metric.
func (b benchmark) week() timing {
	one := b.raw("SELECT uniqExact(actor) FROM events WHERE actor_kind = 'human' AND outcome = 'success' AND time >= {quarter:DateTime64(3, 'UTC')} + INTERVAL 12 WEEK")
	return timing{baseline: one * float64(len(b.evaluator.Metrics)), value: p95(measured(b.t, 3, func() error {
		var requests []journey.Request
		for _, m := range b.evaluator.Metrics {
			requests = append(requests, journey.Request{Metric: m.ID, Periods: b.weeks[25:]})
		}
		_, err := b.evaluator.EvaluateAll(b.t.Context(), requests)
		return err
	}))}
}

func (b benchmark) source() (analysis.Source, analysis.Args) {
	return analysis.Source{Query: b.db.Query, Calendar: b.evaluator.Settings.Calendar, Now: b.now},
		analysis.Args{Grain: journey.GrainWeek, From: b.weeks[0].From, To: b.now}
}

// retention is of 26 cohorts over 26 weeks.
func (b benchmark) retention(entity analysis.Entity) timing {
	source, args := b.source()
	args.Entity = entity
	return timing{
		baseline: b.raw(`WITH firsts AS (SELECT actor, toMonday(min(time)) AS cohort FROM events WHERE actor_kind = 'human' AND outcome = 'success' GROUP BY actor)
			SELECT cohort, week, uniqExact(actor) FROM (
				SELECT DISTINCT actor, toMonday(time) AS week FROM events WHERE actor_kind = 'human' AND outcome = 'success' AND time >= {from:DateTime64(3, 'UTC')}
			) AS w INNER JOIN firsts USING actor GROUP BY cohort, week`),
		value: p95(measured(b.t, 3, func() error {
			_, err := source.Retention(b.t.Context(), analysis.RetentionArgs{Args: args})
			return err
		})),
	}
}

// funnel has three steps, over a quarter.
func (b benchmark) funnel(entity analysis.Entity) timing {
	source, args := b.source()
	args.Entity, args.From = entity, b.weeks[13].From
	return timing{
		baseline: b.raw(`SELECT level, count() FROM (
				SELECT actor, windowFunnel(604800)(toDateTime(time), name = 'namespaces.create', name = 'deployments.create', name = 'deployment') AS level
				FROM events WHERE actor_kind = 'human' AND time >= {quarter:DateTime64(3, 'UTC')} GROUP BY actor
			) GROUP BY level`),
		value: p95(measured(b.t, 3, func() error {
			_, err := source.Funnel(b.t.Context(), analysis.FunnelArgs{Args: args, Steps: []string{"namespaces.create", "deployments.create", "deployment"}, Window: 7 * 24 * time.Hour})
			return err
		})),
	}
}

// enginePeak is the most memory that the engine has held since the last call, in bytes; 0 where the system does not say.
func enginePeak(t *testing.T) float64 {
	pid := chdbtest.Start(t).PID()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
	for l := range strings.Lines(string(status)) {
		if fields := strings.Fields(l); len(fields) > 1 && fields[0] == "VmHWM:" {
			kib, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib * 1024
		}
	}
	return 0
}

// all are the measures by name.
func (b benchmark) all() map[string]timing {
	out := map[string]timing{}
	out["metric_26w"], out["metric_26w_worst"] = b.metrics()
	out["catalogue_1w"] = b.week()
	for _, entity := range []analysis.Entity{analysis.Actors, analysis.Teams} {
		out["retention_26x26w_"+string(entity)] = b.retention(entity)
		out["funnel_quarter_"+string(entity)] = b.funnel(entity)
	}
	return out
}

// TestBenchMetrics measures a tenth of the events first: growth is the factor by which ten times the events take longer, a tenth: 1 is linear.
func TestBenchMetrics(t *testing.T) {
	n := benchEvents(t)
	small := newBenchmark(t, n/10).all()
	large := newBenchmark(t, n)
	enginePeak(t)
	found := large.all()
	peak := enginePeak(t)
	for _, name := range slices.Sorted(maps.Keys(found)) {
		m := found[name]
		fmt.Printf("bench %s value=%.0f unit=ms baseline=%.0f ratio=%.2f\n", name, m.value*1000, m.baseline*1000, m.baseline/m.value)
		fmt.Printf("bench %s_growth value=%.2f unit=ratio baseline=1 ratio=%.2f\n", name, m.value/small[name].value/10, small[name].value*10/m.value)
	}
	fmt.Printf("bench metrics_engine_peak value=%.0f unit=MiB baseline=2048 ratio=%.2f\n", peak/(1<<20), 2048*(1<<20)/max(1, peak))
}
