//! The command line: the subcommands and the exit codes.
//!
//! Exit codes: 0 good, 1 the check found trouble, 64 usage, 69 the exchange cannot be reached, 78 configuration. No secret
//! is ever an argument: every process of the machine can read arguments.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use anstream::{AutoStream, ColorChoice};
use anyhow::Context;
use clap::{Parser, Subcommand, error::ErrorKind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
};

use crate::config::{self, Sources};
use diagnosis::report::Paint;

mod caller;
pub mod check;
mod demo;
mod diagnose;
mod history;
mod ledger;
mod orders;
mod sandbox;
mod serve;
mod smoke;
mod support_bundle;

/// The command line was not understood (sysexits EX_USAGE).
const USAGE: u8 = 64;
/// The exchange cannot be reached (sysexits EX_UNAVAILABLE).
const UNREACHABLE: u8 = 69;
/// The configuration is not usable (sysexits EX_CONFIG).
const CONFIGURATION: u8 = 78;

/// Holds the API keys of a Crypto.com Exchange account, signs calls for local programs, explains every failure.
#[derive(Debug, Parser)]
#[command(name = "crypto-proxy", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon
    Serve(serve::Arguments),
    /// Check the configuration and credentials as the daemon would, without network
    Check(check::CheckArgs),
    /// Manage callers: add, list, show, rotate, revoke
    Caller(caller::Arguments),
    /// Find out why calls fail: probes that never trade, causes by likelihood, one next step
    Diagnose(diagnose::Arguments),
    /// Quick test: public data, balance, open orders, order history; PASS or FAIL for each
    Smoke(smoke::Arguments),
    /// Show which API key is configured here: fingerprint, label and source
    Fingerprint(FingerprintArguments),
    /// Show the results of calls, and what changed when
    History(history::Arguments),
    /// Show what became of orders, by the order journal; decide by hand what nobody can find out
    Orders(orders::Arguments),
    /// Look the order journal's file over
    Ledger(ledger::Arguments),
    /// Write a ticket with evidence for the exchange's support; it holds no secret
    SupportBundle(support_bundle::Arguments),
    /// Demonstration: a stand-in exchange and the proxy on loopback, and five calls
    Demo(demo::Arguments),
    /// Test the signing code with the 70 signing test vectors, without network
    SelfTest,
    /// Run a stand-in exchange for tests
    Sandbox(sandbox::Arguments),
}

/// Runs the subcommand named on the command line.
#[must_use]
pub fn run() -> ExitCode {
    match Arguments::try_parse() {
        Ok(arguments) => dispatch(arguments.command),
        Err(error) => {
            let _ = error.print();
            let asked_for = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            if asked_for {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(USAGE)
            }
        }
    }
}

fn dispatch(command: Command) -> ExitCode {
    match command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::Caller(arguments) => caller::run(arguments),
        Command::Diagnose(arguments) => diagnose::run(arguments),
        Command::Smoke(arguments) => smoke::run(arguments),
        Command::Fingerprint(arguments) => fingerprint(arguments),
        Command::History(arguments) => history::run(&arguments),
        Command::Orders(arguments) => orders::run(&arguments),
        Command::Ledger(arguments) => ledger::run(&arguments),
        Command::SupportBundle(arguments) => support_bundle::run(arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::SelfTest => self_test(),
        Command::Sandbox(arguments) => sandbox::run(&arguments),
    }
}

/// Says why a command ends, on stderr, and gives the exit code.
fn fail(code: u8, problem: &anyhow::Error) -> ExitCode {
    say(&format!(
        "crypto-proxy: {}",
        text::lines(&format!("{problem:#}"))
    ));
    ExitCode::from(code)
}

/// Says something on stderr where there is no log for it. Whoever does not read it keeps nobody from ending, and neither
/// does a full disk. Does not lock stderr: the log's writer may hang in it.
fn say(what: &str) {
    /// What a pipe takes at once where it takes anything (`PIPE_BUF`).
    const AT_ONCE: usize = 4096;
    const PATIENCE: Timespec = Timespec {
        tv_sec: 1,
        tv_nsec: 0,
    };
    let (stderr, said) = (io::stderr(), format!("{what}\n"));
    let mut rest = said.as_bytes();
    while !rest.is_empty() {
        let mut ready = [PollFd::new(&stderr, PollFlags::OUT)];
        if !poll(&mut ready, Some(&PATIENCE)).is_ok_and(|ready| ready > 0) {
            return;
        }
        let part = rest.get(..AT_ONCE).unwrap_or(rest);
        let Ok(written) = rustix::io::write(&stderr, part) else {
            return;
        };
        rest = rest.get(written..).unwrap_or_default();
    }
}

/// Why a command ends without having done what it was asked for.
struct Failure {
    code: u8,
    why: String,
}

impl Failure {
    /// It ends with this exit code; of an error its causes are told as well.
    fn new(code: u8, why: impl Display) -> Self {
        Self {
            code,
            why: format!("{why:#}"),
        }
    }

    /// Says so, and gives the exit code.
    fn end(self) -> ExitCode {
        fail(self.code, &anyhow::Error::msg(self.why))
    }
}

/// The columns of the terminal on stdout, as far as text is good to read at that width; so many where there is none.
fn columns(without_terminal: usize) -> usize {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return without_terminal;
    }
    match rustix::termios::tcgetwinsize(&stdout) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col).clamp(40, 120),
        Ok(_) | Err(_) => without_terminal,
    }
}

/// Whether stdout has colour: the stream's choice, which is a terminal, and neither NO_COLOR nor TERM=dumb.
fn paint() -> Paint {
    if AutoStream::choice(&io::stdout()) == ColorChoice::Never {
        Paint::Plain
    } else {
        Paint::Colour
    }
}

/// Writes an object for programs, members in the order of their names.
fn print_json(object: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(&serde_json::to_value(object)?)?;
    writeln!(io::stdout().lock(), "{text}")
}

/// The runtime of a command: one thread.
fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")
}

/// The exit code of a command that wrote its answer like this. Whoever closed the pipe has read enough.
fn after_writing(written: io::Result<()>, code: ExitCode) -> ExitCode {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => fail(1, &error.into()),
        _ => code,
    }
}

/// `crypto-proxy self-test`: runs the signing vectors without network; exit code 1 if one of them misbehaves.
fn self_test() -> ExitCode {
    let summary = gateway::self_test::run();
    anstream::println!("{summary}");
    if summary.wrong.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What it is told.
#[derive(Debug, clap::Args)]
struct FingerprintArguments {
    /// The configuration file, instead of /etc/crypto-proxy/config.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// An environment file, instead of /etc/crypto.env
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
}

/// `crypto-proxy fingerprint`: which API key is configured here, by its fingerprint.
///
/// The loader is the daemon's own. A running daemon is not asked: its key may be an older one.
fn fingerprint(arguments: FingerprintArguments) -> ExitCode {
    let files = arguments.env_file.into_iter().collect();
    let inspection = config::inspect(&Sources::from_process(arguments.config).of_the_unit(files));
    let Some(key) = inspection.key else {
        say(&text::lines(&inspection.problems.to_string()));
        return ExitCode::from(CONFIGURATION);
    };
    let (name, origin) = key.source;
    anstream::println!("fingerprint {}", key.fingerprint);
    anstream::println!(
        "label       {}",
        text::line(
            key.label
                .as_deref()
                .unwrap_or("not set (CRYPTO_API_KEY_LABEL)")
        )
    );
    anstream::println!("source      {}", text::line(&format!("{name}, {origin}")));
    ExitCode::SUCCESS
}

/// SIGTERM or Ctrl-C.
///
/// Listens from the moment it is made, so that nothing that is announced afterwards can miss a signal.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Begins to listen; from now on neither signal ends the process by itself.
    ///
    /// # Errors
    /// Where signals cannot be caught.
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Resolves at the next signal.
    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
