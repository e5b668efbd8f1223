//! Slots for reading the bodies of requests whose sender is not known yet.
//!
//! Guarantees: a bounded number at once, and half of them at most for one source, so that a flood of slow bodies holds
//! bounded memory and leaves room for others. Does not: queue; without a slot the request is refused at once.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use gateway::access::Peer;

/// Bodies that are read at once.
const SLOTS: usize = 64;
/// Of these for one source.
const FOR_ONE_SOURCE: usize = SLOTS / 2;

/// The slots.
#[derive(Debug, Default)]
pub(super) struct Slots(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_source: HashMap<Peer, usize>,
}

/// A slot, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    slots: &'a Slots,
    source: &'a Peer,
}

impl Slots {
    /// A slot, if there is one for this source.
    pub(super) fn take<'a>(&'a self, source: &'a Peer) -> Option<Slot<'a>> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_source = taken.by_source.get(source).copied().unwrap_or(0);
        if taken.all >= SLOTS || of_source >= FOR_ONE_SOURCE {
            return None;
        }
        taken.all += 1;
        taken.by_source.insert(source.clone(), of_source + 1);
        Some(Slot {
            slots: self,
            source,
        })
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut taken = self.slots.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        let left = taken
            .by_source
            .get(self.source)
            .map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            taken.by_source.remove(self.source);
        } else {
            taken.by_source.insert(self.source.clone(), left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> Peer {
        Peer::Ip([192, 0, 2, last].into())
    }

    #[test]
    fn one_source_gets_half_and_all_together_no_more_than_there_are() {
        let (slots, sources) = (Slots::default(), [source(1), source(2), source(3)]);
        let mut held: Vec<_> = (0..FOR_ONE_SOURCE)
            .map(|_| slots.take(&sources[0]).unwrap())
            .collect();
        assert!(slots.take(&sources[0]).is_none());
        held.extend((0..FOR_ONE_SOURCE).map(|_| slots.take(&sources[1]).unwrap()));
        assert!(slots.take(&sources[2]).is_none());
        held.pop();
        assert!(slots.take(&sources[2]).is_some());
        drop(held);
        assert!(slots.0.lock().unwrap().by_source.is_empty());
    }
}
