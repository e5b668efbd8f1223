//! Words for the page: texts from outside, moments, and next steps.
//!
//! Guarantees: a [`Text`] has no unsafe characters ([`text::is_unsafe`]), and an end; the template
//! escapes it like everything. Does not: translate or judge.

use std::fmt;

use text::time::rfc3339_ms;

/// Longer texts are cut.
const MAX_CHARS: usize = 600;
const SECOND_MS: u64 = 1000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
pub(super) const DAY_MS: u64 = 24 * HOUR_MS;

/// A text that may come from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// The text, without what a page should not repeat.
    #[must_use]
    pub fn of(text: impl AsRef<str>) -> Self {
        let mut kept: String = text
            .as_ref()
            .chars()
            .filter(|char| !text::is_unsafe(*char))
            .take(MAX_CHARS + 1)
            .collect();
        if kept.chars().count() > MAX_CHARS {
            kept.pop();
            kept.push('…');
        }
        Self(kept)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl askama::FastWritable for Text {
    fn write_into(&self, out: &mut dyn fmt::Write, _: &dyn askama::Values) -> askama::Result<()> {
        Ok(out.write_str(&self.0)?)
    }
}

/// A part of a next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextPart {
    /// Its words.
    pub text: Text,
    /// Whether it is to be typed as it stands.
    pub is_code: bool,
}

impl TextPart {
    /// The pieces of a text in which commands stand between backticks.
    #[must_use]
    pub fn all(text: &str) -> Vec<Self> {
        let pieces = text
            .split('`')
            .enumerate()
            .filter(|(_, part)| !part.is_empty());
        pieces
            .map(|(position, part)| Self {
                text: Text::of(part),
                is_code: position % 2 == 1,
            })
            .collect()
    }
}

/// A moment, seen from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    ms: u64,
    /// Whole, for machines: RFC 3339 in UTC.
    pub iso: String,
    /// As short as the distance allows: the time, and the day where it is not today.
    pub shown: String,
    /// How long ago.
    pub ago: String,
}

impl Moment {
    /// A moment in milliseconds since 1970, seen from `now_ms`.
    #[must_use]
    pub fn at(ms: u64, now_ms: u64) -> Self {
        let iso = rfc3339_ms(ms);
        let (day, clock) = iso.split_at_checked(10).unwrap_or((&iso, ""));
        let clock = clock.get(1..9).unwrap_or_default();
        let today = rfc3339_ms(now_ms).starts_with(day);
        let shown = if today {
            clock.to_owned()
        } else {
            format!("{day} {clock}")
        };
        Self {
            ms,
            shown,
            ago: ago(ms, now_ms),
            iso,
        }
    }

    /// Day and time, always both.
    #[must_use]
    pub fn whole(&self) -> String {
        let whole = self.iso.get(..19).unwrap_or(&self.iso).replace('T', " ");
        format!("{whole} UTC")
    }

    /// In milliseconds since 1970.
    #[must_use]
    pub const fn ms(&self) -> u64 {
        self.ms
    }
}

/// How long ago, in one unit.
pub(super) fn ago(ms: u64, now_ms: u64) -> String {
    match now_ms.checked_sub(ms) {
        None => "in the future".to_owned(),
        Some(0..2_000) => "just now".to_owned(),
        Some(age_ms) => format!("{} ago", span(age_ms)),
    }
}

/// A length of time, in one unit.
pub(super) fn span(length_ms: u64) -> String {
    match length_ms {
        0..100_000 => format!("{} s", length_ms / SECOND_MS),
        100_000..6_000_000 => format!("{} min", length_ms / MINUTE_MS),
        6_000_000..172_800_000 => format!("{} h", length_ms / HOUR_MS),
        _ => format!("{} d", length_ms / DAY_MS),
    }
}
