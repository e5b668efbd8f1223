//! The rate limit of public calls for each source.
//!
//! Guarantees: so many in a second, and one second's worth at once; bounded memory: beyond 1,024 sources that are
//! spending, the rest share one limit. IPv6 sources are told apart by their /64, which is one customer's.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use gateway::access::Peer;

/// Sources that are told apart at once.
const MAX_SOURCES: usize = 1024;
/// The bits of an IPv6 address that name a customer.
const CUSTOMER: u128 = !(u64::MAX as u128);

/// The rate_limit.
#[derive(Debug)]
pub(super) struct RateLimit {
    per_s: u32,
    spent: Mutex<HashMap<Option<Payer>, Bucket>>,
}

/// Whose limit it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Payer {
    Address(IpAddr),
    Unix,
}

/// When the next call would be due if calls came evenly.
#[derive(Clone, Copy, Debug)]
struct Bucket(Instant);

impl RateLimit {
    pub(super) fn new(per_s: usize) -> Self {
        Self {
            per_s: u32::try_from(per_s).unwrap_or(u32::MAX).max(1),
            spent: Mutex::default(),
        }
    }

    /// Spends one call, if there is one left.
    pub(super) fn spend(&self, source: &Peer, now: Instant) -> bool {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut payer = Some(payer(source));
        if spent.len() >= MAX_SOURCES && !spent.contains_key(&payer) {
            spent.retain(|_, bucket| bucket.0 > now);
            payer = payer.filter(|_| spent.len() < MAX_SOURCES);
        }
        let bucket = spent.entry(payer).or_insert(Bucket(now));
        let due = bucket.0.max(now);
        if due.saturating_duration_since(now)
            > Duration::from_secs(1).saturating_sub(self.interval())
        {
            return false;
        }
        bucket.0 = due + self.interval();
        true
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(1) / self.per_s
    }
}

fn payer(source: &Peer) -> Payer {
    match source {
        Peer::Unix { .. } => Payer::Unix,
        Peer::Ip(address) => Payer::Address(match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & CUSTOMER).into(),
            address @ IpAddr::V4(_) => address,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(number: u32) -> Peer {
        Peer::Ip(std::net::Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn a_source_may_make_a_seconds_worth_at_once_and_then_as_many_as_time_passes() {
        let (rate_limit, now) = (RateLimit::new(10), Instant::now());
        let spend = |source: &Peer, after_ms| {
            rate_limit.spend(source, now + Duration::from_millis(after_ms))
        };
        assert_eq!((0..20).filter(|_| spend(&source(1), 0)).count(), 10);
        assert!(!spend(&source(1), 99) && spend(&source(1), 100) && !spend(&source(1), 100));
        assert!(spend(&source(2), 0), "another source has its own");
        assert_eq!((0..20).filter(|_| spend(&source(1), 5000)).count(), 10);
    }

    #[test]
    fn memory_is_bounded_and_further_sources_share_one_budget() {
        let (rate_limit, now) = (RateLimit::new(10), Instant::now());
        let taken = (0..5000)
            .filter(|number| rate_limit.spend(&source(*number), now))
            .count();
        assert_eq!(taken, MAX_SOURCES + 10);
        assert!(rate_limit.spent.lock().unwrap().len() <= MAX_SOURCES + 1);
        assert!(rate_limit.spend(&source(4999), now + Duration::from_secs(1)));
    }

    #[test]
    fn neighbours_of_one_ipv6_network_share_a_budget() {
        let (rate_limit, now) = (RateLimit::new(1), Instant::now());
        let spend = |address: &str| rate_limit.spend(&Peer::Ip(address.parse().unwrap()), now);
        assert!(spend("2001:db8::1") && !spend("2001:db8::2") && spend("2001:db8:0:1::1"));
        assert!(spend("192.0.2.1") && !spend("::ffff:192.0.2.1"));
    }
}
