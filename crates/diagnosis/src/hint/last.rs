//! The last hints, for whoever asks what happened lately.
//!
//! Guarantees: bounded; what the lines show, and no more. Does not: outlive the process; the journal does.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::judgement::Hint;
use gateway::record::CallReport;

/// Hints that are kept.
const KEPT: usize = 10;

/// A hint, and the call that it is about.
#[derive(Clone, Debug)]
pub struct Given {
    /// When it was given.
    pub at: Instant,
    /// The id of the call that it is about.
    pub rid: Arc<str>,
    /// Its method.
    pub method: String,
    /// The exchange's code.
    pub code: Option<i64>,
    /// What was said.
    pub hint: Hint,
}

impl Given {
    /// Time since it was given.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.at.elapsed()
    }
}

/// The last hints, oldest first.
#[derive(Debug, Default)]
pub struct LastHints(Mutex<VecDeque<Given>>);

impl LastHints {
    pub(super) fn keep(&self, report: &CallReport, hint: Hint, at: Instant) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        let method = report.method.as_deref().unwrap_or("none").to_owned();
        kept.push_back(Given {
            at,
            rid: Arc::clone(&report.rid),
            method,
            code: report.code,
            hint,
        });
    }

    /// All that are kept, newest first.
    #[must_use]
    pub fn list(&self) -> Vec<Given> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .rev()
            .cloned()
            .collect()
    }
}
