//! How many cancellations wait for the disk.
//!
//! Guarantees: at most [`MOST_NOTES`] of them, however long the disk hangs; further ones go all the same, and are counted
//! instead of written. What became of an order is never let go: its attempt was written before it was sent, so no more of
//! them can end than were under way when the disk stopped. Does not: write anything.

use std::{
    collections::HashSet,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use gateway::ledger::Attempt;

/// Cancellations that wait for a disk that takes nothing; further ones go without a trace here.
pub(crate) const MOST_NOTES: usize = 4096;

/// Cancellations, on their way to the disk.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    waiting: AtomicUsize,
    /// Of those below, the ones that have not ended: mostly none, and then nobody takes the lock.
    under_way: AtomicUsize,
    let_go: Mutex<LetGo>,
}

#[derive(Debug, Default)]
struct LetGo {
    /// Those that have not ended. They are calls under way, which are few.
    under_way: HashSet<Attempt>,
    /// How many there were since somebody asked.
    count: u64,
}

impl Notes {
    /// Whether there is room for one more to be written down.
    pub(crate) fn enter(&self, attempt: Attempt) -> bool {
        if self.waiting.fetch_add(1, Ordering::Relaxed) < MOST_NOTES {
            return true;
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        let mut let_go = self.lock();
        let_go.count += 1;
        let_go.under_way.insert(attempt);
        self.under_way
            .store(let_go.under_way.len(), Ordering::Release);
        false
    }

    /// Whether it ended without having been written down.
    pub(crate) fn was_let_go(&self, attempt: Attempt) -> bool {
        if self.under_way.load(Ordering::Acquire) == 0 {
            return false;
        }
        let mut let_go = self.lock();
        let was_let_go = let_go.under_way.remove(&attempt);
        self.under_way
            .store(let_go.under_way.len(), Ordering::Release);
        was_let_go
    }

    /// So many were written.
    pub(crate) fn leave(&self, written: usize) {
        self.waiting.fetch_sub(written, Ordering::Relaxed);
    }

    /// How many were let go since this was asked last.
    pub(crate) fn take_let_go(&self) -> u64 {
        std::mem::take(&mut self.lock().count)
    }

    fn lock(&self) -> MutexGuard<'_, LetGo> {
        self.let_go.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
