"""Fills the history of a stopped daemon with an invented day: good calls, refusals, lost answers, changes.

    seed.py HISTORY.DB

Everything is invented; the tables are those of docs/operations.md. Uses the standard library only.
"""

import os
import sqlite3
import sys
import time

MINUTE, HOUR = 60_000, 3_600_000
READS = ["private/user-balance", "private/get-open-orders", "private/get-order-history", "private/advanced/get-open-orders"]
ORDERS = ["private/create-order", "private/cancel-order"]
GOOD, REFUSED, LOST = ("answered", None, "good"), ("answered", None, "auth"), ("unknown", "deadline", "failed")
LIMITED, HERE = ("answered", None, None), ("refused", "denied", None)

now = int(time.time() * 1000)
file = sqlite3.connect(sys.argv[1])
numbers = {}


def number(word):
    if word is None:
        return None
    if word not in numbers:
        file.execute("INSERT OR IGNORE INTO word (word) VALUES (?)", (word,))
        numbers[word] = file.execute("SELECT id FROM word WHERE word = ?", (word,)).fetchone()[0]
    return numbers[word]


def how(ago, method, count):
    """How a call so long ago ended: end, status, code."""
    hours = ago / HOUR
    if 7.4 < hours < 8.6:  # the key was changed without its secret
        return REFUSED, 401, 40101
    if 3.0 < hours < 3.3:  # the network
        return LOST, 504, None
    if method in ORDERS and count % 37 == 5:
        return GOOD, 500, 306
    if method == "private/get-order-history" and count % 29 == 3:
        return LIMITED, 429, 42901
    return GOOD, 200, 0


def call(ms, method, end, status, code, caller="default", key="5f3a09c1"):
    (outcome, why, verdict) = end
    address = "203.0.113.7" if ms < now - int(8.7 * HOUR) else "198.51.100.4"
    words = [number(word) for word in (caller, method, "trade" if method in ORDERS else "read")]
    rest = [number(word) for word in (outcome, why, verdict)]
    file.execute(
        "INSERT INTO call (ms, rid, caller, method, class, code, status, outcome, why, verdict, exchange_ms, total_ms,"
        " key_fp, address) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 21, 23, ?, ?)",
        (ms, os.urandom(16), *words, code, status, *rest, number(key), number(address)),
    )
    return ms, method, verdict, code, status, outcome, why


calls = []
for place, (method, every) in enumerate([*zip(READS, [4, 2, 11, 17]), *zip(ORDERS, [9, 23])]):
    for count, ago in enumerate(range(22 * HOUR, 3 * MINUTE, -every * MINUTE)):
        # Busier by day than by night.
        ms = now - ago + place * 977
        if 14 < (ms // HOUR) % 24 < 20 or count % 2 == 0:
            calls.append((ms, method, *how(ago, method, count)))
for count in range(9):
    calls.append((now - 5 * HOUR - count * 7 * MINUTE, "private/create-withdrawal", HERE, 403, None))
calls.sort()
kept = [call(*each) for each in calls]

for method in READS + ORDERS:
    mine = [each for each in kept if each[1] == method]
    good = [each for each in mine if each[2] == "good"]
    marks = {"good": good[-1]}
    for trouble in ("auth", "failed"):
        bad = [each for each in mine if each[2] == trouble]
        if bad:
            marks |= {f"{trouble}_first": bad[0], f"{trouble}_last": bad[-1]}
            marks |= {f"{trouble}_before": each for each in good if each[0] < bad[0][0]}
            after = [each for each in good if each[0] > bad[-1][0]]
            marks |= {f"{trouble}_after": each for each in after[:1]}
    for name, (ms, _, _, code, status, outcome, why) in marks.items():
        file.execute(
            "INSERT OR REPLACE INTO mark (method, mark, ms, rid, key_fp, address, status, code, outcome, why)"
            " VALUES (?, ?, ?, '0193545b1f6e7c398f6b1f6e7c398f6b', '5f3a09c1', '198.51.100.4', ?, ?, ?, ?)",
            (method, name, ms, status, code, outcome, why),
        )

changes = [
    (22 * HOUR, "start", None, "0.1.0"),
    (8 * HOUR + 42 * MINUTE, "address", "203.0.113.7", "198.51.100.4"),
    (8 * HOUR + 36 * MINUTE, "stop", None, "0.1.0"),
    (8 * HOUR + 35 * MINUTE, "start", None, "0.1.0"),
    (8 * HOUR + 35 * MINUTE, "key", "77aa10be", "5f3a09c1"),
    (7 * HOUR + 25 * MINUTE, "secret", "1", "2"),
    (3 * HOUR + 18 * MINUTE, "skew", "12", "-6150"),
    (2 * HOUR, "configuration", "00aa", "11bb"),
    (5, "stop", None, "0.1.0"),
]
file.execute("DELETE FROM change")
for ago, kind, before, after in changes:
    file.execute("INSERT INTO change (ms, kind, before, after) VALUES (?, ?, ?, ?)", (now - ago, kind, before, after))
file.execute("UPDATE installation SET since_ms = ?", (now - 22 * HOUR,))
file.commit()
print(len(kept), "calls")
