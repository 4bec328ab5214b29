-- Time that counts for no budget, as people record it. Rows are never changed: what becomes of an exclusion is another version of it, with
-- who said so and why. Of several rows of one version the first counts.

CREATE TABLE IF NOT EXISTS exclusions
(
    id            String,
    version       UInt32, -- from 1
    objectives    Array(String), -- empty: all
    valid_from    Nullable(DateTime64(3, 'UTC')),
    valid_to      Nullable(DateTime64(3, 'UTC')),
    weekly        String, -- JSON of schema.WeeklySpan, empty: once
    reason        String,
    author        String,
    change        LowCardinality(String), -- added, ended, withdrawn
    changed_by    String,
    change_reason String,
    recorded      DateTime64(3, 'UTC'),
    entry         String -- tells apart the rows of two writers
)
ENGINE = MergeTree
ORDER BY (id, version, recorded, entry)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
