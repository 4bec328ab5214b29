package warehouse

import (
	"context"
	"maps"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// executionTime bounds a statement on the server unless its context ends earlier.
const executionTime = time.Minute

// pinned are the settings of every connection whose defaults lose rows, double them, or differ between servers.
var pinned = clickhouse.Settings{
	// An insert is acknowledged when its rows are in a part, not when they are in a queue.
	"async_insert":                  0,
	"distributed_foreground_insert": 1,
	"insert_deduplicate":            1,
	// A retry after a crash between a table and its views must reach the views, and only once.
	"deduplicate_blocks_in_dependent_materialized_views": 1,
	"materialized_views_ignore_errors":                   0,
	"throw_on_max_partitions_per_insert_block":           1,
	// One block stays one block: a retry that is cut differently would not be recognised.
	"max_insert_threads": 1,
	// A text without a zone means UTC wherever the server stands.
	"session_timezone": "UTC",
	// A statement that outlives its client still ends.
	"max_execution_time":    executionTime.Seconds(),
	"timeout_overflow_mode": "throw",
}

// with is ctx with settings for one statement. The server's time ends before that of ctx does, so that a lease that ctx stands
// for is not outlived; the driver by itself would grant five seconds more than the context has.
func with(ctx context.Context, settings clickhouse.Settings, options ...clickhouse.QueryOption) context.Context {
	all := maps.Clone(settings)
	if all == nil {
		all = clickhouse.Settings{}
	}
	if deadline, ok := ctx.Deadline(); ok {
		limit := executionTime
		if given, ok := settings["max_execution_time"].(float64); ok {
			limit = time.Duration(given * float64(time.Second))
		}
		limit = max(min(limit, time.Until(deadline)), time.Millisecond)
		all["max_execution_time"] = strconv.FormatFloat(limit.Seconds(), 'f', 3, 64)
	}
	return clickhouse.Context(withoutDeadline{ctx}, append(options, clickhouse.WithSettings(all))...)
}

// withoutDeadline hides the deadline, not the end, of a context from the driver.
type withoutDeadline struct{ context.Context }

// Deadline says that there is none.
func (withoutDeadline) Deadline() (time.Time, bool) { return time.Time{}, false }
