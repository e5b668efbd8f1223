//! `crypto-proxy check`: what would the daemon make of its configuration and credentials?
//!
//! The loader is the daemon's own. An address to listen on is tried, and given back at once: who listens there is asked
//! whether it is this daemon. Nothing else is sent, and nothing secret is shown: an API key appears as its fingerprint.
//! Exit code 0 when the daemon would start (warnings allowed), 78 when not. With `--compare-key` it only says whether a
//! pasted key is the one of the sources. Whether the exchange accepts the credentials is a question for `diagnose`.
//!
//! Lines have the terminal's width, or 100 columns, as far as words allow: a path is never broken. A terminal has colour.

use std::{
    error::Error as _,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde_json::json;

use crate::{
    config::{self, FilePair, FileState, Inspection, Origin, Problem, Row, Severity, Sources},
    server::Bound,
    telemetry,
};

mod compare_key;
mod page;

pub(super) use page::Page;
use page::{BAD, GOOD, SECTION, WARNING};

/// What to check.
#[derive(Args, Clone, Debug, Default)]
pub struct CheckArgs {
    /// The configuration file, instead of /etc/crypto-proxy/config.toml
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// An environment file, instead of /etc/crypto.env; several are compared with each other
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// Say only whether a key is the one configured here: paste it at a prompt that does not show it, or pipe it in
    #[arg(long, conflicts_with = "json")]
    pub compare_key: bool,
    /// Take an address that another program listens on for good: it is about to be replaced
    #[arg(long)]
    pub may_be_taken: bool,
    /// One JSON object instead of the report
    #[arg(long)]
    pub json: bool,
}

/// Checks what the daemon would load, and prints it.
#[must_use]
pub fn run(args: CheckArgs) -> ExitCode {
    telemetry::install_panic_hook();
    let sources = Sources::from_process(args.config).of_the_unit(args.env_file);
    if args.compare_key {
        return compare_key::run(&sources);
    }
    let mut inspection = config::inspect(&sources);
    if !args.may_be_taken {
        look_at_addresses(&mut inspection);
    }
    let checked = if args.json {
        print_json(&inspection)
    } else {
        write_report(&inspection, &sources.env_files, &mut Page::of_stdout())
    };
    match checked {
        Ok(outcome) => outcome.exit_code(),
        // Whoever closed the pipe has read enough; any other loss of output must not pass for a good check.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(super::CONFIGURATION),
    }
}

/// What a check comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The daemon would start.
    Good,
    /// It would not.
    Unusable,
}

impl Outcome {
    /// The exit code that says so.
    #[must_use]
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Good => ExitCode::SUCCESS,
            Self::Unusable => ExitCode::from(super::CONFIGURATION),
        }
    }
}

/// Adds what would keep the daemon from listening now.
pub(super) fn look_at_addresses(inspection: &mut Inspection) {
    let server = inspection.config.as_ref().map(|config| &config.server);
    for problem in server.map(Bound::obstacles).unwrap_or_default() {
        let why = problem.source().map(|why| format!(": {why}"));
        let text = format!("{problem}{}", why.unwrap_or_default());
        inspection.refuse(problem.setting(), &text, problem.remedy());
    }
}

/// The same as one object: `would_start`, and the rows and problems of the report.
fn print_json(inspection: &Inspection) -> io::Result<Outcome> {
    let outcome = if inspection.config.is_some() {
        Outcome::Good
    } else {
        Outcome::Unusable
    };
    super::print_json(&json!({
        "would_start": outcome == Outcome::Good,
        "report": inspection.report,
        "problems": inspection.problems.iter().collect::<Vec<_>>(),
    }))?;
    Ok(outcome)
}

/// Writes what was examined; several environment files are compared.
pub(super) fn write_report(
    inspection: &Inspection,
    env_files: &[PathBuf],
    page: &mut Page<impl Write>,
) -> io::Result<Outcome> {
    looked_at(page, &inspection.report.sources)?;
    section(page, "Credentials", &inspection.report.credentials)?;
    if env_files.len() > 1 {
        compare(env_files, &inspection.report.sources, page)?;
    }
    if !inspection.report.callers.is_empty() {
        section(page, "Callers", &inspection.report.callers)?;
    }
    section(page, "Settings", &inspection.report.settings)?;
    problems(page, "Warnings", inspection, Severity::Warning)?;
    problems(page, "Errors", inspection, Severity::Error)?;
    conclude(page, inspection)
}

fn looked_at(page: &mut Page<impl Write>, rows: &[Row]) -> io::Result<()> {
    page.head(SECTION, "Read", "")?;
    for Row {
        key, shown, source, ..
    } in rows
    {
        let place = if *source == Origin::Default {
            String::new()
        } else {
            format!(" {source}")
        };
        page.paragraph(&format!("{key}{place}: {shown}"), 2, 4)?;
    }
    page.gap()
}

fn section(page: &mut Page<impl Write>, title: &str, rows: &[Row]) -> io::Result<()> {
    page.head(SECTION, title, "")?;
    if rows.is_empty() {
        page.paragraph("none", 2, 4)?;
    }
    for row in rows {
        page.row(&row.key, &row.shown, &row.source.to_string())?;
    }
    page.gap()
}

/// Says of each further environment file whether it holds the pair of the first.
fn compare(
    env_files: &[PathBuf],
    looked_at: &[Row],
    page: &mut Page<impl Write>,
) -> io::Result<()> {
    page.head(SECTION, "Pairs in the environment files", "")?;
    let pairs: Vec<_> = env_files
        .iter()
        .map(|path| (path, config::pair_of_file(path)))
        .collect();
    let first = pairs.first().and_then(|(_, pair)| pair.as_ref());
    for (position, (path, pair)) in pairs.iter().enumerate() {
        let shown = match (pair, first) {
            (None, _) => unread(path, looked_at)
                .unwrap_or("no complete pair")
                .to_owned(),
            (Some(pair), Some(first)) if position > 0 => {
                format!("{}: {}", describe(pair), difference(pair, first))
            }
            (Some(pair), _) => describe(pair),
        };
        page.paragraph(&format!("{}: {shown}", path.display()), 2, 4)?;
    }
    page.gap()
}

/// What keeps a file from being read: it may hold a pair all the same.
fn unread<'r>(path: &Path, looked_at: &'r [Row]) -> Option<&'r str> {
    let row = looked_at
        .iter()
        .find(|row| row.source == Origin::File(path.to_owned()))?;
    if row.file == Some(FileState::Read) {
        None
    } else {
        Some(&row.shown)
    }
}

fn describe(pair: &FilePair) -> String {
    format!(
        "{}, key fingerprint {}",
        pair.name,
        pair.credentials.key.fingerprint()
    )
}

/// The secret has no fingerprint: it is only called the same or different.
fn difference(pair: &FilePair, first: &FilePair) -> &'static str {
    let (one, other) = (&pair.credentials, &first.credentials);
    match (one.key.equals(&other.key), one.secret.equals(&other.secret)) {
        (true, true) => "the same pair as in the first file",
        (true, false) => {
            "a different pair: the same key beside another secret; one of them must be wrong"
        }
        (false, true) => {
            "a different pair: another key beside the same secret; one of them must be wrong"
        }
        (false, false) => "a different pair: key and secret both differ",
    }
}

fn problems(
    page: &mut Page<impl Write>,
    title: &str,
    inspection: &Inspection,
    severity: Severity,
) -> io::Result<()> {
    let found: Vec<&Problem> = inspection
        .problems
        .iter()
        .filter(|problem| problem.severity == severity)
        .collect();
    if found.is_empty() {
        return Ok(());
    }
    let style = if severity == Severity::Error {
        BAD
    } else {
        WARNING
    };
    page.head(style, title, "")?;
    for problem in found {
        let shown = problem
            .shown
            .as_deref()
            .map_or_else(String::new, |shown| format!(" = {shown}"));
        page.paragraph(&format!("{}{shown}: {}", problem.key, problem.text), 2, 4)?;
        if problem.source != Origin::Default {
            page.paragraph(&format!("at: {}", problem.source), 4, 8)?;
        }
        page.paragraph(&format!("do: {}", problem.remedy), 4, 8)?;
    }
    page.gap()
}

fn conclude(page: &mut Page<impl Write>, inspection: &Inspection) -> io::Result<Outcome> {
    let (errors, warnings) = (
        inspection.problems.errors().count(),
        inspection.problems.warnings().count(),
    );
    let unread = |problem: &Problem| problem.text.ends_with("not readable by you");
    if inspection.config.is_some() {
        let seen = if inspection.problems.warnings().any(unread) {
            ", as far as you can read"
        } else {
            ""
        };
        let rest = format!("the daemon would start{seen}. Warnings: {warnings}.");
        page.head(GOOD, "Good:", &rest)?;
        page.paragraph(NOT_TRIED, 0, 0)?;
        return Ok(Outcome::Good);
    }
    let rest = format!("the daemon would not start. Errors: {errors}, warnings: {warnings}.");
    page.head(BAD, "Unusable:", &rest)?;
    Ok(Outcome::Unusable)
}

const NOT_TRIED: &str = "The key was not tried: `sudo crypto-proxy diagnose` asks the exchange.";

#[cfg(test)]
mod tests;
