//! Environment files as systemd reads them (`EnvironmentFile=`).
//!
//! The values are those that systemd would hand over, with the line each came from and whether quotes were removed. The
//! parser follows systemd's `parse_env_file_internal` state by state; it was compared with systemd 252 on 1,400 random
//! texts. Each text that systemd ignores silently is a finding, and so is what makes it refuse the whole file. Nothing is
//! expanded. A byte order mark is tolerated here, unlike in systemd, and is a finding. Findings carry a line, never a text
//! of the file, and a name only where it is a plain variable's.

use zeroize::Zeroizing;

mod machine;

#[cfg(test)]
mod tests;

/// What one file holds.
#[derive(Default)]
pub(super) struct EnvFile {
    /// The assignments, one per name: the last of the file.
    pub(super) entries: Vec<Assignment>,
    /// What should be put right, by line.
    pub(super) findings: Vec<Finding>,
}

/// One assignment.
pub(super) struct Assignment {
    pub(super) name: String,
    pub(super) value: Zeroizing<String>,
    /// The line on which its name stands, from 1.
    pub(super) line: usize,
    /// Whether quotes around the value, or a part of it, were removed.
    pub(super) quoted: bool,
}

/// Something that should be put right.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// The line, from 1.
    pub(super) line: usize,
    /// The variable, where there is one.
    pub(super) name: Option<String>,
    pub(super) kind: FindingKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FindingKind {
    ByteOrderMark,
    CarriageReturns,
    NoAssignment,
    ExportPrefix,
    InvalidName,
    Duplicate,
    UnclosedQuote,
    CommentContinued,
    LineContinued,
    QuoteClosedLater,
    AfterQuote,
    BackslashRemoved,
    NulByte,
    NotUtf8,
    NotUtf8Aside,
    Utf16,
}

impl FindingKind {
    /// Whether systemd refuses the whole file for it, and this parser likewise.
    pub(super) const fn refuses_file(self) -> bool {
        matches!(self, Self::NulByte | Self::NotUtf8 | Self::Utf16)
    }

    /// Whether it matters only where the variable is one of ours.
    pub(super) const fn is_of_one_variable(self) -> bool {
        matches!(
            self,
            Self::ExportPrefix
                | Self::Duplicate
                | Self::LineContinued
                | Self::QuoteClosedLater
                | Self::AfterQuote
                | Self::BackslashRemoved
        )
    }

    /// What is wrong, and what to do.
    pub(super) const fn explain(self) -> (&'static str, &'static str) {
        match self {
            Self::ByteOrderMark => (
                "the file begins with a byte order mark",
                "save it as UTF-8 without a byte order mark",
            ),
            Self::CarriageReturns => (
                "lines end with carriage returns, as on Windows",
                "convert the file: sed -i 's/\\r$//'",
            ),
            Self::NoAssignment => (
                "there is no NAME=value on this line: systemd ignores it",
                "write NAME=value, or remove the line",
            ),
            Self::ExportPrefix => (
                "systemd ignores lines that begin with export",
                "remove the word export",
            ),
            Self::InvalidName => (
                "the text before the = is not a variable's name: systemd ignores the line",
                "write NAME=value",
            ),
            Self::Duplicate => (
                "set again further down; the last one is used",
                "keep one of them",
            ),
            Self::UnclosedQuote => (
                "a quote is opened and never closed: the value runs to the end of the file",
                "close the quote",
            ),
            Self::CommentContinued => (
                "a comment that ends with a backslash: systemd before 254 takes the next line for a comment too",
                "remove the backslash",
            ),
            Self::LineContinued => (
                "a line that ends with a backslash: the next line belongs to the value",
                "remove the backslash",
            ),
            Self::QuoteClosedLater => (
                "a quote is closed on a further line: all lines up to there belong to the value",
                "close the quote on the same line",
            ),
            Self::AfterQuote => (
                "text follows a closing quote: systemd joins it to the value",
                "put all of the value into one pair of quotes, or take the text out",
            ),
            Self::BackslashRemoved => (
                "systemd takes a backslash off the value",
                "put the value into single quotes if the backslash belongs to it",
            ),
            Self::NulByte => (
                "a NUL byte: systemd refuses the whole file",
                "write the file again as text",
            ),
            Self::NotUtf8 => (
                "the line is not UTF-8: systemd refuses the whole file",
                "save the file as UTF-8",
            ),
            Self::NotUtf8Aside => (
                "the line is not UTF-8; it sets no variable, so the values are not affected",
                "save the file as UTF-8",
            ),
            Self::Utf16 => (
                "the file is UTF-16: systemd refuses it",
                "save it as UTF-8 without a byte order mark",
            ),
        }
    }
}

/// Reads the bytes of a file.
pub(super) fn read(bytes: &[u8]) -> EnvFile {
    let error = match std::str::from_utf8(bytes) {
        Ok(text) => return parse(text),
        Err(error) => error,
    };
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return EnvFile {
            entries: Vec::new(),
            findings: vec![Finding::of_file(1, FindingKind::Utf16)],
        };
    }
    let text = Zeroizing::new(String::from_utf8_lossy(bytes).into_owned());
    let (assignments, findings) = assignments(&text);
    let damaged = assignments
        .iter()
        .find(|entry| is_damaged(&entry.name) || is_damaged(&entry.value));
    let before = bytes.iter().take(error.valid_up_to());
    let first = 1 + before.filter(|byte| **byte == b'\n').count();
    let finding = damaged.map_or(
        Finding::of_file(first, FindingKind::NotUtf8Aside),
        |entry| Finding::of_file(entry.line, FindingKind::NotUtf8),
    );
    let mut file = EnvFile::new(assignments, findings);
    file.findings.push(finding);
    file
}

/// Whether bytes that are not UTF-8 stood in a text.
fn is_damaged(text: &str) -> bool {
    text.contains(char::REPLACEMENT_CHARACTER)
}

/// Reads the text of a file.
pub(super) fn parse(text: &str) -> EnvFile {
    let (assignments, findings) = assignments(text);
    EnvFile::new(assignments, findings)
}

fn assignments(text: &str) -> (Vec<Assignment>, Vec<Finding>) {
    let (text, findings) = prepare(text);
    let mut machine = machine::Parser::new(findings);
    text.chars().for_each(|char| machine.take(char));
    machine.finish()
}

/// Removes what systemd cannot read, and reports it.
fn prepare(text: &str) -> (&str, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut find = |line, kind| findings.push(Finding::of_file(line, kind));
    let without_mark = text.strip_prefix('\u{feff}');
    if without_mark.is_some() {
        find(1, FindingKind::ByteOrderMark);
    }
    let text = without_mark.unwrap_or(text);
    let until_nul = text.split('\0').next().unwrap_or_default();
    if until_nul.len() < text.len() {
        find(1 + until_nul.matches('\n').count(), FindingKind::NulByte);
    }
    if let Some((before, _)) = until_nul.split_once('\r') {
        find(
            1 + before.matches('\n').count(),
            FindingKind::CarriageReturns,
        );
    }
    (until_nul, findings)
}

impl Finding {
    const fn of_file(line: usize, kind: FindingKind) -> Self {
        Self {
            line,
            name: None,
            kind,
        }
    }
}

impl EnvFile {
    fn new(assignments: Vec<Assignment>, findings: Vec<Finding>) -> Self {
        let mut file = Self {
            entries: Vec::new(),
            findings,
        };
        assignments.into_iter().for_each(|entry| file.add(entry));
        file.findings.sort_by_key(|finding| finding.line);
        file
    }

    /// Whether systemd hands nothing of the file over.
    pub(super) fn is_refused(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.kind.refuses_file())
    }

    /// The variable that systemd does not see, because a byte order mark stands before its name.
    pub(super) fn marked(&self) -> Option<&Assignment> {
        let is_marked = self
            .findings
            .iter()
            .any(|finding| finding.kind == FindingKind::ByteOrderMark);
        self.entries
            .iter()
            .find(|entry| is_marked && entry.line == 1)
    }

    fn add(&mut self, entry: Assignment) {
        if let Some(kind) = fault_of(&entry.name) {
            let rest = entry.name.trim_start_matches("export").trim_start();
            let name = (kind == FindingKind::ExportPrefix).then(|| rest.to_owned());
            self.findings.push(Finding {
                line: entry.line,
                name,
                kind,
            });
            return;
        }
        if let Some(position) = self
            .entries
            .iter()
            .position(|earlier| earlier.name == entry.name)
        {
            let earlier = self.entries.remove(position);
            self.findings.push(Finding {
                line: earlier.line,
                name: Some(earlier.name),
                kind: FindingKind::Duplicate,
            });
        }
        self.entries.push(entry);
    }
}

fn fault_of(name: &str) -> Option<FindingKind> {
    let exported = name
        .strip_prefix("export")
        .filter(|rest| rest.starts_with([' ', '\t']))
        .map(str::trim_start);
    match exported {
        Some(rest) if is_name(rest) => Some(FindingKind::ExportPrefix),
        _ if is_name(name) => None,
        _ => Some(FindingKind::InvalidName),
    }
}

/// Whether systemd takes it for the name of a variable.
fn is_name(text: &str) -> bool {
    let begins = text
        .bytes()
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_');
    begins
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
