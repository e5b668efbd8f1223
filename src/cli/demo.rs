//! `crypto-proxy demo`: caller → proxy → stand-in exchange, all on loopback.
//!
//! The proxy is the daemon itself, and the calls go through its real endpoint. Each answer is compared with what it must
//! be. Nothing leaves this machine. With `--exit` the exit code says whether every call went as it should.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use tracing::Level;
use uuid::Uuid;

use super::StopSignals;
use crate::{app::Daemon, config::Config, server::Address, telemetry};
use gateway::{
    auth::{Caller, Callers},
    policy::Policy,
    secret::{ApiKey, ApiSecret, Credentials, TokenDigest},
    upstream::BaseUrl,
};
use sandbox::{FakeExchange, Running, Settings};

mod steps;

/// What it is told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// End after the calls, with exit code 0 only if each went as it should
    #[arg(long)]
    exit: bool,
}

/// Runs it.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let (dispatch, lines) = telemetry::capture(Level::INFO);
    let outcome = tracing::dispatcher::with_default(&dispatch, || {
        super::runtime()?.block_on(demonstrate(arguments.exit, &lines))
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => super::fail(1, &problem),
    }
}

async fn demonstrate(exit: bool, lines: &telemetry::Captured) -> anyhow::Result<bool> {
    let pair = Pair::invented();
    let exchange = FakeExchange::new(Settings::with_key(&pair.key, &pair.secret))
        .start()
        .await?;
    let daemon = Daemon::bind(config(&pair, &exchange)?).await?;
    let Some(Address::Tcp(address)) = daemon.addresses().into_iter().next() else {
        anyhow::bail!("the proxy did not say where it listens");
    };
    let stop = CancellationToken::new();
    let running = tokio::spawn(daemon.run(stop.clone()));
    anstream::println!("stand-in exchange: {}", exchange.base_url());
    anstream::println!(
        "proxy:             http://{address}, which alone holds the (invented) key\n"
    );
    let proxy = steps::Proxy::at(address, &pair.token)?;
    let all_well = steps::run_steps(&proxy, lines).await?;
    if !exit {
        let mut signal = StopSignals::listen()?;
        anstream::println!("{}", how_to_go_on(address, &pair.token));
        tokio::select! {
            () = signal.received() => {}
            () = show_from(lines, lines.lines().len()) => {}
        }
    }
    stop.cancel();
    running.await.context("the proxy ended unexpectedly")?;
    exchange.shutdown().await;
    Ok(all_well)
}

/// Prints what the proxy logs from here on, as the journal would hold it.
async fn show_from(lines: &telemetry::Captured, first: usize) {
    let mut next = first;
    while let Some(line) = lines.line(next).await {
        anstream::println!("{}", line.text());
        next += 1;
    }
}

/// Credentials that work with this stand-in and nowhere else.
struct Pair {
    key: String,
    secret: String,
    token: String,
}

impl Pair {
    fn invented() -> Self {
        let random = || Uuid::new_v4().simple().to_string();
        Self {
            key: format!("demo-key-{}", random()),
            secret: format!("demo-secret-{}", random()),
            token: format!("demo-token-{}", random()),
        }
    }
}

fn config(pair: &Pair, exchange: &Running) -> anyhow::Result<Config> {
    let credentials = Credentials {
        key: ApiKey::new(pair.key.clone()),
        secret: ApiSecret::new(pair.secret.clone()),
    };
    let caller = Caller {
        name: "default".into(),
        policy: Policy::default(),
    };
    let callers = Callers::new(vec![(
        TokenDigest::of(pair.token.as_bytes()),
        Arc::new(caller),
    )]);
    let mut config = Config::new(
        credentials,
        callers,
        BaseUrl::parse(&exchange.base_url(), None)?,
    );
    config.server.listen = vec![Address::Tcp(([127, 0, 0, 1], 0).into())];
    config.egress.services = vec![exchange.url("/ip").parse()?, exchange.url("/ip/2").parse()?];
    Ok(config)
}

fn how_to_go_on(address: std::net::SocketAddr, token: &str) -> String {
    format!(
        "Go on by hand (Ctrl-C ends it):\n\n  curl -s http://{address}/proxy/private \\\n    \
         -H 'X-Proxy-Token: {token}' -H 'Content-Type: application/json' \\\n    \
         -d '{{\"method\":\"private/get-open-orders\",\"params\":{{\"page\":0,\"page_size\":200}}}}'\n\n  \
         curl -s http://{address}/ready\n"
    )
}
