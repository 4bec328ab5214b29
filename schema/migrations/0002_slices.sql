-- What indicators measured. Only measurements are stored; the newest version of a slice wins.

CREATE TABLE IF NOT EXISTS sli_slices
(
    indicator     LowCardinality(String),
    revision      LowCardinality(String),
    grp           LowCardinality(String),
    slice_start   DateTime('UTC') CODEC(Delta, ZSTD(1)),
    slice_seconds UInt32 CODEC(ZSTD(1)),
    good          Float64 CODEC(ZSTD(1)),
    total         Float64 CODEC(ZSTD(1)),
    state         Enum8('gap' = 0, 'measured' = 1),
    version       UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(slice_start)
ORDER BY (indicator, revision, grp, slice_start)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
