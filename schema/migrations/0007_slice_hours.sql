-- The series of slices that there are, each with its first slice. min() is idempotent, so a repeated block changes nothing.

CREATE TABLE IF NOT EXISTS sli_series
(
    indicator LowCardinality(String),
    revision  LowCardinality(String),
    grp       LowCardinality(String),
    first     SimpleAggregateFunction(min, DateTime('UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (indicator, revision, grp)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS sli_series_mv TO sli_series AS
SELECT indicator, revision, grp, min(slice_start) AS first
FROM sli_slices
GROUP BY indicator, revision, grp;

INSERT INTO sli_series
SELECT indicator, revision, grp, min(slice_start)
FROM sli_slices
GROUP BY indicator, revision, grp;

-- Sums of each hour over the newest version of its measured slices. Whoever inserts slices writes their whole hours anew: a view that
-- adds up would count a corrected slice twice. imperfect has good / total of the slices that are below 1. version is the sum of the
-- slices' versions, which grows with everything that an hour has seen, so the fullest of several writers' sums wins.

CREATE TABLE IF NOT EXISTS sli_hours
(
    hour         DateTime('UTC') CODEC(Delta, ZSTD(1)),
    series       UInt64 CODEC(ZSTD(1)),
    measured     UInt32 CODEC(ZSTD(1)),
    valid        UInt32 CODEC(ZSTD(1)),
    perfect      UInt32 CODEC(ZSTD(1)),
    good         Float64 CODEC(ZSTD(1)),
    total        Float64 CODEC(ZSTD(1)),
    bad_fraction Float64 CODEC(ZSTD(1)),
    imperfect    Array(Float64) CODEC(ZSTD(1)),
    version      UInt128 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(hour)
ORDER BY (hour, series)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

INSERT INTO sli_hours
SELECT
    toStartOfHour(slice_start) AS hour,
    series,
    countIf(state = 'measured'),
    countIf(state = 'measured' AND total > 0),
    countIf(state = 'measured' AND total > 0 AND good / total >= 1),
    sumIf(good, state = 'measured'),
    sumIf(total, state = 'measured'),
    sumIf((total - good) / total, state = 'measured' AND total > 0),
    groupArrayIf(good / total, state = 'measured' AND total > 0 AND good / total < 1),
    sum(toUInt128(version))
FROM sli_slices FINAL
GROUP BY hour, series
SETTINGS max_execution_time = 0, max_partitions_per_insert_block = 0, do_not_merge_across_partitions_select_final = 1;
