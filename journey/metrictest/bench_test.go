//go:build bench

package metrictest_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
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

// measured is the 95th percentile of some repetitions, in seconds, and the median.
func measured(t *testing.T, rounds int, run func() error) (p95, median float64) {
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
	return all[(len(all)*95+99)/100-1], all[len(all)/2]
}

func line(name string, value, baseline float64) {
	fmt.Printf("bench %s value=%.0f unit=ms baseline=%.0f ratio=%.2f\n", name, value*1000, baseline*1000, baseline/value)
}

func TestBenchMetrics(t *testing.T) {
	db := warehousetest.Open(t)
	n := benchEvents(t)
	begin := time.Now()
	fill(t, db, n)
	t.Logf("%d events in %s", n, time.Since(begin))
	metrics, err := catalogue.Load()
	if err != nil {
		t.Fatal(err)
	}
	now := benchStart.AddDate(0, 0, benchDays)
	calendar := journey.Calendar{Zone: time.UTC, WeekStart: time.Monday}
	e := catalogue.Evaluator{Query: db.Query, Metrics: metrics, Now: func() time.Time { return now },
		Settings: journey.Settings{Calendar: calendar, NotValue: journey.DefaultNotValue, SmallGroup: 5, MinSample: true}}
	weeks := calendar.Last(journey.GrainWeek, 26, now)
	raw := func(sql string) (float64, float64) {
		return measured(t, 3, func() error { _, err := db.Query(t.Context(), sql, nil); return err })
	}
	_, base := raw(fmt.Sprintf("SELECT toMonday(time) AS week, uniqExact(actor) FROM events WHERE actor_kind = 'human' AND outcome = 'success' AND time >= '%s' GROUP BY week",
		weeks[0].From.Format(time.DateTime)))
	worst := 0.0
	for _, m := range metrics {
		p95, _ := measured(t, 3, func() error {
			_, err := e.Evaluate(t.Context(), journey.Request{Metric: m.ID, Periods: weeks})
			return err
		})
		worst = max(worst, p95)
		t.Logf("%-4s 26 weeks %6.0f ms", m.ID, p95*1000)
	}
	line("metric_26w_worst", worst, base)
	p95, _ := measured(t, 3, func() error {
		page := e.Remembering()
		for _, m := range metrics {
			if _, err := page.Evaluate(t.Context(), journey.Request{Metric: m.ID, Periods: weeks[25:]}); err != nil {
				return err
			}
		}
		return nil
	})
	line("catalogue_1w", p95, base)
	source := analysis.Source{Query: db.Query, Calendar: calendar, Now: now}
	args := analysis.Args{Grain: journey.GrainWeek, From: weeks[0].From, To: now}
	for _, entity := range []analysis.Entity{analysis.Actors, analysis.Teams} {
		args.Entity = entity
		p95, _ = measured(t, 3, func() error { _, err := source.Retention(t.Context(), analysis.RetentionArgs{Args: args}); return err })
		line("retention_26x26w_"+string(entity), p95, base)
		quarter := args
		quarter.From = weeks[13].From
		p95, _ = measured(t, 3, func() error {
			_, err := source.Funnel(t.Context(), analysis.FunnelArgs{Args: quarter, Steps: []string{"namespaces.create", "deployments.create", "deployment"}, Window: 7 * 24 * time.Hour})
			return err
		})
		line("funnel_quarter_"+string(entity), p95, base)
	}
}
