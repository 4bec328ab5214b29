-- What objectives were defined as, since when. Of several rows with one name and time the last recorded counts; an empty definition
-- withdraws the objective.

CREATE TABLE IF NOT EXISTS objectives
(
    name       LowCardinality(String),
    valid_from DateTime64(3, 'UTC'),
    version    String, -- the hash of the definition
    definition String, -- JSON
    reason     String,
    recorded   DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(recorded)
ORDER BY (name, valid_from)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Figures of closed periods, as they were published. Rows are never changed: what changes a figure appends a revision with its reason. Of
-- several rows of one revision the first counts.

CREATE TABLE IF NOT EXISTS published
(
    kind        LowCardinality(String), -- objective
    subject     String,                 -- its name
    dimensions  String,                 -- JSON object, empty: none
    grain       LowCardinality(String), -- day, week, month, quarter
    period_from DateTime64(3, 'UTC'),
    period_to   DateTime64(3, 'UTC'),
    label       LowCardinality(String),
    zone        LowCardinality(String),
    revision    UInt32, -- from 1
    reason      String,
    version     String, -- of the definition
    inputs      Map(String, String), -- a hash of each input
    value       String, -- JSON
    computed_at DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY (kind, grain, period_from, period_to, subject, dimensions, revision)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
