//! How many calls of each kind there were, hour by hour.
//!
//! Guarantees: counted by SQLite, so that a full history costs no memory here; no call is named. Does not: judge.

use super::{
    reader::{Filter, Questions, bounds, unsigned},
    schema::Problem,
};

const HOUR_MS: u64 = 3_600_000;

/// The calls of one hour that have method, outcome and code in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hour {
    /// The hour's beginning, in milliseconds since 1970.
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

impl Questions {
    /// The calls of each hour in the time asked for; of the filter only the times count.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn hours(&self, filter: &Filter) -> Result<Vec<Hour>, Problem> {
        let (since, until) = bounds(filter);
        let select = format!(
            "SELECT ms / {HOUR_MS} * {HOUR_MS} AS hour, method, outcome, code, count(*) FROM calls \
             WHERE ms >= ?1 AND ms <= ?2 GROUP BY hour, method, outcome, code ORDER BY hour, method, outcome, code"
        );
        self.rows(&select, [since, until], |row| {
            let (method, outcome, code) = (row.get(1)?, row.get(2)?, row.get(3)?);
            Ok(Hour {
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
        let select = "SELECT caller, count(*) FROM calls WHERE ms >= ?1 AND ms <= ?2 GROUP BY caller ORDER BY 2 DESC, 1";
        self.rows(select, [since, until], |row| {
            Ok((row.get(0)?, unsigned(row, 1)?))
        })
    }
}
