//! What one source may take of this API, and of the market stream, before anybody is known, and what it took.
//!
//! Guarantees: public calls at so many in a second, and one second's worth at once; when the table of sources is full of
//! sources that are calling, the rest share one limit. Bodies of unknown senders are read in a bounded number of slots, and
//! they have a bounded number of market streams; half of either at most is one source's, so that a flood holds bounded
//! memory and leaves room for others. Without a slot a request is refused at once, nothing is queued. Public calls that were
//! relayed are counted, because they have no caller, and so no record: one line per source each time they are logged (every
//! 10 s by the daemon). What a source is, and how many are told apart: [`crate::per_peer`].

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::per_peer::{self, PerPeer, lock};
use gateway::access::Peer;

/// The rate limit of public calls for each source.
#[derive(Debug)]
pub(super) struct RateLimit {
    /// Between two calls that come evenly.
    interval: Duration,
    /// How many may come at once.
    burst: u32,
    /// When the next call of a source would be due if its calls came evenly.
    due: Mutex<PerPeer<Instant>>,
}

impl RateLimit {
    pub(super) fn new(per_s: usize) -> Self {
        let per_s = u32::try_from(per_s).unwrap_or(u32::MAX).max(1);
        Self::with_burst(per_s, per_s)
    }

    /// So many in a second, at least one, and so many at once.
    pub(super) fn with_burst(per_s: u32, burst: u32) -> Self {
        Self {
            interval: Duration::from_secs(1) / per_s.max(1),
            burst,
            due: Mutex::default(),
        }
    }

    /// Takes one call, if there is one left.
    pub(super) fn take(&self, source: &Peer, now: Instant) -> bool {
        let mut due = lock(&self.due);
        if !due.has_room_for(source) {
            due.retain(|due| *due > now);
        }
        let next = due.entry(source, || now);
        let late = (*next).max(now);
        if late - now > self.interval * self.burst.saturating_sub(1) {
            return false;
        }
        *next = late + self.interval;
        true
    }
}

/// Slots for what unknown senders may have so many times at once, and one source half of them.
#[derive(Debug)]
pub(super) struct Slots {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_source: PerPeer<usize>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(in crate::http) struct SourceSlot {
    slots: Arc<Slots>,
    source: Peer,
}

impl Slots {
    /// So many slots.
    pub(super) fn new(most: usize) -> Arc<Self> {
        let taken = Mutex::default();
        Arc::new(Self { most, taken })
    }

    /// A slot, if there is one for this source.
    pub(super) fn take(self: &Arc<Self>, source: &Peer) -> Option<SourceSlot> {
        let mut taken = lock(&self.taken);
        if taken.is_full_for(source, self.most) {
            return None;
        }
        taken.all += 1;
        *taken.by_source.entry(source, || 0) += 1;
        Some(SourceSlot {
            slots: Arc::clone(self),
            source: source.clone(),
        })
    }

    /// Whether there is none for this source at the moment.
    pub(super) fn are_full_for(&self, source: &Peer) -> bool {
        lock(&self.taken).is_full_for(source, self.most)
    }
}

impl Taken {
    fn is_full_for(&self, source: &Peer, most: usize) -> bool {
        let of_source = self.by_source.get(source).copied().unwrap_or(0);
        self.all >= most || of_source >= most.div_ceil(2)
    }
}

impl Drop for SourceSlot {
    fn drop(&mut self) {
        let mut taken = lock(&self.slots.taken);
        taken.all -= 1;
        let left = taken.by_source.entry(&self.source, || 1);
        *left -= 1;
        if *left == 0 {
            taken.by_source.remove(&self.source);
        }
    }
}

/// Public calls that were relayed in the current period.
#[derive(Debug, Default)]
pub(super) struct Usage(Mutex<PerPeer<Relayed>>);

#[derive(Debug, Default)]
struct Relayed {
    all: u64,
    failed: u64,
}

impl Usage {
    /// Counts one call.
    pub(super) fn count(&self, source: &Peer, failed: bool) {
        let mut counts = lock(&self.0);
        let relayed = counts.entry(source, Relayed::default);
        relayed.all += 1;
        relayed.failed += u64::from(failed);
    }

    /// Logs what was counted since the last time, and starts over.
    pub(super) fn log(&self) {
        let counts = std::mem::take(&mut *lock(&self.0));
        for (source, Relayed { all, failed }) in counts.into_values() {
            let from = per_peer::name(source.as_ref());
            tracing::info!("event=public count={all} failed={failed} from={from}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::per_peer::MAX_SOURCES;

    fn source(number: u32) -> Peer {
        Peer::Ip(std::net::Ipv4Addr::from_bits(number).into())
    }

    fn ip(text: &str) -> Peer {
        Peer::Ip(text.parse().unwrap())
    }

    #[test]
    fn a_source_may_make_a_seconds_worth_at_once_and_then_as_many_as_time_passes() {
        let (rate_limit, now) = (RateLimit::new(10), Instant::now());
        let take = |source: &Peer, after_ms| {
            rate_limit.take(source, now + Duration::from_millis(after_ms))
        };
        assert_eq!((0..20).filter(|_| take(&source(1), 0)).count(), 10);
        assert!(!take(&source(1), 99) && take(&source(1), 100) && !take(&source(1), 100));
        assert!(take(&source(2), 0), "another source has its own");
        assert_eq!((0..20).filter(|_| take(&source(1), 5000)).count(), 10);
    }

    #[test]
    fn memory_is_bounded_and_further_sources_share_one_limit() {
        let (rate_limit, now) = (RateLimit::new(10), Instant::now());
        let taken = (0..5000)
            .filter(|number| rate_limit.take(&source(*number), now))
            .count();
        assert_eq!(taken, MAX_SOURCES + 10);
        assert!(rate_limit.due.lock().unwrap().values().count() <= MAX_SOURCES + 1);
        assert!(rate_limit.take(&source(4999), now + Duration::from_secs(1)));
    }

    #[test]
    fn neighbours_share_a_rate_limit() {
        let (rate_limit, now) = (RateLimit::new(1), Instant::now());
        let take = |address: &str| rate_limit.take(&ip(address), now);
        assert!(take("2001:db8::1") && !take("2001:db8::2") && take("2001:db8:0:1::1"));
        assert!(take("192.0.2.1") && !take("::ffff:192.0.2.1"));
        let unix = |uid| rate_limit.take(&Peer::Unix { uid }, now);
        assert!(unix(Some(1)) && !unix(Some(2)) && !unix(None));
        assert!(take("127.0.0.1") && !take("127.9.9.9") && !take("::1"));
    }

    #[test]
    fn one_source_gets_half_and_all_together_no_more_than_there_are() {
        let (slots, sources) = (Slots::new(64), [source(1), source(2), source(3)]);
        let mut held: Vec<_> = (0..32).map(|_| slots.take(&sources[0]).unwrap()).collect();
        assert!(slots.take(&sources[0]).is_none());
        assert!(slots.are_full_for(&sources[0]) && !slots.are_full_for(&sources[1]));
        held.extend((0..32).map(|_| slots.take(&sources[1]).unwrap()));
        assert!(slots.take(&sources[2]).is_none());
        held.pop();
        assert!(slots.take(&sources[2]).is_some());
        drop(held);
        assert_eq!(lock(&slots.taken).by_source.values().count(), 0);
        let (one, none) = (Slots::new(1), Slots::new(0));
        assert!(one.take(&sources[0]).is_some() && none.take(&sources[0]).is_none());
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_share_their_half() {
        let slots = Slots::new(64);
        let sources: Vec<_> = (1..=64)
            .map(|last| ip(&format!("2001:db8::{last:x}")))
            .collect();
        let held: Vec<_> = sources
            .iter()
            .filter_map(|source| slots.take(source))
            .collect();
        assert_eq!(held.len(), 32);
        assert!(slots.take(&ip("2001:db8:0:1::1")).is_some());
        drop(held);
        assert_eq!(lock(&slots.taken).by_source.values().count(), 0);
    }
}
