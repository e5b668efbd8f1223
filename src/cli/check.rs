//! `crypto-proxy check`: what would the daemon make of its configuration and credentials?
//!
//! The loader is the daemon's own. An address to listen on is tried, and given back at once: who listens there is asked
//! whether it is this daemon. Nothing else is sent, and nothing secret is shown: an API key appears as its fingerprint.
//! Exit code 0 when the daemon would start (warnings allowed), 78 when not. With `--compare-key` it only says whether a
//! pasted key is the one of the sources. Whether the exchange accepts the credentials is a question for `diagnose`.
//!
//! Lines have at most 100 columns, as far as words allow: a path is never broken.

use std::{
    error::Error as _,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde_json::json;
use textwrap::{Options, WordSeparator, WordSplitter};

use crate::{
    config::{self, FilePair, FileState, Inspection, Origin, Problem, Row, Severity, Sources},
    server::Bound,
    telemetry,
};

mod compare_key;

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
        write_report(&inspection, &sources.env_files, &mut io::stdout().lock())
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
    out: &mut impl Write,
) -> io::Result<Outcome> {
    looked_at(out, &inspection.report.sources)?;
    section(out, "Credentials", &inspection.report.credentials)?;
    if env_files.len() > 1 {
        compare(env_files, &inspection.report.sources, out)?;
    }
    if !inspection.report.callers.is_empty() {
        section(out, "Callers", &inspection.report.callers)?;
    }
    section(out, "Settings", &inspection.report.settings)?;
    problems(out, "Warnings", inspection, Severity::Warning)?;
    problems(out, "Errors", inspection, Severity::Error)?;
    conclude(out, inspection)
}

fn looked_at(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
    writeln!(out, "Looked at")?;
    for Row {
        key, shown, source, ..
    } in rows
    {
        let place = if *source == Origin::Default {
            String::new()
        } else {
            format!(" {source}")
        };
        paragraph(out, &format!("{key}{place}: {shown}"), 2, 4)?;
    }
    writeln!(out)
}

fn section(out: &mut impl Write, title: &str, rows: &[Row]) -> io::Result<()> {
    writeln!(out, "{title}")?;
    if rows.is_empty() {
        writeln!(out, "  none")?;
    }
    for row in rows {
        write_row(out, &row.key, &row.shown, &row.source.to_string())?;
    }
    writeln!(out)
}

/// Says of each further environment file whether it holds the pair of the first.
fn compare(env_files: &[PathBuf], looked_at: &[Row], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "Pairs in the environment files")?;
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
        paragraph(out, &format!("{}: {shown}", path.display()), 2, 4)?;
    }
    writeln!(out)
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
    out: &mut impl Write,
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
    writeln!(out, "{title}")?;
    for problem in found {
        let shown = problem
            .shown
            .as_deref()
            .map_or_else(String::new, |shown| format!(" = {shown}"));
        paragraph(
            out,
            &format!("{}{shown}: {}", problem.key, problem.text),
            2,
            4,
        )?;
        if problem.source != Origin::Default {
            paragraph(out, &format!("at: {}", problem.source), 4, 8)?;
        }
        paragraph(out, &format!("do: {}", problem.remedy), 4, 8)?;
    }
    writeln!(out)
}

fn conclude(out: &mut impl Write, inspection: &Inspection) -> io::Result<Outcome> {
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
        writeln!(
            out,
            "Good: the daemon would start{seen}. Warnings: {warnings}."
        )?;
        writeln!(out, "{NOT_TRIED}")?;
        return Ok(Outcome::Good);
    }
    writeln!(
        out,
        "Unusable: the daemon would not start. Errors: {errors}, warnings: {warnings}."
    )?;
    Ok(Outcome::Unusable)
}

const NOT_TRIED: &str = "The key was not tried: `sudo crypto-proxy diagnose` asks the exchange.";

const COLUMNS: usize = 100;
/// The column in which a row's source begins, where there is room.
const SOURCE_COLUMN: usize = 64;

/// Writes `key = value`, and the source at its right, or below where there is no room.
fn write_row(out: &mut impl Write, key: &str, shown: &str, source: &str) -> io::Result<()> {
    let left = text::line(&format!("  {key} = {shown}"));
    let source = text::line(source);
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
    let words: Vec<String> = text.split_whitespace().map(::text::line).collect();
    let (first, rest) = (" ".repeat(first), " ".repeat(rest));
    let options = Options::new(COLUMNS)
        .initial_indent(&first)
        .subsequent_indent(&rest)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation);
    writeln!(out, "{}", textwrap::fill(&words.join(" "), options))
}

#[cfg(test)]
mod tests;
