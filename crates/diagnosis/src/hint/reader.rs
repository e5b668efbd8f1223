//! The records on their way to the hints: read by a task, and at once by a failed call that wants its own hint.
//!
//! Guarantees: what a call is told is what its line says, because both come from one reading; nothing is waited for but
//! the reading of records that are there. A good call does not come here.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio::{sync::mpsc, time};

use super::{Given, Hints, LastHints};
use crate::causes::{Cause, Hint, Likelihood};
use gateway::record::CallReport;

/// Calls whose hints are kept for them: as many as are under way by default.
const KEPT: usize = 256;

/// A hint in closed words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HintWords {
    /// The likeliest cause.
    pub cause: Cause,
    /// How likely it is.
    pub likelihood: Likelihood,
}

impl fmt::Display for HintWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.cause.code(), self.likelihood)
    }
}

/// Reads records and writes hints, for a task and for the calls themselves.
#[derive(Debug)]
pub struct HintReader {
    reading: Mutex<Reading>,
    last: Arc<LastHints>,
}

#[derive(Debug)]
struct Reading {
    hints: Hints,
    reports: mpsc::Receiver<Arc<CallReport>>,
    given: VecDeque<(Arc<str>, HintWords)>,
}

impl HintReader {
    /// Hints to the calls whose records come through this channel.
    #[must_use]
    pub fn new(hints: Hints, reports: mpsc::Receiver<Arc<CallReport>>) -> Arc<Self> {
        let last = Arc::clone(&hints.last);
        let reading = Reading {
            hints,
            reports,
            given: VecDeque::new(),
        };
        Arc::new(Self {
            reading: Mutex::new(reading),
            last,
        })
    }

    /// Reads until the channel closes.
    pub async fn run(self: Arc<Self>) {
        let mut confirmed = self.lock().hints.remeasure.confirmed();
        let mut watched = true;
        loop {
            tokio::select! {
                is_open = poll_fn(|cx| self.poll_read(cx)) => if !is_open {
                    return;
                },
                measured = confirmed.changed(), if watched => match measured {
                    Ok(()) => {
                        let began: Option<time::Instant> = *confirmed.borrow_and_update();
                        self.lock().hints.settle(began);
                    }
                    Err(_) => watched = false,
                },
            }
        }
    }

    /// What the hint to a call says, whose record is written; nothing where it has none. Records before it are read first.
    #[must_use]
    pub fn of(&self, rid: &str) -> Option<HintWords> {
        let mut reading = self.lock();
        while let Ok(report) = reading.reports.try_recv() {
            reading.read(&report);
        }
        let mut newest_first = reading.given.iter().rev();
        newest_first
            .find(|(of, _)| **of == *rid)
            .map(|(_, words)| *words)
    }

    /// The last hints, newest first.
    #[must_use]
    pub fn list(&self) -> Vec<Given> {
        self.last.list()
    }

    fn poll_read(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut reading = self.lock();
        reading.reports.poll_recv(cx).map(|report| match report {
            Some(report) => {
                reading.read(&report);
                true
            }
            None => false,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading {
    fn read(&mut self, report: &CallReport) {
        let Some(Hint {
            cause, likelihood, ..
        }) = self.hints.read(report)
        else {
            return;
        };
        if self.given.len() == KEPT {
            self.given.pop_front();
        }
        let words = HintWords { cause, likelihood };
        self.given.push_back((Arc::clone(&report.rid), words));
    }
}
