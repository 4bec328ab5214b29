-- Usage events, what has been seen of them, and who acted.
--
-- Every statement can be repeated. A statement ends with a semicolon at the end of a line; a line that begins with two dashes is left
-- out. Two settings of tables have defaults that lose or double rows. fsync_after_insert and fsync_part_directory are off: without them
-- an acknowledged insert may be gone after a loss of power, so all tables set them. non_replicated_deduplication_window is 0 (off):
-- without it a retried insert into events would count twice. The other tables are made so that a repeated row changes nothing, which is
-- better: MergeTree notes a block's token before the block is there, and a crash in between makes it refuse every retry.

CREATE TABLE IF NOT EXISTS events
(
    id          UUID,
    time        DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    received    DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    source      LowCardinality(String),
    name        LowCardinality(String),
    actor       UInt64,
    actor_kind  Enum8('unknown' = 0, 'human' = 1, 'machine' = 2),
    actor_team  LowCardinality(String),
    team_source LowCardinality(String),
    owner_team  LowCardinality(String),
    persona     LowCardinality(String),
    cluster     LowCardinality(String),
    namespace   LowCardinality(String),
    resource    LowCardinality(String),
    object      String CODEC(ZSTD(1)),
    outcome     Enum8('success' = 0, 'failure' = 1, 'denied' = 2),
    reason      LowCardinality(String),
    duration_ms Nullable(Float64),
    value       Nullable(Float64),
    clamped     Bool,
    attributes  Map(LowCardinality(String), String) CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (actor_kind, name, toStartOfDay(time, 'UTC'), actor, time)
SETTINGS non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1, fsync_part_directory = 1;

-- What has been seen, for deduplication. An id is stored as two numbers, since looking 100,000 ids up among millions is bound by probing
-- every stored one, which is three times as fast for UInt64 as for UUID. Small granules and blocks keep small look-ups small. Rows go
-- eight days after they were stored, not after first_received: what a test or an import dates back is still recognised.
CREATE TABLE IF NOT EXISTS event_ids
(
    id_high        UInt64,
    id_low         UInt64,
    first_received DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    stored         DateTime('UTC') DEFAULT now() CODEC(Delta, ZSTD(1)),
    id             UUID ALIAS toUUID(concat(leftPad(hex(id_high), 16, '0'), leftPad(hex(id_low), 16, '0')))
)
ENGINE = MergeTree
PARTITION BY toDate(first_received, 'UTC')
ORDER BY id_high
TTL stored + INTERVAL 8 DAY
SETTINGS index_granularity = 256, min_compress_block_size = 4096, ttl_only_drop_parts = 1,
    fsync_after_insert = 1, fsync_part_directory = 1;

-- When an actor did something for the first time; it outlives the retention of events, else "first ever" breaks.
-- min() is idempotent, so a repeated block changes nothing.
CREATE TABLE IF NOT EXISTS first_seen
(
    name       LowCardinality(String),
    outcome    Enum8('success' = 0, 'failure' = 1, 'denied' = 2),
    actor_kind Enum8('unknown' = 0, 'human' = 1, 'machine' = 2),
    actor      UInt64,
    actor_team LowCardinality(String),
    first_time SimpleAggregateFunction(min, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (name, outcome, actor_kind, actor, actor_team)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS first_seen_mv TO first_seen AS
SELECT name, outcome, actor_kind, actor, actor_team, min(time) AS first_time
FROM events
GROUP BY name, outcome, actor_kind, actor, actor_team;

-- key_version and the keyed hash of an identity find its random surrogate. The earliest row of a hash wins.
CREATE TABLE IF NOT EXISTS actor_keys
(
    key_version UInt32,
    hash        FixedString(32),
    actor       UInt64,
    created     DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY (key_version, hash)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- actor is canonical's other name since the world began; the newest row of an actor wins. canonical = actor undoes a merge.
CREATE TABLE IF NOT EXISTS actor_aliases
(
    actor     UInt64,
    canonical UInt64,
    at        DateTime64(3, 'UTC'),
    version   UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY actor
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- The whole roster under one version; readers use the highest version that roster_versions lists, which is written last. A membership
-- holds in [valid_from, valid_to); an open end is 1970-01-01 or 2100-01-01, so that plain comparisons do. actor 0 is the team itself.
CREATE TABLE IF NOT EXISTS roster
(
    version    UInt64,
    team       LowCardinality(String),
    actor      UInt64,
    valid_from DateTime64(3, 'UTC'),
    valid_to   DateTime64(3, 'UTC'),
    voluntary  Bool,
    persona    LowCardinality(String)
)
ENGINE = MergeTree
ORDER BY (version, team, actor, valid_from)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS roster_versions
(
    version UInt64,
    digest  String,
    at      DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY version
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE VIEW IF NOT EXISTS roster_current AS
SELECT team, actor, valid_from, valid_to, voluntary, persona
FROM roster
WHERE version = (SELECT max(version) FROM roster_versions);

CREATE TABLE IF NOT EXISTS quarantine
(
    id      UUID,
    time    DateTime64(3, 'UTC'),
    source  LowCardinality(String),
    kind    LowCardinality(String),
    reason  String,
    payload String CODEC(ZSTD(3)),
    state   Enum8('held' = 0, 'retried' = 1, 'dropped' = 2),
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (time, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
