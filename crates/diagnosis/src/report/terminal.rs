//! The report as an operator reads it in a terminal or a pipe.
//!
//! Guarantees: findings in the order of the matrix, causes likeliest first, the one next step last; lines of at most 80
//! columns that break between words only; without colour no escape is written; control characters never are. Does not:
//! leave a cause out because it is unlikely, or ask whether there is a terminal.

use anstyle::{AnsiColor, Style};

use super::{CauseLine, Line, Report, Sheet, timestamp};
use crate::{
    causes::{Conclusion, Likelihood},
    history::LastStart,
    probes::Grade,
};

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
enum Tone {
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

pub(super) fn render(sheet: &Sheet, paint: Paint) -> String {
    let mut page = Page::new(paint);
    head(&mut page, sheet);
    page.title("Findings");
    sheet
        .findings
        .iter()
        .for_each(|finding| finding_lines(&mut page, finding));
    causes(&mut page, sheet);
    ruled_out(&mut page, sheet);
    page.title("History");
    page.paragraph(2, &sheet.history);
    page.title("Result");
    let conclusion = Conclusion::of_word(&sheet.conclusion);
    let tone = if conclusion == Some(Conclusion::Healthy) {
        Tone::Good
    } else {
        Tone::Bad
    };
    page.entry(
        2,
        (&visible(&sheet.conclusion), tone),
        14,
        conclusion.map_or("", result_words),
    );
    page.entry(2, ("next step", Tone::Title), 14, &sheet.next_step);
    page.finish()
}

/// For what stands before the words of an entry, which are cleaned by the layout.
fn visible(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).collect()
}

fn head(page: &mut Page, sheet: &Sheet) {
    let Sheet {
        version,
        at,
        took_ms,
        ..
    } = sheet;
    page.paragraph(
        0,
        &format!("crypto-proxy {version} diagnose, {at}, {took_ms} ms"),
    );
    page.entry(0, ("credentials", Tone::Dim), 14, &sheet.credentials_of);
    sheet
        .looked_at
        .iter()
        .for_each(|place| page.paragraph(14, place));
    if let Some(base) = &sheet.base_url {
        page.entry(0, ("exchange", Tone::Dim), 14, base);
    }
    if !sheet.problems.is_empty() {
        page.title("Configuration");
        sheet
            .problems
            .iter()
            .for_each(|problem| page.paragraph(2, problem));
    }
}

fn finding_lines(page: &mut Page, finding: &Line) {
    let tone = match Grade::of_word(&finding.verdict) {
        Some(Grade::Good) => Tone::Good,
        Some(Grade::Remark) => Tone::Note,
        Some(Grade::Bad) => Tone::Bad,
        Some(Grade::Skipped) | None => Tone::Dim,
    };
    let took = if finding.took_ms == 0 {
        String::new()
    } else {
        format!(", {} ms", finding.took_ms)
    };
    let method = finding
        .method
        .as_ref()
        .map(|method| format!("{method}: "))
        .unwrap_or_default();
    let words = format!("{method}{}{took}", finding.says);
    let head = visible(&format!("{:<6}{}", finding.verdict, finding.probe));
    page.entry(2, (&head, tone), 23, &words);
    for found in &finding.flaws {
        page.paragraph(
            25,
            &format!("{} ({}): {}", found.name, found.place, found.text),
        );
    }
}

fn causes(page: &mut Page, sheet: &Sheet) {
    if sheet.causes.is_empty() {
        return;
    }
    page.title("Causes");
    let tied = &sheet.cannot_be_told_apart;
    for (position, cause) in sheet.causes.iter().enumerate() {
        cause_lines(page, position + 1, cause);
        if !tied.is_empty() && position + 1 == tied.len() {
            page.blank();
            page.paragraph(
                2,
                &format!(
                    "cannot be told apart from here: {}, in this order",
                    tied.join(", ")
                ),
            );
        }
    }
}

fn cause_lines(page: &mut Page, number: usize, cause: &CauseLine) {
    if number > 1 {
        page.blank();
    }
    let likelihood = cause.likelihood.as_deref().unwrap_or_default();
    let tone = if likelihood == Likelihood::Possible.to_string() {
        Tone::Note
    } else {
        Tone::Bad
    };
    let head = visible(&format!("{number}. {}", cause.code));
    page.entry(2, (&head, tone), head.chars().count() + 2, likelihood);
    page.paragraph(5, &cause.sentence);
    cause
        .pro
        .iter()
        .for_each(|evidence| page.entry(5, ("for", Tone::Dim), 9, evidence));
    cause
        .con
        .iter()
        .for_each(|evidence| page.entry(5, ("against", Tone::Dim), 9, evidence));
    page.entry(5, ("then", Tone::Dim), 9, &cause.next_step);
    page.entry(5, ("manual", Tone::Dim), 9, &cause.manual);
}

fn ruled_out(page: &mut Page, sheet: &Sheet) {
    let ruled_out = sheet
        .ruled_out
        .iter()
        .filter_map(|cause| Some((cause, cause.ruled_out_by.as_ref()?)));
    for (position, (cause, by)) in ruled_out.enumerate() {
        if position == 0 {
            page.title("Ruled out");
        }
        page.paragraph(2, &format!("{}: ruled out by: {by}", cause.code));
    }
}

/// What is known from before, in words.
pub(super) fn history(report: &Report<'_>) -> String {
    let past = report.past;
    // Where the history could not be read, nobody knows when it begins.
    let begins_ms = past
        .since_ms
        .or_else(|| past.unread.is_none().then_some(report.findings.at_ms));
    let begins = begins_ms.map(|begins_ms| format!("no history before {}", timestamp(begins_ms)));
    let mut parts: Vec<String> = begins.into_iter().chain(past.unread.clone()).collect();
    let event = |word: &str, event: &crate::causes::Event| {
        let from = event
            .address
            .map(|address| format!(" from {address}"))
            .unwrap_or_default();
        format!("{word} {} {}{from}", timestamp(event.at_ms), event.method)
    };
    parts.extend(past.last_good.as_ref().map(|good| event("last good", good)));
    parts.extend(past.first_bad.as_ref().map(|bad| event("first bad", bad)));
    parts.extend(
        past.changes
            .iter()
            .map(|change| format!("{} {}", timestamp(change.at_ms), change.what.describe())),
    );
    parts.extend(past.last_start.as_ref().map(last_start));
    parts.extend(
        past.key_updated_ms
            .map(|updated| format!("key updated on the dashboard {}", timestamp(updated))),
    );
    parts.join("; ")
}

/// What the daemon runs with, as far as its last start tells; without a stop it runs, or was killed.
fn last_start(start: &LastStart) -> String {
    let since = if start.stopped {
        "it stopped since"
    } else {
        "no stop is recorded since"
    };
    format!(
        "the daemon's last start {} used key {}, {since}",
        timestamp(start.at_ms),
        start.key_fp
    )
}

const fn result_words(conclusion: Conclusion) -> &'static str {
    match conclusion {
        Conclusion::Healthy => "everything that was asked is as it should be",
        Conclusion::Trouble => "see the causes above",
        Conclusion::Unreachable => "the exchange was not reached: the keys are no matter yet",
        Conclusion::Unusable => "there is no usable configuration: nothing was asked",
    }
}

/// Text that grows line by line.
struct Page {
    text: String,
    paint: Paint,
}

impl Page {
    const fn new(paint: Paint) -> Self {
        Self {
            text: String::new(),
            paint,
        }
    }

    fn finish(self) -> String {
        self.text
    }

    fn blank(&mut self) {
        self.text.push('\n');
    }

    fn title(&mut self, title: &str) {
        self.blank();
        let painted = self.painted(title, Tone::Title);
        self.text.push_str(&painted);
        self.blank();
    }

    /// A painted head of a fixed width, then words, wrapped below each other.
    fn entry(&mut self, indent: usize, (head, tone): (&str, Tone), width: usize, words: &str) {
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

    fn paragraph(&mut self, indent: usize, words: &str) {
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
