//! What is known from outside a call: our address, the clock's skew, whether the exchange can be reached.
//!
//! Guarantees: reading is cheap and never waits. `diagnosis` fills the cells; the gateway and the endpoints read them. Does
//! not: measure anything itself beyond what an answer already carries, or refuse a call.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;

use crate::clock::uptime_ms;

/// Attempts in a row that must fail before the exchange counts as unreachable.
const UNREACHABLE_AFTER: u32 = 3;

/// The addresses that the operator says are on the key's whitelist (`CRYPTO_EXPECTED_IP`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Expected {
    /// The operator says nothing.
    #[default]
    Unstated,
    /// The operator says that the key is open to any address.
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

    /// Notes that the exchange was reached by something that was no call: earlier failures no longer count.
    pub fn note_reached(&self) {
        self.failed_attempts.store(0, Ordering::Relaxed);
    }

    /// Whether the last attempts all failed to reach the exchange.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        self.failed_attempts.load(Ordering::Relaxed) >= UNREACHABLE_AFTER
    }
}

/// Bounds older than this are not narrowed further, and an estimate older than this is none.
const MAX_AGE: Duration = Duration::from_secs(600);
/// `Date` has whole seconds.
const DATE_STEP_MS: i64 = 1000;
/// From this skew on, in milliseconds, it is worth a warning; the exchange's window is ±60 s.
const WARN_FROM_MS: u64 = 5000;

/// How far the exchange's clock is ahead of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSkew {
    /// The exchange's clock minus ours, in milliseconds; positive means that ours is behind.
    pub offset_ms: i64,
    /// Half the width of what is possible, in milliseconds.
    pub uncertainty_ms: u64,
}

impl ClockSkew {
    /// Whether it is certainly large enough to warn of.
    #[must_use]
    pub const fn is_large(self) -> bool {
        self.offset_ms.unsigned_abs() >= WARN_FROM_MS + self.uncertainty_ms
    }

    /// In words, for a report.
    #[must_use]
    pub fn describe(self) -> String {
        let (off, uncertainty) = (self.offset_ms.unsigned_abs(), self.uncertainty_ms);
        let side = if self.offset_ms < 0 {
            "ahead of"
        } else {
            "behind"
        };
        format!(
            "this host's clock is {off} ms {side} the exchange's (accurate to {uncertainty} ms)"
        )
    }
}

impl fmt::Display for ClockSkew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+}±{}", self.offset_ms, self.uncertainty_ms)
    }
}

/// Our clock against the exchange's, from the `Date` of its answers.
///
/// Each answer bounds the offset: its `Date` is a second in which the exchange's clock stood while the call was under way.
/// The intersection of several such bounds is narrow after a few calls. An estimate needs two answers that agree. Bounds
/// that contradict each other (a clock stepped) start over from the newest. An estimate is forgotten ten minutes after the
/// last answer.
#[derive(Debug, Default)]
pub struct ClockSkewWindow(Mutex<Bounds>);

#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    low: i64,
    high: i64,
    answers: u32,
    since: Option<Instant>,
    latest: Option<Instant>,
    /// Our clock less the machine's uptime, as of the latest answer, in milliseconds: it changes where somebody puts the
    /// clock right or wrong.
    base: i64,
}

impl ClockSkewWindow {
    /// Notes an answer: the exchange's `Date` in milliseconds, and our clock when the call was sent and answered.
    pub fn note(&self, date_ms: u64, sent_ms: u64, answered_ms: u64) {
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let low = signed(date_ms).saturating_sub(signed(answered_ms));
        let high = signed(date_ms)
            .saturating_add(DATE_STEP_MS)
            .saturating_sub(signed(sent_ms));
        if low > high {
            return; // our clock stepped back during the call
        }
        let mut bounds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let base = base(answered_ms);
        let agrees = bounds.answers > 0 && low <= bounds.high && bounds.low <= high;
        *bounds = if agrees && is_recent(bounds.since, now) {
            let answers = bounds.answers.saturating_add(1);
            let (low, high) = (low.max(bounds.low), high.min(bounds.high));
            Bounds {
                low,
                high,
                answers,
                latest: Some(now),
                base,
                ..*bounds
            }
        } else {
            // What is old no longer narrows, but where it agrees it is still a second voice.
            Bounds {
                low,
                high,
                answers: if agrees { 2 } else { 1 },
                since: Some(now),
                latest: Some(now),
                base,
            }
        };
    }

    /// How far our clock, which says this, is from the exchange's at most, in milliseconds. What it jumped by since the latest
    /// answer is part of it. `None` as for the estimate.
    pub(crate) fn most_ms(&self, clock_ms: u64) -> Option<u64> {
        let bounds = self.bounds();
        let skew = bounds.estimate()?;
        let jumped = base(clock_ms).saturating_sub(bounds.base);
        let offset = skew.offset_ms.saturating_sub(jumped);
        let most = skew.offset_ms.unsigned_abs().max(offset.unsigned_abs());
        Some(most.saturating_add(skew.uncertainty_ms))
    }

    fn bounds(&self) -> Bounds {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The estimate, where at least two answers agree.
    #[must_use]
    pub fn estimate(&self) -> Option<ClockSkew> {
        self.bounds().estimate()
    }
}

impl Bounds {
    fn estimate(&self) -> Option<ClockSkew> {
        if self.answers < 2 || !is_recent(self.latest, Instant::now()) {
            return None;
        }
        Some(ClockSkew {
            offset_ms: self.low.midpoint(self.high),
            uncertainty_ms: self.low.abs_diff(self.high).div_ceil(2),
        })
    }
}

fn base(clock_ms: u64) -> i64 {
    let signed = |value| i64::try_from(value).unwrap_or(i64::MAX);
    signed(clock_ms).saturating_sub(signed(uptime_ms()))
}

fn is_recent(then: Option<Instant>, now: Instant) -> bool {
    then.is_some_and(|then| now.saturating_duration_since(then) <= MAX_AGE)
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
        observed.note_reached();
        assert!(!observed.is_unreachable());
        (0..3).for_each(|_| observed.note_attempt(false));
        assert!(observed.is_unreachable());
        observed.note_attempt(true);
        assert!(!observed.is_unreachable());
    }

    #[test]
    fn one_answer_is_no_estimate_and_two_narrow_it() {
        let window = ClockSkewWindow::default();
        window.note(100_000, 100_400, 100_420);
        assert_eq!(window.estimate(), None);
        // 600 ms later the same second still shows: our clock is at least 20 ms ahead.
        window.note(100_000, 101_000, 101_020);
        assert_eq!(
            window.estimate(),
            Some(ClockSkew {
                offset_ms: -210,
                uncertainty_ms: 210
            })
        );
    }

    #[test]
    fn a_step_of_the_clock_starts_over() {
        let window = ClockSkewWindow::default();
        window.note(100_000, 100_400, 100_420);
        window.note(101_000, 101_400, 101_420);
        window.note(102_000, 192_000, 192_020);
        assert_eq!(window.estimate(), None);
        window.note(103_000, 193_500, 193_520);
        let skew = window.estimate().unwrap();
        assert!(
            skew.is_large() && (-90_100..=-89_400).contains(&skew.offset_ms),
            "{skew}"
        );
    }

    #[test]
    fn small_or_uncertain_skew_is_not_worth_a_warning() {
        assert!(
            !ClockSkew {
                offset_ms: 5200,
                uncertainty_ms: 300
            }
            .is_large()
        );
        assert!(
            ClockSkew {
                offset_ms: -5300,
                uncertainty_ms: 300
            }
            .is_large()
        );
    }
}
