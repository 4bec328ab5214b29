-- In which hours each source reported anything: what the coverage of figures made of events is computed from. It outlives the
-- retention of events. A repeated block changes nothing, since rows of one key are one row.

CREATE TABLE IF NOT EXISTS source_hours
(
    source LowCardinality(String),
    hour   DateTime('UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (source, hour)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS source_hours_mv TO source_hours AS
SELECT DISTINCT source, toDateTime(toStartOfHour(time), 'UTC') AS hour
FROM events;

-- What came before the view; rows that it has noted meanwhile are the same rows.
INSERT INTO source_hours SELECT DISTINCT source, toDateTime(toStartOfHour(time), 'UTC') AS hour FROM events;
