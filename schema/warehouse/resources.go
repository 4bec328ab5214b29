package warehouse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kubevalue/kubevalue/schema"
)

// InsertResourceChanges stores what happened to resources. The same token with the same rows lands once; of several records
// of one change the most exact one counts, whatever the order in which they come.
func (db *DB) InsertResourceChanges(ctx context.Context, token string, rows []schema.ResourceChange) error {
	op := fmt.Sprintf("insert %d rows", len(rows))
	if token == "" {
		return refused(op, schema.TableResourceChanges, errNoToken)
	}
	for i := range rows {
		r := &rows[i]
		err := errors.Join(r.Validate(), checkTime("time", r.Time), checkOptional("from", r.From), checkOptional("seen", r.Seen), checkOptional("created", r.Created),
			checkOptional("first_ready", r.FirstReady), checkOptional("terminating", r.Terminating), checkOptional("rollout_started", r.RolloutStarted))
		if err != nil {
			return refused(op, schema.TableResourceChanges, fmt.Errorf("row %d (%s of %s %s): %w", i, r.Change, r.Kind, r.Name, err))
		}
	}
	return db.insert(ctx, block{
		table: schema.TableResourceChanges, token: token, rows: len(rows),
		columns: append(changeColumns(rows), stateColumns(rows)...),
	})
}

func changeColumns(rows []schema.ResourceChange) []column {
	return []column{
		pick("cluster", "String", rows, func(r *schema.ResourceChange) string { return r.Cluster }),
		pick("region", "String", rows, func(r *schema.ResourceChange) string { return r.Region }),
		pick("kind", "String", rows, func(r *schema.ResourceChange) string { return r.Kind }),
		pick("uid", "String", rows, func(r *schema.ResourceChange) string { return r.UID }),
		pick("namespace", "String", rows, func(r *schema.ResourceChange) string { return r.Namespace }),
		pick("name", "String", rows, func(r *schema.ResourceChange) string { return r.Name }),
		pick("change", "String", rows, func(r *schema.ResourceChange) string { return string(r.Change) }),
		pick("key", "String", rows, func(r *schema.ResourceChange) string { return r.Key }),
		pick("time", kindTime, rows, func(r *schema.ResourceChange) time.Time { return r.Time }),
		pick("time_from", kindTime, rows, func(r *schema.ResourceChange) time.Time {
			if r.From.IsZero() {
				return r.Time
			}
			return r.From
		}),
		pick("seen", kindTime, rows, (*schema.ResourceChange).StateTime),
		pick("reason", "String", rows, func(r *schema.ResourceChange) string { return r.Reason }),
		pick("duration_ms", "Nullable(Float64)", rows, func(r *schema.ResourceChange) *float64 { return r.DurationMS }),
		pick("value", "Nullable(Float64)", rows, func(r *schema.ResourceChange) *float64 { return r.Value }),
		pick("version", "UInt64", rows, (*schema.ResourceChange).Precedence),
		pick("state_version", "UInt64", rows, (*schema.ResourceChange).StatePrecedence),
	}
}

func stateColumns(rows []schema.ResourceChange) []column {
	return []column{
		pick("created", kindOptionalTime, rows, func(r *schema.ResourceChange) *time.Time { return optional(r.Created) }),
		pick("first_ready", kindOptionalTime, rows, func(r *schema.ResourceChange) *time.Time { return optional(r.FirstReady) }),
		pick("terminating", kindOptionalTime, rows, func(r *schema.ResourceChange) *time.Time { return optional(r.Terminating) }),
		pick("generation", "Int64", rows, func(r *schema.ResourceChange) int64 { return r.Generation }),
		pick("desired", "Nullable(Int64)", rows, func(r *schema.ResourceChange) *int64 { return r.Desired }),
		pick("available", "Nullable(Int64)", rows, func(r *schema.ResourceChange) *int64 { return r.Available }),
		pick("revision", "String", rows, func(r *schema.ResourceChange) string { return r.Revision }),
		pick("rollout", "String", rows, func(r *schema.ResourceChange) string { return string(r.Rollout) }),
		pick("rollout_started", kindOptionalTime, rows, func(r *schema.ResourceChange) *time.Time { return optional(r.RolloutStarted) }),
		pick("k8s_version", "String", rows, func(r *schema.ResourceChange) string { return r.Version }),
		pick("team", "String", rows, func(r *schema.ResourceChange) string { return r.Team }),
		pick("team_source", "String", rows, func(r *schema.ResourceChange) string { return r.TeamSource }),
		pick("labels", kindAttributes, rows, func(r *schema.ResourceChange) map[string]string { return r.Labels }),
		pick("attributes", kindAttributes, rows, func(r *schema.ResourceChange) map[string]string { return r.Attributes }),
	}
}

// kindAttributes is the type of maps from a few keys to any text.
const kindAttributes = "Map(String, String)"

// LiveResources returns the newest state of each resource of a cluster that is not known to be deleted, as the change that
// brought it, in order of kind and UID. Time is when it was seen so; Seen, From, Reason, DurationMS and Value are not filled in.
func (db *DB) LiveResources(ctx context.Context, cluster string) ([]schema.ResourceChange, error) {
	type row struct {
		schema.ResourceChange
		created, firstReady, terminating, rolloutStarted *time.Time
	}
	rows, err := ask(ctx, db, question{
		op: "read the resources of a cluster", table: schema.TableResources, params: map[string]any{"cluster": cluster},
		sql: `SELECT toString(cluster), toString(region), toString(kind), uid, toString(namespace), name, toString(last_change), last_key, seen,
			created, first_ready, terminating, generation, desired, available, revision, toString(rollout), rollout_started,
			toString(k8s_version), toString(team), toString(team_source), CAST(labels, 'Map(String, String)'), CAST(attributes, 'Map(String, String)')
			FROM resources FINAL WHERE cluster = {cluster:String} AND deleted IS NULL ORDER BY kind, uid`,
	}, func(r *row) []any {
		return []any{
			&r.Cluster, &r.Region, &r.Kind, &r.UID, &r.Namespace, &r.Name, (*string)(&r.Change), &r.Key, &r.Time,
			&r.created, &r.firstReady, &r.terminating, &r.Generation, &r.Desired, &r.Available, &r.Revision, (*string)(&r.Rollout), &r.rolloutStarted,
			&r.Version, &r.Team, &r.TeamSource, &r.Labels, &r.Attributes,
		}
	})
	all := make([]schema.ResourceChange, len(rows))
	for i, r := range rows {
		all[i] = r.ResourceChange
		all[i].Created, all[i].FirstReady = deref(r.created), deref(r.firstReady)
		all[i].Terminating, all[i].RolloutStarted = deref(r.terminating), deref(r.rolloutStarted)
	}
	return all, err
}

func deref(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
