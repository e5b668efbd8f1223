//! The state machine behind [`super::parse`], one character at a time.
//!
//! The states and what ends them are systemd's. Both CR and LF end a line outside quotes. White space at the end of an
//! unquoted value is removed. Quotes count only where a value, or a further part of it, begins.

use zeroize::Zeroizing;

use super::{Assignment, Finding, FindingKind};

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    BeforeName,
    Name,
    BeforeValue,
    Value,
    ValueEscape,
    SingleQuoted,
    DoubleQuoted,
    DoubleQuotedEscape,
    Comment,
    CommentEscape,
}

pub(super) struct Parser {
    state: State,
    line: usize,
    begun_on: usize,
    name: String,
    value: Zeroizing<String>,
    /// The value's length without the white space at its end, while there is some.
    trimmed: Option<usize>,
    quoted: bool,
    entries: Vec<Assignment>,
    findings: Vec<Finding>,
}

impl Parser {
    pub(super) fn new(findings: Vec<Finding>) -> Self {
        Self {
            state: State::BeforeName,
            line: 1,
            begun_on: 1,
            name: String::new(),
            value: Zeroizing::default(),
            trimmed: None,
            quoted: false,
            entries: Vec::new(),
            findings,
        }
    }

    pub(super) fn take(&mut self, char: char) {
        self.state = match self.state {
            State::BeforeName => self.before_name(char),
            State::Name => self.name(char),
            State::BeforeValue => self.before_value(char),
            State::Value => self.value(char),
            State::ValueEscape => self.value_escape(char),
            State::SingleQuoted => self.single_quoted(char),
            State::DoubleQuoted => self.double_quoted(char),
            State::DoubleQuotedEscape => self.double_quoted_escape(char),
            State::Comment => Self::comment(char),
            State::CommentEscape => self.comment_escape(char),
        };
        self.line += usize::from(char == '\n');
    }

    pub(super) fn finish(mut self) -> (Vec<Assignment>, Vec<Finding>) {
        match self.state {
            State::SingleQuoted | State::DoubleQuoted | State::DoubleQuotedEscape => {
                self.find(self.begun_on, FindingKind::UnclosedQuote);
                self.end_value();
            }
            State::BeforeValue | State::Value | State::ValueEscape => self.end_value(),
            State::Name => self.find(self.begun_on, FindingKind::NoAssignment),
            State::BeforeName | State::Comment | State::CommentEscape => {}
        }
        (self.entries, self.findings)
    }

    fn before_name(&mut self, char: char) -> State {
        match char {
            '#' | ';' => State::Comment,
            _ if is_blank(char) => State::BeforeName,
            _ => {
                self.begun_on = self.line;
                self.name.push(char);
                State::Name
            }
        }
    }

    fn name(&mut self, char: char) -> State {
        if is_line_end(char) {
            self.find(self.begun_on, FindingKind::NoAssignment);
            self.name.clear();
            return State::BeforeName;
        }
        if char == '=' {
            return State::BeforeValue;
        }
        self.name.push(char);
        State::Name
    }

    fn before_value(&mut self, char: char) -> State {
        match char {
            _ if is_line_end(char) => self.end_value(),
            '\'' => return State::SingleQuoted,
            '"' => return State::DoubleQuoted,
            '\\' => return State::ValueEscape,
            _ if is_blank(char) => return State::BeforeValue,
            _ => {
                if self.quoted {
                    self.find_of_variable(self.line, FindingKind::AfterQuote);
                }
                self.value.push(char);
                return State::Value;
            }
        }
        State::BeforeName
    }

    fn value(&mut self, char: char) -> State {
        if is_line_end(char) {
            self.end_value();
            return State::BeforeName;
        }
        if char == '\\' {
            self.trimmed = None;
            return State::ValueEscape;
        }
        self.trimmed = is_blank(char).then(|| self.trimmed.unwrap_or(self.value.len()));
        self.value.push(char);
        State::Value
    }

    fn value_escape(&mut self, char: char) -> State {
        if is_line_end(char) {
            self.find_of_variable(self.line, FindingKind::LineContinued);
        } else {
            self.find_of_variable(self.line, FindingKind::BackslashRemoved);
            self.value.push(char);
        }
        State::Value
    }

    fn single_quoted(&mut self, char: char) -> State {
        if char == '\'' {
            return self.close_quote();
        }
        self.value.push(char);
        State::SingleQuoted
    }

    fn double_quoted(&mut self, char: char) -> State {
        match char {
            '"' => self.close_quote(),
            '\\' => State::DoubleQuotedEscape,
            _ => {
                self.value.push(char);
                State::DoubleQuoted
            }
        }
    }

    fn double_quoted_escape(&mut self, char: char) -> State {
        match char {
            '"' | '\\' | '`' | '$' => self.value.push(char),
            '\n' => self.find_of_variable(self.line, FindingKind::LineContinued),
            _ => {
                self.value.push('\\');
                self.value.push(char);
            }
        }
        State::DoubleQuoted
    }

    fn close_quote(&mut self) -> State {
        self.quoted = true;
        if self.value.contains('\n') {
            self.find_of_variable(self.begun_on, FindingKind::QuoteClosedLater);
        }
        State::BeforeValue
    }

    const fn comment(char: char) -> State {
        match char {
            '\\' => State::CommentEscape,
            _ if is_line_end(char) => State::BeforeName,
            _ => State::Comment,
        }
    }

    fn comment_escape(&mut self, char: char) -> State {
        if is_line_end(char) {
            self.find(self.line, FindingKind::CommentContinued);
            return State::BeforeName;
        }
        State::Comment
    }

    fn end_value(&mut self) {
        let name = std::mem::take(&mut self.name);
        if self.state == State::Value {
            let end = self.trimmed.unwrap_or(self.value.len());
            self.value.truncate(end);
        }
        self.entries.push(Assignment {
            name: name.trim_end_matches(is_blank).to_owned(),
            value: std::mem::take(&mut self.value),
            line: self.begun_on,
            quoted: std::mem::take(&mut self.quoted),
        });
        self.trimmed = None;
    }

    fn find(&mut self, line: usize, kind: FindingKind) {
        self.findings.push(Finding::of_file(line, kind));
    }

    fn find_of_variable(&mut self, line: usize, kind: FindingKind) {
        let name = self.name.trim_end_matches(is_blank);
        self.findings.push(Finding {
            name: super::is_name(name).then(|| name.to_owned()),
            ..Finding::of_file(line, kind)
        });
    }
}

const fn is_line_end(char: char) -> bool {
    matches!(char, '\n' | '\r')
}

const fn is_blank(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\n' | '\r')
}
