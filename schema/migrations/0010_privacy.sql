-- Who was erased. A name whose keyed hash is here is nobody's from then on: what is still in the spool, and what comes late, is stored
-- without an actor. A repeated row changes nothing.

CREATE TABLE IF NOT EXISTS suppressed
(
    key_version UInt32,
    hash        FixedString(32),
    at          DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (key_version, hash)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Erasures under way: each surrogate of a person with the one that takes its place. The rows go when the erasure is complete, so that
-- nothing links the two; those of an erasure that was interrupted let it go on.

CREATE TABLE IF NOT EXISTS erasures
(
    actor       UInt64,
    replacement UInt64,
    at          DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY actor
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
