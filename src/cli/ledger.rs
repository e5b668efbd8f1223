//! `crypto-proxy ledger check`: whether the order journal's file is in order.
//!
//! Guarantees: nothing is repaired or thrown away. Exit codes: 0 in order, 1 damaged, 64 usage, 78 it cannot be looked over.
//! Does not: ask a running daemon, whose orders would wait as long as the look takes.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use text::time::rfc3339_ms;

use super::{CONFIGURATION, Failure, orders::StateDirectory};
use ledger::{Checked, Problem};

/// What it is told.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look the file over; the daemon must be stopped
    Check(StateDirectory),
}

/// Runs it.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let Command::Check(at) = &arguments.command;
    let path = at.path().join(ledger::FILE_NAME);
    match ledger::check(&path) {
        Ok(checked) => {
            let code = if checked.faults.is_empty() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            };
            super::after_writing(tell(&checked, &path), code)
        }
        Err(problem) => {
            let next = match &problem {
                Problem::InUse => {
                    "; it can be looked over while no daemon runs: sudo systemctl stop crypto-proxy. What is in it can be \
                     asked for at any time: sudo crypto-proxy orders"
                }
                Problem::Away(_) if !rustix::process::geteuid().is_root() => {
                    " (the daemon's file is for root: sudo crypto-proxy ledger check)"
                }
                Problem::Away(_)
                | Problem::Missing
                | Problem::Newer(_)
                | Problem::Older(_)
                | Problem::Foreign => "",
            };
            let why = format!("{}: {problem}{next}", path.display());
            Failure::new(CONFIGURATION, why).end()
        }
    }
}

fn tell(checked: &Checked, path: &Path) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let oldest = checked.oldest_ms.map_or_else(|| "-".to_owned(), rfc3339_ms);
    writeln!(out, "file      {} ({} bytes)", path.display(), size(path))?;
    writeln!(
        out,
        "attempts  {}, the oldest of {oldest}",
        checked.attempts
    )?;
    writeln!(out, "open      {}", checked.open)?;
    writeln!(out, "names     {} in use", checked.names)?;
    writeln!(out, "answers   {} kept to be given again", checked.answers)?;
    if checked.faults.is_empty() {
        return writeln!(out, "the order journal is in order");
    }
    writeln!(out, "the order journal is damaged:")?;
    for fault in &checked.faults {
        writeln!(out, "  {}", text::line(fault))?;
    }
    writeln!(out, "next: {}", ledger::replacement(path))?;
    writeln!(
        out,
        "For a name that is not in the journal, only the exchange keeps an order from being placed twice: it refuses a \
         client_oid that it remembers (code 204). docs/operations.md, \"The order journal\", has the commands"
    )
}

/// Of the file and of what stands beside it.
fn size(path: &Path) -> u64 {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let files = [path.to_owned(), PathBuf::from(log)];
    let sizes = files.iter().filter_map(|file| fs::metadata(file).ok());
    sizes.map(|data| data.len()).sum()
}
