//! The room for calls under way, and who may take how much of it.
//!
//! Guarantees: reads leave room for what changes something, one caller leaves room for the others, and cancellations have
//! some places that nothing else can take. A place is given back however its call ends. Does not: queue; there is a place
//! or there is none.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::failure::{Bound, Refusal};
use protocol::call::Effect;

/// Places beyond the limit that cancellations alone can take: getting out must be possible when nothing else is.
pub(crate) const FOR_CANCELS: usize = 16;
/// Of these for one caller.
const FOR_CANCELS_OF_ONE: usize = FOR_CANCELS / 2;

/// The places.
#[derive(Debug)]
pub(super) struct Room {
    limit: usize,
    reads: usize,
    of_one: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    reads: usize,
    by_caller: HashMap<Arc<str>, usize>,
}

/// A place in the room, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    kind: Effect,
    caller: Arc<str>,
    taken: Arc<Mutex<Taken>>,
    /// How long its call may have waited before it could be read.
    pub(crate) waited: Option<Duration>,
}

impl Room {
    /// Room for so many calls. A caller has half of it, or all of it where there are no `others`.
    pub(super) fn new(limit: usize, others: bool) -> Self {
        Self {
            limit,
            reads: (limit - limit / 4).max(1),
            of_one: if others { limit.div_ceil(2) } else { limit },
            taken: Arc::default(),
        }
    }

    /// A place for a call of this kind.
    pub(super) fn take(&self, caller: &Arc<str>, kind: Effect) -> Result<Place, Refusal> {
        let (of_all, of_one) = match kind {
            Effect::Cancel => (FOR_CANCELS, FOR_CANCELS_OF_ONE),
            Effect::Read | Effect::Change => (0, 0),
        };
        let mut taken = lock(&self.taken);
        let own = taken.by_caller.get(caller).copied().unwrap_or(0);
        let bounds = [
            (Bound::All, taken.all, self.limit + of_all),
            (Bound::Caller, own, self.of_one + of_one),
            (Bound::Reads, taken.reads, self.reads),
        ];
        let asked = if kind == Effect::Read { 3 } else { 2 };
        for (bound, under_way, limit) in bounds.into_iter().take(asked) {
            if under_way >= limit {
                return Err(Refusal::AtCapacity { bound, limit });
            }
        }
        taken.all += 1;
        taken.reads += usize::from(kind == Effect::Read);
        *taken.by_caller.entry(Arc::clone(caller)).or_default() += 1;
        Ok(Place {
            kind,
            caller: Arc::clone(caller),
            taken: Arc::clone(&self.taken),
            waited: None,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.all -= 1;
        taken.reads -= usize::from(self.kind == Effect::Read);
        if let Some(own) = taken.by_caller.get_mut(&self.caller) {
            *own -= 1;
            if *own == 0 {
                taken.by_caller.remove(&self.caller);
            }
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
        let a = take(&room, "a", Effect::Read, 280);
        assert_eq!(a.len(), 128);
        assert_eq!(
            refused(&room, "a", Effect::Change),
            Refusal::AtCapacity {
                bound: Bound::Caller,
                limit: 128
            }
        );
        let b = take(&room, "b", Effect::Read, 280);
        assert_eq!(b.len(), 64);
        assert_eq!(
            refused(&room, "c", Effect::Read),
            Refusal::AtCapacity {
                bound: Bound::Reads,
                limit: 192
            }
        );
        let orders = take(&room, "c", Effect::Change, 280);
        assert_eq!(orders.len(), 64);
        assert_eq!(
            refused(&room, "c", Effect::Change),
            Refusal::AtCapacity {
                bound: Bound::All,
                limit: 256
            }
        );
        drop((a, b, orders));
        assert_eq!(lock(&room.taken).all, 0);
        assert!(lock(&room.taken).by_caller.is_empty());
    }

    #[test]
    fn cancellations_have_places_of_their_own_and_nobody_has_them_all() {
        let room = Room::new(256, true);
        let full = [
            take(&room, "a", Effect::Change, 999),
            take(&room, "b", Effect::Change, 999),
        ];
        assert_eq!(full.each_ref().map(Vec::len), [128, 128]);
        let cancels = take(&room, "a", Effect::Cancel, 999);
        assert_eq!(cancels.len(), 8);
        assert_eq!(take(&room, "b", Effect::Cancel, 999).len(), 8);
        drop(full);
        assert_eq!(take(&room, "a", Effect::Cancel, 999).len(), 128);
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
