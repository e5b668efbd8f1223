//! How long a confirmed address is believed.
//!
//! Guarantees: an address that nobody confirmed lately is nobody's evidence, neither of a call that failed nor of one
//! that was accepted. Does not: measure.

use std::time::{Duration, Instant};

use gateway::{observed::Outbound, record::CallReport};

/// Two of the watch's usual intervals. Where the operator made the interval longer, the address is called unknown in
/// between; the measurement that each refusal asks for then corrects the hint.
const HOLDS: Duration = Duration::from_secs(600);

/// The address that a call left from, unless it was confirmed so long before `now` that it may have moved unnoticed.
pub(super) fn outbound(report: &CallReport, now: Instant) -> Option<&Outbound> {
    report
        .outbound
        .as_ref()
        .filter(|seen| age(seen, now) <= HOLDS)
}

/// Time since an address was confirmed.
pub(super) fn age(seen: &Outbound, now: Instant) -> Duration {
    now.saturating_duration_since(seen.seen)
}
