//! What one load reports: every effective setting with its source, and every problem with its remedy.
//!
//! All problems of a load are reported together. A shown value is one short line. `redact` takes out what could show
//! a part of a credential. A row of a credential states its presence, length, source and name, and the fingerprint of
//! an API key, never a part of the text.

use std::{fmt, path::PathBuf};

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::callers::Anonymous;
use diagnosis::probes::Flaw;

/// Longest value that is shown, in characters.
const MAX_SHOWN: usize = 80;

/// Whether a problem keeps the daemon from starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It does.
    Error,
    /// It does not.
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
    /// A variable that systemd handed over.
    HandedOver {
        /// The variable.
        name: String,
        /// Where the unit says that variables stand, in words.
        place: String,
    },
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
            Self::HandedOver { name, place } => write!(f, "variable {name}, from {place}"),
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

/// As it is shown.
impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One error or warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    #[serde(skip)]
    pub ready: Option<&'static str>,
    /// What it says about the pair, where it does.
    #[serde(skip)]
    pub flaw: Option<Flaw>,
    /// How key and remedy read where they name a caller, for a reader who must not learn the name.
    #[serde(skip)]
    pub anonymous: Option<Anonymous>,
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
            anonymous: None,
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

    /// Shows the value.
    pub(super) fn show(&mut self, value: &str) {
        self.shown = Some(one_line(value));
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
    fn push(&mut self, problem: Problem) -> &mut Problem {
        self.0.push(problem);
        let position = self.0.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "it was pushed just now")]
        &mut self.0[position]
    }

    /// Adds an error, and gives it back for what only a few problems have.
    pub(super) fn error(
        &mut self,
        key: &str,
        source: &Origin,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> &mut Problem {
        self.push(Problem::error(key, source, text, remedy))
    }

    /// Adds a warning, and gives it back likewise.
    pub(super) fn warning(
        &mut self,
        key: &str,
        source: &Origin,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> &mut Problem {
        self.push(Problem::warning(key, source, text, remedy))
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

    /// The short forms for `GET /ready`, in the order they were found.
    pub(super) fn ready(&self) -> Vec<String> {
        let mut short: Vec<_> = self
            .warnings()
            .filter_map(|problem| problem.ready)
            .collect();
        short.dedup();
        short.into_iter().map(str::to_owned).collect()
    }

    /// Whether the daemon may start.
    #[must_use]
    pub fn allow_start(&self) -> bool {
        self.errors().next().is_none()
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

/// One effective setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The setting, or the credential.
    pub key: String,
    /// Its effective value, fit to be shown.
    pub shown: String,
    /// Where it came from.
    pub source: Origin,
    /// Whether the file could be read; `None` where the row is about none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FileState>,
}

/// Whether a file could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FileState {
    /// It can be read.
    Read,
    /// There is none.
    Absent,
    /// This user may not read it.
    Denied,
    /// It cannot be read for another reason.
    Failed,
}

impl Row {
    pub(super) fn new(key: &str, shown: String, source: Origin) -> Self {
        Self {
            key: key.to_owned(),
            shown,
            source,
            file: None,
        }
    }
}

/// The key of the configuration file's row, and of what is wrong with it as a whole.
pub const CONFIGURATION_FILE: &str = "configuration file";

/// What the daemon makes of its sources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The sources, in rising precedence for settings and falling for credentials.
    pub sources: Vec<Row>,
    /// The credentials and the caller's token.
    pub credentials: Vec<Row>,
    /// The callers that were issued.
    pub callers: Vec<Row>,
    /// The settings.
    pub settings: Vec<Row>,
}

impl Report {
    /// Tells whether two sets of effective settings are the same: the first 16 hex characters of a SHA-256.
    #[must_use]
    pub fn digest(&self) -> String {
        let rows = self
            .settings
            .iter()
            .chain(&self.callers)
            .map(|row| format!("{}={}\n", row.key, row.shown));
        let digest = rows
            .fold(Sha256::new(), |digest, row| digest.chain_update(row))
            .finalize();
        hex::encode(digest).chars().take(16).collect()
    }
}

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
        let mut problem =
            Problem::error("listen", &source, "is no address", "write 127.0.0.1:9000");
        problem.show("a\nb");
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
    fn no_unsafe_character_of_a_value_is_shown() {
        for given in ('\0'..=char::MAX).filter(|given| text::is_unsafe(*given)) {
            let shown = one_line(&given.to_string());
            assert!(!shown.contains(text::is_unsafe), "{given:?}");
        }
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(one_line(&"x".repeat(200)).chars().count(), MAX_SHOWN + 1);
    }
}
