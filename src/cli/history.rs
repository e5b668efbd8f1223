//! `crypto-proxy history`: what became of the calls, what changed, and what changed in between.
//!
//! Guarantees: the file is only read; times are UTC; nothing that could be a secret is in it. Exit codes: 0 read, 1 with
//! `--between` where calls still fail, 64 usage, 78 the file cannot be read. Does not: judge; that is `diagnose`.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Args;

use diagnosis::{
    doubt::Doubt,
    history::{self, Filter, Questions},
};
use gateway::clock::Clock;

mod output;
#[cfg(test)]
mod tests;

/// Where the unit keeps its state.
const STATE_DIRECTORY: &str = "/var/lib/crypto-proxy";

/// What it is told.
#[derive(Args, Clone, Debug)]
pub(super) struct Arguments {
    /// The history's file [default: history.db in $STATE_DIRECTORY or /var/lib/crypto-proxy]
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
    /// Not before: 2026-01-31T22:10:00Z, 2026-01-31, or a time before now: 90s, 30m, 12h, 7d
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Not after, in the same forms
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Calls of this method only
    #[arg(long)]
    method: Option<String>,
    /// Calls of this caller only
    #[arg(long)]
    caller: Option<String>,
    /// Calls that ended so only
    #[arg(long, value_parser = ["refused", "not_sent", "unknown", "answered"])]
    outcome: Option<String>,
    /// At most so many calls, the newest
    #[arg(long, value_name = "N", default_value_t = 200)]
    limit: u64,
    /// Changes only
    #[arg(long, conflicts_with_all = ["between", "method", "caller", "outcome"])]
    changes: bool,
    /// What changed between the last good call and the first bad one, for each method
    #[arg(long, conflicts_with_all = ["since", "until", "caller", "outcome"])]
    between: bool,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Json,
}

/// Runs it.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let now_ms = Clock::system().now_ms();
    let filter = match filter(arguments, now_ms) {
        Ok(filter) => filter,
        Err(problem) => return super::fail(super::USAGE, &problem),
    };
    let path = arguments.db.clone().unwrap_or_else(default_file);
    let mut out = io::BufWriter::new(io::stdout().lock());
    let answered = answer(arguments, &filter, &path, &mut out).and_then(|code| {
        out.flush()?;
        Ok(code)
    });
    match answered {
        Ok(code) => ExitCode::from(code),
        Err(Unanswered::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(problem) => super::fail(
            super::CONFIGURATION,
            &anyhow::anyhow!("the history {}: {problem}", path.display()),
        ),
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("{0} (the daemon's file is for root: sudo crypto-proxy history)")]
    History(#[from] history::Problem),
    #[error("the answer cannot be written: {0}")]
    Output(#[from] io::Error),
}

fn filter(arguments: &Arguments, now_ms: u64) -> anyhow::Result<Filter> {
    let given =
        |text: &Option<String>| text.as_deref().map(|text| moment(text, now_ms)).transpose();
    Ok(Filter {
        since_ms: given(&arguments.since)?,
        until_ms: given(&arguments.until)?,
        method: arguments.method.clone(),
        caller: arguments.caller.clone(),
        outcome: arguments.outcome.clone(),
        limit: Some(arguments.limit),
    })
}

/// A time as an operator writes it: RFC 3339, a day (its beginning in UTC), or so long before now; in milliseconds since
/// 1970.
fn moment(text: &str, now_ms: u64) -> anyhow::Result<u64> {
    if let Some(ms) = text::time::parse_length(text) {
        return Ok(now_ms.saturating_sub(ms));
    }
    text::time::parse_moment(text).with_context(|| forms(text))
}

fn forms(text: &str) -> String {
    format!(
        "{text} is not a valid time: write 2026-01-31T22:10:00Z, 2026-01-31, or a time before now: 90s, 30m, 12h, 7d"
    )
}

/// Where the daemon keeps it.
pub(super) fn default_file() -> PathBuf {
    state_directory().join(history::FILE_NAME)
}

/// The state directory of this process, or else the unit's.
pub(super) fn state_directory() -> PathBuf {
    let directory = std::env::var_os("STATE_DIRECTORY").filter(|directory| !directory.is_empty());
    directory.map_or_else(|| PathBuf::from(STATE_DIRECTORY), PathBuf::from)
}

/// What the order journal beside the history has in doubt; why it cannot be read, where it cannot.
pub(super) fn doubts_beside(history: &Path) -> Result<Vec<Doubt>, String> {
    match ledger::read_open(&history.with_file_name(ledger::FILE_NAME)) {
        Ok(entries) => Ok(Doubt::of(&entries)),
        // Without a journal nothing was sent that it would have to tell of.
        Err(ledger::Problem::Missing) => Ok(Vec::new()),
        Err(ledger::Problem::InUse) => Err(
            "the running daemon has the order journal: `sudo crypto-proxy orders --open` asks it"
                .to_owned(),
        ),
        Err(problem) => Err(problem.to_string()),
    }
}

/// Writes what was asked for; the exit code.
fn answer(
    arguments: &Arguments,
    filter: &Filter,
    path: &Path,
    out: &mut impl Write,
) -> Result<u8, Unanswered> {
    let form = if arguments.json {
        Form::Json
    } else {
        Form::Text
    };
    let questions = Questions::open(path)?;
    let begins_ms = questions.begins_ms()?;
    if form == Form::Text {
        output::beginning(out, begins_ms, filter.since_ms)?;
    }
    if arguments.between {
        let all = questions.breaks(filter.method.as_deref())?;
        output::breaks(out, form, &all)?;
        return Ok(u8::from(
            all.iter().any(|broken| broken.recovered.is_none()),
        ));
    }
    let calls = if arguments.changes {
        Vec::new()
    } else {
        questions.calls(filter)?
    };
    // Without a lower bound, what changed before the oldest call shown would only push the calls off the screen.
    let oldest = calls
        .first()
        .map(|call| call.ms)
        .filter(|_| filter.since_ms.is_none());
    let narrow = filter.method.is_some() || filter.caller.is_some() || filter.outcome.is_some();
    let of_changes = Filter {
        since_ms: filter.since_ms.or(oldest),
        ..filter.clone()
    };
    let changes = if narrow {
        Vec::new()
    } else {
        questions.changes(&of_changes)?
    };
    let refused = if arguments.changes {
        Vec::new()
    } else {
        questions.refused_calls(&of_changes)?
    };
    output::table(out, form, &calls, &changes, &refused)?;
    if form == Form::Text && calls.iter().any(|call| call.outcome == "unknown") {
        writeln!(
            out,
            "what became of calls that ended unknown, and the names of their orders: `sudo crypto-proxy orders`"
        )?;
    }
    Ok(0)
}
