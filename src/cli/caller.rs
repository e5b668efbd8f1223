//! `crypto-proxy caller`: who may call, with what, and what each may do.
//!
//! Guarantees: a token and a virtual secret are shown once, to a terminal or into a new 0600 file, and nothing is made
//! before it is certain that they can be; none is ever an argument. The file is the one that the daemon reads. Exit
//! codes: 0 done, 64 usage, 78 the callers cannot be read or written. Does not: reach a running daemon: every change
//! counts from its next start.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};

use crate::{
    callers::{Edit, Issued, Places, Problem},
    config::{self, Sources},
};
use gateway::clock::Clock;

mod add;
mod handover;
mod show;
mod when;

use self::handover::Way;

/// What it is told.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The configuration file, instead of /etc/crypto-proxy/config.toml; the callers stand beside it
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add a caller, and show its token, virtual key and secret once
    Add(add::Arguments),
    /// Show every caller
    List,
    /// Show one caller
    Show {
        /// Its name
        name: String,
    },
    /// Issue a new token, virtual key and secret; the old ones stay valid for a while
    Rotate {
        /// Its name
        name: String,
        /// How long the old ones stay valid: 90s, 30m, 12h, 7d
        #[arg(
            long,
            value_name = "TIME",
            default_value = "7d",
            conflicts_with = "finish"
        )]
        grace: String,
        /// End the rotation: the old ones are not valid any more
        #[arg(long, conflicts_with = "out")]
        finish: bool,
        /// Write what was issued into this new file, mode 0600
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Take a caller's access away for good
    Revoke {
        /// Its name
        #[arg(required_unless_present = "all")]
        name: Option<String>,
        /// Everybody's, with a new master key; also where files are damaged or were restored
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
}

/// Runs it.
pub(super) fn run(arguments: Arguments) -> ExitCode {
    match act(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Ended::Usage(problem)) => super::fail(super::USAGE, &problem),
        Err(Ended::Registry(problem)) => super::fail(code_of(&problem), &problem.into()),
    }
}

/// Why nothing was done.
enum Ended {
    Usage(anyhow::Error),
    Registry(Problem),
}

impl From<Problem> for Ended {
    fn from(problem: Problem) -> Self {
        Self::Registry(problem)
    }
}

const fn code_of(problem: &Problem) -> u8 {
    match problem {
        Problem::Exists(_) | Problem::Unknown(_) | Problem::Rotating(_) => super::USAGE,
        Problem::NotRotating(_) | Problem::Unfit(..) => super::USAGE,
        Problem::Unreadable(..) | Problem::Unwritable(..) | Problem::Faulty(..) => {
            super::CONFIGURATION
        }
        Problem::Revocations(..) | Problem::MasterOpen(..) | Problem::MasterMalformed(_) => {
            super::CONFIGURATION
        }
        Problem::MasterMissing(_) | Problem::MasterOther(_) | Problem::MasterElsewhere(_) => {
            super::CONFIGURATION
        }
        Problem::NoStateDirectory => super::CONFIGURATION,
    }
}

fn act(arguments: Arguments) -> Result<(), Ended> {
    let examined =
        config::examine(&Sources::from_process(arguments.config).with_env_files(Vec::new()));
    let (places, now_ms) = (&examined.places, Clock::system().now_ms());
    // Where the configuration cannot be read, nobody knows which file the daemon will read.
    let unread = examined
        .problems
        .errors()
        .find(|problem| ["configuration file", "callers.file"].contains(&&*problem.key));
    let config_file = examined
        .report
        .sources
        .first()
        .is_some_and(|row| row.shown.contains("not readable"));
    if unread.is_some() || config_file {
        let text = unread.map_or_else(
            || "the configuration file is not readable by you".to_owned(),
            ToString::to_string,
        );
        return Err(Ended::Usage(anyhow::anyhow!(
            "{text} (see crypto-proxy check)"
        )));
    }
    let base = handover::base_url(&examined.report);
    match arguments.command {
        Command::Add(order) => {
            let out = order.out.clone();
            let wish = order.into_text(now_ms)?;
            let way = Way::open(out.as_deref())?;
            let issued = Edit::begin(places, now_ms).and_then(|edit| edit.issue(wish));
            hand_over(way, issued, &base)
        }
        Command::Rotate {
            name, finish: true, ..
        } => {
            let number = Edit::begin(places, now_ms)?.finish(&name)?;
            anstream::println!("From the next start on, {name} has generation {number} alone.");
            next_step();
            Ok(())
        }
        Command::Rotate {
            name, grace, out, ..
        } => {
            let grace_ms = when::duration(&grace).map_err(Ended::Usage)?;
            let way = Way::open(out.as_deref())?;
            let issued = Edit::begin(places, now_ms).and_then(|edit| edit.rotate(&name, grace_ms));
            hand_over(way, issued, &base)
        }
        Command::Revoke { name, .. } => revoke(places, now_ms, name.as_deref()),
        Command::List => show::list(places, now_ms).map_err(Ended::from),
        Command::Show { name } => show::show(places, now_ms, &name).map_err(Ended::from),
    }
}

fn hand_over(way: Way, issued: Result<Issued, Problem>, base: &str) -> Result<(), Ended> {
    match issued {
        Ok(issued) => {
            way.hand_over(&issued, base)?;
            if let Some(until) = &issued.former_until {
                anstream::println!(
                    "The generation before it is valid until {until}, or until rotate {} --finish.",
                    issued.name
                );
            }
            next_step();
            Ok(())
        }
        Err(problem) => {
            way.give_up();
            Err(problem.into())
        }
    }
}

fn revoke(places: &Places, now_ms: u64, name: Option<&str>) -> Result<(), Ended> {
    match name {
        Some(name) => {
            Edit::begin(places, now_ms)?.revoke(name)?;
            anstream::println!(
                "{name} is revoked; a running daemon knows it until it is restarted."
            );
        }
        None => {
            let count = Edit::revoke_all(places, now_ms)?;
            let who = count.map_or_else(
                || "Everybody".to_owned(),
                |count| format!("Everybody ({count} callers)"),
            );
            anstream::println!(
                "{who} is revoked, and there is a new master key; add every caller anew."
            );
        }
    }
    next_step();
    Ok(())
}

fn next_step() {
    anstream::println!("next: sudo systemctl restart crypto-proxy");
}
