-- Incidents with their follow-ups: what error budgets are attributed to. The newest version of an incident replaces it whole.

CREATE TABLE IF NOT EXISTS incidents
(
    id         String,
    service    LowCardinality(String),
    objectives Array(String),
    title      String,
    class      LowCardinality(String),
    cause      String,
    origin     Enum8('unknown' = 0, 'own' = 1, 'upstream' = 2),
    start      DateTime64(3, 'UTC'),
    detected   Nullable(DateTime64(3, 'UTC')),
    resolved   Nullable(DateTime64(3, 'UTC')),
    links      Array(String),
    followups  String, -- JSON array of schema.Followup
    version    UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
