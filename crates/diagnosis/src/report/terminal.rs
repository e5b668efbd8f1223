//! Lines for a terminal or a pipe: wrapped, indented and coloured by their role.
//!
//! Guarantees: lines that fit the columns and break between words only; without colour no escape is written; unsafe
//! characters never are. Does not: ask whether there is a terminal.

use anstyle::{AnsiColor, Style};
use textwrap::{Options, WordSeparator, WordSplitter};

use super::lines::{Line, Role};
use crate::probes::Grade;

/// Whether colours are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Plain text.
    Plain,
    /// With ANSI colours.
    Colour,
}

/// The lines as one text.
pub(super) fn render(lines: &[Line], paint: Paint, columns: usize) -> String {
    let mut page = String::new();
    for line in lines {
        if line.role == Role::Section {
            page.push('\n');
        }
        page.push_str(&wrapped(line, paint, columns));
        page.push('\n');
    }
    page
}

/// A painted head, then the text, wrapped below itself.
fn wrapped(line: &Line, paint: Paint, columns: usize) -> String {
    let head = text::line(&line.head);
    let (indent, width, style) = layout(line.role, &head);
    let padding = " ".repeat(width.saturating_sub(head.chars().count()));
    let painted = if paint == Paint::Plain || head.is_empty() {
        head
    } else {
        format!("{style}{head}{style:#}")
    };
    let first = format!("{}{painted}{padding}", " ".repeat(indent));
    let below = " ".repeat(indent + width);
    let words: Vec<String> = line.text.split_whitespace().map(text::line).collect();
    if words.is_empty() {
        return first.trim_end().to_owned();
    }
    let options = Options::new(columns)
        .initial_indent(&first)
        .subsequent_indent(&below)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation);
    textwrap::fill(&words.join(" "), options)
}

/// The indent of a line, the columns from there to its text, and how its head is painted.
fn layout(role: Role, head: &str) -> (usize, usize, Style) {
    let (dim, bold) = (Style::new().dimmed(), Style::new().bold());
    let green = AnsiColor::Green.on_default();
    let yellow = AnsiColor::Yellow.on_default();
    let red = AnsiColor::Red.on_default().bold();
    let beside = head.chars().count() + 2;
    match role {
        Role::Opening | Role::Gap => (0, 0, dim),
        Role::Source => (0, 14, dim),
        Role::SourceDetail => (14, 0, dim),
        Role::Section => (0, 0, bold),
        Role::Plain => (2, 0, dim),
        Role::Finding(Grade::Good) => (2, 23, green),
        Role::Finding(Grade::Remark) => (2, 23, yellow),
        Role::Finding(Grade::Bad) => (2, 23, red),
        Role::Finding(Grade::Skipped) => (2, 23, dim),
        Role::Flaw => (25, 0, dim),
        Role::LikelyCause => (2, beside, red),
        Role::PossibleCause => (2, beside, yellow),
        Role::Meaning => (5, 0, dim),
        Role::OfCause => (5, 9, dim),
        Role::Healthy => (0, 13, green),
        Role::Unhealthy => (0, 13, red),
        Role::Summary => (0, 13, bold),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(role: Role, head: &str, text: &str) -> Line {
        Line {
            role,
            head: head.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn words_are_wrapped_beside_their_head_and_never_colour_without_paint() {
        let finding = line(Role::Finding(Grade::Good), "ok", &"word ".repeat(40));
        let text = render(&[finding], Paint::Plain, 80);
        assert!(
            text.lines().all(|line| line.chars().count() <= 80) && text.lines().count() > 2,
            "{text}"
        );
        assert!(
            text.starts_with(&format!("  ok{:21}word", "")) && !text.contains('\u{1b}'),
            "{text}"
        );
        let bad = line(Role::Finding(Grade::Bad), "BAD", "a\u{7}b");
        let text = render(&[bad], Paint::Colour, 80);
        assert!(text.contains("\u{1b}[") && text.contains("ab"), "{text}");
    }

    #[test]
    fn no_text_of_a_daemon_moves_a_cursor_or_turns_the_reading_around() {
        let hostile = "x\u{202e}\u{1b}[2J\u{200b}y";
        let text = render(&[line(Role::OfCause, hostile, hostile)], Paint::Plain, 80);
        assert_eq!(text, "     x[2Jy    x[2Jy\n");
    }

    #[test]
    fn a_word_that_fits_no_line_stays_whole() {
        let long = "w".repeat(100);
        let text = render(&[line(Role::OfCause, "for", &long)], Paint::Plain, 80);
        assert_eq!(text, format!("     for{:6}{long}\n", ""));
    }
}
