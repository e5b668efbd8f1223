//! Times as an operator writes them: an end, or how long.

use anyhow::{Context, bail};
use jiff::{Timestamp, civil::Date, tz::TimeZone};

use crate::callers;

/// So long, in milliseconds.
pub(super) fn duration(text: &str) -> anyhow::Result<u64> {
    let units = [
        ('s', 1000),
        ('m', 60_000),
        ('h', 3_600_000),
        ('d', 86_400_000),
    ];
    let found = units.into_iter().find_map(|(unit, ms)| {
        text.strip_suffix(unit)?
            .parse::<u64>()
            .ok()?
            .checked_mul(ms)
    });
    found.with_context(|| format!("{text} is no time to wait: write 90s, 30m, 12h or 7d"))
}

/// A moment to come, as the callers file has it: RFC 3339, a day (its beginning in UTC), or so long from now.
pub(super) fn end(text: &str, now_ms: u64) -> anyhow::Result<String> {
    let forms = || {
        format!(
            "{text} is no time: write 2026-01-31T22:10:00Z, 2026-01-31, or so long from now: 12h, 90d"
        )
    };
    let of_day = |day: Date| {
        day.to_zoned(TimeZone::UTC)
            .ok()
            .map(|zoned| zoned.timestamp())
    };
    let at_ms = if let Ok(ms) = duration(text) {
        now_ms.checked_add(ms).with_context(forms)?
    } else {
        let at = text
            .parse::<Timestamp>()
            .ok()
            .or_else(|| text.parse::<Date>().ok().and_then(of_day));
        u64::try_from(at.with_context(forms)?.as_millisecond()).with_context(forms)?
    };
    if at_ms <= now_ms {
        bail!("{text} is over already");
    }
    Ok(callers::moment(at_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000_000_000; // 2001-09-09T01:46:40Z

    #[test]
    fn an_end_is_a_moment_a_day_or_so_long_from_now() {
        for (text, expected) in [
            ("2026-01-31T22:10:00Z", "2026-01-31T22:10:00Z"),
            ("2026-01-31T22:10:00+02:00", "2026-01-31T20:10:00Z"),
            ("2026-01-31", "2026-01-31T00:00:00Z"),
            ("12h", "2001-09-09T13:46:40Z"),
        ] {
            assert_eq!(end(text, NOW).unwrap(), expected);
        }
        for wrong in [
            "",
            "tomorrow",
            "2000-01-01",
            "0s",
            "99999999999999999999d",
            "-1h",
        ] {
            assert!(end(wrong, NOW).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_grace_may_be_none_at_all() {
        assert_eq!(
            (duration("0s").unwrap(), duration("7d").unwrap()),
            (0, 604_800_000)
        );
        assert!(duration("7").is_err() && duration("week").is_err());
    }
}
