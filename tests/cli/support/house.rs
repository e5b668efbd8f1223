//! One installation, whose daemon is started more than once, with callers that its own command issued.

use std::{collections::HashMap, net::SocketAddr};

use hmac::{Hmac, KeyInit, Mac};
use sandbox::Running;
use sha2::Sha256;
use tempfile::TempDir;
use tokio::process::Command;

use super::{Process, command, exchange_of};
use crate::canary::Canaries;

/// A virtual key and its secret.
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) secret: String,
}

impl Pair {
    pub(crate) fn sign(&self, text: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).unwrap();
        mac.update(text.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}

pub(crate) struct House {
    pub(crate) exchange: Running,
    pub(crate) canaries: Canaries,
    directory: TempDir,
}

impl House {
    pub(crate) async fn new() -> Self {
        let canaries = Canaries::random();
        let exchange = exchange_of(&canaries).await;
        let directory = TempDir::new().unwrap();
        std::fs::write(directory.path().join("config.toml"), "").unwrap();
        Self {
            exchange,
            canaries,
            directory,
        }
    }

    /// `caller add`, and what it issued.
    pub(crate) async fn issue(&self, name: &str, options: &[&str]) -> Pair {
        let out = self.directory.path().join(format!("issued-{name}"));
        let mut add = self.command(&["caller", "add", name]);
        let added = add
            .args(options)
            .arg("--out")
            .arg(&out)
            .output()
            .await
            .unwrap();
        assert!(
            added.status.success(),
            "{}",
            String::from_utf8_lossy(&added.stderr)
        );
        let text = std::fs::read_to_string(out).unwrap();
        let issued: HashMap<_, _> = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .collect();
        let value = |name: &str| issued[name].to_owned();
        Pair {
            key: value("CRYPTO_PROXY_VIRTUAL_KEY"),
            secret: value("CRYPTO_PROXY_VIRTUAL_SECRET"),
        }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command();
        let directory = self.directory.path();
        command
            .args(arguments)
            .arg("--config")
            .arg(directory.join("config.toml"));
        command
            .env("STATE_DIRECTORY", directory)
            .env("CRYPTO_PROXY_TOKEN", &self.canaries.token);
        command
            .env("CRYPTO_API_KEY", &self.canaries.key)
            .env("CRYPTO_API_SECRET", &self.canaries.secret);
        command
            .env("CRYPTO_REST_BASE", self.exchange.base_url())
            .env("CRYPTO_PROXY_LISTEN", "127.0.0.1:0");
        command.env("CRYPTO_PROXY__EGRESS__ENABLED", "false");
        command
    }

    pub(crate) async fn serve(&self) -> (Process, SocketAddr) {
        let process = Process::start(&mut self.command(&["serve"]));
        let address = process.address().await;
        (process, address)
    }
}
