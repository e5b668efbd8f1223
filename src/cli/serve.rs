//! `crypto-proxy serve`: the daemon.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

/// What it is told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

/// Runs it.
pub(super) fn run(_arguments: &Arguments) -> ExitCode {
    ExitCode::SUCCESS
}

/// Resolves at the first SIGTERM or Ctrl-C; at once where signals cannot be caught.
pub(super) async fn asked_to_stop() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
