-- The order journal of crypto-proxy. `_ms` are milliseconds since 1970 (UTC); `_up` are milliseconds of the machine's uptime,
-- suspended time included, and mean something only together with `boot`.

-- When something was written last; also what is written to find out whether the disk takes anything. `ran_ms` is how long
-- daemons had this file open in all, as of then. `is_open`: a daemon has it, or was killed; the log (`-wal`) then belongs to it.
CREATE TABLE journal (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    written_ms INTEGER NOT NULL,
    ran_ms INTEGER NOT NULL,
    is_open INTEGER NOT NULL
) STRICT;
INSERT INTO journal VALUES (1, 0, 0, 0);

-- An account has a name that outlives its keys.
CREATE TABLE account (
    id INTEGER PRIMARY KEY,
    environment TEXT NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (environment, name)
) STRICT;

-- One attempt to do something at the exchange. `account_at_exchange` and `replica` are for later versions.
CREATE TABLE attempt (
    id INTEGER PRIMARY KEY,
    attempt BLOB NOT NULL UNIQUE,
    account INTEGER NOT NULL,
    account_at_exchange TEXT,
    replica INTEGER NOT NULL DEFAULT 0,
    caller TEXT NOT NULL,
    method TEXT NOT NULL,
    digest BLOB NOT NULL,
    rid TEXT NOT NULL,
    state TEXT NOT NULL,
    is_note INTEGER NOT NULL,
    code INTEGER,
    list_id TEXT,
    by_hand TEXT,
    begun_ms INTEGER NOT NULL,
    -- What follows counts on the clock of this boot.
    boot BLOB NOT NULL,
    life_ms INTEGER NOT NULL,
    dead_up INTEGER NOT NULL,
    looked INTEGER NOT NULL DEFAULT 0,
    -- When to look after it; NULL: a task works on it, it has ended, or nobody can find out what became of it.
    look_up INTEGER,
    -- NULL: it is open.
    ended_ms INTEGER,
    ended_up INTEGER,
    -- The same by `journal.ran_ms`, or when its order was seen open since. What is kept for days is counted by it: no clock
    -- that is wrong, and no time in which nothing could happen, lets anything be forgotten.
    ended_ran INTEGER,
    -- What it is kept for once it has ended: 1 it took something back, 2 it holds names or ids, 3 it holds nothing; 0: it is
    -- open.
    keep INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX attempt_open ON attempt (account, look_up) WHERE ended_ms IS NULL;
CREATE INDEX attempt_keep ON attempt (keep, ended_ran) WHERE keep > 0;
CREATE INDEX attempt_caller ON attempt (caller);

-- What an attempt creates or changes. `state`: 0 nobody knows, 1 executed, 2 refused. A name is held unless it was refused.
CREATE TABLE leg (
    attempt INTEGER NOT NULL,
    number INTEGER NOT NULL,
    account INTEGER NOT NULL,
    kind TEXT,
    name TEXT,
    instrument TEXT,
    state INTEGER NOT NULL DEFAULT 0,
    code INTEGER,
    order_id TEXT,
    PRIMARY KEY (attempt, number)
) STRICT, WITHOUT ROWID;
-- A name has one holder: whatever this program does, the file does not take a second one.
CREATE UNIQUE INDEX leg_held ON leg (name, kind, account) WHERE name IS NOT NULL AND state < 2;
CREATE INDEX leg_released ON leg (name) WHERE name IS NOT NULL AND state = 2;
-- Of these, those that were not sent or never arrived. A program may use one name for ever.
CREATE INDEX leg_unsent ON leg (name, kind, account) WHERE name IS NOT NULL AND state = 2 AND code = 0;
CREATE INDEX leg_order ON leg (order_id) WHERE order_id IS NOT NULL;

-- Names of existing orders that an attempt is about.
CREATE TABLE target (
    attempt INTEGER NOT NULL,
    number INTEGER NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (attempt, number)
) STRICT, WITHOUT ROWID;

-- Answers that are given again; the oldest has the lowest id.
CREATE TABLE answer (
    id INTEGER PRIMARY KEY,
    attempt INTEGER NOT NULL UNIQUE,
    status INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
