//! An environment that would turn other programs, and too few file descriptors.

use std::{process::Stdio, time::Duration};

use rustix::process::Signal;
use serde_json::json;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    process::Command,
    time::timeout,
};

use crate::support::{PATIENCE, Starting, records};

// Fault 78.
#[tokio::test]
async fn proxy_variables_certificates_and_rust_log_have_no_effect_and_leak_nothing() {
    let trap = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", trap.local_addr().unwrap());
    let mut starting = Starting::new()
        .await
        .env("RUST_LOG", "trace")
        .env("RUST_BACKTRACE", "full");
    for name in [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
    ] {
        starting = starting.env(name, &url);
    }
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"] {
        starting = starting.env(name, "/no/such/place");
    }
    let served = starting.env("CRYPTO_AUTH_DIAG", "true").serve().await;
    for _ in 0..3 {
        let (status, answer) = served
            .call("private/user-balance", json!({}))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (status, &answer["body"]["code"]),
            (200, &json!(0)),
            "{answer}"
        );
    }
    assert_eq!(
        served.exchange().total().authenticated,
        3,
        "straight to the exchange"
    );
    served.process.signal(Signal::TERM);
    let (status, lines) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    assert_eq!(records(&lines).count(), 3);
    assert!(
        !lines
            .iter()
            .any(|line| line.contains("hyper") || line.contains("reqwest")),
        "{lines:#?}"
    );
    let trapped = trap.into_std().unwrap();
    trapped.set_nonblocking(true).unwrap();
    assert!(trapped.accept().is_err(), "nobody came by");
}

/// Processor time that a process has used, in clock ticks (100 per second on Linux).
fn ticks(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

// Fault 68.
#[tokio::test]
async fn out_of_descriptors_it_waits_without_spinning_and_recovers() {
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        "ulimit -n 40; exec \"$0\" \"$@\"",
        env!("CARGO_BIN_EXE_crypto-proxy"),
    ]);
    shell.env_clear().stdin(Stdio::null()).kill_on_drop(true);
    let deadline = Duration::from_secs(1);
    let starting = Starting::by(shell)
        .await
        .env("CRYPTO_PROXY__LISTENER__FIRST_REQUEST_DEADLINE_MS", "1000");
    let served = starting.serve().await;
    let mut held = Vec::new();
    for _ in 0..60 {
        held.push(TcpStream::connect(served.address).await.unwrap());
    }
    served
        .process
        .written
        .wait(&["no connection can be accepted", "LimitNOFILE"])
        .await;
    let before = ticks(served.process.id());
    // Those that were accepted are closed at their first-request deadline, and so make room for the others, one by one.
    for mut connection in held {
        let _ = timeout(PATIENCE, connection.read_to_end(&mut Vec::new()))
            .await
            .expect("closed in the end");
    }
    let used = Duration::from_millis((ticks(served.process.id()) - before) * 10);
    println!("{used:?} of processor time in {deadline:?} and more without descriptors");
    assert!(
        used < deadline / 2,
        "{used:?} of processor time while there was nothing to do"
    );
    assert_eq!(served.health().await, 200, "it recovers");
    let (status, answer) = served
        .call("private/user-balance", json!({}))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (status, &answer["outcome"]),
        (200, &json!(null)),
        "{answer}"
    );
    served.process.signal(Signal::TERM);
    let (status, lines) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    let complaints = lines
        .iter()
        .filter(|line| line.contains("no connection can be accepted"))
        .count();
    assert!(complaints <= 5, "{complaints} lines about one shortage");
}
