-- How often what happened, by the hour. The engine itself keeps a projection right, part by part, whatever becomes of the rows: repeated
-- blocks, late events, erased persons and retention need no care. Questions find it by the expressions that stand here (see
-- journey/catalogue, counts), and read the rows of parts that do not have it yet.
--
-- environment is what deployments say that they go to (see collectors/usage); it is a column, since the engine finds no projection by an
-- element of a map.
--
-- Of what did not succeed, which is rare, it also keeps whose and where it was.

ALTER TABLE events ADD COLUMN IF NOT EXISTS environment LowCardinality(String) MATERIALIZED attributes['environment'];

ALTER TABLE events ADD PROJECTION IF NOT EXISTS counts
(
    SELECT outcome, reason, actor_kind, name, toStartOfHour(time), source, cluster, persona, environment,
        if(outcome = 'success', 0, actor), if(outcome = 'success', '', actor_team), if(outcome = 'success', '', namespace), count()
    GROUP BY outcome, reason, actor_kind, name, toStartOfHour(time), source, cluster, persona, environment,
        if(outcome = 'success', 0, actor), if(outcome = 'success', '', actor_team), if(outcome = 'success', '', namespace)
);

ALTER TABLE events MATERIALIZE PROJECTION counts SETTINGS mutations_sync = 0;
