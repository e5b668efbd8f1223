//! The hint that follows each call that failed authentication: likeliest cause, how likely, and one next step.
//!
//! Reads along with the records, off the path of the calls. Guarantees: exactly one line per such call; a correction
//! where the address then turns out to have moved; one warning when the clock goes wrong, and one line when it is right
//! again. Does not: probe anything, or see what came before this process, but for the memory of the pair.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::time;

use super::egress;
use crate::{
    causes::{self, CallFacts, StartFacts},
    key_pairs::PairFacts,
    probes::{CredentialFacts, Target},
    tracker::Tracker,
    verdict::Verdict,
};
use gateway::{
    observed::{ClockSkew, Observed},
    record::CallReport,
};

mod correction;
mod line;
mod reader;
#[cfg(test)]
mod tests;

pub use crate::causes::Hint;
pub use reader::{HintReader, HintWords};

use correction::Waiting;

/// What turns records into hints; a [`HintReader`] hands it the records.
#[derive(Debug)]
pub struct Hints {
    observed: Arc<Observed>,
    remeasure: egress::Trigger,
    pair: PairFacts,
    start: StartFacts,
    tracker: Tracker,
    waiting: Waiting,
    clock_is_off: bool,
    last: Arc<LastHints>,
}

impl Hints {
    /// Prepares to write hints to calls signed with the pair of which `pair` and the loader tell, to `target`.
    #[must_use]
    pub fn new(
        observed: Arc<Observed>,
        remeasure: egress::Trigger,
        pair: PairFacts,
        loaded: &CredentialFacts,
        target: Target,
    ) -> Self {
        let (tracker, waiting) = (Tracker::default(), Waiting::default());
        Self {
            observed,
            remeasure,
            pair,
            start: StartFacts::new(Some(target), loaded),
            tracker,
            waiting,
            clock_is_off: false,
            last: Arc::default(),
        }
    }

    /// The hint to this call, which is written and kept, if it has one.
    fn read(&mut self, report: &CallReport) -> Option<Hint> {
        let now = Instant::now();
        self.compare_clock(report.skew);
        if self.tracker.note(report, now) {
            // Reloaded with another key: what the memory told at the start is about the pair before.
            self.pair = PairFacts::no_memory(self.pair.since);
            self.start.forget_the_pair();
        }
        let objection = Verdict::of(report).objection()?;
        let facts = CallFacts {
            expected: self.observed.expected().clone(),
            pair: self.pair,
            track: self.tracker.past_of(report),
            now,
            start: self.start.clone(),
        };
        let hint = causes::explain(facts, report)?;
        line::write(report, &hint);
        self.last.keep(report, hint.clone(), now);
        if objection.may_be_the_address() {
            self.waiting.add(report, objection, time::Instant::now());
            self.remeasure.remeasure();
        }
        Some(hint)
    }

    fn settle(&mut self, began: Option<time::Instant>) {
        if let Some(began) = began {
            self.waiting.settle(&self.observed, began);
        }
    }

    fn compare_clock(&mut self, skew: Option<ClockSkew>) {
        let Some(skew) = skew else { return };
        if skew.is_large() == self.clock_is_off {
            return;
        }
        self.clock_is_off = skew.is_large();
        if self.clock_is_off {
            line::write_clock_off(skew);
        } else {
            line::write_clock_fine(skew);
        }
    }
}

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
    fn keep(&self, report: &CallReport, hint: Hint, at: Instant) {
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
