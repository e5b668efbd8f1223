//! A captured request after `kill -9`: the real binary, with a caller that it issued itself.

use std::{collections::HashMap, net::SocketAddr};

use crypto_proxy::{
    gateway::clock::Clock,
    sandbox::{Running, Settings, StandIn},
};
use hmac::{Hmac, KeyInit, Mac};
use rustix::process::Signal;
use serde_json::Value;
use sha2::Sha256;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    canary::Canaries,
    support::{Process, client, command},
};

const READ: &str = "private/user-balance";

/// One installation, whose daemon is started more than once.
struct House {
    exchange: Running,
    canaries: Canaries,
    directory: TempDir,
    issued: HashMap<String, String>,
}

impl House {
    async fn new() -> Self {
        let canaries = Canaries::random();
        let settings = Settings::with_key(&canaries.key, &canaries.secret);
        let exchange = StandIn::new(settings).start().await.unwrap();
        let mut house = Self { exchange, canaries, directory: TempDir::new().unwrap(), issued: HashMap::new() };
        std::fs::write(house.directory.path().join("config.toml"), "").unwrap();
        let out = house.directory.path().join("issued");
        let mut add = house.command(&["caller", "add", "bot", "--preset", "read"]);
        let added = add.arg("--out").arg(&out).output().await.unwrap();
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        let text = std::fs::read_to_string(out).unwrap();
        house.issued =
            text.lines().filter_map(|line| line.split_once('=')).map(|(n, v)| (n.into(), v.into())).collect();
        house
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command();
        let directory = self.directory.path();
        command.args(arguments).arg("--config").arg(directory.join("config.toml"));
        command.env("STATE_DIRECTORY", directory).env("CRYPTO_PROXY_TOKEN", &self.canaries.token);
        command.env("CRYPTO_API_KEY", &self.canaries.key).env("CRYPTO_API_SECRET", &self.canaries.secret);
        command.env("CRYPTO_REST_BASE", self.exchange.base_url()).env("CRYPTO_PROXY_LISTEN", "127.0.0.1:0");
        command.env("CRYPTO_PROXY__EGRESS__ENABLED", "false");
        command
    }

    async fn serve(&self) -> (Process, SocketAddr) {
        let process = Process::start(&mut self.command(&["serve"]));
        let line = process.written.wait(&[" listens on "]).await;
        let address = line.split(" listens on ").nth(1).and_then(|rest| rest.split([',', ' ']).next());
        (process, address.and_then(|address| address.parse().ok()).expect("an address"))
    }

    /// A signed request with this nonce.
    fn request(&self, nonce: u64) -> String {
        let (key, secret) = (&self.issued["CRYPTO_PROXY_VIRTUAL_KEY"], &self.issued["CRYPTO_PROXY_VIRTUAL_SECRET"]);
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{READ}7{key}{nonce}").as_bytes());
        let sig = hex::encode(mac.finalize().into_bytes());
        format!(r#"{{"id":7,"method":"{READ}","api_key":"{key}","params":{{}},"nonce":{nonce},"sig":"{sig}"}}"#)
    }
}

async fn post(address: SocketAddr, body: &str) -> (u16, Value) {
    let request = client().post(format!("http://{address}/exchange/v1/{READ}"));
    let response = request.header("content-type", "application/json").body(body.to_owned()).send().await.unwrap();
    (response.status().as_u16(), serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
}

#[tokio::test]
async fn a_captured_request_is_refused_after_kill_9_and_clients_go_on_once_the_mark_is_passed() {
    let house = House::new().await;
    let (first, address) = house.serve().await;
    let captured = house.request(Clock::system().now_ms());
    assert_eq!(post(address, &captured).await.0, 200);
    assert_eq!(post(address, &captured).await.0, 401, "within the run");
    first.signal(Signal::KILL);
    first.ended().await;

    let (second, address) = house.serve().await;
    let (status, answer) = post(address, &captured).await;
    assert_eq!((status, answer["code"].as_i64()), (400, Some(40102)), "{answer}");
    // What a client signs at that moment is refused for a few seconds; a clock that runs ahead is past them.
    let ahead = house.request(Clock::system().now_ms() + 20_000);
    assert_eq!(post(address, &ahead).await.0, 200);
    second.signal(Signal::KILL);
    second.ended().await;

    let (third, address) = house.serve().await;
    for old in [&captured, &ahead] {
        assert_eq!(post(address, old).await.1["code"].as_i64(), Some(40102));
    }
    assert_eq!(house.exchange.stand_in().count(READ), 2);
    third.signal(Signal::TERM);
    let (status, lines) = third.ended().await;
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    for line in &lines {
        house.canaries.assert_absent(line, "what the process wrote");
        assert!(!line.contains(&house.issued["CRYPTO_PROXY_VIRTUAL_SECRET"]), "{line}");
    }
}

#[tokio::test]
async fn after_an_orderly_end_a_captured_request_is_refused_and_clients_go_on_at_once() {
    let house = House::new().await;
    let (first, address) = house.serve().await;
    let captured = house.request(Clock::system().now_ms());
    assert_eq!(post(address, &captured).await.0, 200);
    first.signal(Signal::TERM);
    first.ended().await;
    let (_second, address) = house.serve().await;
    assert_eq!(post(address, &captured).await.1["code"].as_i64(), Some(40102));
    assert_eq!(post(address, &house.request(Clock::system().now_ms() + 1)).await.0, 200);
    assert_eq!(house.exchange.stand_in().count(READ), 2);
}
