//! What is known from outside a call: our address, the clock's skew, whether the exchange can be reached.
//!
//! Guarantees: reading is cheap and never waits; rooms to the right fill the cells, the gateway and the doors read
//! them. Does not: measure anything itself beyond what an answer already carries, or refuse a call.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;

mod clock_skew;

pub use clock_skew::{ClockSkew, ClockSkewWindow};

/// Attempts in a row that must fail before the exchange counts as unreachable.
const UNREACHABLE_AFTER: u32 = 3;

/// The addresses that the operator says are on the key's whitelist (`CRYPTO_EXPECTED_IP`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Expected {
    /// Nothing was said.
    #[default]
    Unstated,
    /// The key is said to be open to any address.
    Any,
    /// These addresses.
    Listed(Vec<IpAddr>),
}

/// The address that the exchange sees us from, as far as several services agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbound {
    /// The address.
    pub address: IpAddr,
    /// When it was last confirmed.
    pub seen: Instant,
}

impl Outbound {
    /// Time since it was last confirmed.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.seen.elapsed()
    }
}

/// The cells.
#[derive(Debug, Default)]
pub struct Observed {
    outbound: ArcSwapOption<Outbound>,
    expected: Expected,
    skew: ClockSkewWindow,
    failed_attempts: AtomicU32,
}

impl Observed {
    /// Empty cells, with the operator's statement about the whitelist.
    #[must_use]
    pub fn new(expected: Expected) -> Self {
        Self {
            expected,
            ..Self::default()
        }
    }

    /// The address as last confirmed.
    #[must_use]
    pub fn outbound(&self) -> Option<Outbound> {
        self.outbound.load().as_deref().cloned()
    }

    /// Notes a confirmed address; returns the one before if it was another.
    pub fn note_outbound(&self, address: IpAddr) -> Option<IpAddr> {
        let before = self.outbound.swap(Some(
            Outbound {
                address,
                seen: Instant::now(),
            }
            .into(),
        ));
        before
            .map(|before| before.address)
            .filter(|before| *before != address)
    }

    /// The operator's statement about the whitelist.
    #[must_use]
    pub const fn expected(&self) -> &Expected {
        &self.expected
    }

    /// The confirmed address, where it is not among those the operator expects.
    #[must_use]
    pub fn drift(&self) -> Option<IpAddr> {
        let Expected::Listed(listed) = &self.expected else {
            return None;
        };
        self.outbound()
            .map(|seen| seen.address)
            .filter(|address| !listed.contains(address))
    }

    /// Our clock against the exchange's.
    #[must_use]
    pub const fn skew(&self) -> &ClockSkewWindow {
        &self.skew
    }

    /// Notes whether an attempt reached the exchange.
    pub fn note_attempt(&self, reached: bool) {
        if reached {
            self.failed_attempts.store(0, Ordering::Relaxed);
        } else {
            self.failed_attempts.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether the last attempts all failed to reach the exchange.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        self.failed_attempts.load(Ordering::Relaxed) >= UNREACHABLE_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn drift_needs_a_statement_and_a_confirmed_address() {
        assert_eq!(Observed::new(Expected::Unstated).drift(), None);
        let observed = Observed::new(Expected::Listed(vec![ip("203.0.113.7")]));
        assert_eq!(observed.drift(), None);
        assert_eq!(observed.note_outbound(ip("203.0.113.7")), None);
        assert_eq!(observed.drift(), None);
        assert_eq!(
            observed.note_outbound(ip("198.51.100.4")),
            Some(ip("203.0.113.7"))
        );
        assert_eq!(observed.drift(), Some(ip("198.51.100.4")));
        assert_eq!(observed.note_outbound(ip("198.51.100.4")), None);
    }

    #[test]
    fn three_failures_in_a_row_mean_unreachable_and_one_success_ends_it() {
        let observed = Observed::default();
        (0..2).for_each(|_| observed.note_attempt(false));
        assert!(!observed.is_unreachable());
        observed.note_attempt(false);
        assert!(observed.is_unreachable());
        observed.note_attempt(true);
        assert!(!observed.is_unreachable());
    }
}
