//! What others see of the thread that has the file, without asking it.

use std::{
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize},
    },
};

use gateway::ledger::Away;

use crate::{notes::Notes, recent::Recent, schema::remedy};

/// What others see of the thread.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Questions that wait.
    pub(crate) waiting: AtomicUsize,
    /// Attempts that are open, and no task of this process works on them.
    pub(crate) in_doubt: AtomicUsize,
    /// Cancellations that wait to be written.
    pub(crate) notes: Notes,
    /// Transactions that wrote something.
    pub(crate) commits: AtomicU64,
    away: Mutex<Option<Away>>,
    /// Names of attempts of late, for those who ask while the disk does not answer.
    pub(crate) recent: Recent,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Option<Away>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn away(&self) -> Option<Away> {
        self.lock().clone()
    }

    /// Remembers it, unless something else keeps it away already, and says so: the thread waits for the disk.
    pub(crate) fn slow(&self, away: &Away) {
        let mut known = self.lock();
        if known.is_none() {
            *known = Some(away.clone());
            drop(known);
            log(away, None);
        }
    }
}

/// Says that it is away.
pub(crate) fn log(away: &Away, path: Option<&Path>) {
    let path = path.unwrap_or_else(|| "memory".as_ref());
    tracing::error!(
        "{away}: orders are refused, cancellations and reads go on; {}",
        remedy(away, path)
    );
}
