-- Who got which report. The newest version of (report, period, recipient) wins, so a restart sees what was sent.

CREATE TABLE IF NOT EXISTS deliveries
(
    report     LowCardinality(String),
    period     String,
    recipient  String,
    status     Enum8('sending' = 0, 'sent' = 1, 'failed' = 2),
    at         DateTime64(3, 'UTC'),
    attempts   UInt32,
    error      String,
    message_id String,
    version    UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (report, period, recipient)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
