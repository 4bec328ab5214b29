-- Who changed which kinds of resources on which days of a month: activity_months with a row for each kind, for what happened to anything. kind
-- is the resource of the event without a subresource. Bits are or-ed: a repeated block changes nothing. What a day's end in the reporting
-- zone cuts off is told by the events.

CREATE TABLE IF NOT EXISTS activity_kinds
(
    actor_kind Enum8('unknown' = 0, 'human' = 1, 'machine' = 2),
    outcome    Enum8('success' = 0, 'failure' = 1, 'denied' = 2),
    look       LowCardinality(String),
    month      Date,
    kind       LowCardinality(String),
    actor      UInt64,
    actor_team LowCardinality(String),
    days       SimpleAggregateFunction(groupBitOr, UInt32)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(month)
ORDER BY (actor_kind, outcome, look, month, kind, actor, actor_team)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS activity_kinds_mv TO activity_kinds AS
SELECT actor_kind, outcome,
    if(name IN ('login', 'page.visit', 'page.view', 'report.visit', 'dashboard.visit', 'survey.answer', 'actor.group'), name, '') AS look,
    toLastDayOfMonth(toDate(time, 'UTC')) AS month, splitByChar('/', toString(resource))[1] AS kind, actor, actor_team,
    groupBitOr(bitShiftLeft(toUInt32(1), toUInt8(toDayOfMonth(time) - 1))) AS days
FROM events
WHERE actor != 0 AND resource != ''
GROUP BY actor_kind, outcome, look, month, kind, actor, actor_team;

-- What came before the view; bits that it has noted meanwhile are the same bits.
INSERT INTO activity_kinds
SELECT actor_kind, outcome,
    if(name IN ('login', 'page.visit', 'page.view', 'report.visit', 'dashboard.visit', 'survey.answer', 'actor.group'), name, '') AS look,
    toLastDayOfMonth(toDate(time, 'UTC')) AS month, splitByChar('/', toString(resource))[1] AS kind, actor, actor_team,
    groupBitOr(bitShiftLeft(toUInt32(1), toUInt8(toDayOfMonth(time) - 1))) AS days
FROM events
WHERE actor != 0 AND resource != ''
GROUP BY actor_kind, outcome, look, month, kind, actor, actor_team
SETTINGS max_execution_time = 0, max_partitions_per_insert_block = 0;
