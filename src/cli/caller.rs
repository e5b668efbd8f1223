//! `crypto-proxy caller`: who may call, with what, and what each may do.
//!
//! A token and a virtual secret are shown once, on a terminal or in a new 0600 file. Nothing is issued before it is certain
//! that they can be shown, and none of them is ever an argument. The file is the one that the daemon reads; every change
//! counts from its next start. Exit codes: 0 done, 64 usage, 78 the callers cannot be read or written.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};

use crate::{
    callers::{CallerFiles, CallerText, CallersError, Edit, Issued},
    config::{self, FileState, Sources},
};
use gateway::{clock::Clock, policy::Preset};

mod output;

use self::output::SecretOutput;
use super::{CONFIGURATION, Failure, USAGE};

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
    Add(AddArguments),
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
    /// Revoke a caller's access permanently
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
    match execute(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.end(),
    }
}

impl From<CallersError> for Failure {
    fn from(problem: CallersError) -> Self {
        let code = match &problem {
            CallersError::Exists(_)
            | CallersError::Unknown(_)
            | CallersError::Rotating(_)
            | CallersError::NotRotating(_)
            | CallersError::Unfit(..) => USAGE,
            CallersError::Unreadable(..)
            | CallersError::Unwritable(..)
            | CallersError::Faulty(..)
            | CallersError::Distrusted(..)
            | CallersError::RevocationsMissing(_)
            | CallersError::Revocations(..)
            | CallersError::MasterOpen(..)
            | CallersError::MasterMalformed(_)
            | CallersError::MasterMissing(_)
            | CallersError::MasterOther(_)
            | CallersError::MasterElsewhere(_)
            | CallersError::NoStateDirectory => CONFIGURATION,
        };
        Self::new(code, problem.with_remedy())
    }
}

fn execute(arguments: Arguments) -> Result<(), Failure> {
    let inspection =
        config::inspect(&Sources::from_process(arguments.config).of_the_unit(Vec::new()));
    let (files, now_ms) = (&inspection.caller_files, Clock::system().now_ms());
    // Where the configuration cannot be read, nobody knows which file the daemon will read.
    let row = inspection.report.sources.first();
    let unread = inspection.problems.errors().find(|problem| {
        [config::CONFIGURATION_FILE, "callers.file"].contains(&&*problem.key)
            || row.is_some_and(|row| {
                row.file == Some(FileState::Read) && row.source == problem.source
            })
    });
    let config_file = row.is_some_and(|row| row.file == Some(FileState::Denied));
    if unread.is_some() || config_file {
        let text = unread.map_or_else(
            || "the configuration file is not readable by you".to_owned(),
            ToString::to_string,
        );
        return Err(Failure::new(
            USAGE,
            format!("{text} (see crypto-proxy check)"),
        ));
    }
    let base = output::base_url(&inspection.endpoint.listen);
    match arguments.command {
        Command::Add(order) => {
            let out = order.out.clone();
            let wanted = order.into_text(now_ms)?;
            let output = SecretOutput::open(out.as_deref())?;
            let name = wanted.name.clone();
            let issued = Edit::begin(files, now_ms).and_then(|edit| edit.issue(wanted));
            hand_over(output, issued, &base)?;
            output::show_policy(files, now_ms, &name).map_err(Failure::from)
        }
        Command::Rotate {
            name, finish: true, ..
        } => {
            let number = Edit::begin(files, now_ms)?.finish(&name)?;
            anstream::println!("From the next start on, {name} has generation {number} alone.");
            next_step();
            Ok(())
        }
        Command::Rotate {
            name, grace, out, ..
        } => {
            let grace_ms = duration(&grace).map_err(|problem| Failure::new(USAGE, problem))?;
            let output = SecretOutput::open(out.as_deref())?;
            let issued = Edit::begin(files, now_ms).and_then(|edit| edit.rotate(&name, grace_ms));
            hand_over(output, issued, &base)
        }
        Command::Revoke { name, .. } => revoke(files, now_ms, name.as_deref()),
        Command::List => output::list(files, now_ms).map_err(Failure::from),
        Command::Show { name } => output::show(files, now_ms, &name).map_err(Failure::from),
    }
}

fn hand_over(
    output: SecretOutput,
    issued: Result<Issued, CallersError>,
    base: &str,
) -> Result<(), Failure> {
    match issued {
        Ok(issued) => {
            output.hand_over(&issued, base)?;
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
            output.give_up();
            Err(problem.into())
        }
    }
}

fn revoke(files: &CallerFiles, now_ms: u64, name: Option<&str>) -> Result<(), Failure> {
    match name {
        Some(name) => {
            Edit::begin(files, now_ms)?.revoke(name)?;
            anstream::println!(
                "{name} is revoked; a running daemon accepts it until it is restarted."
            );
        }
        None => {
            let count = Edit::revoke_all(files, now_ms)?;
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

/// What it is told.
#[derive(Debug, clap::Args)]
struct AddArguments {
    /// Its name, in records and refusals: lower-case letters, digits and _ . -
    name: String,
    /// What it may do: read; trade (read and orders); full (transfers and withdrawals as well) [default: read, unless
    /// --allow says more exactly]
    #[arg(long, value_parser = ["read", "trade", "full"])]
    preset: Option<String>,
    /// A class (read, trade, products, transfer, account-admin), a method, or the beginning of methods (private/bot/*)
    #[arg(long, value_name = "WHAT")]
    allow: Vec<String>,
    /// The same, denied whatever is allowed
    #[arg(long, value_name = "WHAT")]
    deny: Vec<String>,
    /// An instrument that it may act on, and on no other than those named
    #[arg(long, value_name = "NAME")]
    instrument: Vec<String>,
    /// In spite of --instrument it may change and cancel any order by its id
    #[arg(long, requires = "instrument")]
    orders_by_id: bool,
    /// An address or network that it may call from, and from no other than those named
    #[arg(long, value_name = "CIDR")]
    source: Vec<String>,
    /// A uid that it may call as over a unix socket
    #[arg(long, value_name = "UID")]
    uid: Vec<u32>,
    /// When it ends: 2026-01-31T22:10:00Z, 2026-01-31, or a time from now: 12h, 90d
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// It may ask for diagnoses, and nothing else
    #[arg(long, conflicts_with_all = ["preset", "allow", "deny", "instrument"])]
    diagnose: bool,
    /// Write what was issued into this new file, mode 0600
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl AddArguments {
    /// As the callers file has it.
    fn into_text(self, now_ms: u64) -> Result<CallerText, Failure> {
        let preset = match self.preset {
            None if self.allow.is_empty() && !self.diagnose => Some(Preset::Read.name().to_owned()),
            given => given,
        };
        let expires = self
            .expires
            .map(|text| end(&text, now_ms))
            .transpose()
            .map_err(|problem| Failure::new(USAGE, problem))?;
        Ok(CallerText {
            name: self.name,
            preset,
            allow: self.allow,
            deny: self.deny,
            instruments: given(self.instrument),
            orders_by_id: self.orders_by_id,
            sources: given(self.source),
            uids: given(self.uid),
            expires,
            diagnose: self.diagnose,
            ..CallerText::default()
        })
    }
}

fn given<T>(items: Vec<T>) -> Option<Vec<T>> {
    Some(items).filter(|items| !items.is_empty())
}

/// So long, in milliseconds.
fn duration(text: &str) -> anyhow::Result<u64> {
    text::time::parse_length(text)
        .with_context(|| format!("{text} is not a valid time to wait: write 90s, 30m, 12h or 7d"))
}

/// A moment to come, as the callers file has it: RFC 3339, a day (its beginning in UTC), or so long from now.
fn end(text: &str, now_ms: u64) -> anyhow::Result<String> {
    let forms = || {
        format!(
            "{text} is not a valid time: write 2026-01-31T22:10:00Z, 2026-01-31, or a time from now: 12h, 90d"
        )
    };
    let at_ms = match duration(text) {
        Ok(ms) => now_ms.checked_add(ms),
        Err(_) => text::time::parse_moment(text),
    };
    let at_ms = at_ms.with_context(forms)?;
    if at_ms <= now_ms {
        bail!("{text} is in the past");
    }
    Ok(text::time::rfc3339(at_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000_000_000; // 2001-09-09T01:46:40Z

    #[test]
    fn an_end_is_a_moment_a_day_or_so_long_from_now() {
        for (text, expected) in [
            ("2026-01-31T22:10:00Z", "2026-01-31T22:10:00Z"),
            ("2026-01-31T22:10:00+02:00", "2026-01-31T20:10:00Z"),
            ("2026-01-31", "2026-01-31T00:00:00Z"),
            ("12h", "2001-09-09T13:46:40Z"),
        ] {
            assert_eq!(end(text, NOW).unwrap(), expected);
        }
        for wrong in [
            "",
            "tomorrow",
            "2000-01-01",
            "0s",
            "99999999999999999999d",
            "-1h",
        ] {
            assert!(end(wrong, NOW).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_grace_may_be_none_at_all() {
        assert_eq!(
            (duration("0s").unwrap(), duration("7d").unwrap()),
            (0, 604_800_000)
        );
        assert!(duration("7").is_err() && duration("week").is_err());
    }
}
