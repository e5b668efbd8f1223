//! Times as an operator writes them.

use anyhow::{Context, bail};
use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// RFC 3339, a day (its beginning in UTC), or so long before now; in milliseconds since 1970.
pub(super) fn parse(text: &str, now_ms: u64) -> anyhow::Result<u64> {
    if let Some(ms) = ago(text) {
        return Ok(now_ms.saturating_sub(ms));
    }
    let at = match text.parse::<Timestamp>() {
        Ok(at) => at,
        Err(_) if text.len() == 10 => text
            .parse::<Date>()
            .ok()
            .and_then(of_day)
            .with_context(|| forms(text))?,
        Err(_) => bail!(forms(text)),
    };
    u64::try_from(at.as_millisecond()).with_context(|| forms(text))
}

fn of_day(day: Date) -> Option<Timestamp> {
    day.to_zoned(TimeZone::UTC)
        .ok()
        .map(|zoned| zoned.timestamp())
}

fn ago(text: &str) -> Option<u64> {
    let units = [
        ('s', 1000),
        ('m', 60_000),
        ('h', 3_600_000),
        ('d', 86_400_000),
    ];
    let (unit, ms) = units.into_iter().find(|(unit, _)| text.ends_with(*unit))?;
    text.strip_suffix(unit)?
        .parse::<u64>()
        .ok()?
        .checked_mul(ms)
}

fn forms(text: &str) -> String {
    format!(
        "{text} is no time: write 2026-01-31T22:10:00Z, 2026-01-31, or so long ago: 90s, 30m, 12h, 7d"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_moments_days_or_so_long_ago() {
        let now = 1_000_000_000_000;
        assert_eq!(parse("1970-01-01T00:00:01Z", now).unwrap(), 1000);
        assert_eq!(parse("1970-01-02", now).unwrap(), 86_400_000);
        assert_eq!(parse("1970-01-01T02:00:00+02:00", now).unwrap(), 0);
        for (text, ms) in [
            ("90s", 90_000),
            ("30m", 1_800_000),
            ("12h", 43_200_000),
            ("7d", 604_800_000),
        ] {
            assert_eq!(parse(text, now).unwrap(), now - ms);
        }
        for wrong in [
            "",
            "yesterday",
            "22:10",
            "2026-13-01",
            "-1h",
            "1969-12-31",
            "99999999999999999999d",
        ] {
            assert!(parse(wrong, now).is_err(), "{wrong}");
        }
    }
}
