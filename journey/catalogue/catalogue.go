// Package catalogue holds the metric definitions, one YAML file per metric, and the evaluator that turns them into values.
//
// The SQL of a metric reads these relations, which the evaluator puts in front of it as far as they are mentioned. Each has
// the columns period (the beginning of the period in Unix milliseconds) and dim (the value of the dimension by which the figure
// is split, empty when it is not), and is already restricted to the periods and filters that were asked for; each
// statement returns at most one row per (period, dim), and GROUP BY period, dim is all that it must do about them.
//
//   - acts: all events, with the columns of the table events (environment is the attribute of that name), in which actor is the one identity of merged ones, and teams,
//     an array: the team that the event names, or else those in whose roster the actor was at the time; counts_for are those of them that the figure
//     is about: the one by which it is split or filtered, or else all.
//   - counts: how many events of a kind there were: events, by outcome, reason, actor_kind, name, hour (UTC), source, cluster, persona and
//     environment. Much less to read than acts.
//   - refusals: the same of what did not succeed, by actor, teams, counts_for and namespace besides.
//   - activity: who got value: actor, team and resource of successful value events by people, as far as the statement mentions these
//     columns; team is empty for those without one. Rows repeat any number of times: count what is distinct.
//   - writers: who changed anything in a cluster, as audit logs tell: actor and team of successful audited events by people. Count what is
//     distinct.
//   - changed_kinds: what kinds of resources people changed in value events: actor, team and kind, a resource without its subresource. Count what
//     is distinct.
//   - eligible: the roster entries that overlap the period: team, actor (0 in the row of the team itself), voluntary, persona.
//   - changes: what happened to resources in clusters, with the columns of the table resource_changes ; the team is the owner's. What
//     happened in an interval, with time_from before time, counts at its end.
//   - states: each resource as it was at the end of each period (or now, period_end), without what was gone by then and without
//     clusters that had not been watched for 28 days: cluster, kind, uid, namespace, name, region, k8s_version, team, created,
//     first_ready, terminating, desired, available, labels, attributes, seen.
//   - stretches: for how long in the period each resource was in each of its states, as far as its cluster was watched: cluster, kind, uid,
//     namespace, name, team, labels, attributes, seconds.
//   - workload_slices: what was measured of workloads, in slices or sums of them: cluster, namespace, kind, name, good and total in seconds.
//   - creations: acts that provisioned something, a namespace or what runs or is stored in one: period, dim, teams, owner_team, cluster,
//     namespace and name.
//   - owners: whose each namespace is: cluster, namespace, team (as the cluster's objects name it) and opener (the team of the person who
//     created it), each empty when it is not known. It has no period and no dim.
//   - voices: what people said and asked in the period, with the columns of the table feedback (schema.Feedback); the team is that of who did.
//   - consumed: what teams had of clusters in the period, with the columns of the table consumption (schema.Consumption).
//   - costs: what clusters cost in the period: cluster, namespace, team, part and money. Part is own (of the team itself), shared (its part of
//     the namespaces that all share) or idle (of nodes, team is empty).
//     A metric whose unit begins with "currency units" is shown in that of the prices.
//   - cohorts: the values of each configured field (drift) in objects of the same kind, namespace and name in at least three clusters: path, objects,
//     usual (the most frequent value), agreeing (how many have it) and having, an array of (cluster, value). It has no dim.
//   - reclaimed: the volumes and load balancers that went in the period, a day or more after they had come: cluster, kind, namespace, name, team,
//     and per_hour, what each cost by then.
//   - restored: the incidents that ended in the period, with the columns of the table incidents; time is when. Split and filtered by service.
//   - capabilities: what the platform offered at some time in the period: capability, title, owner and events, an array of names; dim is
//     empty. A team that used one of the events used the capability.
//   - spans: one row per period: days, how many days of it have passed at the time of evaluation, a fraction for the current one.
//
// Statements may use these parameters: {starts:Array(Int64)} and {ends:Array(Int64)} of the periods and {marks:Array(Int64)} with
// both, in Unix milliseconds and sorted, {now:Int64} likewise, {zone:String}, the reporting zone, and {not_value:Array(String)}, the
// events that are no value events.
//
// A period without a row counts 0 in value (unless empty says undefined) and in numerator; without a denominator, or with 0, a ratio is undefined. Averages are
// therefore written as numerator and denominator, or as a sample. Beside these relations, statements may read the tables.
package catalogue

//go:generate go test -count=1 -run TestThePageOfMetricsIsFresh . -args -update

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/kubevalue/kubevalue/journey"
)

//go:embed *.yaml
var files embed.FS

// Load returns the built-in metrics, ordered as the start set is: creation, operation, cleanup, by number. Each has been
// validated; an error names the file.
func Load() ([]journey.Metric, error) { return LoadFS(files) }

// LoadFS returns the metrics of all *.yaml files at the root of a file system.
func LoadFS(source fs.FS) ([]journey.Metric, error) {
	names, err := fs.Glob(source, "*.yaml")
	if err != nil {
		return nil, err
	}
	var metrics []journey.Metric
	var faults []error
	for _, name := range names {
		data, err := fs.ReadFile(source, name)
		if err != nil {
			return nil, err
		}
		m, err := Parse(data)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
			continue
		}
		if want := strings.TrimSuffix(path.Base(name), ".yaml"); m.ID != want {
			faults = append(faults, fmt.Errorf("%s: id %q: want the file's name, %q", name, m.ID, want))
		}
		metrics = append(metrics, m)
	}
	slices.SortFunc(metrics, byID)
	return metrics, errors.Join(faults...)
}

// Parse reads one definition, strictly, and validates it.
func Parse(data []byte) (journey.Metric, error) {
	var m journey.Metric
	if err := yaml.UnmarshalWithOptions(data, &m, yaml.Strict()); err != nil {
		return m, err
	}
	return m, m.Validate()
}

// byID orders A1, A2, … C1, C2, … C10, O1, … X1.
func byID(a, b journey.Metric) int {
	letters := func(id string) string { return strings.TrimRight(id, "0123456789") }
	if c := strings.Compare(letters(a.ID), letters(b.ID)); c != 0 {
		return c
	}
	if c := len(a.ID) - len(b.ID); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}
