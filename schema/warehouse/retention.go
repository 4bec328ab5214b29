package warehouse

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/kubevalue/kubevalue/schema"
)

// retentionColumns are the tables whose retention can be set, with the time that it counts from.
var retentionColumns = map[string]string{
	schema.TableEvents:     "time",
	"activity_days":        "day",
	"activity_months":      "month",
	"activity_kinds":       "month",
	schema.TableSlices:     "slice_start",
	"resource_changes":     "time",
	schema.TableQuarantine: "time",
	schema.TableDeliveries: "at",
}

// storedRetention reads a retention as the server repeats it: SetRetention's in seconds, a migration's in days.
var storedRetention = regexp.MustCompile(`TTL (?:toDateTime\(\w+\)|\w+) \+ toInterval(Second|Day)\((\d+)\)`)

// SetRetention makes a table drop its rows some time after they happened; 0: it keeps them. Nothing is done when it is so already, and
// rows that are too old go in the background, some hours later at the most. d is cut to seconds.
func (db *DB) SetRetention(ctx context.Context, table string, d time.Duration) error {
	op := "set the retention"
	column, ok := retentionColumns[table]
	if !ok || d < 0 {
		return refused(op, table, fmt.Errorf("a retention of %s cannot be set there", d))
	}
	is, err := db.Retention(ctx, table)
	if err != nil || is == d.Truncate(time.Second) {
		return err
	}
	sql := fmt.Sprintf("ALTER TABLE %s MODIFY TTL toDateTime(%s) + toIntervalSecond(%d)", table, column, int64(d/time.Second))
	if d == 0 {
		sql = fmt.Sprintf("ALTER TABLE %s REMOVE TTL", table)
	}
	db.logger.Info("retention changed", "table", table, "from", is.String(), "to", d.String())
	return failed(op, table, db.conn.Exec(with(ctx, clickhouse.Settings{"mutations_sync": 0}), sql))
}

// Retention is how long a table keeps its rows; 0: for ever.
func (db *DB) Retention(ctx context.Context, table string) (time.Duration, error) {
	text, found, err := askOne(ctx, db, question{
		op: "read the retention", table: table, params: map[string]any{"table": table},
		sql: "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {table:String}",
	}, one[string])
	if err != nil {
		return 0, err
	}
	if !found {
		return 0, refused("read the retention", table, fmt.Errorf("there is no such table: run `kubevalue migrate`"))
	}
	return retentionOf(text), nil
}

func retentionOf(engine string) time.Duration {
	m := storedRetention.FindStringSubmatch(engine)
	if m == nil {
		return 0
	}
	n, err := strconv.ParseInt(m[2], 10, 64)
	if err != nil {
		return 0
	}
	unit := time.Second
	if m[1] == "Day" {
		unit = 24 * time.Hour
	}
	return time.Duration(n) * unit
}
