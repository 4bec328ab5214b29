-- What happened to resources in clusters, and the newest state of each.
--
-- The key of a change is what it is, not when it was noticed: the same change noticed twice is one row, and of several the one with
-- the highest version counts, which is the most exact one (schema.ResourceChange, Precedence). Read it with FINAL. A change happened at
-- time, or, where time_from is before time, somewhere between the two, since nobody watched. Each row carries the whole state of the
-- resource as it was seen after the change, so the row with the latest "seen" up to an instant is its state at that instant.

CREATE TABLE IF NOT EXISTS resource_changes
(
    cluster         LowCardinality(String),
    region          LowCardinality(String),
    kind            LowCardinality(String),
    uid             String CODEC(ZSTD(1)),
    namespace       LowCardinality(String),
    name            String CODEC(ZSTD(1)),
    change          LowCardinality(String),
    key             String CODEC(ZSTD(1)),
    time            DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    time_from       DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    seen            DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    reason          LowCardinality(String),
    duration_ms     Nullable(Float64) CODEC(ZSTD(1)),
    value           Nullable(Float64) CODEC(ZSTD(1)),
    created         Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    first_ready     Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    terminating     Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    generation      Int64 CODEC(ZSTD(1)),
    desired         Nullable(Int64) CODEC(ZSTD(1)),
    available       Nullable(Int64) CODEC(ZSTD(1)),
    revision        String CODEC(ZSTD(1)),
    rollout         LowCardinality(String),
    rollout_started Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    k8s_version     LowCardinality(String),
    team            LowCardinality(String),
    team_source     LowCardinality(String),
    labels          Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    attributes      Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    version         UInt64 CODEC(ZSTD(1)),
    state_version   UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(time)
ORDER BY (cluster, kind, uid, change, key)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- The newest state of everything that was ever seen; it outlives the retention of resource_changes. What was deleted stays as a
-- tombstone: it went in [deleted_from, deleted]. Read it with FINAL.
CREATE TABLE IF NOT EXISTS resources
(
    cluster         LowCardinality(String),
    region          LowCardinality(String),
    kind            LowCardinality(String),
    uid             String CODEC(ZSTD(1)),
    namespace       LowCardinality(String),
    name            String CODEC(ZSTD(1)),
    last_change     LowCardinality(String),
    last_key        String CODEC(ZSTD(1)),
    seen            DateTime64(3, 'UTC') CODEC(ZSTD(1)),
    created         Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    first_ready     Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    terminating     Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    deleted         Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    deleted_from    Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    generation      Int64 CODEC(ZSTD(1)),
    desired         Nullable(Int64) CODEC(ZSTD(1)),
    available       Nullable(Int64) CODEC(ZSTD(1)),
    revision        String CODEC(ZSTD(1)),
    rollout         LowCardinality(String),
    rollout_started Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    k8s_version     LowCardinality(String),
    team            LowCardinality(String),
    team_source     LowCardinality(String),
    labels          Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    attributes      Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    version         UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (cluster, kind, uid)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS resources_mv TO resources AS
SELECT cluster, region, kind, uid, namespace, name, change AS last_change, key AS last_key, seen, created, first_ready, terminating,
    if(change = 'deleted', time, NULL) AS deleted, if(change = 'deleted', time_from, NULL) AS deleted_from,
    generation, desired, available, revision, rollout, rollout_started, k8s_version, team, team_source, labels, attributes,
    state_version AS version
FROM resource_changes;

-- In which hours each cluster was watched: what the coverage of figures made of resources is computed from. It outlives the retention
-- of resource_changes.
CREATE TABLE IF NOT EXISTS cluster_hours
(
    cluster LowCardinality(String),
    hour    DateTime('UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (cluster, hour)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS cluster_hours_mv TO cluster_hours AS
SELECT DISTINCT cluster, toStartOfHour(toDateTime(seen, 'UTC'), 'UTC') AS hour
FROM resource_changes
WHERE kind = 'Cluster' AND change = 'observed';
