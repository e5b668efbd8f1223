//! Text from outside made harmless, and times.
//!
//! Guarantees: no control character and no invisible one that reorders text survives; in a table of Markdown a cell stays
//! one cell, and nothing in it becomes a link, a picture or HTML. Does not: shorten anything.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::Value;

/// One line: nothing that could move a cursor or break it.
pub(super) fn line(text: &str) -> String {
    text.chars().filter(|char| !is_unprintable(*char)).collect()
}

/// Several lines.
pub(super) fn lines(text: &str) -> String {
    text.chars()
        .filter(|char| *char == '\n' || !is_unprintable(*char))
        .collect()
}

/// Every text in a value.
pub(super) fn value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(line(&text)),
        Value::Array(items) => Value::Array(items.into_iter().map(self::value).collect()),
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(key, field)| (line(&key), self::value(field)))
                .collect(),
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

/// A line that Markdown shows as it is, in a table too.
pub(super) fn escaped(text: &str) -> String {
    let mut whole = String::with_capacity(text.len());
    for char in line(text).chars() {
        if matches!(char, '|' | '<' | '>' | '`' | '[' | ']' | '\\' | '*' | '&') {
            whole.push('\\');
        }
        whole.push(char);
    }
    whole
}

/// Writes a table of Markdown; every cell is escaped.
pub(super) fn table<const N: usize>(page: &mut String, head: [&str; N], rows: &[[String; N]]) {
    let mut line = |cells: [&str; N]| {
        let cells = cells.map(escaped);
        let _ = writeln!(page, "| {} |", cells.join(" | "));
    };
    line(head);
    line(["---"; N]);
    for row in rows {
        line(row.each_ref().map(String::as_str));
    }
    page.push('\n');
}

/// A time in UTC, to the second.
pub(super) fn time(ms: u64) -> String {
    timestamp(ms).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A time in UTC for the name of a file.
pub(super) fn compact_time(ms: u64) -> String {
    timestamp(ms).strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn timestamp(ms: u64) -> Timestamp {
    Timestamp::from_millisecond(i64::try_from(ms).unwrap_or_default()).unwrap_or_default()
}

fn is_unprintable(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_that_moves_a_cursor_or_turns_text_around_survives() {
        let hostile = "a\u{1b}[31mb\r\u{7}\u{202e}c\u{200b}\u{85}\u{feff}";
        assert_eq!(line(hostile), "a[31mbc");
        assert_eq!(lines("a\n\tb\r\n"), "a\nb\n");
        assert_eq!(
            value(json!({ "k": ["\u{1b}x", 1, null] })),
            json!({ "k": ["x", 1, null] })
        );
    }

    #[test]
    fn a_cell_stays_a_cell() {
        assert_eq!(escaped("a|b\n<img> ![x](y)"), "a\\|b\\<img\\> !\\[x\\](y)");
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(
            (time(1000), compact_time(1000)),
            (
                "1970-01-01 00:00:01".to_owned(),
                "19700101T000001Z".to_owned()
            )
        );
    }

    #[test]
    fn a_row_is_a_line_whatever_its_cells_hold() {
        let mut page = String::new();
        table(
            &mut page,
            ["a", "b"],
            &[["1\n2".to_owned(), "x|y".to_owned()]],
        );
        assert_eq!(page, "| a | b |\n| --- | --- |\n| 12 | x\\|y |\n\n");
    }
}
