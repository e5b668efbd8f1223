//! Questions to a history, on a read-only connection of their own: for the command line, the diagnosis, the page.
//!
//! Guarantees: the file is not changed, and a daemon that writes is not held up; answers are in the order of time, and
//! the newest where there are more than asked for; counts are made by SQLite, so that a full history costs no memory
//! here. A copy of the file alone, in a directory that cannot be written, can be asked too. Does not: judge, or print; a
//! change between a good call and a bad one only stands between the two.

use std::{cmp::Ordering, collections::HashMap, path::Path};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};
use serde::Serialize;

use super::{
    milestone::{self, Milestone, Milestones, Trouble},
    rotations,
    schema::{self, Problem, VERSION, as_time, query_all, signed, unsigned},
    store,
};
use crate::key_pairs::{PairChange, PairStory};
use gateway::secret::Credentials;

const HOUR_MS: u64 = 3_600_000;
/// Calls that end in the same millisecond, of which one is looked for.
const AT_ONE_MOMENT: i64 = 100;
/// Where calls are kept: those that were sent, and the others.
const TABLES: [&str; 2] = ["call", "unsent_call"];
/// A refused call makes us measure our address, within a minute and what a measurement takes. What that finds changed
/// before the call, though it is noted after it.
pub(super) const NOTICED_WITHIN_MS: u64 = 70_000;
const NEWEST: &str = "SELECT ms, method, code, status, outcome, verdict, address FROM call WHERE ms >= ?1 \
                      ORDER BY ms DESC, id DESC LIMIT ?2";
const FIRST_REFUSED: &str = "SELECT ms, method, code, status, outcome, verdict, address FROM \
                             (SELECT * FROM call WHERE ms > ?1 ORDER BY ms, id LIMIT ?2) \
                             WHERE code NOT NULL AND verdict = (SELECT id FROM word WHERE word = 'auth') \
                             ORDER BY ms, id LIMIT 1";
/// Which rows are asked for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Not before, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Not after.
    pub until_ms: Option<u64>,
    /// This method only.
    pub method: Option<String>,
    /// This caller only.
    pub caller: Option<String>,
    /// This outcome only.
    pub outcome: Option<String>,
    /// At most so many, the newest; `None` for all.
    pub limit: Option<u64>,
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallRow {
    /// When it ended, in milliseconds since 1970.
    #[serde(rename = "time", serialize_with = "as_time")]
    pub ms: u64,
    /// Its request id.
    pub rid: String,
    /// Who made it.
    pub caller: String,
    /// The method, where the body was understood.
    pub method: Option<String>,
    /// The exchange's code.
    pub code: Option<i64>,
    /// The HTTP status.
    #[serde(rename = "http")]
    pub status: u16,
    /// What became of it.
    pub outcome: String,
    /// Why there was no conclusive answer.
    pub why: Option<String>,
    /// `good`, `auth`, `failed`, or nothing where it says nothing.
    pub verdict: Option<String>,
    /// From sending to the answer, in milliseconds.
    pub exchange_ms: u64,
    /// From the request to the end, in milliseconds.
    pub total_ms: u64,
    /// The fingerprint of the key.
    pub key_fp: String,
    /// Our outbound address then.
    pub address: Option<String>,
    /// The nonce that it was signed with.
    pub nonce: Option<u64>,
    /// The `id` that it was sent with.
    #[serde(rename = "id")]
    pub sent_id: Option<u64>,
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangeRow {
    /// When it was noticed, in milliseconds since 1970.
    #[serde(rename = "time", serialize_with = "as_time")]
    pub ms: u64,
    /// What changed: `start`, `stop`, `gap`, `version`, `base_url`, `configuration`, `key`, `secret`, `address`,
    /// `skew`, `method`, `lost`.
    pub kind: String,
    /// What it was.
    pub before: Option<String>,
    /// What it is.
    pub after: Option<String>,
}

impl ChangeRow {
    /// In words, the same wherever changes are shown.
    #[must_use]
    pub fn describe(&self) -> String {
        let after = self.after.as_deref().unwrap_or("?");
        let [was, is] = self.values();
        match (self.kind.as_str(), &self.before) {
            ("start", _) => format!("start of version {after}"),
            ("stop", _) => "stop".to_owned(),
            ("gap", since) => format!("gap since {}: {after}", since.as_deref().unwrap_or("?")),
            ("method", _) => format!("first call of {after}"),
            ("lost", _) => format!("{after} calls are missing: the history could not be written"),
            (kind, None) => format!("{kind} {is}"),
            (kind, Some(_)) => format!("{kind} changed from {was} to {is}"),
        }
    }

    /// Both values with their units, empty where there is none; a secret is shown by its number on this installation.
    #[must_use]
    pub fn values(&self) -> [String; 2] {
        [&self.before, &self.after].map(|value| {
            let Some(value) = value else {
                return String::new();
            };
            match self.kind.as_str() {
                "secret" => format!("no. {value}"),
                "skew" => format!("{value} ms"),
                _ => value.clone(),
            }
        })
    }

    /// Whether it is noted when it is measured, and not when it happens.
    #[must_use]
    pub fn is_measured(&self) -> bool {
        ["address", "skew"].contains(&self.kind.as_str())
    }

    /// Whether something changed; what has no value before, but these, was only seen for the first time.
    #[must_use]
    pub fn is_change(&self) -> bool {
        self.before.is_some() || ["start", "stop", "gap"].contains(&self.kind.as_str())
    }
}

/// A key beside a secret, which is known by its number alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairRow {
    /// The key's fingerprint.
    pub key_fp: String,
    /// The secret's number on this installation.
    pub secret: i64,
    /// The first start with them, in milliseconds since 1970.
    pub first_ms: u64,
    /// The last start with them.
    pub last_ms: u64,
}

/// Requests refused before a caller was known, in one minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRow {
    /// The minute's beginning, in milliseconds since 1970.
    pub minute_ms: u64,
    /// Why.
    pub why: String,
    /// How many.
    pub count: u64,
}

/// Calls of one caller that were refused here for one reason in one minute, beyond those that have a row of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedCallsRow {
    /// The minute's beginning, in milliseconds since 1970.
    #[serde(rename = "time", serialize_with = "as_time")]
    pub minute_ms: u64,
    /// Who made them.
    pub caller: String,
    /// Why they were refused.
    pub why: String,
    /// How many.
    pub count: u64,
}

/// The calls of one hour that have method, outcome and code in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HourRow {
    /// The hour's beginning, in milliseconds since 1970.
    #[serde(rename = "hour", serialize_with = "as_time")]
    pub ms: u64,
    /// The method, where the body was understood.
    pub method: Option<String>,
    /// What became of them.
    pub outcome: String,
    /// The exchange's code.
    pub code: Option<i64>,
    /// How many.
    pub calls: u64,
}

/// A call that was sent, as far as it tells anything about the credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentCall {
    /// When it ended, in milliseconds since 1970.
    pub ms: u64,
    /// The method, where the body was understood.
    pub method: Option<String>,
    /// The exchange's code.
    pub code: Option<i64>,
    /// The HTTP status.
    pub status: u16,
    /// What became of it.
    pub outcome: String,
    /// `good`, `auth`, `failed`, or nothing where it says nothing.
    pub verdict: Option<String>,
    /// Our outbound address then.
    pub address: Option<String>,
}

/// The daemon's last start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastStart {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Whether it stopped since; where not, it runs, or was killed.
    pub stopped: bool,
    /// The fingerprint of the key that it started with.
    pub key_fp: String,
}

/// The last time that a method went from good to bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// The method.
    pub method: String,
    /// What kind of bad.
    pub trouble: Trouble,
    /// The last good call; none where there was never one.
    pub good: Option<Milestone>,
    /// The first bad one.
    pub bad: Milestone,
    /// The first good one since; none while it lasts.
    pub recovered: Option<Milestone>,
    /// What changed between the two, or since the history begins where there was no good call; and what the bad one made
    /// us measure.
    pub changes: Vec<ChangeRow>,
}

/// An open history.
#[derive(Debug)]
pub struct Questions(pub(super) Connection);

impl Questions {
    /// Opens the file.
    ///
    /// # Errors
    /// [`Problem`] where there is none, it cannot be read, or it is not a history.
    pub fn open(path: &Path) -> Result<Self, Problem> {
        // Asked, not opened: to close a descriptor of the file takes the locks of every connection of this process, and then
        // another program that opens and closes it takes the log away from under the writer.
        rustix::fs::access(path, rustix::fs::Access::READ_OK).map_err(std::io::Error::from)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(path, flags).and_then(checked);
        // A copy in a place where SQLite may put nothing beside it.
        let opened = opened.or_else(|error| {
            let flags = flags | OpenFlags::SQLITE_OPEN_URI;
            Connection::open_with_flags(immutable(path), flags)
                .and_then(checked)
                .map_err(|_| error)
        });
        let (connection, version) = opened?;
        match version.cmp(&VERSION) {
            Ordering::Less => Err(Problem::Older(version)),
            Ordering::Equal => Ok(Self(connection)),
            Ordering::Greater => Err(Problem::Newer(version)),
        }
    }

    /// When this history begins, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn begins_ms(&self) -> Result<Option<u64>, Problem> {
        let begins = self
            .0
            .query_row("SELECT since_ms FROM installation", [], |row| {
                unsigned(row, 0)
            });
        Ok(begins.optional()?)
    }

    /// The calls asked for.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn calls(&self, filter: &Filter) -> Result<Vec<CallRow>, Problem> {
        let mut wanted = String::from("ms >= ?1 AND ms <= ?2");
        let (since, until) = bounds(filter);
        let limit = filter.limit.map_or(-1, signed);
        let mut values = vec![since, until, limit];
        for (column, word) in [
            ("method", &filter.method),
            ("caller", &filter.caller),
            ("outcome", &filter.outcome),
        ] {
            let Some(word) = word else { continue };
            let number = self
                .0
                .query_row("SELECT id FROM word WHERE word = ?1", [word], |row| {
                    row.get(0)
                })
                .optional()?;
            let Some(number) = number else {
                return Ok(Vec::new());
            };
            values.push(number);
            wanted.push_str(&format!(" AND {column} = ?{}", values.len()));
        }
        let mut newest =
            self.calls_newest_first(&wanted, || rusqlite::params_from_iter(values.iter()))?;
        newest.reverse();
        let surplus = usize::try_from(limit).map_or(0, |limit| newest.len().saturating_sub(limit));
        newest.drain(..surplus);
        Ok(newest)
    }

    /// The calls for which a condition holds, of those that were sent and of the others the newest; `?3` is how many.
    pub(super) fn calls_newest_first<P: rusqlite::Params>(
        &self,
        condition: &str,
        values: impl Fn() -> P,
    ) -> Result<Vec<CallRow>, Problem> {
        let words = self.words()?;
        let word = |number: Option<i64>| number.and_then(|number| words.get(&number)).cloned();
        let mut all = Vec::new();
        let found_by = if schema::names_calls(&self.0)? {
            "nonce, sent_id"
        } else {
            "NULL, NULL"
        };
        for table in TABLES {
            let select = format!(
                "SELECT ms, CASE typeof(rid) WHEN 'blob' THEN lower(hex(rid)) ELSE rid END, caller, method, code, status, \
                 outcome, why, verdict, exchange_ms, total_ms, key_fp, address, {found_by} FROM {table} WHERE {condition} \
                 ORDER BY ms DESC, id DESC LIMIT ?3"
            );
            all.extend(query_all(&self.0, &select, values(), |row| {
                Ok(CallRow {
                    ms: unsigned(row, 0)?,
                    rid: row.get(1)?,
                    caller: word(row.get(2)?).unwrap_or_default(),
                    method: word(row.get(3)?),
                    code: row.get(4)?,
                    status: row.get(5)?,
                    outcome: word(row.get(6)?).unwrap_or_default(),
                    why: word(row.get(7)?),
                    verdict: word(row.get(8)?),
                    exchange_ms: unsigned(row, 9)?,
                    total_ms: unsigned(row, 10)?,
                    key_fp: word(row.get(11)?).unwrap_or_default(),
                    address: word(row.get(12)?),
                    nonce: row.get::<_, Option<i64>>(13)?.map(i64::cast_unsigned),
                    sent_id: row.get::<_, Option<i64>>(14)?.map(i64::cast_unsigned),
                })
            })?);
        }
        // Request ids are in the order of time, too.
        all.sort_by(|one, other| (other.ms, &other.rid).cmp(&(one.ms, &one.rid)));
        Ok(all)
    }

    /// The newest calls since a time that the exchange saw or may have seen, and that it did not answer with code 0;
    /// oldest first.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn not_good(&self, since_ms: u64, limit: u64) -> Result<Vec<CallRow>, Problem> {
        let condition = "ms >= ?1 AND ms <= ?2 AND code IS NOT 0 AND outcome NOT IN \
                         (SELECT id FROM word WHERE word IN ('refused', 'not_sent'))";
        let values = [signed(since_ms), i64::MAX, signed(limit)];
        let mut newest = self.calls_newest_first(condition, || values)?;
        newest.reverse();
        Ok(newest)
    }

    /// The call that a mark is of, as long as it is kept.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn call_of(&self, mark: &Milestone) -> Result<Option<CallRow>, Problem> {
        let at = signed(mark.ms);
        let values = [at, at, AT_ONE_MOMENT];
        let calls = self.calls_newest_first("ms >= ?1 AND ms <= ?2", || values)?;
        Ok(calls.into_iter().find(|call| call.rid == mark.rid))
    }

    /// The refused calls without a row of their own, by minute; none where a method is asked for, or another outcome.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn refused_calls(&self, filter: &Filter) -> Result<Vec<RefusedCallsRow>, Problem> {
        let outcome = filter.outcome.as_deref();
        if filter.method.is_some() || outcome.is_some_and(|outcome| outcome != "refused") {
            return Ok(Vec::new());
        }
        let (since, until) = bounds(filter);
        let since = since - since % 60_000;
        let select = "SELECT minute_ms, caller, why, count FROM (SELECT * FROM refused_call \
                      WHERE minute_ms >= ?1 AND minute_ms <= ?2 AND (?4 IS NULL OR caller = ?4) \
                      ORDER BY minute_ms DESC LIMIT ?3) ORDER BY minute_ms, caller, why";
        let limit = filter.limit.map_or(-1, signed);
        query_all(
            &self.0,
            select,
            rusqlite::params![since, until, limit, filter.caller],
            |row| {
                Ok(RefusedCallsRow {
                    minute_ms: unsigned(row, 0)?,
                    caller: row.get(1)?,
                    why: row.get(2)?,
                    count: unsigned(row, 3)?,
                })
            },
        )
    }

    /// How many calls of known callers were refused here since a time, to the minute.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn refused_here(&self, since_ms: u64) -> Result<u64, Problem> {
        let select = "SELECT (SELECT count(*) FROM unsent_call WHERE ms >= ?1 \
                      AND outcome = (SELECT id FROM word WHERE word = 'refused')) \
                      + (SELECT coalesce(sum(count), 0) FROM refused_call WHERE minute_ms >= ?1)";
        let row = |row: &Row<'_>| unsigned(row, 0);
        Ok(self.0.query_row(select, [signed(since_ms)], row)?)
    }

    /// The changes in the time asked for.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn changes(&self, filter: &Filter) -> Result<Vec<ChangeRow>, Problem> {
        let (since, until) = bounds(filter);
        let select = "SELECT ms, kind, before, after FROM (SELECT * FROM change WHERE ms >= ?1 AND ms <= ?2 \
                      ORDER BY ms DESC, id DESC LIMIT ?3) ORDER BY ms, id";
        query_all(
            &self.0,
            select,
            [since, until, filter.limit.map_or(-1, signed)],
            |row| {
                Ok(ChangeRow {
                    ms: unsigned(row, 0)?,
                    kind: row.get(1)?,
                    before: row.get(2)?,
                    after: row.get(3)?,
                })
            },
        )
    }

    /// Every method with its marks.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn marks(&self) -> Result<Vec<(String, Milestones)>, Problem> {
        let mut all: Vec<_> = milestone::load(&self.0)?.into_iter().collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(all)
    }

    /// Every key and secret that stood together, oldest first.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn pairs(&self) -> Result<Vec<PairRow>, Problem> {
        query_all(
            &self.0,
            "SELECT key_fp, secret, first_ms, last_ms FROM pair ORDER BY first_ms",
            [],
            |row| {
                Ok(PairRow {
                    key_fp: row.get(0)?,
                    secret: row.get(1)?,
                    first_ms: unsigned(row, 2)?,
                    last_ms: unsigned(row, 3)?,
                })
            },
        )
    }

    /// Requests refused before a caller was known.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn refused(&self, filter: &Filter) -> Result<Vec<RefusedRow>, Problem> {
        let (since, until) = bounds(filter);
        let select = "SELECT minute_ms, why, count FROM refused WHERE minute_ms >= ?1 AND minute_ms <= ?2 ORDER BY 1, 2";
        query_all(&self.0, select, [since, until], |row| {
            Ok(RefusedRow {
                minute_ms: unsigned(row, 0)?,
                why: row.get(1)?,
                count: unsigned(row, 2)?,
            })
        })
    }

    /// The calls of each hour in the time asked for; of the filter only the times count.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn hours(&self, filter: &Filter) -> Result<Vec<HourRow>, Problem> {
        let (since, until) = bounds(filter);
        let select = format!(
            "SELECT ms / {HOUR_MS} * {HOUR_MS} AS hour, method, outcome, code, sum(count) FROM \
             (SELECT ms, method, outcome, code, 1 AS count FROM calls WHERE ms >= ?1 AND ms <= ?2 \
             UNION ALL SELECT minute_ms, NULL, 'refused', NULL, count FROM refused_call WHERE minute_ms >= ?1 AND minute_ms <= ?2) \
             GROUP BY hour, method, outcome, code ORDER BY hour, method, outcome, code"
        );
        query_all(&self.0, &select, [since, until], |row| {
            let (method, outcome, code) = (row.get(1)?, row.get(2)?, row.get(3)?);
            Ok(HourRow {
                ms: unsigned(row, 0)?,
                method,
                outcome,
                code,
                calls: unsigned(row, 4)?,
            })
        })
    }

    /// Who called in the time asked for, and how often; of the filter only the times count.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn callers(&self, filter: &Filter) -> Result<Vec<(String, u64)>, Problem> {
        let (since, until) = bounds(filter);
        let select = "SELECT caller, sum(count) FROM (SELECT caller, 1 AS count FROM calls WHERE ms >= ?1 AND ms <= ?2 \
                      UNION ALL SELECT caller, count FROM refused_call WHERE minute_ms >= ?1 AND minute_ms <= ?2) \
                      GROUP BY caller ORDER BY 2 DESC, 1";
        query_all(&self.0, select, [since, until], |row| {
            Ok((row.get(0)?, unsigned(row, 1)?))
        })
    }

    /// The last break of every method, or of one: those that last first, and among them authentication first and then the
    /// oldest.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn breaks(&self, method: Option<&str>) -> Result<Vec<Break>, Problem> {
        let mut all = Vec::new();
        for (name, marks) in self.marks()? {
            if method.is_some_and(|wanted| wanted != name) {
                continue;
            }
            for trouble in Trouble::ALL {
                let streak = marks.streak(trouble);
                let Some(bad) = streak.first.clone() else {
                    continue;
                };
                let since_ms = streak.before.as_ref().map(|good| good.ms);
                // What changed after a good answer did not bring about what was bad before it.
                let recovered_ms = streak.after.as_ref().map_or(u64::MAX, |good| good.ms);
                let noticed_ms = bad.ms.saturating_add(NOTICED_WITHIN_MS).min(recovered_ms);
                let filter = Filter {
                    since_ms,
                    until_ms: Some(noticed_ms.max(bad.ms)),
                    ..Filter::default()
                };
                let mut changes = self.changes(&filter)?;
                changes.retain(|change| {
                    change.is_change() && (change.ms <= bad.ms || change.is_measured())
                });
                let (method, good, recovered) =
                    (name.clone(), streak.before.clone(), streak.after.clone());
                all.push(Break {
                    method,
                    trouble,
                    good,
                    bad,
                    recovered,
                    changes,
                });
            }
        }
        all.sort_by_key(|broken| (broken.recovered.is_some(), broken.trouble, broken.bad.ms));
        Ok(all)
    }

    /// The newest calls that were sent since a time, at most `limit`, oldest first.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn recent(&self, since_ms: u64, limit: u32) -> Result<Vec<RecentCall>, Problem> {
        let mut newest = self.told(NEWEST, (signed(since_ms), limit))?;
        newest.reverse();
        Ok(newest)
    }

    /// The first call after a time that the exchange refused, by a code of its own, for who or where we are; among the
    /// first `limit` after it.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn first_refused(&self, after_ms: u64, limit: u32) -> Result<Option<RecentCall>, Problem> {
        Ok(self.told(FIRST_REFUSED, (signed(after_ms), limit))?.pop())
    }

    /// The daemon's last start, where there was one.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn last_start(&self) -> Result<Option<LastStart>, Problem> {
        let last = |kinds: &str| {
            let select = format!(
                "SELECT ms, kind FROM change WHERE kind IN ({kinds}) ORDER BY id DESC LIMIT 1"
            );
            let row = |row: &Row<'_>| Ok((unsigned(row, 0)?, row.get::<_, String>(1)?));
            self.0.query_row(&select, [], row).optional()
        };
        let (Some((at_ms, _)), Some((_, event))) = (last("'start'")?, last("'start', 'stop'")?)
        else {
            return Ok(None);
        };
        let key = store::state(&self.0, "key")?;
        Ok(key.map(|(key_fp, _)| LastStart {
            at_ms,
            stopped: event == "stop",
            key_fp,
        }))
    }

    fn told(
        &self,
        select: &str,
        values: impl rusqlite::Params,
    ) -> Result<Vec<RecentCall>, Problem> {
        // Bounded as the table is; one look-up for each of a row's words takes longer.
        let words = self.words()?;
        let word = |number: Option<i64>| number.and_then(|number| words.get(&number)).cloned();
        query_all(&self.0, select, values, |row| {
            Ok(RecentCall {
                ms: unsigned(row, 0)?,
                method: word(row.get(1)?),
                code: row.get(2)?,
                status: row.get(3)?,
                outcome: word(row.get(4)?).unwrap_or_default(),
                verdict: word(row.get(5)?),
                address: word(row.get(6)?),
            })
        })
    }

    /// How the pair in use came about: this one, seen at `now_ms`, or the one that the daemon last started with.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn pair_story(
        &self,
        in_use: Option<&Credentials>,
        now_ms: u64,
    ) -> Result<Option<PairStory>, Problem> {
        rotations::story_of(&self.0, in_use, now_ms)
    }

    /// What a start with this pair would change.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn compare_pair(&self, credentials: &Credentials) -> Result<PairChange, Problem> {
        rotations::compare(&self.0, credentials)
    }

    /// The texts that calls repeat, by their numbers.
    pub(super) fn words(&self) -> Result<HashMap<i64, String>, Problem> {
        let words = query_all(&self.0, "SELECT id, word FROM word", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        Ok(words.into_iter().collect())
    }
}

fn checked(connection: Connection) -> rusqlite::Result<(Connection, i64)> {
    // Before the first question: a writer that closes holds the file for a moment.
    connection.busy_timeout(std::time::Duration::from_secs(2))?;
    let version = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok((connection, version))
}

fn immutable(path: &Path) -> String {
    let mut uri = String::from("file:");
    for byte in std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()) {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            uri.push_str(&format!("%{byte:02x}"));
        }
    }
    uri + "?immutable=1"
}

fn bounds(filter: &Filter) -> (i64, i64) {
    (
        filter.since_ms.map_or(0, signed),
        filter.until_ms.map_or(i64::MAX, signed),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::schema;

    #[test]
    fn a_change_has_one_text_and_what_is_seen_first_is_no_change() {
        let row = |kind: &str, before: Option<&str>, after: &str| ChangeRow {
            ms: 0,
            kind: kind.to_owned(),
            before: before.map(str::to_owned),
            after: Some(after.to_owned()),
        };
        for (row, words, is_change) in [
            (row("start", None, "0.1.0"), "start of version 0.1.0", true),
            (row("stop", None, "0.1.0"), "stop", true),
            (row("gap", Some("then"), "why"), "gap since then: why", true),
            (
                row("secret", Some("1"), "2"),
                "secret changed from no. 1 to no. 2",
                true,
            ),
            (
                row("skew", Some("0"), "70"),
                "skew changed from 0 ms to 70 ms",
                true,
            ),
            (row("key", Some("a"), "b"), "key changed from a to b", true),
            (row("key", None, "b"), "key b", false),
            (row("method", None, "m"), "first call of m", false),
        ] {
            assert_eq!(
                (row.describe().as_str(), row.is_change()),
                (words, is_change)
            );
        }
        assert_eq!(row("skew", None, "70").values(), ["", "70 ms"]);
    }

    /// However many calls are kept, only the newest, or the first after a time, are read.
    #[test]
    fn calls_are_found_by_their_index_and_never_by_reading_all() {
        let dir = tempfile::TempDir::new().unwrap();
        let file = schema::open(&dir.path().join("history.db")).unwrap();
        for select in [NEWEST, FIRST_REFUSED] {
            let mut plan = file
                .prepare(&format!("EXPLAIN QUERY PLAN {select}"))
                .unwrap();
            let steps = plan
                .query_map((1, 9), |row| row.get::<_, String>(3))
                .unwrap();
            let steps: Vec<String> = steps.map(Result::unwrap).collect();
            assert!(
                steps
                    .iter()
                    .any(|step| step.contains("SEARCH call USING INDEX call_ms")),
                "{steps:?}"
            );
            assert!(
                !steps.iter().any(|step| step.starts_with("SCAN call")),
                "{steps:?}"
            );
        }
    }
}
