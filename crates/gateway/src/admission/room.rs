//! The room for calls under way, and who may take how much of it.
//!
//! Guarantees: reads leave room for what changes something; one caller leaves as many places free as it has, of all and
//! of those for reads, so that others find some whatever several of them do; and each caller has some places for
//! cancellations that nothing else can take, and nobody else. A place is given back however its call ends. Does not:
//! queue; there is a place or there is none. Does not: know answers (`unread`).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::failure::{Bound, Refusal};
use protocol::call::Effect;

/// Places of each caller beyond the limit, for cancellations: getting out must be possible when nothing else is. Callers
/// are those that an operator listed, so that their sum is bounded.
pub(crate) const OWN_FOR_CANCELS: usize = 8;

/// The places.
#[derive(Debug)]
pub(super) struct Room {
    limit: usize,
    reads: usize,
    /// Whether several callers share it.
    shared: bool,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    reads: usize,
    by_caller: HashMap<Arc<str>, OfCaller>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct OfCaller {
    /// Of the places that all share.
    shared: usize,
    /// Of these for reads.
    reads: usize,
    /// Of its own for cancellations.
    own: usize,
}

impl Taken {
    /// Changes what a caller has, and forgets one who has nothing.
    fn change(&mut self, caller: &Arc<str>, change: impl FnOnce(&mut OfCaller)) {
        let Some(own) = self.by_caller.get_mut(caller) else {
            return;
        };
        change(own);
        if *own == OfCaller::default() {
            self.by_caller.remove(caller);
        }
    }
}

/// A place in the room, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    pub(super) kind: Effect,
    /// Whether it is one of its caller's own.
    is_own: bool,
    pub(super) caller: Arc<str>,
    taken: Arc<Mutex<Taken>>,
    /// How long its call may have waited before it could be read.
    pub(crate) waited: Option<Duration>,
}

impl Room {
    /// Room for so many calls. A caller has half of what the others leave, or all of it where there are no `others`.
    pub(super) fn new(limit: usize, others: bool) -> Self {
        Self {
            limit,
            reads: (limit - limit / 4).max(1),
            shared: others,
            taken: Arc::default(),
        }
    }

    /// A place for a call of this kind.
    pub(super) fn take(&self, caller: &Arc<str>, kind: Effect) -> Result<Place, Refusal> {
        let mut taken = lock(&self.taken);
        let held = taken.by_caller.get(caller).copied().unwrap_or_default();
        let is_own = match self.is_free(&taken, held, kind) {
            Ok(()) => false,
            Err(_) if kind == Effect::Cancel && held.own < OWN_FOR_CANCELS => true,
            Err(refusal) => return Err(refusal),
        };
        let held = taken.by_caller.entry(Arc::clone(caller)).or_default();
        if is_own {
            held.own += 1;
        } else {
            let reads = usize::from(kind == Effect::Read);
            held.shared += 1;
            held.reads += reads;
            taken.all += 1;
            taken.reads += reads;
        }
        Ok(Place {
            kind,
            is_own,
            caller: Arc::clone(caller),
            taken: Arc::clone(&self.taken),
            waited: None,
        })
    }

    /// Whether one of the places that all share is free for this.
    fn is_free(&self, taken: &Taken, held: OfCaller, kind: Effect) -> Result<(), Refusal> {
        let is_read = kind == Effect::Read;
        let leaves_too_little = |own, all, limit| self.shared && own >= limit - all;
        let (bound, limit) = if taken.all >= self.limit {
            (Bound::All, self.limit)
        } else if is_read && taken.reads >= self.reads {
            (Bound::Reads, self.reads)
        } else if leaves_too_little(held.shared, taken.all, self.limit)
            || (is_read && leaves_too_little(held.reads, taken.reads, self.reads))
        {
            (Bound::Caller, held.shared)
        } else {
            return Ok(());
        };
        Err(Refusal::AtCapacity { bound, limit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if self.is_own {
            taken.change(&self.caller, |held| held.own -= 1);
        } else {
            let reads = usize::from(self.kind == Effect::Read);
            taken.all -= 1;
            taken.reads -= reads;
            taken.change(&self.caller, |held| {
                held.shared -= 1;
                held.reads -= reads;
            });
        }
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(room: &Room, caller: &str, kind: Effect, count: usize) -> Vec<Place> {
        let name: Arc<str> = caller.into();
        (0..count)
            .map_while(|_| room.take(&name, kind).ok())
            .collect()
    }

    fn refused(room: &Room, caller: &str, kind: Effect) -> Refusal {
        room.take(&caller.into(), kind).unwrap_err()
    }

    #[test]
    fn reads_leave_room_for_orders_and_a_caller_for_the_others() {
        let room = Room::new(256, true);
        let callers = ["a", "b", "c", "d"];
        let reads = callers.map(|caller| take(&room, caller, Effect::Read, 280));
        assert_eq!(reads.each_ref().map(Vec::len), [96, 48, 24, 12]);
        let (bound, limit) = (Bound::Caller, 96);
        assert_eq!(
            refused(&room, "a", Effect::Read),
            Refusal::AtCapacity { bound, limit }
        );
        let changes = callers.map(|caller| take(&room, caller, Effect::Change, 280));
        assert_eq!(changes.each_ref().map(Vec::len), [0, 14, 19, 16]);
        assert_eq!(take(&room, "e", Effect::Read, 280).len(), 6);
        drop((reads, changes));
        let lone = take(&room, "e", Effect::Change, 280);
        assert_eq!(lone.len(), 128);
        drop(lone);
        assert_eq!(lock(&room.taken).all, 0);
        assert!(lock(&room.taken).by_caller.is_empty());
    }

    #[test]
    fn each_caller_has_places_for_cancellations_that_nobody_else_can_take() {
        let room = Room::new(4, true);
        let full = ["a", "b", "c"].map(|caller| take(&room, caller, Effect::Change, 999));
        assert_eq!(full.each_ref().map(Vec::len), [2, 1, 1]);
        let cancels = ["a", "b", "c", "d"].map(|caller| take(&room, caller, Effect::Cancel, 999));
        assert_eq!(cancels.each_ref().map(Vec::len), [8, 8, 8, 8]);
        let (bound, limit) = (Bound::All, 4);
        assert_eq!(
            refused(&room, "d", Effect::Cancel),
            Refusal::AtCapacity { bound, limit }
        );
        drop(full);
        assert_eq!(take(&room, "a", Effect::Cancel, 999).len(), 2);
        drop(cancels);
        assert_eq!(take(&room, "a", Effect::Cancel, 999).len(), 10);
        assert_eq!(lock(&room.taken).all, 0);
        assert!(lock(&room.taken).by_caller.is_empty());
    }

    #[test]
    fn the_smallest_room_serves_one_call_of_each_kind_and_a_lone_caller_has_it_all() {
        for kind in [Effect::Read, Effect::Change] {
            assert_eq!(take(&Room::new(1, true), "a", kind, 9).len(), 1);
        }
        let room = Room::new(8, false);
        assert_eq!(take(&room, "a", Effect::Change, 99).len(), 8);
    }
}
