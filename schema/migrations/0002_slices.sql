-- What indicators measured. Only measurements are stored; the newest version of a slice wins. Rows of one hour lie together, since all
-- questions are about stretches of time; series stands for indicator, revision and group.

CREATE TABLE IF NOT EXISTS sli_slices
(
    indicator     LowCardinality(String),
    revision      LowCardinality(String),
    grp           LowCardinality(String),
    series        UInt64 MATERIALIZED sipHash64(indicator, revision, grp) CODEC(ZSTD(1)),
    slice_start   DateTime('UTC') CODEC(Delta, ZSTD(1)),
    slice_seconds UInt32 CODEC(ZSTD(1)),
    good          Float64 CODEC(ZSTD(1)),
    total         Float64 CODEC(ZSTD(1)),
    state         Enum8('gap' = 0, 'measured' = 1),
    version       UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(slice_start)
ORDER BY (toStartOfHour(slice_start), series, slice_start)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
