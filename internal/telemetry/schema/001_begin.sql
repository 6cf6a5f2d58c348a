-- Times are microseconds since 1970 in UTC.

CREATE TABLE groups (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    account   TEXT    NOT NULL,
    region    TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    created   INTEGER NOT NULL,
    retention INTEGER NOT NULL, -- days; 0 is the default of the server
    UNIQUE (account, region, name)
) STRICT;

-- A deleted stream goes to group 0, where the next trim removes its events a few
-- at a time.
CREATE TABLE streams (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id      INTEGER NOT NULL,
    name          TEXT    NOT NULL,
    created       INTEGER NOT NULL,
    first_event   INTEGER NOT NULL, -- 0 while it has none
    last_event    INTEGER NOT NULL,
    last_ingested INTEGER NOT NULL,
    bytes         INTEGER NOT NULL,
    UNIQUE (group_id, name)
) STRICT;

CREATE INDEX streams_recent ON streams (group_id, last_event, name);

CREATE TABLE events (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id  INTEGER NOT NULL,
    stream_id INTEGER NOT NULL,
    time      INTEGER NOT NULL,
    ingested  INTEGER NOT NULL,
    message   TEXT    NOT NULL
) STRICT;

CREATE INDEX events_group ON events (group_id, time, id);
CREATE INDEX events_stream ON events (stream_id, time, id);

CREATE TABLE audit (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    time          INTEGER NOT NULL,
    request_id    TEXT    NOT NULL,
    account       TEXT    NOT NULL,
    region        TEXT    NOT NULL,
    principal     TEXT    NOT NULL,
    access_key_id TEXT    NOT NULL,
    event         TEXT    NOT NULL,
    source        TEXT    NOT NULL,
    source_ip     TEXT    NOT NULL,
    user_agent    TEXT    NOT NULL,
    resources     TEXT    NOT NULL, -- a JSON array of ARNs
    error_code    TEXT    NOT NULL,
    status        INTEGER NOT NULL,
    read_only     INTEGER NOT NULL
) STRICT;

CREATE INDEX audit_scope ON audit (account, region, time, id);
CREATE INDEX audit_request ON audit (request_id);
