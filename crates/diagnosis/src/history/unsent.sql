-- What version 2 has beyond version 1: calls that were not sent apart from those that were, so that they cannot push them out.

-- Calls that were refused or not sent; the columns of call.
CREATE TABLE unsent_call (
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
CREATE INDEX unsent_call_ms ON unsent_call (ms);

-- Refused calls that have no row of their own, by minute.
CREATE TABLE refused_call (
    id INTEGER PRIMARY KEY,
    minute_ms INTEGER NOT NULL,
    caller TEXT NOT NULL,
    why TEXT NOT NULL,
    count INTEGER NOT NULL,
    UNIQUE (minute_ms, caller, why)
) STRICT;

-- The calls as one reads them.
DROP VIEW IF EXISTS calls;
CREATE VIEW calls AS SELECT
    id, sent,
    strftime('%Y-%m-%dT%H:%M:%fZ', ms / 1000.0, 'unixepoch') AS time,
    ms,
    CASE typeof(rid) WHEN 'blob' THEN lower(hex(rid)) ELSE rid END AS rid,
    (SELECT word FROM word WHERE word.id = caller) AS caller,
    (SELECT word FROM word WHERE word.id = method) AS method,
    (SELECT word FROM word WHERE word.id = class) AS class,
    code, status,
    (SELECT word FROM word WHERE word.id = outcome) AS outcome,
    (SELECT word FROM word WHERE word.id = why) AS why,
    (SELECT word FROM word WHERE word.id = verdict) AS verdict,
    exchange_ms, total_ms,
    (SELECT word FROM word WHERE word.id = key_fp) AS key_fp,
    (SELECT word FROM word WHERE word.id = address) AS address
FROM (SELECT *, 1 AS sent FROM call UNION ALL SELECT *, 0 AS sent FROM unsent_call);

-- Those of a file of version 1 move.
INSERT INTO unsent_call SELECT * FROM call WHERE outcome IN (SELECT id FROM word WHERE word IN ('refused', 'not_sent'));
DELETE FROM call WHERE outcome IN (SELECT id FROM word WHERE word IN ('refused', 'not_sent'));
