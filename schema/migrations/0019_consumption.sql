-- What teams had of nodes, storage and load balancers (schema.Consumption), by the hour. A repeated row changes nothing. Read it with FINAL.

CREATE TABLE IF NOT EXISTS consumption
(
    cluster                LowCardinality(String),
    start                  DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    kind                   LowCardinality(String),
    class                  LowCardinality(String),
    namespace              LowCardinality(String),
    team                   LowCardinality(String),
    seconds                Float64 CODEC(ZSTD(1)),
    core_seconds           Float64 CODEC(ZSTD(1)),
    byte_seconds           Float64 CODEC(ZSTD(1)),
    requested_core_seconds Float64 CODEC(ZSTD(1)),
    used_core_seconds      Float64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(start)
ORDER BY (cluster, start, kind, class, namespace, team)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- What resources cost: an hour of a node or a load balancer, a GiB of storage for an hour, in [valid_from, valid_to). A row of kind shared
-- names a namespace whose cost all teams of its cluster share.
CREATE TABLE IF NOT EXISTS resource_prices
(
    version    UInt64,
    kind       LowCardinality(String),
    class      LowCardinality(String),
    per_hour   Float64,
    currency   LowCardinality(String),
    valid_from DateTime64(3, 'UTC'),
    valid_to   DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY (version, kind, class, valid_from)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE VIEW IF NOT EXISTS resource_prices_current AS
SELECT kind, class, per_hour, currency, valid_from, valid_to
FROM resource_prices
WHERE version = (SELECT max(version) FROM registry_versions WHERE registry = 'resource_prices');
