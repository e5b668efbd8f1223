//! Lines of at most 80 columns, and colour as a choice.
//!
//! Guarantees: lines break between words only; without colour no escape is written; control characters never are. Does
//! not: ask whether there is a terminal.

use anstyle::{AnsiColor, Style};

const COLUMNS: usize = 80;

/// Whether colours are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Plain text.
    Plain,
    /// With ANSI colours.
    Colour,
}

/// What a word is painted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Note,
    Bad,
    Dim,
    Title,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Good => AnsiColor::Green.on_default(),
            Self::Note => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Dim => Style::new().dimmed(),
            Self::Title => Style::new().bold(),
        }
    }
}

/// Text that grows line by line.
pub(super) struct Page {
    text: String,
    paint: Paint,
}

impl Page {
    pub(super) const fn new(paint: Paint) -> Self {
        Self {
            text: String::new(),
            paint,
        }
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    pub(super) fn blank(&mut self) {
        self.text.push('\n');
    }

    pub(super) fn title(&mut self, title: &str) {
        self.blank();
        let painted = self.painted(title, Tone::Title);
        self.text.push_str(&painted);
        self.blank();
    }

    /// A painted head of a fixed width, then words, wrapped below each other.
    pub(super) fn entry(
        &mut self,
        indent: usize,
        (head, tone): (&str, Tone),
        width: usize,
        words: &str,
    ) {
        let padding = " ".repeat(width.saturating_sub(head.chars().count()));
        let lines = wrap(words, COLUMNS.saturating_sub(indent + width));
        let painted = self.painted(head, tone);
        for (position, line) in lines.iter().enumerate() {
            let before = if position == 0 {
                format!("{painted}{padding}")
            } else {
                " ".repeat(width)
            };
            let whole = format!("{}{before}{line}", " ".repeat(indent));
            self.text.push_str(whole.trim_end());
            self.blank();
        }
    }

    pub(super) fn paragraph(&mut self, indent: usize, words: &str) {
        self.entry(indent, ("", Tone::Dim), 0, words);
    }

    fn painted(&self, text: &str, tone: Tone) -> String {
        let style = tone.style();
        match self.paint {
            Paint::Plain => text.to_owned(),
            Paint::Colour => format!("{style}{text}{style:#}"),
        }
    }
}

/// Lines of at most `width` columns, as far as words allow; at least one.
fn wrap(words: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words.split_whitespace() {
        let word: String = word.chars().filter(|char| !char.is_control()).collect();
        let Some(line) = lines.last_mut() else {
            continue;
        };
        if line.is_empty() {
            line.push_str(&word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(&word);
        } else {
            lines.push(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_wrapped_beside_their_head_and_never_colour_without_paint() {
        let mut page = Page::new(Paint::Plain);
        page.entry(2, ("ok", Tone::Good), 6, &"word ".repeat(40));
        let text = page.finish();
        assert!(
            text.lines().all(|line| line.chars().count() <= COLUMNS) && text.lines().count() > 2,
            "{text}"
        );
        assert!(
            text.starts_with("  ok    word") && !text.contains('\u{1b}'),
            "{text}"
        );
        let mut page = Page::new(Paint::Colour);
        page.entry(0, ("BAD", Tone::Bad), 6, "a\u{7}b");
        assert!(page.finish().contains("\u{1b}["));
    }
}
