//! Bytes of answers that wait for somebody whom nobody knows to read them.
//!
//! Guarantees: answers to strangers hold a bounded number of bytes, from the moment in which they are read from the
//! exchange until the connection took the last byte or ended; one source has half of them at most. Where there is no
//! room, or there are more sources than can be told apart, the call is refused, nothing is queued. The bytes themselves
//! own their part of the budget, so that it ends with them.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::per_peer::{PerPeer, lock};
use gateway::{access::Peer, upstream::AnswerRoom};

/// What all strangers' answers may hold: eight of the longest, a small part of the unit's `MemoryMax`.
pub(crate) const FOR_STRANGERS: usize = 32 << 20;
/// Of these for one source.
const FOR_ONE_SOURCE: usize = FOR_STRANGERS / 2;
/// What each call takes before it is sent; most answers are shorter.
const LEAST: usize = 16 << 10;

/// The budget.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_source: PerPeer<usize>,
}

/// The part of one answer, until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    waiting: Arc<Waiting>,
    source: Peer,
    bytes: usize,
    was_refused: bool,
}

struct Owned<H> {
    bytes: Bytes,
    _held: H,
}

/// Bytes that keep what they hold until the last of them is dropped.
pub(super) fn own<H: Send + 'static>(bytes: Bytes, held: H) -> Bytes {
    Bytes::from_owner(Owned { bytes, _held: held })
}

impl Waiting {
    /// Room for an answer that is short, if there is any.
    pub(super) fn hold(self: &Arc<Self>, source: &Peer) -> Option<Held> {
        let mut held = Held {
            waiting: Arc::clone(self),
            source: source.clone(),
            bytes: 0,
            was_refused: false,
        };
        held.hold(LEAST).then_some(held)
    }
}

impl AnswerRoom for Held {
    async fn reach(&mut self, bytes: usize, _longest: usize) -> bool {
        self.hold(bytes)
    }
}

impl Held {
    /// Room for an answer of so many bytes in all; whether there is.
    fn hold(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        if more == 0 {
            return true;
        }
        let mut taken = lock(&self.waiting.0);
        let of_source = taken.by_source.get(&self.source).copied().unwrap_or(0);
        let is_told_apart = taken.by_source.has_room_for(&self.source);
        if !is_told_apart || taken.all + more > FOR_STRANGERS || of_source + more > FOR_ONE_SOURCE {
            self.was_refused = true;
            return false;
        }
        taken.all += more;
        *taken.by_source.entry(&self.source, || 0) += more;
        self.bytes = bytes;
        true
    }

    /// Whether there was no room for the answer.
    pub(super) const fn was_refused(&self) -> bool {
        self.was_refused
    }

    /// The bytes of the answer, which hold the room from now on.
    pub(super) fn own(self, bytes: Bytes) -> Bytes {
        own(bytes, self)
    }
}

impl<H> AsRef<[u8]> for Owned<H> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut taken = lock(&self.waiting.0);
        taken.all -= self.bytes;
        let left = taken.by_source.entry(&self.source, || 0);
        *left = left.saturating_sub(self.bytes);
        if *left == 0 {
            taken.by_source.remove(&self.source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Peer {
        Peer::Ip(text.parse().unwrap())
    }

    #[test]
    fn answers_hold_their_bytes_until_the_last_reference_is_dropped() {
        let waiting = Arc::new(Waiting::default());
        let mut held = waiting.hold(&ip("127.0.0.1")).unwrap();
        assert!(held.hold(1 << 20) && held.hold(1 << 10));
        let bytes = held.own(Bytes::from(vec![7; 1 << 20]));
        let part = bytes.slice(10..20);
        drop(bytes);
        assert_eq!((lock(&waiting.0).all, &part[..]), (1 << 20, &[7; 10][..]));
        drop(part);
        assert_eq!(lock(&waiting.0).all, 0);
        assert_eq!(lock(&waiting.0).by_source.values().count(), 0);
    }

    #[test]
    fn one_source_gets_half_and_all_together_no_more_than_there_is() {
        let waiting = Arc::new(Waiting::default());
        let mut held = Vec::new();
        let mut fill = |source: &str| {
            let before = held.len();
            while let Some(mut one) = waiting.hold(&ip(source)) {
                if !one.hold(4 << 20) {
                    assert!(one.was_refused());
                    break;
                }
                held.push(one);
            }
            held.len() - before
        };
        // Every loopback address is the same source.
        let counts = [
            fill("127.0.0.1"),
            fill("127.0.0.2"),
            fill("192.0.2.1"),
            fill("192.0.2.2"),
        ];
        assert_eq!(counts, [4, 0, 4, 0]);
        assert_eq!(lock(&waiting.0).all, FOR_STRANGERS);
        drop(held);
        assert_eq!(lock(&waiting.0).all, 0);
    }
    #[test]
    fn a_source_that_finds_the_table_full_is_refused_and_leaves_nothing_behind() {
        let waiting = Arc::new(Waiting::default());
        let held: Vec<_> = (1..=1024_u32)
            .map(|source| waiting.hold(&Peer::Ip(std::net::Ipv4Addr::from_bits(source).into())))
            .collect();
        assert!(held.iter().all(Option::is_some));
        let late = ip("192.0.2.1");
        assert!(waiting.hold(&late).is_none());
        drop(held);
        let mut last = waiting.hold(&late).unwrap();
        assert!(last.hold(FOR_ONE_SOURCE) && waiting.hold(&late).is_none());
        drop(last);
        let taken = lock(&waiting.0);
        assert_eq!((taken.all, taken.by_source.values().count()), (0, 0));
    }
}
