-- Who acted on which day: what sets of active people and teams over months are made of, a tenth of the rows of events.
--
-- A row is a day in UTC with one bit for each quarter of an hour in which the actor did anything: bit i of morning for the i-th quarter
-- from 00:00, of evening from 12:00. All zones in use today are whole quarters away from UTC, so days, weeks and months of any reporting zone,
-- also those in which the clocks change, can be told from it exactly. Bits are or-ed: a repeated block changes nothing.
--
-- look is the event's name where it only says that somebody looked (see journey.DefaultNotValue), else empty.

CREATE TABLE IF NOT EXISTS activity_days
(
    actor_kind Enum8('unknown' = 0, 'human' = 1, 'machine' = 2),
    outcome    Enum8('success' = 0, 'failure' = 1, 'denied' = 2),
    look       LowCardinality(String),
    day        Date CODEC(Delta, ZSTD(1)),
    actor      UInt64,
    actor_team LowCardinality(String),
    morning    SimpleAggregateFunction(groupBitOr, UInt64) CODEC(ZSTD(1)),
    evening    SimpleAggregateFunction(groupBitOr, UInt64) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (actor_kind, outcome, look, day, actor, actor_team)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS activity_days_mv TO activity_days AS
WITH toUInt8(intDiv(toUnixTimestamp64Milli(time) % 86400000, 900000)) AS quarter
SELECT actor_kind, outcome,
    if(name IN ('login', 'page.visit', 'page.view', 'report.visit', 'dashboard.visit', 'survey.answer'), name, '') AS look,
    toDate(time, 'UTC') AS day, actor, actor_team,
    groupBitOr(toUInt64(if(quarter < 48, bitShiftLeft(toUInt64(1), quarter), 0))) AS morning,
    groupBitOr(toUInt64(if(quarter >= 48, bitShiftLeft(toUInt64(1), toUInt8(quarter - 48)), 0))) AS evening
FROM events
WHERE actor != 0
GROUP BY actor_kind, outcome, look, day, actor, actor_team;

-- What came before the view; bits that it has noted meanwhile are the same bits.
INSERT INTO activity_days
WITH toUInt8(intDiv(toUnixTimestamp64Milli(time) % 86400000, 900000)) AS quarter
SELECT actor_kind, outcome,
    if(name IN ('login', 'page.visit', 'page.view', 'report.visit', 'dashboard.visit', 'survey.answer'), name, '') AS look,
    toDate(time, 'UTC') AS day, actor, actor_team,
    groupBitOr(toUInt64(if(quarter < 48, bitShiftLeft(toUInt64(1), quarter), 0))) AS morning,
    groupBitOr(toUInt64(if(quarter >= 48, bitShiftLeft(toUInt64(1), toUInt8(quarter - 48)), 0))) AS evening
FROM events
WHERE actor != 0
GROUP BY actor_kind, outcome, look, day, actor, actor_team;
