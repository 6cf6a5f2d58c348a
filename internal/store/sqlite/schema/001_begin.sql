-- Times are microseconds since 1970 in UTC. Empty text stands for "none", except
-- for a document's name, which is NULL so that any number may have none.

CREATE TABLE documents (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT, -- the order of listings
    account       TEXT    NOT NULL,
    region        TEXT    NOT NULL,
    kind          TEXT    NOT NULL,
    id            TEXT    NOT NULL,
    name          TEXT,
    parent        TEXT    NOT NULL,
    revision      INTEGER NOT NULL,
    created       INTEGER NOT NULL,
    updated       INTEGER NOT NULL,
    spec          TEXT    NOT NULL,
    state         TEXT    NOT NULL,
    state_version INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX documents_id ON documents (account, region, kind, id);
CREATE UNIQUE INDEX documents_name ON documents (account, region, kind, parent, name);
CREATE INDEX documents_list ON documents (account, region, kind, parent, seq);
CREATE INDEX documents_kind ON documents (kind, seq);

CREATE TABLE ordered_rows (
    tbl   TEXT NOT NULL,
    key   BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (tbl, key)
) STRICT, WITHOUT ROWID;

-- One counter for leases and claims, so that an epoch never comes back.
CREATE TABLE counters (
    name  TEXT    NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO counters (name, value) VALUES ('epoch', 0);

CREATE TABLE leases (
    name    TEXT    NOT NULL PRIMARY KEY,
    node    TEXT    NOT NULL,
    process TEXT    NOT NULL,
    epoch   INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE work (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    kind        TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    payload     TEXT    NOT NULL,
    not_before  INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    last_error  TEXT    NOT NULL,
    created     INTEGER NOT NULL,
    node        TEXT    NOT NULL,
    process     TEXT    NOT NULL,
    epoch       INTEGER NOT NULL,
    lease_until INTEGER NOT NULL
) STRICT;

CREATE INDEX work_key ON work (key, id);

CREATE TABLE replies (
    account   TEXT    NOT NULL,
    region    TEXT    NOT NULL,
    operation TEXT    NOT NULL,
    token     TEXT    NOT NULL,
    hash      TEXT    NOT NULL,
    body      TEXT    NOT NULL,
    expires   INTEGER NOT NULL,
    PRIMARY KEY (account, region, operation, token)
) STRICT, WITHOUT ROWID;

CREATE INDEX replies_expires ON replies (expires);
