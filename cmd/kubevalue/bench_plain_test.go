//go:build bench

package main

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"github.com/kubevalue/kubevalue/schema"
	"github.com/kubevalue/kubevalue/schema/warehouse"
)

// openPlain connects the driver as it comes to the engine of a warehouse on a unix socket.
func openPlain(t *testing.T, db *warehouse.DB) driver.Conn {
	t.Helper()
	socket := strings.TrimPrefix(db.String(), "unix:")
	conn, err := clickhouse.Open(&clickhouse.Options{
		Protocol: clickhouse.HTTP, Addr: []string{"engine"}, Auth: clickhouse.Auth{Database: db.Database()},
		DialContext: func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// plainKinds are the kinds of the columns in which the driver sends them fastest: the engine makes dictionaries faster than the driver.
var plainKinds = []clickhouse.ColumnNameAndType{
	{Name: "id", Type: "UUID"}, {Name: "time", Type: "DateTime64(3, 'UTC')"}, {Name: "received", Type: "DateTime64(3, 'UTC')"},
	{Name: "source", Type: "String"}, {Name: "name", Type: "String"}, {Name: "actor", Type: "UInt64"},
	{Name: "actor_kind", Type: "Enum8('unknown' = 0, 'human' = 1, 'machine' = 2)"}, {Name: "actor_team", Type: "String"},
	{Name: "team_source", Type: "String"}, {Name: "owner_team", Type: "String"}, {Name: "persona", Type: "String"},
	{Name: "cluster", Type: "String"}, {Name: "namespace", Type: "String"}, {Name: "resource", Type: "String"}, {Name: "object", Type: "String"},
	{Name: "outcome", Type: "Enum8('success' = 0, 'failure' = 1, 'denied' = 2)"}, {Name: "reason", Type: "String"},
	{Name: "duration_ms", Type: "Nullable(Float64)"}, {Name: "value", Type: "Nullable(Float64)"}, {Name: "clamped", Type: "Bool"},
	{Name: "attributes", Type: "Map(String, String)"},
}

// insertPlain inserts a block in the driver's own way, column by column, which is its fastest.
func insertPlain(t *testing.T, conn driver.Conn, rows []schema.StoredEvent) {
	t.Helper()
	batch, err := conn.PrepareBatch(clickhouse.Context(t.Context(), clickhouse.WithColumnNamesAndTypes(plainKinds)), `INSERT INTO events (id, time, received, source, name, actor, actor_kind, actor_team, team_source,
		owner_team, persona, cluster, namespace, resource, object, outcome, reason, duration_ms, value, clamped, attributes)`)
	if err != nil {
		t.Fatal(err)
	}
	for i, values := range []any{
		field(rows, func(r *schema.StoredEvent) uuid.UUID { return r.ID }),
		field(rows, func(r *schema.StoredEvent) time.Time { return r.Time }),
		field(rows, func(r *schema.StoredEvent) time.Time { return r.Received }),
		field(rows, func(r *schema.StoredEvent) string { return r.Source }),
		field(rows, func(r *schema.StoredEvent) string { return r.Name }),
		field(rows, func(r *schema.StoredEvent) uint64 { return r.Actor }),
		field(rows, func(r *schema.StoredEvent) string { return string(r.ActorKind) }),
		field(rows, func(r *schema.StoredEvent) string { return r.ActorTeam }),
		field(rows, func(r *schema.StoredEvent) string { return r.TeamSource }),
		field(rows, func(r *schema.StoredEvent) string { return r.OwnerTeam }),
		field(rows, func(r *schema.StoredEvent) string { return r.Persona }),
		field(rows, func(r *schema.StoredEvent) string { return r.Cluster }),
		field(rows, func(r *schema.StoredEvent) string { return r.Namespace }),
		field(rows, func(r *schema.StoredEvent) string { return r.Resource }),
		field(rows, func(r *schema.StoredEvent) string { return r.Object }),
		field(rows, func(r *schema.StoredEvent) string { return string(r.Outcome) }),
		field(rows, func(r *schema.StoredEvent) string { return r.Reason }),
		field(rows, func(r *schema.StoredEvent) *float64 { return r.DurationMS }),
		field(rows, func(r *schema.StoredEvent) *float64 { return r.Value }),
		field(rows, func(r *schema.StoredEvent) bool { return r.Clamped }),
		field(rows, func(r *schema.StoredEvent) map[string]string { return r.Attributes }),
	} {
		if err := batch.Column(i).Append(values); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
}

func field[V any](rows []schema.StoredEvent, of func(*schema.StoredEvent) V) []V {
	values := make([]V, len(rows))
	for i := range rows {
		values[i] = of(&rows[i])
	}
	return values
}
