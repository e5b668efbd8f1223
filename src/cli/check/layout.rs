//! Plain text in lines of at most 100 columns, as far as words allow (a path is never broken).

use std::io::{self, Write};

const COLUMNS: usize = 100;
/// The column in which a row's source begins, where there is room.
const SOURCE_COLUMN: usize = 64;

/// Writes `key = value`, and the source at its right, or below where there is no room.
pub(super) fn row(out: &mut impl Write, key: &str, shown: &str, source: &str) -> io::Result<()> {
    let left = format!("  {key} = {shown}");
    let width = left.chars().count();
    if width < SOURCE_COLUMN && SOURCE_COLUMN + source.chars().count() <= COLUMNS {
        return writeln!(out, "{left:SOURCE_COLUMN$}{source}");
    }
    paragraph(out, left.trim_start(), 2, 6)?;
    paragraph(out, &format!("from {source}"), 6, 10)
}

/// Writes words in lines, the first indented by `first` columns, the others by `rest`.
pub(super) fn paragraph(
    out: &mut impl Write,
    text: &str,
    first: usize,
    rest: usize,
) -> io::Result<()> {
    let mut line = " ".repeat(first);
    let mut begun = false;
    for word in text.split_whitespace() {
        if begun && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            writeln!(out, "{line}")?;
            line = " ".repeat(rest);
            begun = false;
        }
        if begun {
            line.push(' ');
        }
        line.push_str(word);
        begun = true;
    }
    writeln!(out, "{line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_break_between_words_at_100_columns() {
        let text = written(|out| paragraph(out, &"word ".repeat(60), 2, 4));
        assert!(
            text.lines().all(|line| line.chars().count() <= COLUMNS),
            "{text}"
        );
        assert_eq!(text.lines().count(), 4);
        assert_eq!(text.split_whitespace().count(), 60);
        assert!(text.starts_with("  word") && text.contains("\n    word"));
    }

    #[test]
    fn a_source_stands_at_the_right_or_below() {
        assert_eq!(
            written(|out| row(out, "a", "1", "default")),
            format!("{:64}default\n", "  a = 1")
        );
        let below = written(|out| row(out, "a", "1", &"x".repeat(60)));
        assert_eq!(below, format!("  a = 1\n      from {}\n", "x".repeat(60)));
    }
}
