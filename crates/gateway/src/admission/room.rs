//! The room for calls under way and for their answers until they are read, and who may take how much of it.
//!
//! Guarantees: reads leave room for what changes something, one caller leaves room for the others, and each caller has some
//! places for cancellations that nothing else can take, and nobody else. A place is given back however its call ends.
//! Unread answers are judged before another call is sent; an answer that came is never thrown away. Does not: queue; there
//! is a place or there is none.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::failure::{Bound, Refusal};
use protocol::call::Effect;

/// Places of each caller beyond the limit, for cancellations: getting out must be possible when nothing else is. Callers are
/// those that an operator listed, so that their sum is bounded.
pub(crate) const OWN_FOR_CANCELS: usize = 8;

/// Bytes of answers that may wait to be read before another call of their kind is refused. What changes something and what
/// cancels have pots of their own, which no read can fill. The answers that are under way when a pot is full come on top.
const fn unread_budget(kind: Effect) -> usize {
    match kind {
        Effect::Read => 48 << 20,
        Effect::Change | Effect::Cancel => 16 << 20,
    }
}

/// All of them together.
pub(crate) const MOST_UNREAD: usize =
    unread_budget(Effect::Read) + unread_budget(Effect::Change) + unread_budget(Effect::Cancel);

/// An answer up to this length is not counted: there are as many as connections, and most calls cost nothing this way.
pub(crate) const SHORT: usize = 16 << 10;

/// The places.
#[derive(Debug)]
pub(super) struct Room {
    limit: usize,
    reads: usize,
    of_one: usize,
    /// What of the bytes is one caller's part: one half, or all.
    shares: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    reads: usize,
    unread: UnreadBytes,
    by_caller: HashMap<Arc<str>, OfCaller>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct OfCaller {
    /// Of the places that all share.
    shared: usize,
    /// Of its own for cancellations.
    own: usize,
    unread: UnreadBytes,
}

/// Bytes of answers that wait to be read, by what their calls do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct UnreadBytes {
    reads: usize,
    changes: usize,
    cancels: usize,
}

impl UnreadBytes {
    const fn of(&mut self, kind: Effect) -> &mut usize {
        match kind {
            Effect::Read => &mut self.reads,
            Effect::Change => &mut self.changes,
            Effect::Cancel => &mut self.cancels,
        }
    }
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
    kind: Effect,
    /// Whether it is one of its caller's own.
    is_own: bool,
    caller: Arc<str>,
    taken: Arc<Mutex<Taken>>,
    /// How long its call may have waited before it could be read.
    pub(crate) waited: Option<Duration>,
}

/// What an answer takes of the room until it was read, or nobody will read it any more.
#[derive(Debug)]
pub struct UnreadAnswer {
    kind: Effect,
    caller: Arc<str>,
    bytes: usize,
    taken: Arc<Mutex<Taken>>,
}

impl Room {
    /// Room for so many calls. A caller has half of it, or all of it where there are no `others`.
    pub(super) fn new(limit: usize, others: bool) -> Self {
        Self {
            limit,
            reads: (limit - limit / 4).max(1),
            of_one: if others { limit.div_ceil(2) } else { limit },
            shares: if others { 2 } else { 1 },
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
        self.has_read_enough(&taken, held, kind)?;
        let held = taken.by_caller.entry(Arc::clone(caller)).or_default();
        if is_own {
            held.own += 1;
        } else {
            held.shared += 1;
            taken.all += 1;
            taken.reads += usize::from(kind == Effect::Read);
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
        let bounds = [
            (Bound::All, taken.all, self.limit),
            (Bound::Caller, held.shared, self.of_one),
            (Bound::Reads, taken.reads, self.reads),
        ];
        let asked = if kind == Effect::Read { 3 } else { 2 };
        for (bound, under_way, limit) in bounds.into_iter().take(asked) {
            if under_way >= limit {
                return Err(Refusal::AtCapacity { bound, limit });
            }
        }
        Ok(())
    }

    /// Whether so few answers wait to be read that another one may come.
    fn has_read_enough(&self, taken: &Taken, held: OfCaller, kind: Effect) -> Result<(), Refusal> {
        let budget = unread_budget(kind);
        for (of_caller, mut unread, budget) in [
            (true, held.unread, budget / self.shares),
            (false, taken.unread, budget),
        ] {
            if *unread.of(kind) >= budget {
                let mib = budget >> 20;
                return Err(Refusal::Unread { of_caller, mib });
            }
        }
        Ok(())
    }
}

impl Place {
    /// Counts an answer of so many bytes until what is returned is dropped; a short one is not counted.
    pub(crate) fn answered(&self, bytes: usize) -> Option<UnreadAnswer> {
        if bytes <= SHORT {
            return None;
        }
        let mut taken = lock(&self.taken);
        *taken.unread.of(self.kind) += bytes;
        taken.change(&self.caller, |own| *own.unread.of(self.kind) += bytes);
        drop(taken);
        Some(UnreadAnswer {
            kind: self.kind,
            caller: Arc::clone(&self.caller),
            bytes,
            taken: Arc::clone(&self.taken),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if self.is_own {
            taken.change(&self.caller, |held| held.own -= 1);
        } else {
            taken.all -= 1;
            taken.reads -= usize::from(self.kind == Effect::Read);
            taken.change(&self.caller, |held| held.shared -= 1);
        }
    }
}

impl Drop for UnreadAnswer {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        *taken.unread.of(self.kind) -= self.bytes;
        taken.change(&self.caller, |own| *own.unread.of(self.kind) -= self.bytes);
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
    fn each_caller_has_places_for_cancellations_that_nobody_else_can_take() {
        let room = Room::new(256, true);
        let full = [
            take(&room, "a", Effect::Change, 999),
            take(&room, "b", Effect::Change, 999),
        ];
        assert_eq!(full.each_ref().map(Vec::len), [128, 128]);
        let cancels = ["a", "b", "c", "d"].map(|caller| take(&room, caller, Effect::Cancel, 999));
        assert_eq!(cancels.each_ref().map(Vec::len), [8, 8, 8, 8]);
        assert_eq!(
            refused(&room, "c", Effect::Cancel),
            Refusal::AtCapacity {
                bound: Bound::All,
                limit: 256
            }
        );
        drop(full);
        assert_eq!(take(&room, "a", Effect::Cancel, 999).len(), 128);
        drop(cancels);
        assert_eq!(take(&room, "a", Effect::Cancel, 999).len(), 136);
        assert_eq!(lock(&room.taken).all, 0);
        assert!(lock(&room.taken).by_caller.is_empty());
    }

    #[test]
    fn unread_answers_of_reads_keep_neither_changes_nor_other_callers_out() {
        const MIB: usize = 1 << 20;
        let room = Room::new(256, true);
        let fill = |caller: &str, kind| {
            let unread = std::iter::from_fn(|| room.take(&caller.into(), kind).ok()?.answered(MIB));
            unread.take(999).collect::<Vec<_>>()
        };
        let unread = |of_caller, mib| Refusal::Unread { of_caller, mib };
        let a = fill("a", Effect::Read);
        assert_eq!(
            (a.len(), refused(&room, "a", Effect::Read)),
            (24, unread(true, 24))
        );
        let b = fill("b", Effect::Read);
        assert_eq!(
            (b.len(), refused(&room, "c", Effect::Read)),
            (24, unread(false, 48))
        );
        for kind in [Effect::Change, Effect::Cancel] {
            let own = fill("a", kind);
            assert_eq!((own.len(), refused(&room, "a", kind)), (8, unread(true, 8)));
            assert_eq!(fill("b", kind).len(), 8);
        }
        assert!(
            take(&room, "a", Effect::Change, 1)[0]
                .answered(SHORT)
                .is_none()
        );
        drop(a);
        assert_eq!(fill("c", Effect::Read).len(), 24);
        drop(b);
        assert_eq!(lock(&room.taken).unread, UnreadBytes::default());
        assert!(lock(&room.taken).by_caller.is_empty());
        let lone = Room::new(256, false);
        let all = std::iter::from_fn(|| lone.take(&"a".into(), Effect::Read).ok()?.answered(MIB));
        assert_eq!(all.take(999).collect::<Vec<_>>().len(), 48);
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
