//! Wrong tokens slow down where they come from, on the status page only.
//!
//! Guarantees: after three wrong tokens each further one closes the page to its source for 1, 2, 4 … 30 seconds, and a
//! try within that time is answered at once, compared with nothing and does not prolong it; other sources are not
//! touched; memory is bounded, and a table full of attackers forgets the one that would be free first, so that it never
//! shuts out somebody new. Does not: hold a connection, or know of any other endpoint.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::per_peer::{PerPeer, lock};
use gateway::access::Peer;

/// Slips that cost nothing.
const FREE: u32 = 3;
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(30);
/// A source that was quiet for so long starts over.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// The sources that showed wrong tokens.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<PerPeer<Tries>>);

#[derive(Clone, Copy, Debug)]
struct Tries {
    wrong: u32,
    until: Instant,
}

impl Throttle {
    /// Whether this source may try now; else how long it has to wait.
    pub(super) fn check(&self, source: &Peer, now: Instant) -> Result<(), Duration> {
        match lock(&self.0).get(source) {
            Some(tries) if tries.until > now => Err(tries.until - now),
            Some(_) | None => Ok(()),
        }
    }

    /// One more wrong token.
    pub(super) fn failed(&self, source: &Peer, now: Instant) {
        let mut tries = lock(&self.0);
        if !tries.has_room_for(source) {
            tries.retain(|tries| now < tries.until + FORGOTTEN);
        }
        if !tries.has_room_for(source) {
            tries.remove_least(|tries| tries.until);
        }
        let entry = tries.entry(source, || Tries {
            wrong: 0,
            until: now,
        });
        if now >= entry.until + FORGOTTEN {
            entry.wrong = 0;
        }
        entry.wrong = entry.wrong.saturating_add(1);
        entry.until = now + wait_after(entry.wrong);
    }

    /// The right token: what was wrong before is forgotten.
    pub(super) fn release(&self, source: &Peer) {
        lock(&self.0).remove(source);
    }
}

fn wait_after(wrong: u32) -> Duration {
    match wrong.checked_sub(FREE) {
        None | Some(0) => Duration::ZERO,
        Some(over) => Duration::from_secs(1 << (over - 1).min(5)).min(LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::per_peer::MAX_SOURCES;

    fn ip(text: &str) -> Peer {
        Peer::Ip(text.parse().unwrap())
    }

    #[test]
    fn waits_double_from_the_fourth_wrong_token_on_and_end_at_30_s() {
        let (throttle, mut now) = (Throttle::default(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..12 {
            throttle.failed(&ip("203.0.113.7"), now);
            let wait = throttle
                .check(&ip("203.0.113.7"), now)
                .err()
                .unwrap_or_default();
            waits.push(wait.as_secs());
            now += wait;
            assert_eq!(throttle.check(&ip("203.0.113.7"), now), Ok(()));
        }
        assert_eq!(waits, [0, 0, 0, 1, 2, 4, 8, 16, 30, 30, 30, 30]);
        throttle.failed(&ip("203.0.113.7"), now + FORGOTTEN + LONGEST);
        assert_eq!(
            throttle.check(&ip("203.0.113.7"), now + FORGOTTEN + LONGEST),
            Ok(())
        );
    }

    #[test]
    fn a_source_waits_alone_and_the_right_token_ends_it() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        (0..6).for_each(|_| throttle.failed(&ip("203.0.113.7"), now));
        assert!(throttle.check(&ip("203.0.113.7"), now).is_err());
        assert!(throttle.check(&ip("::ffff:203.0.113.7"), now).is_err());
        assert_eq!(
            (
                throttle.check(&ip("203.0.113.8"), now),
                throttle.check(&Peer::Unix { uid: None }, now)
            ),
            (Ok(()), Ok(()))
        );
        throttle.release(&ip("203.0.113.7"));
        assert_eq!(throttle.check(&ip("203.0.113.7"), now), Ok(()));
        (0..6).for_each(|_| throttle.failed(&ip("2001:db8::1"), now));
        assert!(throttle.check(&ip("2001:db8::ffff:1"), now).is_err());
        assert_eq!(throttle.check(&ip("2001:db8:0:1::1"), now), Ok(()));
        (1..7).for_each(|last| throttle.failed(&ip(&format!("127.0.0.{last}")), now));
        assert!(throttle.check(&ip("127.0.0.99"), now).is_err());
    }

    #[test]
    fn a_table_full_of_attackers_stays_bounded_and_shuts_out_nobody_new() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for number in 0..3000_u32 {
            let source = Peer::Ip(Ipv4Addr::from_bits(number).into());
            (0..5)
                .for_each(|_| throttle.failed(&source, now + Duration::from_millis(number.into())));
        }
        assert_eq!(throttle.0.lock().unwrap().values().count(), MAX_SOURCES);
        assert_eq!(throttle.check(&ip("203.0.113.9"), now), Ok(()));
        throttle.failed(&ip("203.0.113.9"), now);
        assert_eq!(
            (
                throttle.check(&ip("203.0.113.9"), now),
                throttle.0.lock().unwrap().values().count()
            ),
            (Ok(()), MAX_SOURCES)
        );
    }
}
