-- A service that stores by turns says in the setting log_comment until when, by the server's clock and in seconds since 1970, what it sends may
-- be stored: "until 1790000000". A frozen service would else store when it thaws, beside who has the turn by then. The time is that of the
-- rows' arrival: now() would be that of the statement's beginning. Who says nothing is let through.

ALTER TABLE events ADD CONSTRAINT IF NOT EXISTS in_time CHECK throwIf(
    toUnixTimestamp(nowInBlock()) >= toUInt32OrDefault(extract(getSetting('log_comment'), '^until ([0-9]+)$'), toUInt32(4294967295)),
    'the turn to store of who sent these rows is over') = 0;

ALTER TABLE service_state ADD CONSTRAINT IF NOT EXISTS in_time CHECK throwIf(
    toUnixTimestamp(nowInBlock()) >= toUInt32OrDefault(extract(getSetting('log_comment'), '^until ([0-9]+)$'), toUInt32(4294967295)),
    'the turn to store of who sent these rows is over') = 0;
