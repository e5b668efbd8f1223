//! What a diagnosis asks of a history: the newest calls, the first refusal after a time, the last start.
//!
//! Guarantees: bounded work, however many calls are kept: each answer reads a limited number of rows by index. Does not:
//! say what they mean.

use std::collections::HashMap;

use rusqlite::OptionalExtension;

use super::{
    reader::Questions,
    schema::Problem,
    store::{self, signed},
};

/// A call, as far as it tells anything about the credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recent {
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

const NEWEST: &str = "SELECT ms, method, code, status, outcome, verdict, address FROM call WHERE ms >= ?1 \
                      ORDER BY ms DESC, id DESC LIMIT ?2";
const FIRST_REFUSED: &str = "SELECT ms, method, code, status, outcome, verdict, address FROM \
                             (SELECT * FROM call WHERE ms > ?1 ORDER BY ms, id LIMIT ?2) \
                             WHERE code NOT NULL AND verdict = (SELECT id FROM word WHERE word = 'auth') \
                             ORDER BY ms, id LIMIT 1";

impl Questions {
    /// The newest calls since a time, at most `limit`, oldest first.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn recent(&self, since_ms: u64, limit: u32) -> Result<Vec<Recent>, Problem> {
        let mut newest = self.told(NEWEST, (signed(since_ms), limit))?;
        newest.reverse();
        Ok(newest)
    }

    /// The first call after a time that the exchange refused, by a code of its own, for who or where we are; among the
    /// first `limit` after it.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn first_refused(&self, after_ms: u64, limit: u32) -> Result<Option<Recent>, Problem> {
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
            let row = |row: &rusqlite::Row<'_>| {
                Ok((
                    row.get::<_, i64>(0)?.unsigned_abs(),
                    row.get::<_, String>(1)?,
                ))
            };
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

    fn told(&self, select: &str, values: impl rusqlite::Params) -> Result<Vec<Recent>, Problem> {
        // Bounded as the table is; one look-up for each of a row's words takes longer.
        let words = self.rows("SELECT id, word FROM word", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        let words: HashMap<i64, String> = words.into_iter().collect();
        let word = |number: Option<i64>| number.and_then(|number| words.get(&number)).cloned();
        self.rows(select, values, |row| {
            Ok(Recent {
                ms: row.get::<_, i64>(0)?.unsigned_abs(),
                method: word(row.get(1)?),
                code: row.get(2)?,
                status: row.get(3)?,
                outcome: word(row.get(4)?).unwrap_or_default(),
                verdict: word(row.get(5)?),
                address: word(row.get(6)?),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::schema;

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
