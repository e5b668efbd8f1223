//! `crypto-proxy fingerprint`: which API key is configured here, by its fingerprint.
//!
//! Guarantees: the loader is the daemon's own; three lines, nothing of the key itself, nothing sent anywhere. Exit code
//! 78 where there is no usable key, with the reasons. Does not: look at a running daemon, whose key may be an older one.

use std::{path::PathBuf, process::ExitCode};

use crate::config::{self, Sources};

/// What it is told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration file, instead of /etc/crypto-proxy/config.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// An environment file, instead of /etc/crypto.env
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
}

/// Runs it.
pub(super) fn run(arguments: Arguments) -> ExitCode {
    let files = arguments.env_file.into_iter().collect();
    let examined = config::examine(&Sources::from_process(arguments.config).with_env_files(files));
    let Some(key) = examined.key else {
        anstream::eprintln!("{}", examined.problems);
        return ExitCode::from(super::CONFIGURATION);
    };
    let (name, origin) = key.source;
    anstream::println!("fingerprint {}", key.fingerprint);
    anstream::println!(
        "label       {}",
        key.label
            .as_deref()
            .unwrap_or("not set (CRYPTO_API_KEY_LABEL)")
    );
    anstream::println!("source      {name}, {origin}");
    ExitCode::SUCCESS
}
