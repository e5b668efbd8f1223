//! A diagnosis, for people and for programs.
//!
//! Guarantees: made of typed findings and ranked causes alone, at most 80 columns where words allow, each cause with its
//! place in the operator's manual; the same facts as text and as JSON. Does not: print, or decide about colour.

use std::time::Duration;

use serde_json::Value;

use super::{
    causes::{Conclusion, Past, Ranking},
    probes::Findings,
};

mod sheet;
mod terminal;

pub use sheet::{CauseLine, ChangeLine, EventLine, FlawLine, Line, Sheet, StartLine};
pub use terminal::Paint;

/// What is reported.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// What the probes saw.
    pub findings: &'a Findings,
    /// What stands behind it.
    pub ranking: &'a Ranking,
    /// What was known from before.
    pub past: &'a Past,
    /// Whose credentials were used, in words.
    pub whose: &'a str,
    /// What the loader of the configuration complains about.
    pub problems: &'a [String],
}

/// A diagnosis that is kept: what a [`Report`] is made of.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// What the probes saw.
    pub findings: Findings,
    /// What stands behind it.
    pub ranking: Ranking,
    /// What was known from before.
    pub past: Past,
    /// Whose credentials were used, in words.
    pub whose: String,
    /// What the loader of the configuration complains about.
    pub problems: Vec<String>,
}

impl Diagnosis {
    /// To be shown.
    #[must_use]
    pub fn report(&self) -> Report<'_> {
        let Self {
            findings,
            ranking,
            past,
            whose,
            problems,
        } = self;
        Report {
            findings,
            ranking,
            past,
            whose,
            problems,
        }
    }
}

impl Conclusion {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Trouble => "trouble",
            Self::Unreachable => "unreachable",
            Self::Unusable => "unusable",
        }
    }

    /// The conclusion of a word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        let all = [
            Self::Healthy,
            Self::Trouble,
            Self::Unreachable,
            Self::Unusable,
        ];
        all.into_iter().find(|conclusion| conclusion.word() == word)
    }
}

impl Report<'_> {
    /// In plain words.
    #[must_use]
    pub fn sheet(&self) -> Sheet {
        Sheet::of(self)
    }

    /// As text, in lines.
    #[must_use]
    pub fn text(&self, paint: Paint) -> String {
        self.sheet().text(paint)
    }

    /// As JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        self.sheet().json()
    }
}

impl Sheet {
    /// As text, in lines.
    #[must_use]
    pub fn text(&self, paint: Paint) -> String {
        terminal::render(self, paint)
    }

    /// As JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// A time in milliseconds since 1970, in UTC.
#[must_use]
pub fn timestamp(at_ms: u64) -> String {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(at_ms).unwrap_or_default())
        .unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}
