package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubevalue/kubevalue/collectors"
)

// badObjective is an objective with one mistake in it.
const badObjective = `apiVersion: openslo/v1
kind: SLO
metadata: {name: checkout}
spec:
  service: shop
  budgetingMethod: Occurrences
  timeWindow: [WINDOW]
  indicator: {metadata: {name: checkout}, spec: {ratioMetric: {rawType: success, raw: {metricSource: {type: kubevalue, spec: {indicator: checkout, slice: 1m}}}}}}
  objectives: [{TARGET}]
  alertPolicies: [POLICY]
`

const (
	rolling28 = "{duration: 28d, isRolling: true}"
	neverFire = `{kind: AlertPolicy, metadata: {name: p}, spec: {alertWhenBreaching: true, conditions: [{kind: AlertCondition, metadata: {name: c}, spec: {severity: page, condition: {kind: burnrate, op: gt, threshold: 1000, lookbackWindow: 1h}}}], notificationTargets: [{kind: AlertNotificationTarget, metadata: {name: q}, spec: {target: t}}]}}`
)

// Each mistake in an objective is refused where it stands, before the service starts.
func TestBadObjectivesAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ window, target, policy, want string }{
		"a target of 0":                   {rolling28, "target: 0", "", "slo.yaml:9:25: target 0 is outside (0, 1): it must be a ratio, such as 0.999 [target-range]"},
		"a target of 1":                   {rolling28, "target: 1", "", "target 1 is outside (0, 1)"},
		"a target above 1":                {rolling28, "target: 1.5", "", "target 1.5 is outside (0, 1)"},
		"a target in percent":             {rolling28, "target: 99.9", "", "target 99.9 is outside (0, 1)"},
		"a target with a percent sign":    {rolling28, "target: 99.9%", "", `target "99.9%" must be a number`},
		"a negative target":               {rolling28, "target: -0.5", "", "target -0.5 is outside (0, 1)"},
		"a target that is no number":      {rolling28, "target: .nan", "", "target NaN is outside (0, 1)"},
		"a percentage of 100":             {rolling28, "targetPercent: 100", "", "targetPercent 100 is outside (0, 100)"},
		"a percentage above 100":          {rolling28, "targetPercent: 150", "", "targetPercent 150 is outside (0, 100)"},
		"an alert that can never fire":    {rolling28, "target: 0.9", neverFire, "can never fire: the factor 1000 is not below 1/(1 - target) = 10"},
		"an alert longer than the window": {"{duration: 30m, isRolling: true}", "target: 0.9", strings.Replace(neverFire, "1000", "5", 1), "the long window 1h exceeds the objective's window of 30m"},
		"a zone that does not exist":      {`{duration: 1M, isRolling: false, calendar: {startTime: "2026-01-01 00:00:00", timeZone: Europe/Atlantis}}`, "target: 0.9", "", `unknown time zone "Europe/Atlantis"`},
		"a window beyond the retention":   {"{duration: 500d, isRolling: true}", "target: 0.9", "", "its window is 500d, but slices are kept for 500d only: set retention.slices to 503d or more"},
		"years beyond the retention":      {`{duration: 2Y, isRolling: false, calendar: {startTime: "2026-01-01 00:00:00", timeZone: UTC}}`, "target: 0.9", "", "but slices are kept for 500d only: set retention.slices to 735d or more"},
	} {
		dir := t.TempDir()
		document := strings.NewReplacer("WINDOW", c.window, "TARGET", c.target, "POLICY", c.policy).Replace(badObjective)
		for file, text := range map[string]string{
			"slo.yaml":       document,
			"kubevalue.yaml": "identity: {key_file: identity.key}\nwarehouse: {dsn: \"embedded:warehouse\"}\nretention: {slices: 500d}\nobjectives: {openslo: [slo.yaml]}\n",
		} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		code, stdout, stderr := program(t, "check", filepath.Join(dir, "kubevalue.yaml"))
		if code == 0 || !strings.Contains(stdout, c.want) || !strings.Contains(stdout, "slo.yaml:") {
			t.Errorf("%s: exit code %d\n%s%s\nwant %q with its place", name, code, stdout, stderr, c.want)
		}
	}
}

// Slices of an indicator have one length. A document that says another one, and exclusions of objectives that are not there, are doubted only.
func TestLengthsOfSlicesAndNamesInExclusions(t *testing.T) {
	const another = `---
apiVersion: openslo/v1
kind: SLO
metadata: {name: other}
spec:
  service: shop
  budgetingMethod: Timeslices
  timeWindow: [{duration: 28d, isRolling: true}]
  indicator: {metadata: {name: checkout}, spec: {ratioMetric: {rawType: success, raw: {metricSource: {type: kubevalue, spec: {indicator: checkout, slice: LENGTH}}}}}}
  objectives: [{target: 0.9, timeSliceTarget: 0.9, timeSliceWindow: WANTED}]
`
	for name, c := range map[string]struct {
		length, wanted, exclusions string
		code                       int
		want                       string
	}{
		"the same":         {"1m", "1m", "", 0, "The configuration is right"},
		"another is asked": {"1m", "5m", "", 0, "warning: slo.yaml:12:1: objective other: timeSliceWindow is 5m, but its slices are of 1m, and those count [time-slice-window]"},
		"another is taken": {"5m", "5m", "", 1, "slo.yaml:12:1: objective other: its indicator checkout, revision 1, has slices of 5m here and of 1m in another objective"},
		"an exclusion of what is not there": {"1m", "1m", "exclusions: [{from: 2026-01-01, to: 2026-01-02, reason: r, author: a, objectives: [checkout, othr]}]\n", 0,
			`warning: kubevalue.yaml:5:94: exclusions[0].objectives[1]: no objective is called "othr"; did you mean "other"?`},
	} {
		dir := t.TempDir()
		document := strings.NewReplacer("WINDOW", rolling28, "TARGET", "target: 0.9", "POLICY", "").Replace(badObjective) + strings.NewReplacer("LENGTH", c.length, "WANTED", c.wanted).Replace(another)
		for file, text := range map[string]string{
			"slo.yaml":       document,
			"kubevalue.yaml": "identity: {key_file: identity.key}\nwarehouse: {dsn: \"embedded:warehouse\"}\nobjectives: {openslo: [slo.yaml]}\n\n" + c.exclusions,
		} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		code, stdout, stderr := program(t, "check", filepath.Join(dir, "kubevalue.yaml"))
		if code != c.code || !strings.Contains(strings.ReplaceAll(stdout, dir+"/", ""), c.want) {
			t.Errorf("%s: exit code %d\n%s%s\nwant %d and %q", name, code, stdout, stderr, c.code, c.want)
		}
	}
}

// Measurements and incidents that cannot be are refused whole; what comes twice or in another order changes nothing.
func TestBadMeasurementsAreRefused(t *testing.T) {
	t.Parallel()
	b := boot(t, "")
	agent := bearer(b.token("agent", collectors.EndpointAgent, collectors.EndpointIncidents))
	at := time.Now().UTC().Truncate(time.Hour).Add(-2 * time.Hour)
	slice := func(minute int, good, total string, version int) string {
		return fmt.Sprintf(`{"indicator":"checkout","revision":"1","start":%q,"seconds":60,"good":%s,"total":%s,"version":%d}`, at.Add(time.Duration(minute)*time.Minute).Format(time.RFC3339), good, total, version)
	}
	incident := `{"id":"INC-1","service":"shop","start":"2026-11-01T10:00:00Z","resolved":"2026-11-01T09:00:00Z","version":1}`
	for name, c := range map[string]struct{ path, body, want string }{
		"more good than total":        {"/v1/agent", `{"slices":[` + slice(0, "5", "4", 1) + `]}`, "good 5 and total 4 must be numbers"},
		"a negative count":            {"/v1/agent", `{"slices":[` + slice(0, "-1", "4", 1) + `]}`, "good -1 and total 4 must be numbers"},
		"a negative total":            {"/v1/agent", `{"slices":[` + slice(0, "0", "-4", 1) + `]}`, "good 0 and total -4 must be numbers"},
		"no number":                   {"/v1/agent", `{"slices":[` + slice(0, "NaN", "4", 1) + `]}`, "400"},
		"an infinite number":          {"/v1/agent", `{"slices":[` + slice(0, "1", "1e999", 1) + `]}`, "400"},
		"no good events":              {"/v1/agent", `{"slices":[` + strings.Replace(slice(0, "5", "4", 1), `"good":5,`, "", 1) + `]}`, "slice 0: good or total is missing"},
		"an incident without a name":  {"/v1/incidents", strings.NewReplacer("INC-1", "unattributed", "T09:", "T11:").Replace(incident), "the name of what no incident accounts for"},
		"an incident that ends first": {"/v1/incidents", incident, "resolved 2026-11-01T09:00:00Z must be after start 2026-11-01T10:00:00Z"},
		"and from an agent":           {"/v1/agent", `{"incidents":[` + incident + `]}`, "must be after start"},
		"an empty incident":           {"/v1/incidents", strings.Replace(incident, "T09:", "T10:", 1), "must be after start"},
	} {
		got := b.post(c.path, c.body, "Authorization", agent)
		if got.status != http.StatusBadRequest || !strings.Contains(fmt.Sprint(got.status, got.body), c.want) {
			t.Errorf("%s: %d %s, want %q", name, got.status, got.body, c.want)
		}
	}
	text := b.command(1, "incident", "set", "INC-1", "--service", "shop", "--start", "2026-11-01T10:00:00Z", "--resolved", "2026-11-01T09:00:00Z")
	if !strings.Contains(text, "must be after start") {
		t.Errorf("incident set: %s", text)
	}
	for _, c := range []struct{ args, want string }{
		{"set INC-1 --service shop", "incident INC-1 is new: say with --service and --start"},
		{"followup INC-1 P-1 --title x", `there is no incident "INC-1"`},
	} {
		if text := b.command(2, append([]string{"incident"}, strings.Fields(c.args)...)...); !strings.Contains(text, c.want) {
			t.Errorf("incident %s: %s", c.args, text)
		}
	}
	// The later version counts, whichever comes first, and however often.
	for _, body := range []string{slice(1, "3", "4", 2), slice(0, "4", "4", 1), slice(1, "1", "4", 1), slice(1, "3", "4", 2)} {
		if got := b.post("/v1/agent", `{"slices":[`+body+`]}`, "Authorization", agent); got.status != http.StatusAccepted {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	b.flush()
	if got := b.query("SELECT sum(good), sum(total) FROM sli_slices FINAL"); got != "7 8\n" {
		t.Errorf("stored %swant 7 of 8", got)
	}
	if got := b.query("SELECT count() FROM incidents"); got != "0\n" {
		t.Errorf("%s incidents stored", got)
	}
}
