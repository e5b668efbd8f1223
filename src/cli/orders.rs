//! `crypto-proxy orders`: what became of the orders, by the order journal; `orders resolve` ends one by hand.
//!
//! The running daemon is asked through the socket in its state directory; where none runs, the file is opened instead.
//! Exit codes: 0 done, 1 no such order or not decided, 64 usage, 78 the journal cannot be read.

use std::{path::PathBuf, process::ExitCode};

use clap::{ArgGroup, Args, Subcommand};

use super::{CONFIGURATION, Failure};
use crate::orders::{Decision, MOST, Wanted};

mod journal;
mod output;

use self::journal::Way;

/// What it is told.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: ListArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Decide by hand what became of an order that is open
    Resolve(ResolveArguments),
}

#[derive(Args, Debug)]
struct ListArguments {
    /// Only orders of which nobody knows yet what became of them
    #[arg(long)]
    open: bool,
    /// Only those of this client_oid, client_wid, idempotency key or order id; of open ones also by request id (rid)
    #[arg(long)]
    name: Option<String>,
    /// Only those of this caller
    #[arg(long)]
    caller: Option<String>,
    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=MOST as i64))]
    most: u16,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: StateDirectory,
}

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("became").required(true))]
struct ResolveArguments {
    /// Its client_oid, client_wid, idempotency key, order id or request id (rid)
    name: String,
    /// It was executed: its name stays used
    #[arg(long, group = "became")]
    executed: bool,
    /// It never arrived at the exchange: its name is free again
    #[arg(long, group = "became")]
    never_arrived: bool,
    /// Why, for those who read it later
    #[arg(long, value_name = "TEXT")]
    why: String,
    #[command(flatten)]
    at: StateDirectory,
}

/// Where the daemon keeps its state.
#[derive(Args, Debug)]
pub(super) struct StateDirectory {
    /// The daemon's state directory [default: $STATE_DIRECTORY or /var/lib/crypto-proxy]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

impl StateDirectory {
    /// Which it is.
    pub(super) fn path(&self) -> PathBuf {
        let given = self.state_dir.clone();
        given.unwrap_or_else(super::history::state_directory)
    }
}

/// Runs it.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let runtime = match super::runtime() {
        Ok(runtime) => runtime,
        Err(problem) => return super::fail(1, &problem),
    };
    let done = match &arguments.command {
        None => runtime.block_on(list(&arguments.list)),
        Some(Command::Resolve(arguments)) => runtime.block_on(resolve(arguments)),
    };
    done.unwrap_or_else(Failure::end)
}

async fn list(arguments: &ListArguments) -> Result<ExitCode, Failure> {
    let journal = Way::to(&arguments.at.path()).await?;
    let wanted = Wanted {
        open: arguments.open,
        name: arguments.name.clone(),
        caller: arguments.caller.clone(),
        most: usize::from(arguments.most),
    };
    let orders = journal.list(wanted).await?;
    let code = if orders.is_empty() && arguments.name.is_some() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    };
    let written = if arguments.json {
        output::json(&orders)
    } else {
        output::text(&orders, arguments.open)
    };
    Ok(super::after_writing(written, code))
}

async fn resolve(arguments: &ResolveArguments) -> Result<ExitCode, Failure> {
    let journal = Way::to(&arguments.at.path()).await?;
    let decision = Decision {
        name: arguments.name.clone(),
        executed: arguments.executed,
        why: arguments.why.clone(),
    };
    let order = journal.decide(&decision).await?;
    let written = output::decided(&order);
    Ok(super::after_writing(written, ExitCode::SUCCESS))
}

fn unreadable(why: impl std::fmt::Display) -> Failure {
    Failure::new(CONFIGURATION, why)
}
