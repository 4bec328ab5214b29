-- What several services on one server have to know of each other, such as which alerts fire and who was told. The newest version of a name
-- counts; there is one writer at a time.

CREATE TABLE IF NOT EXISTS service_state
(
    name    LowCardinality(String),
    state   String CODEC(ZSTD(1)),
    stored  DateTime64(3, 'UTC'),
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY name
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
