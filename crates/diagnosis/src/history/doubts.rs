//! The calls that may have been executed, by name: the one place of the file that names an order.
//!
//! Guarantees: bounded; a doubt that ended stays, with the time of its end, until it is as old as calls may be; a file of
//! an earlier build has none. Does not: decide what ends a doubt.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::schema::{Problem, query_all, signed, unsigned};
use crate::doubt::{self, Doubt};
use gateway::record::CallReport;

/// Doubts that are kept, the newest.
const MAX_KEPT: i64 = 10_000;
/// The names of the orders of a row of `call`, whose request ids are bytes or texts.
pub(super) const NAMES: &str = "CASE outcome WHEN (SELECT id FROM word WHERE word = 'unknown') THEN \
     (SELECT group_concat(name) FROM doubt WHERE doubt.rid = \
     CASE typeof(call.rid) WHEN 'blob' THEN lower(hex(call.rid)) ELSE call.rid END) END";

/// Whether the file has the table.
pub(super) fn are_kept(file: &Connection) -> rusqlite::Result<bool> {
    let select = "SELECT 1 FROM sqlite_master WHERE name = 'doubt'";
    let found = file.query_row(select, [], |_| Ok(())).optional()?;
    Ok(found.is_some())
}

/// Those that are open, oldest first.
pub(super) fn open(file: &Connection, now_ms: u64) -> Result<Vec<Doubt>, Problem> {
    if !are_kept(file)? {
        return Ok(Vec::new());
    }
    let since_ms = signed(now_ms.saturating_sub(doubt::KEPT_MS));
    let newest = i64::try_from(doubt::MAX).unwrap_or(i64::MAX);
    let select = "SELECT ms, rid, caller, method, name, own FROM (SELECT * FROM doubt WHERE ended_ms IS NULL \
                  AND ms >= ?1 ORDER BY id DESC LIMIT ?2) ORDER BY id";
    query_all(file, select, [since_ms, newest], |row| {
        Ok(Doubt {
            ms: unsigned(row, 0)?,
            rid: row.get(1)?,
            caller: row.get(2)?,
            method: row.get(3)?,
            name: row.get(4)?,
            is_own: row.get(5)?,
        })
    })
}

/// Takes in what a call leaves in doubt, and what its answer settles.
pub(super) fn note(
    file: &Transaction<'_>,
    open: &mut Vec<Doubt>,
    ms: u64,
    report: &CallReport,
) -> rusqlite::Result<()> {
    for ended in doubt::settle(open, report, ms) {
        file.execute(
            "UPDATE doubt SET ended_ms = ?1 WHERE rid = ?2 AND name IS ?3",
            params![signed(ms), ended.rid, ended.name],
        )?;
    }
    for begun in Doubt::left_by(report, ms) {
        file.execute(
            "INSERT INTO doubt (ms, rid, caller, method, name, own) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![signed(ms), begun.rid, begun.caller, begun.method, begun.name, begun.is_own],
        )?;
        open.push(begun);
    }
    Ok(())
}

/// Drops those that are too many or too old.
pub(super) fn trim(file: &Transaction<'_>, oldest_ms: i64) -> rusqlite::Result<()> {
    let drop = "DELETE FROM doubt WHERE id <= (SELECT max(id) FROM doubt) - ?1 OR ms < ?2";
    file.execute(drop, [MAX_KEPT, oldest_ms]).map(|_| ())
}
