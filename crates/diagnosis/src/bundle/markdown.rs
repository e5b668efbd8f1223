//! Text from outside made harmless, also in Markdown.
//!
//! Guarantees: no control character and no invisible one that reorders text survives; in a table of Markdown a cell stays
//! one cell, and nothing in it becomes a link, a picture or HTML. Does not: shorten anything.

use std::fmt::Write as _;

use serde_json::Value;

/// Every text in a value.
pub(super) fn value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text::line(&text)),
        Value::Array(items) => Value::Array(items.into_iter().map(self::value).collect()),
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(key, field)| (text::line(&key), self::value(field)))
                .collect(),
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

/// A line that Markdown shows as it is, in a table too.
pub(super) fn escaped(text: &str) -> String {
    let mut whole = String::with_capacity(text.len());
    for char in text::line(text).chars() {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_that_moves_a_cursor_or_turns_text_around_survives() {
        let hostile = "a\u{1b}[31mb\r\u{7}\u{202e}c\u{200b}\u{85}\u{feff}";
        assert_eq!(escaped(hostile), "a\\[31mbc");
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
