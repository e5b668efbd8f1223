//! One setting after the other: raw value → typed value within its bounds, with a row for the report.
//!
//! Guarantees: a value that cannot be used is a problem with its place and a remedy, and the default stands in for it
//! so that the rest is checked too; every setting that was asked for has a row with its effective value and its source.
//! Does not: compare settings with each other.

use std::{ops::RangeInclusive, time::Duration};

use ::config::{Value, ValueKind};

use super::{
    load::{self, RawSettings},
    report::{Origin, Problem, Problems, Row, one_line},
    table,
};

/// Reads settings, and notes what it finds.
pub(super) struct Reader<'a> {
    raw: &'a RawSettings,
    pub(super) problems: &'a mut Problems,
    rows: Vec<Row>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(raw: &'a RawSettings, problems: &'a mut Problems) -> Self {
        Self {
            raw,
            problems,
            rows: Vec::new(),
        }
    }

    /// The rows, in the order of the sample file.
    pub(super) fn into_rows(mut self) -> Vec<Row> {
        self.rows
            .sort_by_key(|row| table::SETTINGS.iter().position(|(key, _)| *key == row.key));
        self.rows
    }

    /// Where a setting was set.
    pub(super) fn origin(&self, key: &str) -> Origin {
        self.raw.origin(key)
    }

    /// Whether anybody set it.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.origin(key) != Origin::Default
    }

    /// A whole number.
    pub(super) fn number(
        &mut self,
        key: &str,
        default: usize,
        bounds: RangeInclusive<usize>,
    ) -> usize {
        let read = self.raw.find(key).and_then(|(value, origin)| {
            let text = value.into_string().unwrap_or_default();
            let number = text.parse().ok().filter(|number| bounds.contains(number));
            if number.is_none() {
                let limits = format!(
                    "write a whole number from {} to {}",
                    bounds.start(),
                    bounds.end()
                );
                self.problems.push(
                    Problem::error(key, &origin, "is out of bounds or no number", limits)
                        .shown(&text),
                );
            }
            number
        });
        let number = read.unwrap_or(default);
        self.row(key, number.to_string());
        number
    }

    /// A time in milliseconds.
    pub(super) fn millis(
        &mut self,
        key: &str,
        default: Duration,
        bounds: RangeInclusive<usize>,
    ) -> Duration {
        let default = usize::try_from(default.as_millis()).unwrap_or(usize::MAX);
        Duration::from_millis(self.number(key, default, bounds) as u64)
    }

    /// A text; empty counts as not set.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        let found = self
            .raw
            .find(key)
            .and_then(|(value, _)| value.into_string().ok());
        let text = found
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty());
        self.row(
            key,
            text.as_deref()
                .map_or_else(|| "not set".to_owned(), one_line),
        );
        text
    }

    /// A text that was read before, without a row of its own.
    pub(super) fn peek(&self, key: &str) -> Option<String> {
        let text = self
            .raw
            .find(key)
            .and_then(|(value, _)| value.into_string().ok())?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// True or false.
    pub(super) fn flag(&mut self, key: &str, default: bool) -> bool {
        let read = self.raw.find(key).and_then(|(value, origin)| {
            let text = value.clone().into_string().unwrap_or_default();
            let flag = value.into_bool().ok();
            if flag.is_none() {
                self.problems.push(
                    Problem::error(
                        key,
                        &origin,
                        "is neither true nor false",
                        "write one of them",
                    )
                    .shown(&text),
                );
            }
            flag
        });
        let flag = read.unwrap_or(default);
        self.row(key, flag.to_string());
        flag
    }

    /// One of several words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &str,
        words: &[(&str, T)],
        default: (&str, T),
    ) -> T {
        let Some((value, origin)) = self.raw.find(key) else {
            self.row(key, default.0.to_owned());
            return default.1;
        };
        let text = value.into_string().unwrap_or_default();
        let chosen = words
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(text.trim()));
        if chosen.is_none() {
            let all = words.iter().map(|(word, _)| *word);
            let otherwise = format!(
                "write one of {}",
                all.clone().collect::<Vec<_>>().join(", ")
            );
            let remedy = table::suggestion(&text, all, &otherwise);
            self.problems.push(
                Problem::error(key, &origin, "is not among the words known here", remedy)
                    .shown(&text),
            );
        }
        let (word, value) = *chosen.unwrap_or(&default);
        self.row(key, word.to_owned());
        value
    }

    /// A list; a text is split at commas and white space.
    pub(super) fn list(&mut self, key: &str, default: &[&str]) -> Vec<String> {
        let found = self.raw.find(key).map(|(value, _)| items_of(value));
        let items =
            found.unwrap_or_else(|| default.iter().map(|item| (*item).to_owned()).collect());
        let shown = load::quoted(&items.iter().map(|item| one_line(item)).collect::<Vec<_>>());
        self.row(key, shown);
        items
    }

    /// A list whose items are parsed one by one; those that cannot be are reported and left out.
    pub(super) fn parsed<T>(
        &mut self,
        key: &str,
        default: &[&str],
        parse: impl Fn(&str) -> Result<T, (String, String)>,
    ) -> Vec<T> {
        let items = self.list(key, default);
        let mut parsed = Vec::with_capacity(items.len());
        for item in items {
            match parse(&item) {
                Ok(value) => parsed.push(value),
                Err((text, remedy)) => self.error(key, text, remedy, Some(&item)),
            }
        }
        parsed
    }

    /// Notes that a setting cannot stay as it is.
    pub(super) fn error(
        &mut self,
        key: &str,
        text: impl Into<String>,
        remedy: impl Into<String>,
        shown: Option<&str>,
    ) {
        let problem = Problem::error(key, &self.origin(key), text, remedy);
        self.problems.push(match shown {
            Some(value) => problem.shown(value),
            None => problem,
        });
    }

    /// Notes that somebody should know.
    pub(super) fn warn(&mut self, key: &str, text: impl Into<String>, remedy: impl Into<String>) {
        self.problems
            .push(Problem::warning(key, &self.origin(key), text, remedy));
    }

    /// Corrects the row of a setting, where the effective value is another than the one set.
    pub(super) fn show(&mut self, key: &str, shown: &str) {
        if let Some(row) = self.rows.iter_mut().find(|row| row.key == key) {
            shown.clone_into(&mut row.shown);
        }
    }

    fn row(&mut self, key: &str, shown: String) {
        self.rows.push(Row {
            key: key.to_owned(),
            shown,
            source: self.origin(key),
        });
    }
}

fn items_of(value: Value) -> Vec<String> {
    if let ValueKind::Array(items) = value.kind {
        return items
            .into_iter()
            .filter_map(|item| item.into_string().ok())
            .collect();
    }
    let text = value.into_string().unwrap_or_default();
    let items = text.split(|char: char| char == ',' || char.is_whitespace());
    items
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}
