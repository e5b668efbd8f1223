-- The history of crypto-proxy; docs/operations.md says what each column means. Times are milliseconds since 1970 (UTC).

CREATE TABLE installation (since_ms INTEGER NOT NULL, salt BLOB NOT NULL) STRICT;

-- Every text that calls repeat, once.
CREATE TABLE word (id INTEGER PRIMARY KEY, word TEXT NOT NULL UNIQUE) STRICT;

-- Calls that were sent.
CREATE TABLE call (
    id INTEGER PRIMARY KEY,
    ms INTEGER NOT NULL,
    rid ANY NOT NULL,
    caller INTEGER NOT NULL,
    method INTEGER,
    class INTEGER,
    code INTEGER,
    status INTEGER NOT NULL,
    outcome INTEGER NOT NULL,
    why INTEGER,
    verdict INTEGER,
    exchange_ms INTEGER NOT NULL,
    total_ms INTEGER NOT NULL,
    key_fp INTEGER NOT NULL,
    address INTEGER
) STRICT;
CREATE INDEX call_ms ON call (ms);

CREATE TABLE change (
    id INTEGER PRIMARY KEY,
    ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    before TEXT,
    after TEXT
) STRICT;

CREATE VIEW changes AS SELECT
    id, strftime('%Y-%m-%dT%H:%M:%fZ', ms / 1000.0, 'unixepoch') AS time, ms, kind, before, after FROM change;

-- What holds now, and since when.
CREATE TABLE state (kind TEXT PRIMARY KEY, value TEXT NOT NULL, since_ms INTEGER NOT NULL) STRICT;

-- Secrets by number; the digest is an HMAC under the salt of this installation, and is never shown.
CREATE TABLE secret (id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, since_ms INTEGER NOT NULL) STRICT;

-- Which key stood beside which secret.
CREATE TABLE pair (
    key_fp TEXT NOT NULL,
    secret INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    PRIMARY KEY (key_fp, secret)
) STRICT;

-- Per method: the last good call, and the last streak of bad ones with the good calls around it.
CREATE TABLE mark (
    method TEXT NOT NULL,
    mark TEXT NOT NULL,
    ms INTEGER NOT NULL,
    rid TEXT NOT NULL,
    key_fp TEXT NOT NULL,
    address TEXT,
    status INTEGER NOT NULL,
    code INTEGER,
    outcome TEXT NOT NULL,
    why TEXT,
    PRIMARY KEY (method, mark)
) STRICT;

-- Requests without a known caller, by minute.
CREATE TABLE refused (
    minute_ms INTEGER NOT NULL,
    why TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (minute_ms, why)
) STRICT;
