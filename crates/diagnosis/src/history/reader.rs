//! Questions to a history, on a read-only connection of their own: for the command line, the diagnosis, the page.
//!
//! Guarantees: the file is not changed, and a daemon that writes is not held up; answers are in the order of time, and
//! the newest where there are more than asked for. A copy of the file alone, in a directory that cannot be written, can
//! be asked too. Does not: print.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};

use super::{
    mark::{Milestone, Milestones},
    schema::{Problem, VERSION},
    store::signed,
};

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRow {
    /// When it ended, in milliseconds since 1970.
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
    pub status: u16,
    /// What became of it.
    pub outcome: String,
    /// Why there was no conclusive answer.
    pub why: Option<String>,
    /// `good`, `auth`, `failed`, or nothing where it says nothing.
    pub verdict: Option<String>,
    /// From sending to the answer, in milliseconds.
    pub exchange_ms: u64,
    /// From the door to the end, in milliseconds.
    pub total_ms: u64,
    /// The fingerprint of the key.
    pub key_fp: String,
    /// Our outbound address then.
    pub address: Option<String>,
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeRow {
    /// When it was noticed, in milliseconds since 1970.
    pub ms: u64,
    /// What changed: `start`, `stop`, `gap`, `version`, `base_url`, `configuration`, `key`, `secret`, `address`,
    /// `skew`, `method`, `lost`.
    pub kind: String,
    /// What it was.
    pub before: Option<String>,
    /// What it is.
    pub after: Option<String>,
}

/// A key beside a secret, which is known by its number alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
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
pub struct Refused {
    /// The minute's beginning, in milliseconds since 1970.
    pub minute_ms: u64,
    /// Why.
    pub why: String,
    /// How many.
    pub count: u64,
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
        std::fs::File::open(path)?;
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
        if version == VERSION {
            Ok(Self(connection))
        } else {
            Err(Problem::Newer(version))
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
        let mut wanted = String::from("SELECT id FROM call WHERE ms >= ?1 AND ms <= ?2");
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
        let select = format!(
            "SELECT ms, rid, caller, method, code, status, outcome, why, verdict, exchange_ms, total_ms, key_fp, address \
             FROM calls WHERE id IN ({wanted} ORDER BY ms DESC, id DESC LIMIT ?3) ORDER BY ms, id"
        );
        self.rows(&select, rusqlite::params_from_iter(values), call_row)
    }

    /// The changes in the time asked for.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn changes(&self, filter: &Filter) -> Result<Vec<ChangeRow>, Problem> {
        let (since, until) = bounds(filter);
        let select = "SELECT ms, kind, before, after FROM (SELECT * FROM change WHERE ms >= ?1 AND ms <= ?2 \
                      ORDER BY ms DESC, id DESC LIMIT ?3) ORDER BY ms, id";
        self.rows(
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
        let mut all = std::collections::BTreeMap::<String, Milestones>::new();
        each_mark(&self.0, |method, name, mark| {
            all.entry(method).or_default().restore(&name, mark)
        })?;
        Ok(all.into_iter().collect())
    }

    /// Every key and secret that stood together, oldest first.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn pairs(&self) -> Result<Vec<Pair>, Problem> {
        self.rows(
            "SELECT key_fp, secret, first_ms, last_ms FROM pair ORDER BY first_ms",
            [],
            |row| {
                Ok(Pair {
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
    pub fn refused(&self, filter: &Filter) -> Result<Vec<Refused>, Problem> {
        let (since, until) = bounds(filter);
        let select = "SELECT minute_ms, why, count FROM refused WHERE minute_ms >= ?1 AND minute_ms <= ?2 ORDER BY 1, 2";
        self.rows(select, [since, until], |row| {
            Ok(Refused {
                minute_ms: unsigned(row, 0)?,
                why: row.get(1)?,
                count: unsigned(row, 2)?,
            })
        })
    }

    pub(super) fn rows<T>(
        &self,
        select: &str,
        values: impl rusqlite::Params,
        row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Problem> {
        let mut select = self.0.prepare(select)?;
        let rows = select
            .query_map(values, row)?
            .collect::<rusqlite::Result<_>>()?;
        Ok(rows)
    }
}

/// A time in milliseconds since 1970 as RFC 3339 in UTC, to the millisecond.
#[must_use]
pub fn time(ms: u64) -> String {
    Timestamp::from_millisecond(signed(ms))
        .map_or_else(|_| ms.to_string(), |time| format!("{time:.3}"))
}

/// Hands every mark over with its method and its name.
pub(super) fn each_mark(
    file: &Connection,
    mut take: impl FnMut(String, String, Milestone),
) -> rusqlite::Result<()> {
    let columns =
        "SELECT method, mark, ms, rid, key_fp, address, status, code, outcome, why FROM mark";
    let mut select = file.prepare(columns)?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let mark = Milestone {
            ms: unsigned(row, 2)?,
            rid: row.get(3)?,
            key_fp: row.get(4)?,
            address: row.get(5)?,
            status: row.get(6)?,
            code: row.get(7)?,
            outcome: row.get(8)?,
            why: row.get(9)?,
        };
        take(row.get(0)?, row.get(1)?, mark);
    }
    Ok(())
}

pub(super) fn call_row(row: &Row<'_>) -> rusqlite::Result<CallRow> {
    Ok(CallRow {
        ms: unsigned(row, 0)?,
        rid: row.get(1)?,
        caller: row.get(2)?,
        method: row.get(3)?,
        code: row.get(4)?,
        status: row.get(5)?,
        outcome: row.get(6)?,
        why: row.get(7)?,
        verdict: row.get(8)?,
        exchange_ms: unsigned(row, 9)?,
        total_ms: unsigned(row, 10)?,
        key_fp: row.get(11)?,
        address: row.get(12)?,
    })
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

pub(super) fn bounds(filter: &Filter) -> (i64, i64) {
    (
        filter.since_ms.map_or(0, signed),
        filter.until_ms.map_or(i64::MAX, signed),
    )
}

pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::unsigned_abs)
}
