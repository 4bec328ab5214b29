-- Who acted on which days of a month: what sets of active people and teams over weeks and months are made of, a row for each month of an
-- actor. Bit i of days is the (i+1)-th day (UTC); audited has those on which an audit log told of the actor. Bits are or-ed: a repeated block
-- changes nothing. What a day's end in the reporting zone cuts off is told by activity_days.
--
-- month is the last day of the month, so that a retention counts from it.

CREATE TABLE IF NOT EXISTS activity_months
(
    actor_kind Enum8('unknown' = 0, 'human' = 1, 'machine' = 2),
    outcome    Enum8('success' = 0, 'failure' = 1, 'denied' = 2),
    look       LowCardinality(String),
    month      Date,
    actor      UInt64,
    actor_team LowCardinality(String),
    days       SimpleAggregateFunction(groupBitOr, UInt32),
    audited    SimpleAggregateFunction(groupBitOr, UInt32)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(month)
ORDER BY (actor_kind, outcome, look, month, actor, actor_team)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS activity_months_mv TO activity_months AS
WITH bitShiftLeft(toUInt32(1), toUInt8(toDayOfMonth(time) - 1)) AS bit
SELECT actor_kind, outcome,
    if(name IN ('login', 'page.visit', 'page.view', 'report.visit', 'dashboard.visit', 'survey.answer', 'actor.group'), name, '') AS look,
    toLastDayOfMonth(toDate(time, 'UTC')) AS month, actor, actor_team,
    groupBitOr(bit) AS days, groupBitOr(if(startsWith(source, 'audit/'), bit, toUInt32(0))) AS audited
FROM events
WHERE actor != 0
GROUP BY actor_kind, outcome, look, month, actor, actor_team;

-- What came before the view, also of days whose events have gone; bits that it has noted meanwhile are the same bits.
INSERT INTO activity_months
SELECT actor_kind, outcome, look, toLastDayOfMonth(day) AS month, actor, actor_team,
    groupBitOr(bitShiftLeft(toUInt32(1), toUInt8(toDayOfMonth(day) - 1))) AS days, toUInt32(0) AS audited
FROM activity_days
GROUP BY actor_kind, outcome, look, month, actor, actor_team
SETTINGS max_execution_time = 0, max_partitions_per_insert_block = 0;

INSERT INTO activity_months
WITH bitShiftLeft(toUInt32(1), toUInt8(toDayOfMonth(time) - 1)) AS bit
SELECT actor_kind, outcome,
    if(name IN ('login', 'page.visit', 'page.view', 'report.visit', 'dashboard.visit', 'survey.answer', 'actor.group'), name, '') AS look,
    toLastDayOfMonth(toDate(time, 'UTC')) AS month, actor, actor_team,
    groupBitOr(bit) AS days, groupBitOr(if(startsWith(source, 'audit/'), bit, toUInt32(0))) AS audited
FROM events
WHERE actor != 0
GROUP BY actor_kind, outcome, look, month, actor, actor_team
SETTINGS max_execution_time = 0, max_partitions_per_insert_block = 0;
