//! What is wrong with a setting, where it was set, and what to do about it.
//!
//! Guarantees: everything found in one load is reported together, each with key, source and remedy; a shown value is
//! one line, short, and holds no part of a credential that the same load has seen, nor what looks like one
//! ([`Problems::withhold`]). Does not: decide what is a problem.

use std::{fmt, path::PathBuf};

use crate::config::redact::Withheld;
use diagnosis::probes::Flaw;

/// Longest value that is shown, in characters.
const MAX_SHOWN: usize = 80;

/// Whether a problem keeps the daemon from starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It does.
    Error,
    /// It does not, but somebody should know.
    Warning,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A whole file.
    File(PathBuf),
    /// A line of the configuration file.
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// A variable of the process environment.
    Variable(String),
    /// A variable in an environment file.
    EnvFile {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The variable; `None` where the line has none that may be named.
        name: Option<String>,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Line { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::EnvFile {
                path,
                line,
                name: Some(name),
            } => write!(f, "{}:{line} {name}", path.display()),
            Self::EnvFile {
                path,
                line,
                name: None,
            } => write!(f, "{}:{line}", path.display()),
        }
    }
}

/// One thing that is wrong, or that somebody should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether it keeps the daemon from starting.
    pub severity: Severity,
    /// The setting or variable.
    pub key: String,
    /// Where it was set.
    pub source: Origin,
    /// The value; `None` where it is secret, or there is none.
    pub shown: Option<String>,
    /// What is wrong.
    pub text: String,
    /// What to do.
    pub remedy: String,
    /// A short form for `GET /ready`, for the few that belong there.
    pub ready: Option<&'static str>,
    /// What it says about the pair, where it does.
    pub flaw: Option<Flaw>,
}

impl Problem {
    pub(super) fn error(
        key: &str,
        source: &Origin,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Error,
            key: key.to_owned(),
            source: source.clone(),
            shown: None,
            text: text.into(),
            remedy: remedy.into(),
            ready: None,
            flaw: None,
        }
    }

    pub(super) fn warning(
        key: &str,
        source: &Origin,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(key, source, text, remedy)
        }
    }

    pub(super) fn shown(self, value: &str) -> Self {
        Self {
            shown: Some(one_line(value)),
            ..self
        }
    }

    pub(super) const fn about_the_pair(mut self, flaw: Flaw) -> Self {
        self.flaw = Some(flaw);
        self
    }

    pub(super) const fn ready(mut self, short: &'static str) -> Self {
        self.ready = Some(short);
        self
    }
}

/// A value made fit for one line of a terminal.
pub(super) fn one_line(value: &str) -> String {
    let mut shown: String = value
        .escape_debug()
        .take(MAX_SHOWN)
        .collect::<String>()
        .replace("\\\"", "\"");
    if value.chars().count() > MAX_SHOWN {
        shown.push('…');
    }
    shown
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}", self.key)?;
        if let Some(shown) = &self.shown {
            write!(f, " = {shown}")?;
        }
        if self.source != Origin::Default {
            write!(f, " ({})", self.source)?;
        }
        write!(f, ": {}; {}", self.text, self.remedy)
    }
}

/// Everything one load found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Problem> {
        self.0.iter_mut()
    }

    /// All of them, in the order they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// Those that keep the daemon from starting.
    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.0
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
    }

    /// Those that do not.
    pub fn warnings(&self) -> impl Iterator<Item = &Problem> {
        self.0
            .iter()
            .filter(|problem| problem.severity == Severity::Warning)
    }

    /// Whether the daemon may start.
    #[must_use]
    pub fn allow_start(&self) -> bool {
        self.errors().next().is_none()
    }

    /// Takes out of every text and source what could show a part of a credential, say one pasted into the wrong setting.
    pub(super) fn withhold(&mut self, withheld: &Withheld) {
        for problem in &mut self.0 {
            withheld.apply(&mut problem.text);
            withheld.apply(&mut problem.key);
            withheld.apply(&mut problem.remedy);
            withheld.apply_to(&mut problem.source);
            if let Some(shown) = &mut problem.shown {
                withheld.apply(shown);
            }
        }
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_one_line_with_key_value_source_and_remedy() {
        let source = Origin::Line {
            path: "/etc/x.toml".into(),
            line: 3,
            column: 5,
        };
        let problem = Problem::error("listen", &source, "is no address", "write 127.0.0.1:9000")
            .shown("a\nb");
        assert_eq!(
            problem.to_string(),
            "error: listen = a\\nb (/etc/x.toml:3:5): is no address; write 127.0.0.1:9000"
        );
    }

    #[test]
    fn warnings_do_not_keep_the_daemon_from_starting() {
        let mut problems = Problems::from(Problem::warning("a", &Origin::Default, "b", "c"));
        assert!(problems.allow_start());
        problems.push(Problem::error("a", &Origin::Default, "b", "c"));
        assert!(!problems.allow_start());
        assert_eq!(problems.to_string(), "warning: a: b; c\nerror: a: b; c");
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(one_line(&"x".repeat(200)).chars().count(), MAX_SHOWN + 1);
    }
}
