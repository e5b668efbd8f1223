//! Words for the page: texts from outside, moments, and next steps.

use std::fmt;

use askama::filters::{Escaper, Html};

use text::time::rfc3339_ms;

/// Longer texts are cut.
const MAX_CHARS: usize = 600;
const SECOND_MS: u64 = 1000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
pub(super) const DAY_MS: u64 = 24 * HOUR_MS;

/// What a template shows, without unsafe characters, with an end, and as HTML. `askama.toml` names it for every page, so
/// that no text can go around it.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct PageEscaper;

impl Escaper for PageEscaper {
    fn write_escaped_str<W: fmt::Write>(&self, out: W, text: &str) -> fmt::Result {
        let mut kept: String = text
            .chars()
            .filter(|char| !text::is_unsafe(*char))
            .take(MAX_CHARS + 1)
            .collect();
        if kept.chars().count() > MAX_CHARS {
            kept.pop();
            kept.push('…');
        }
        Html.write_escaped_str(out, &kept)
    }
}

/// A part of a text in which commands stand between backticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct TextPart<'a> {
    pub(in crate::http) text: &'a str,
    /// Whether it is to be typed as it stands.
    pub(in crate::http) is_code: bool,
}

impl<'a> TextPart<'a> {
    pub(in crate::http) fn all(text: &'a str) -> Vec<Self> {
        let mut parts = Vec::new();
        for (position, text) in text.split('`').enumerate() {
            if !text.is_empty() {
                let is_code = position % 2 == 1;
                parts.push(Self { text, is_code });
            }
        }
        parts
    }
}

/// A moment, seen from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// Whole, for machines: RFC 3339 in UTC.
    pub(super) iso: String,
    /// As short as the distance allows: the time, and the day where it is not today.
    pub(super) shown: String,
    /// How long ago.
    pub(super) ago: String,
}

impl Moment {
    /// A moment in milliseconds since 1970, seen from `now_ms`.
    pub(super) fn at(ms: u64, now_ms: u64) -> Self {
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
            shown,
            ago: ago(ms, now_ms),
            iso,
        }
    }

    /// Day and time, always both.
    pub(super) fn whole(&self) -> String {
        let whole = self.iso.get(..19).unwrap_or(&self.iso).replace('T', " ");
        format!("{whole} UTC")
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
