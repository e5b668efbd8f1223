//! The stand-in's clock: ours, moved by a settable offset.
//!
//! Guarantees: every time the stand-in tells or checks comes from here, and always fits an HTTP date.
//! Does not: measure intervals; rate limits and delays run on the monotonic clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last moment that an HTTP date can name: the end of the year 9999.
const LAST_MS: i64 = 253_402_300_799_000;

/// Milliseconds since 1970, as the stand-in sees them.
#[expect(
    clippy::disallowed_methods,
    reason = "a clock of its own: the stand-in shares none with the code under test"
)]
pub(super) fn now_ms(offset_ms: i64) -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis())
        .unwrap_or(LAST_MS)
        .saturating_add(offset_ms)
        .clamp(0, LAST_MS)
}

/// A moment as the `Date` header shows it.
pub(super) fn http_date(now_ms: i64) -> String {
    let since = Duration::from_millis(u64::try_from(now_ms.clamp(0, LAST_MS)).unwrap_or_default());
    httpdate::fmt_http_date(UNIX_EPOCH + since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_offset_leaves_the_range_of_http_dates() {
        assert_eq!(http_date(now_ms(i64::MIN)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date(now_ms(i64::MAX)), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
