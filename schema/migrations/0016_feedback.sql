-- What people say of the platform and ask of it, and what work on it takes (schema.Feedback). Nobody is named in it. Of several records of one
-- kind and id the one with the highest version counts: of an answer the first, of all else the newest. Read it with FINAL.

CREATE TABLE IF NOT EXISTS feedback
(
    kind       LowCardinality(String),
    id         String CODEC(ZSTD(1)),
    time       DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    until      Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    team       LowCardinality(String),
    persona    LowCardinality(String),
    survey     LowCardinality(String),
    question   LowCardinality(String),
    asked      LowCardinality(String),
    topic      LowCardinality(String),
    object     String CODEC(ZSTD(1)),
    state      LowCardinality(String),
    value      Nullable(Float64) CODEC(ZSTD(1)),
    text       String CODEC(ZSTD(1)),
    extra      String CODEC(ZSTD(3)),
    version    UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (kind, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
