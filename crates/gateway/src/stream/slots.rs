//! How many sockets are open, and whose.
//!
//! Guarantees: a slot is given back however its socket ends. Does not: queue; a slot is free or it is not. Does not: know
//! who has still to log in, or stays without a caller.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Settings;

/// The sockets that are open, counted.
#[derive(Debug)]
pub struct Slots {
    all: Arc<Semaphore>,
    per_caller: usize,
    callers: Arc<Mutex<HashMap<Arc<str>, usize>>>,
}

/// One slot for a socket; given back when it is dropped.
#[derive(Debug)]
pub struct Slot {
    _all: OwnedSemaphorePermit,
}

/// One of a caller's slots.
#[derive(Debug)]
pub struct CallerSlot {
    name: Arc<str>,
    callers: Arc<Mutex<HashMap<Arc<str>, usize>>>,
}

impl Slots {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            all: Arc::new(Semaphore::new(settings.max_sockets)),
            per_caller: settings.max_per_caller,
            callers: Arc::default(),
        }
    }

    /// A slot among all.
    #[must_use]
    pub fn take(&self) -> Option<Slot> {
        Some(Slot {
            _all: Arc::clone(&self.all).try_acquire_owned().ok()?,
        })
    }

    /// A slot among the caller's own.
    #[must_use]
    pub fn take_for(&self, name: &Arc<str>) -> Option<CallerSlot> {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let open = callers.entry(Arc::clone(name)).or_default();
        if *open >= self.per_caller {
            return None;
        }
        *open += 1;
        Some(CallerSlot {
            name: Arc::clone(name),
            callers: Arc::clone(&self.callers),
        })
    }
}

impl Drop for CallerSlot {
    fn drop(&mut self) {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = callers.get_mut(&self.name) {
            *open -= 1;
            if *open == 0 {
                callers.remove(&self.name);
            }
        }
    }
}
