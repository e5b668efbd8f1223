//! `crypto-proxy serve`: the daemon, from its settings to its last line.
//!
//! Nothing is announced before credentials are loaded and the listener is bound. The first SIGTERM drains, a second one
//! ends at once, and SIGHUP never ends the daemon. The log is flushed before the process leaves, for two seconds where
//! nobody takes it. Exit codes: 0 drained, 1 calls were left or the start failed, 78 configuration.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::StopSignals;
use crate::{
    app::{Daemon, Drained},
    config::{self, Config, Sources},
    server::Address,
    systemd, telemetry,
};

/// What lines that still wait may take at the end.
const FLUSH: Duration = Duration::from_secs(2);
/// What threads that hang in a name look-up may take at the end.
const LEFTOVERS: Duration = Duration::from_secs(1);

/// What it is told.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Arguments {
    /// The configuration file [default: /etc/crypto-proxy/config.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs it.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    telemetry::install_panic_hook();
    disable_core_dumps();
    let config = match config::load(&Sources::from_process(arguments.config.clone())) {
        Ok(config) => config,
        Err(problems) => {
            super::say(&text::lines(&problems.to_string()));
            return ExitCode::from(super::CONFIGURATION);
        }
    };
    let telemetry = match telemetry::install(config.log) {
        Ok(telemetry) => telemetry,
        Err(error) => return super::fail(1, &error.into()),
    };
    let ended = serve(config);
    if let Err(problem) = &ended {
        tracing::error!("the daemon cannot run: {problem:#}");
    }
    let lost = telemetry.flush(FLUSH);
    if lost > 0 {
        super::say(&format!(
            "<4>{lost} log lines were lost: where they go did not take them"
        ));
    }
    match ended {
        Ok(Drained::Clean) => ExitCode::SUCCESS,
        Ok(Drained::Left(_)) | Err(_) => ExitCode::FAILURE,
    }
}

fn serve(config: Config) -> anyhow::Result<Drained> {
    // One thread: a call costs some tens of microseconds, the exchange's budgets allow some hundred calls a second, and
    // a relay that stays on its thread is cheaper than one that is woken on another (docs/benchmarks.md).
    let runtime = super::runtime()?;
    let ended = runtime.block_on(run_daemon(config));
    // Tasks that are left end here; the records of their calls are written by this.
    runtime.shutdown_timeout(LEFTOVERS);
    ended
}

async fn run_daemon(config: Config) -> anyhow::Result<Drained> {
    let mut stop_signal = StopSignals::listen()?;
    let hangup = signal(SignalKind::hangup())?;
    config
        .startup_warnings()
        .iter()
        .for_each(|warning| tracing::warn!("{warning}"));
    // As the report shows it: a secret may have been pasted into its path.
    let base = config
        .report
        .settings
        .iter()
        .find(|row| row.key == "upstream.base_url");
    let base = base.map_or_else(String::new, |row| row.shown.clone());
    let forgotten = config
        .pending_revocations
        .as_ref()
        .and_then(|pending_revocations| pending_revocations.store().err());
    if let Some(problem) = forgotten {
        let problem = problem.with_remedy();
        tracing::warn!("what was revoked of callers cannot be remembered: {problem}");
    }
    let daemon = Daemon::bind(config).await?;
    let addresses = daemon.addresses();
    announce(&base, &addresses);
    tokio::spawn(answer_hangups(hangup));
    if let Some(address) = addresses.into_iter().next() {
        tokio::spawn(systemd::feed_watchdog(address));
    }
    let (stop, gateway) = (CancellationToken::new(), daemon.gateway());
    let mut running = tokio::spawn(daemon.run(stop.clone()));
    tokio::select! {
        ended = &mut running => return Ok(ended?),
        () = stop_signal.received() => {}
    }
    systemd::stopping();
    tracing::info!(
        in_flight = gateway.in_flight(),
        "stopping: what was sent is finished, nothing new is taken"
    );
    stop.cancel();
    tokio::select! {
        ended = &mut running => {
            let ended = ended?;
            tracing::info!("stopped: {}", describe(ended));
            Ok(ended)
        }
        () = stop_signal.received() => {
            let left = gateway.in_flight();
            tracing::warn!(left, "asked twice to stop: ending at once");
            Ok(if left == 0 { Drained::Clean } else { Drained::Left(left) })
        }
    }
}

fn announce(base: &str, addresses: &[Address]) {
    let listening: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let listening = listening.join(", ");
    tracing::info!(
        "crypto-proxy {} listens on {listening} and calls {base}",
        env!("CARGO_PKG_VERSION")
    );
    systemd::ready(&format!("listening on {listening}"));
}

fn describe(drained: Drained) -> String {
    match drained {
        Drained::Clean => "every call was finished".to_owned(),
        Drained::Left(calls) => {
            format!("{calls} calls were left; their lines say what may have become of them")
        }
    }
}

async fn answer_hangups(mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        tracing::warn!(
            "SIGHUP: nothing was reloaded; restart needed (systemctl restart crypto-proxy)"
        );
    }
}

/// No core file, and no reading of our memory by other processes of this user: it holds the keys.
fn disable_core_dumps() {
    let no_core = setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    );
    let not_dumpable = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if no_core.is_err() || not_dumpable.is_err() {
        super::say("<4>this process could not be kept from leaving a core file");
    }
}
