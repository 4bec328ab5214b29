-- What the configuration registers as a whole: all rows of a registry under one version; readers use the highest version that
-- registry_versions lists, which is written last. An open end is 1970-01-01 or 2100-01-01, so that plain comparisons do.

CREATE TABLE IF NOT EXISTS registry_versions
(
    registry LowCardinality(String),
    version  UInt64,
    digest   String,
    at       DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY (registry, version)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- What the platform offers: each capability with its owner and the names of the events that mean its use, in [valid_from, valid_to).
CREATE TABLE IF NOT EXISTS capabilities
(
    version    UInt64,
    name       LowCardinality(String),
    title      String,
    owner      LowCardinality(String),
    events     Array(String),
    valid_from DateTime64(3, 'UTC'),
    valid_to   DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY (version, name, valid_from)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE VIEW IF NOT EXISTS capabilities_current AS
SELECT name, title, owner, events, valid_from, valid_to
FROM capabilities
WHERE version = (SELECT max(version) FROM registry_versions WHERE registry = 'capabilities');
