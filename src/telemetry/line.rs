//! One log line, owned: what the caller's thread hands to the writer.
//!
//! Guarantees: text and field values hold no unsafe character ([`text::is_unsafe`]; a space stands in its place), so
//! that no sink has to look again; both are bounded in length, so that a queue of lines is bounded in memory.
//! Does not: know any sink's format.

use std::fmt::{self, Write as _};

use jiff::Timestamp;
use tracing::{
    Event, Level,
    field::{Field, Visit},
};

/// Bytes of text after which a line is cut, with an ellipsis.
const TEXT_LIMIT: usize = 16 * 1024;
/// Bytes after which the value of one structured field is cut.
const VALUE_LIMIT: usize = 4 * 1024;

/// One log line with its structured fields.
#[derive(Debug, Clone)]
pub struct Line {
    pub(super) at: Timestamp,
    level: Level,
    target: &'static str,
    text: String,
    values: String,
    fields: Vec<Span>,
}

/// One structured field; its value ends at `end` and begins where the one before it ended.
#[derive(Debug, Clone, Copy)]
struct Span {
    name: &'static str,
    end: usize,
    shape: Shape,
}

/// Whether structured fields are formatted; text sinks never show them, and every call would pay for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Structure {
    Keep,
    Skip,
}

/// How a value was given, which decides its quotes in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Text, or anything that was formatted.
    Text,
    /// A finite number or a truth value: valid JSON as it stands.
    Bare,
}

impl Line {
    pub(super) fn new(at: Timestamp, level: Level, target: &'static str) -> Self {
        Self {
            at,
            level,
            target,
            text: String::new(),
            values: String::new(),
            fields: Vec::new(),
        }
    }

    /// Formats `event`, now, on this thread.
    pub(super) fn of(event: &Event<'_>, structure: Structure) -> Self {
        let metadata = event.metadata();
        let mut line = Self::new(Timestamp::now(), *metadata.level(), metadata.target());
        line.text.reserve(512);
        if structure == Structure::Keep {
            line.fields.reserve(metadata.fields().len());
        }
        event.record(&mut Reading {
            line: &mut line,
            structure,
        });
        line
    }

    /// How urgent the line is.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// The part of the program that logged it.
    #[must_use]
    pub fn target(&self) -> &'static str {
        self.target
    }

    /// The message, and the fields that are not structure only.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The structured fields in the order in which they were given.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.shaped().map(|(name, value, _)| (name, value))
    }

    /// The value of one structured field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields()
            .find(|(given, _)| *given == name)
            .map(|(_, value)| value)
    }

    /// The structured fields, and how each value was given.
    pub(super) fn shaped(&self) -> impl Iterator<Item = (&'static str, &str, Shape)> {
        let mut start = 0;
        self.fields.iter().map(move |span| {
            let value = self.values.get(start..span.end).unwrap_or_default();
            start = span.end;
            (span.name, value, span.shape)
        })
    }

    /// Sets the message. Fields that came before it stay behind it.
    pub(super) fn message(&mut self, message: fmt::Arguments<'_>) {
        if self.text.is_empty() {
            return write_clean(&mut self.text, TEXT_LIMIT, message);
        }
        let fields = std::mem::take(&mut self.text);
        write_clean(&mut self.text, TEXT_LIMIT, message);
        write_clean(&mut self.text, TEXT_LIMIT, format_args!(" {fields}"));
    }

    /// Appends ` name=value` to the text, in quotes if the value would not stand alone.
    pub(super) fn readable(&mut self, name: &str, value: fmt::Arguments<'_>) {
        let space = if self.text.is_empty() { "" } else { " " };
        write_clean(&mut self.text, TEXT_LIMIT, format_args!("{space}{name}="));
        let start = self.text.len();
        write_clean(&mut self.text, TEXT_LIMIT, value);
        if self.text.get(start..).is_some_and(needs_quotes) {
            let quoted = quote(&self.text.split_off(start));
            self.text.push_str(&quoted);
        }
    }

    pub(super) fn structured(
        &mut self,
        name: &'static str,
        shape: Shape,
        value: fmt::Arguments<'_>,
    ) {
        if self.fields.is_empty() {
            self.values.reserve(256);
        }
        let limit = self.values.len() + VALUE_LIMIT;
        write_clean(&mut self.values, limit, value);
        self.fields.push(Span {
            name,
            end: self.values.len(),
            shape,
        });
    }
}

/// An event that is being read into a line.
struct Reading<'l> {
    line: &'l mut Line,
    structure: Structure,
}

impl Reading<'_> {
    fn put(&mut self, field: &Field, shape: Shape, value: fmt::Arguments<'_>) {
        match field.name() {
            "message" => self.line.message(value),
            name if name.starts_with("CRYPTO_") => {
                if self.structure == Structure::Keep {
                    self.line.structured(name, shape, value);
                }
            }
            name => self.line.readable(name, value),
        }
    }
}

impl Visit for Reading<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Shape::Text, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Shape::Text, format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Shape::Bare, format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Shape::Bare, format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Shape::Bare, format_args!("{value}"));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.put(field, Shape::Bare, format_args!("{value}"));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.put(field, Shape::Bare, format_args!("{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        let shape = if value.is_finite() {
            Shape::Bare
        } else {
            Shape::Text
        };
        self.put(field, shape, format_args!("{value}"));
    }
}

/// Appends to `out`, replacing what could forge a line, until `out` holds `limit` bytes.
fn write_clean(out: &mut String, limit: usize, value: fmt::Arguments<'_>) {
    // A Debug that fails leaves what it had written: half a value says more than none.
    let _ = Clean { out, limit }.write_fmt(value);
}

struct Clean<'a> {
    out: &'a mut String,
    limit: usize,
}

impl fmt::Write for Clean<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        if self.out.len() + part.len() < self.limit
            && part.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        {
            self.out.push_str(part);
        } else {
            part.chars().for_each(|given| self.push(given));
        }
        Ok(())
    }
}

impl Clean<'_> {
    fn push(&mut self, given: char) {
        if self.out.len() < self.limit {
            self.out
                .push(if text::is_unsafe(given) { ' ' } else { given });
            if self.out.len() >= self.limit {
                self.out.push('…');
            }
        }
    }
}

fn needs_quotes(value: &str) -> bool {
    value.is_empty() || value.contains([' ', '"'])
}

fn quote(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use tracing::info;

    use super::*;
    use crate::telemetry::tests::logged;

    /// Everything that could start a line or reach a terminal as more than text.
    const HOSTILE: &str = "a\r\nb\u{1b}[31m\0\u{7f}\u{9b}2J\u{2028}\u{202e}c\u{200b}\u{feff}d";
    const HARMLESS: &str = "a  b [31m   2J  c  d";

    #[test]
    fn structured_fields_are_kept_apart_and_others_join_the_message() {
        let line = logged(
            || info!("CRYPTO_METHOD" = "private/x", port = 80, "CRYPTO_CODE" = 0, path = %"/v1", "done"),
        );
        assert_eq!(line.text(), "done port=80 path=/v1");
        assert_eq!(
            line.fields().collect::<Vec<_>>(),
            [("CRYPTO_METHOD", "private/x"), ("CRYPTO_CODE", "0")]
        );
        assert_eq!(
            (line.field("CRYPTO_CODE"), line.field("port")),
            (Some("0"), None)
        );
    }

    #[test]
    fn a_value_that_could_pass_for_another_field_is_quoted() {
        let line = logged(|| {
            info!(
                reason = "x port=1",
                said = "\"",
                end = "\\ \"",
                none = "",
                "done"
            )
        });
        assert_eq!(
            line.text(),
            r#"done reason="x port=1" said="\"" end="\\ \"" none="""#
        );
    }

    #[test]
    fn a_message_that_comes_late_still_stands_first() {
        assert_eq!(
            logged(|| info!(port = 80, message = "done")).text(),
            "done port=80"
        );
        assert_eq!(logged(|| info!(port = 80)).text(), "port=80");
    }

    #[test]
    fn nothing_that_was_logged_can_forge_a_line() {
        let line = logged(
            || info!("CRYPTO_TEXT" = HOSTILE, "CRYPTO_DEBUG" = %HOSTILE, field = HOSTILE, "{HOSTILE}"),
        );
        assert_eq!(line.text(), format!("{HARMLESS} field=\"{HARMLESS}\""));
        assert_eq!(
            (line.field("CRYPTO_TEXT"), line.field("CRYPTO_DEBUG")),
            (Some(HARMLESS), Some(HARMLESS))
        );
        assert_eq!(
            logged(|| info!("{}", "plain\nascii\u{1b}[2J\u{7f}")).text(),
            "plain ascii [2J "
        );
    }

    #[test]
    fn text_beyond_ascii_is_kept() {
        assert_eq!(
            logged(|| info!("CRYPTO_TEXT" = "Zürich ✓", "Zürich ✓")).text(),
            "Zürich ✓"
        );
    }

    #[test]
    fn text_and_values_are_cut_at_their_limits() {
        let long = "é".repeat(TEXT_LIMIT);
        let line = logged(|| info!("CRYPTO_TEXT" = long, "CRYPTO_NEXT" = 1, "{long}"));
        assert_eq!(line.text().len(), TEXT_LIMIT + '…'.len_utf8());
        assert!(line.text().ends_with("é…"));
        assert_eq!(
            line.field("CRYPTO_TEXT").map(str::len),
            Some(VALUE_LIMIT + '…'.len_utf8())
        );
        assert_eq!(line.field("CRYPTO_NEXT"), Some("1"));
    }
}
