-- Sums of each day (UTC) over its hours' sums, for questions about weeks and months of many series. Whoever writes hours writes their
-- days anew. version is the sum of the hours' versions, so the fullest of several writers' sums wins. The ratios of imperfect slices
-- stay with the hours: only objectives whose slices may be less than perfect ask for them.

CREATE TABLE IF NOT EXISTS sli_days
(
    day          DateTime('UTC') CODEC(Delta, ZSTD(1)),
    series       UInt64 CODEC(ZSTD(1)),
    measured     UInt32 CODEC(ZSTD(1)),
    valid        UInt32 CODEC(ZSTD(1)),
    perfect      UInt32 CODEC(ZSTD(1)),
    good         Float64 CODEC(ZSTD(1)),
    total        Float64 CODEC(ZSTD(1)),
    bad_fraction Float64 CODEC(ZSTD(1)),
    version      UInt128 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(day)
ORDER BY (day, series)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

INSERT INTO sli_days
SELECT toStartOfDay(hour) AS day, series, sum(measured), sum(valid), sum(perfect), sum(good), sum(total), sum(bad_fraction), sum(version)
FROM sli_hours FINAL
GROUP BY day, series
SETTINGS max_execution_time = 0, max_partitions_per_insert_block = 0, do_not_merge_across_partitions_select_final = 1;
