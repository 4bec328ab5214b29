-- Which team actors said that they belong to (the event actor.group), by day in UTC: from that day on, until another day says otherwise. Where the
-- roster knows the actor, the roster counts. The last word of a day wins; a repeated block changes nothing.

CREATE TABLE IF NOT EXISTS actor_groups
(
    actor   UInt64,
    day     Date,
    team    LowCardinality(String),
    said    DateTime64(3, 'UTC'),
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (actor, day)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS actor_groups_mv TO actor_groups AS
SELECT actor, toDate(time, 'UTC') AS day, actor_team AS team, time AS said, toUInt64(toUnixTimestamp64Milli(time)) AS version
FROM events
WHERE name = 'actor.group' AND actor != 0 AND actor_team != '';

-- What came before the view; rows that it has noted meanwhile are the same rows.
INSERT INTO actor_groups
SELECT actor, toDate(time, 'UTC') AS day, actor_team AS team, time AS said, toUInt64(toUnixTimestamp64Milli(time)) AS version
FROM events
WHERE name = 'actor.group' AND actor != 0 AND actor_team != '';

-- To say who one is with is no use of the product: the days of activity keep it apart, as they do looks (see journey.DefaultNotValue).
ALTER TABLE activity_days_mv MODIFY QUERY
WITH toUInt8(intDiv(toUnixTimestamp64Milli(time) % 86400000, 900000)) AS quarter
SELECT actor_kind, outcome,
    if(name IN ('login', 'page.visit', 'page.view', 'report.visit', 'dashboard.visit', 'survey.answer', 'actor.group'), name, '') AS look,
    toDate(time, 'UTC') AS day, actor, actor_team,
    groupBitOr(toUInt64(if(quarter < 48, bitShiftLeft(toUInt64(1), quarter), 0))) AS morning,
    groupBitOr(toUInt64(if(quarter >= 48, bitShiftLeft(toUInt64(1), toUInt8(quarter - 48)), 0))) AS evening
FROM events
WHERE actor != 0
GROUP BY actor_kind, outcome, look, day, actor, actor_team;
