//! Looks a journal over that no process has open.

use std::path::Path;

use gateway::ledger::Entry;
use rusqlite::Connection;

use crate::{
    schema::{self, Problem},
    store::Store,
    times::Times,
};

/// Faults that are told; there may be more.
const MOST_FAULTS: usize = 20;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Attempts in it.
    pub attempts: u64,
    /// Those of which nobody knows what became of them.
    pub open: u64,
    /// Names that are used, and stay so.
    pub names: u64,
    /// Answers that are kept, to be given again.
    pub answers: u64,
    /// When the oldest attempt in it began, in milliseconds since 1970.
    pub oldest_ms: Option<u64>,
    /// What is wrong with it; empty: nothing.
    pub faults: Vec<String>,
}

/// What does not fit together, in rows that SQLite itself finds in order.
const SANE: [(&str, &str); 6] = [
    (
        "attempts without an account",
        "SELECT count(*) FROM attempt WHERE account NOT IN (SELECT id FROM account)",
    ),
    (
        "orders without an attempt",
        "SELECT count(*) FROM leg WHERE attempt NOT IN (SELECT id FROM attempt)",
    ),
    (
        "answers without an attempt",
        "SELECT count(*) FROM answer WHERE attempt NOT IN (SELECT id FROM attempt)",
    ),
    (
        "attempts in a state that this program does not know",
        "SELECT count(*) FROM attempt WHERE state NOT IN \
         ('begun', 'not_sent', 'unknown', 'answered', 'executed', 'never_arrived')",
    ),
    (
        "attempts that are open and ended, or neither",
        "SELECT count(*) FROM attempt WHERE (state IN ('begun', 'unknown')) <> (ended_ms IS NULL)",
    ),
    (
        "orders that hold a name though their attempt was never executed",
        "SELECT count(*) FROM leg JOIN attempt ON attempt.id = leg.attempt \
         WHERE leg.state < 2 AND attempt.state IN ('not_sent', 'never_arrived')",
    ),
];

/// Looks the journal over; it takes seconds where there are millions of rows.
///
/// # Errors
/// There is none, or it cannot be opened: by a running daemon, for one.
pub fn check(path: &Path) -> Result<Checked, Problem> {
    let connection = match schema::open(path) {
        Err(Problem::Away(away @ gateway::ledger::Away::Damaged(_))) => {
            return Ok(Checked {
                faults: vec![away.to_string()],
                ..Checked::default()
            });
        }
        opened => opened?,
    };
    let mut checked = Checked::default();
    // A file so damaged that it cannot be looked over is damaged, and that is what was asked.
    if let Err(error) = look_over(&connection, &mut checked) {
        checked.faults.push(error.to_string());
    }
    Ok(checked)
}

/// The attempts of which nobody knows what became of them, the newest first, of a journal that no process has open.
/// Nothing of it is changed. Whoever had begun one is gone: it may have been executed.
///
/// # Errors
/// There is none, or it cannot be opened: by a running daemon, for one.
pub fn read_open(path: &Path) -> Result<Vec<Entry>, Problem> {
    let now = Times::system().now();
    let mut rows = Store::read(path, now)?.open_rows()?;
    rows.sort_by_key(|row| std::cmp::Reverse(row.id));
    let entry = |mut row: crate::rules::Row| {
        row.outlive(now);
        row.entry(now)
    };
    Ok(rows.into_iter().map(entry).collect())
}

fn look_over(connection: &Connection, checked: &mut Checked) -> rusqlite::Result<()> {
    let mut select = connection.prepare(&format!("PRAGMA integrity_check({MOST_FAULTS})"))?;
    let lines = select.query_map([], |row| row.get::<_, String>(0))?;
    for line in lines {
        let line = line?;
        if line != "ok" {
            checked.faults.push(line);
        }
    }
    let count = |select: &str| {
        let count = connection.query_row(select, [], |row| row.get::<_, i64>(0));
        count.map(i64::unsigned_abs)
    };
    for (what, select) in SANE {
        let count = count(select)?;
        if count > 0 {
            checked.faults.push(format!("{what}: {count}"));
        }
    }
    checked.attempts = count("SELECT count(*) FROM attempt")?;
    checked.open = count("SELECT count(*) FROM attempt WHERE ended_ms IS NULL")?;
    checked.names = count("SELECT count(*) FROM leg WHERE name IS NOT NULL AND state < 2")?;
    checked.answers = count("SELECT count(*) FROM answer")?;
    if checked.attempts > 0 {
        checked.oldest_ms = Some(count("SELECT min(begun_ms) FROM attempt")?);
    }
    Ok(())
}
