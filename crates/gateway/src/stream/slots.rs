//! How many sockets are open, and whose.
//!
//! Guarantees: a place is given back however its socket ends; strangers cannot take the places of callers, because their own
//! are few: before a login for as long as that takes, on the market stream for as long as they stay. Does not: queue; a place is there or is not.

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
    strangers: Arc<Semaphore>,
    visitors: Arc<Semaphore>,
    per_caller: usize,
    callers: Arc<Mutex<HashMap<Arc<str>, usize>>>,
}

/// One place for a socket; given back when it is dropped.
#[derive(Debug)]
pub struct Slot {
    _all: OwnedSemaphorePermit,
    _visitor: Option<OwnedSemaphorePermit>,
}

/// A place among those whose caller is not known.
#[derive(Debug)]
pub struct UnauthenticatedSlot {
    _one: OwnedSemaphorePermit,
}

/// One of a caller's places.
#[derive(Debug)]
pub struct CallerSlot {
    name: Arc<str>,
    callers: Arc<Mutex<HashMap<Arc<str>, usize>>>,
}

impl Slots {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            all: Arc::new(Semaphore::new(settings.max_sockets)),
            strangers: Arc::new(Semaphore::new(settings.max_strangers)),
            visitors: Arc::new(Semaphore::new(settings.max_anonymous())),
            per_caller: settings.max_per_caller,
            callers: Arc::default(),
        }
    }

    /// A place among all.
    #[must_use]
    pub fn take(&self) -> Option<Slot> {
        Some(Slot {
            _all: Arc::clone(&self.all).try_acquire_owned().ok()?,
            _visitor: None,
        })
    }

    /// A place among all for somebody who will not say who it is; they have a few of them only, to the socket's end.
    #[must_use]
    pub fn take_as_visitor(&self) -> Option<Slot> {
        let visitor = Arc::clone(&self.visitors).try_acquire_owned().ok()?;
        Some(Slot {
            _visitor: Some(visitor),
            ..self.take()?
        })
    }

    /// A place among the strangers.
    #[must_use]
    pub fn take_as_stranger(&self) -> Option<UnauthenticatedSlot> {
        Some(UnauthenticatedSlot {
            _one: Arc::clone(&self.strangers).try_acquire_owned().ok()?,
        })
    }

    /// A place among the caller's own.
    #[must_use]
    pub fn take_of(&self, name: &Arc<str>) -> Option<CallerSlot> {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let open = callers.entry(Arc::clone(name)).or_default();
        (*open < self.per_caller).then(|| {
            *open += 1;
            CallerSlot {
                name: Arc::clone(name),
                callers: Arc::clone(&self.callers),
            }
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
