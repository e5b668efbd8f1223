//! Times as text, in UTC. All times are milliseconds since 1970.

use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// The last second that a date can name.
const LAST: &str = "9999-12-30T22:00:00Z";

/// RFC 3339 to the second, `2026-01-31T22:10:00Z`. What lies beyond any date is the last one that can be named.
#[must_use]
pub fn rfc3339(ms: u64) -> String {
    match timestamp(ms) {
        Some(at) => at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        None => LAST.to_owned(),
    }
}

/// RFC 3339 to the millisecond, `2026-01-31T22:10:00.000Z`. What lies beyond any date stays a number.
#[must_use]
pub fn rfc3339_ms(ms: u64) -> String {
    match timestamp(ms) {
        Some(at) => format!("{at:.3}"),
        None => ms.to_string(),
    }
}

/// For people, to the second: `2026-01-31 22:10:00`.
#[must_use]
pub fn plain(ms: u64) -> String {
    let at = timestamp(ms).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// For the name of a file: `20260131T221000Z`.
#[must_use]
pub fn file_name(ms: u64) -> String {
    let at = timestamp(ms).unwrap_or_default();
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// A length of time as an operator writes it (`90s`, `30m`, `12h`, `7d`), in milliseconds.
#[must_use]
pub fn parse_length(text: &str) -> Option<u64> {
    let (unit, ms) = [
        ('s', 1000),
        ('m', 60_000),
        ('h', 3_600_000),
        ('d', 86_400_000),
    ]
    .into_iter()
    .find(|(unit, _)| text.ends_with(*unit))?;
    let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
    count.checked_mul(ms)
}

/// A moment as an operator writes it: RFC 3339, or a day, which is its beginning in UTC.
#[must_use]
pub fn parse_moment(text: &str) -> Option<u64> {
    let at = match text.parse::<Timestamp>() {
        Ok(at) => at,
        // A date with a time of day and no zone is no day.
        Err(_) if text.len() == 10 => {
            let day: Date = text.parse().ok()?;
            day.to_zoned(TimeZone::UTC).ok()?.timestamp()
        }
        Err(_) => return None,
    };
    u64::try_from(at.as_millisecond()).ok()
}

fn timestamp(ms: u64) -> Option<Timestamp> {
    Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        let ms = 1_769_897_400_999;
        assert_eq!(rfc3339(ms), "2026-01-31T22:10:00Z");
        assert_eq!(rfc3339_ms(ms), "2026-01-31T22:10:00.999Z");
        assert_eq!(plain(ms), "2026-01-31 22:10:00");
        assert_eq!(file_name(ms), "20260131T221000Z");
    }

    #[test]
    fn what_lies_beyond_any_date_is_still_text() {
        assert_eq!(rfc3339(u64::MAX), LAST);
        assert_eq!(rfc3339_ms(u64::MAX), u64::MAX.to_string());
        assert_eq!(
            Timestamp::MAX.as_second(),
            LAST.parse::<Timestamp>().unwrap().as_second()
        );
    }

    #[test]
    fn a_moment_is_rfc_3339_or_a_day() {
        assert_eq!(parse_moment("1970-01-01T02:00:01+02:00"), Some(1000));
        assert_eq!(parse_moment("1970-01-02"), Some(86_400_000));
        for wrong in [
            "",
            "1970-13-01",
            "1969-12-31",
            "1970-01-02T10:00",
            "19700102",
        ] {
            assert_eq!(parse_moment(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_length_has_a_unit() {
        assert_eq!(parse_length("0s"), Some(0));
        assert_eq!(parse_length("7d"), Some(604_800_000));
        for wrong in ["", "7", "s", "week", "-1h", "99999999999999999999d"] {
            assert_eq!(parse_length(wrong), None, "{wrong}");
        }
    }
}
