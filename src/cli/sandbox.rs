//! `crypto-proxy sandbox`: a stand-in exchange to try things against.
//!
//! Its key pair is made up at every start and works nowhere else. `--env-file-out` writes the pair and the base URL into a
//! 0600 file that the daemon can be started with.

use std::{
    io::Write,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use tokio::net::TcpListener;

use super::StopSignals;
use sandbox::{FakeExchange, Settings};

/// The commands of `sandbox::control`, for `--help`.
const CONTROLS: &str = "\
While it runs, requests to its port change what it does:
  POST /sandbox/script   faults: {\"target\":\"private/create-order\",\"once\":[{\"do\":\"cut\",\"when\":\"after\"}]}
                         when: before, after, within or late; once, always, or sometimes by a seed
  POST /sandbox/state    clock, keys, address, limits: {\"clock_offset_ms\":90000}
  POST /sandbox/streams  every open socket: {\"do\":\"cut\"}
  POST /sandbox/release  continues everything that hangs
  GET  /sandbox/received how many calls came and were executed
docs/sandbox.md has them all.";

/// What it is told.
#[derive(Debug, clap::Args)]
#[command(after_help = CONTROLS)]
pub(super) struct Arguments {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:9100")]
    listen: SocketAddr,
    /// Write CRYPTO_API_KEY, CRYPTO_API_SECRET and CRYPTO_REST_BASE for this stand-in to a file (mode 0600)
    #[arg(long, value_name = "FILE")]
    env_file_out: Option<PathBuf>,
    /// Append a line of JSON for every order, amendment, withdrawal and transfer that is executed; names in it stay taken
    #[arg(long, value_name = "FILE")]
    executed: Option<PathBuf>,
}

/// Runs it until Ctrl-C or SIGTERM.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match super::runtime().and_then(|runtime| runtime.block_on(serve(arguments))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => super::fail(1, &problem),
    }
}

async fn serve(arguments: &Arguments) -> anyhow::Result<()> {
    let key = format!("sandbox-key-{}", uuid::Uuid::new_v4().simple());
    let secret = format!("sandbox-secret-{}", uuid::Uuid::new_v4().simple());
    let stand_in = FakeExchange::new(Settings::with_key(&key, &secret));
    if let Some(path) = &arguments.executed {
        stand_in
            .record_executed(path)
            .with_context(|| path.display().to_string())?;
    }
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| arguments.listen.to_string())?;
    let address = listener.local_addr()?;
    let mut signal = StopSignals::listen()?;
    let environment = format!(
        "CRYPTO_API_KEY={key}\nCRYPTO_API_SECRET={secret}\nCRYPTO_REST_BASE=http://{address}/exchange/v1\n"
    );
    if let Some(path) = &arguments.env_file_out {
        write_private(path, &environment).with_context(|| path.display().to_string())?;
        anstream::println!(
            "stand-in exchange on http://{address}; its invented pair is in {}",
            path.display()
        );
    } else {
        anstream::println!(
            "stand-in exchange on http://{address}; its invented pair:\n\n{environment}"
        );
    }
    sandbox::run(&stand_in, listener, signal.received()).await?;
    Ok(())
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    file.write_all(text.as_bytes())
}
