//! Where the words of a check go: lines of so many columns, with colour where there is a terminal.

use std::io::{self, StdoutLock, Write};

use anstyle::{AnsiColor, Style};
use textwrap::{Options, WordSeparator, WordSplitter};

use crate::cli;
use diagnosis::report::Paint;

/// Columns where there is no terminal.
const COLUMNS: usize = 100;
/// The column in which a row's source begins, where there is room.
const SOURCE_COLUMN: usize = 64;

pub(super) const SECTION: Style = Style::new().bold();
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const WARNING: Style = AnsiColor::Yellow.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();

/// Writes words in lines.
pub(in crate::cli) struct Page<W> {
    pub(super) out: W,
    pub(super) columns: usize,
    pub(super) paint: Paint,
}

impl Page<StdoutLock<'static>> {
    /// As wide as the terminal, and in colour, where stdout is one.
    pub(super) fn of_stdout() -> Self {
        Self {
            out: io::stdout().lock(),
            columns: cli::columns(COLUMNS),
            paint: cli::paint(),
        }
    }
}

impl<W: Write> Page<W> {
    /// For a file.
    pub(in crate::cli) const fn plain(out: W) -> Self {
        Self {
            out,
            columns: COLUMNS,
            paint: Paint::Plain,
        }
    }

    /// An empty line.
    pub(super) fn gap(&mut self) -> io::Result<()> {
        writeln!(self.out)
    }

    /// A painted head, and what follows on its line.
    pub(super) fn head(&mut self, style: Style, head: &str, rest: &str) -> io::Result<()> {
        let line = format!("{head} {rest}");
        let wrapped = self.wrapped(&line, 0, 2);
        let painted = match wrapped.strip_prefix(head) {
            Some(rest) if self.paint == Paint::Colour => format!("{style}{head}{style:#}{rest}"),
            _ => wrapped,
        };
        writeln!(self.out, "{painted}")
    }

    /// `key = value`, and the source at its right, or below where there is no room.
    pub(super) fn row(&mut self, key: &str, shown: &str, source: &str) -> io::Result<()> {
        let left = text::line(&format!("  {key} = {shown}"));
        let source = text::line(source);
        let width = left.chars().count();
        if width < SOURCE_COLUMN && SOURCE_COLUMN + source.chars().count() <= self.columns {
            return writeln!(self.out, "{left:SOURCE_COLUMN$}{source}");
        }
        self.paragraph(left.trim_start(), 2, 6)?;
        self.paragraph(&format!("from {source}"), 6, 10)
    }

    /// Words in lines, the first indented by `first` columns, the others by `rest`.
    pub(super) fn paragraph(&mut self, text: &str, first: usize, rest: usize) -> io::Result<()> {
        let wrapped = self.wrapped(text, first, rest);
        writeln!(self.out, "{wrapped}")
    }

    fn wrapped(&self, text: &str, first: usize, rest: usize) -> String {
        let words: Vec<String> = text.split_whitespace().map(::text::line).collect();
        let (first, rest) = (" ".repeat(first), " ".repeat(rest));
        let options = Options::new(self.columns)
            .initial_indent(&first)
            .subsequent_indent(&rest)
            .break_words(false)
            .word_separator(WordSeparator::AsciiSpace)
            .word_splitter(WordSplitter::NoHyphenation);
        textwrap::fill(&words.join(" "), options)
    }
}
