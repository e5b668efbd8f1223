//! Subcommands that run and end by themselves, and the stand-in as a process.

use std::{os::unix::fs::PermissionsExt, process::Output};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::{Process, Served, Starting, client, command};

async fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command()
        .args(arguments)
        .output()
        .await
        .expect("the binary starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (
        status.code().expect("an exit code"),
        text(stdout),
        text(stderr),
    )
}

#[tokio::test]
async fn help_and_version_are_asked_for_and_exit_0() {
    for arguments in [
        &["--help"][..],
        &["-h"],
        &["help"],
        &["serve", "--help"],
        &["check", "--help"],
    ] {
        let (code, out, err) = run(arguments).await;
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
        assert!(out.contains("Usage: crypto-proxy"), "{arguments:?}: {out}");
    }
    let (code, out, _) = run(&["--version"]).await;
    assert_eq!(
        (code, out.trim()),
        (0, concat!("crypto-proxy ", env!("CARGO_PKG_VERSION")))
    );
}

#[tokio::test]
async fn what_is_not_understood_exits_64_and_says_how_it_is_used() {
    for arguments in [
        &[][..],
        &["no-such-subcommand"],
        &["serve", "--no-such-flag"],
        &["serve", "surplus"],
    ] {
        let (code, out, err) = run(arguments).await;
        assert_eq!((code, out.as_str()), (64, ""), "{arguments:?}");
        assert!(err.contains("Usage: crypto-proxy"), "{arguments:?}: {err}");
    }
}

#[tokio::test]
async fn the_self_test_signs_every_vector() {
    let (code, out, err) = run(&["self-test"]).await;
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("70 of 70 signing test vectors pass"), "{out}");
}

#[tokio::test]
async fn the_demo_shows_five_calls_as_they_should_be() {
    let (code, out, err) = run(&["demo", "--exit"]).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert_eq!(out.matches("\n   as it should be\n").count(), 5, "{out}");
    assert!(
        !out.contains("NOT as it should be") && !out.contains("demo-secret-"),
        "{out}"
    );
}

#[tokio::test]
async fn the_demo_without_exit_goes_on_until_it_is_told_to_stop() {
    let process = Process::start(command().arg("demo"));
    let line = process.written.wait(&["curl -s http://", "/ready"]).await;
    // An answer shows that it has come to the point of waiting for signals.
    let ready = client()
        .get(line.trim().trim_start_matches("curl -s "))
        .send()
        .await
        .expect("it still serves");
    assert_eq!(ready.status(), 200);
    process.signal(Signal::TERM);
    let (status, lines) = process.ended().await;
    assert_eq!(status.code(), Some(0), "{lines:#?}");
}

#[tokio::test]
async fn the_sandbox_writes_a_private_file_that_the_daemon_can_be_started_with() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("sandbox.env");
    std::fs::write(&file, "older, readable by all").unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let sandbox = Process::start(
        command()
            .args(["sandbox", "--listen", "127.0.0.1:0", "--env-file-out"])
            .arg(&file),
    );
    sandbox
        .written
        .wait(&["stand-in exchange on http://127.0.0.1:"])
        .await;
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777,
        0o600
    );
    let served = serve_with(&std::fs::read_to_string(&file).unwrap()).await;
    let (status, answer) = served
        .call("private/user-balance", serde_json::json!({}))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (status, &answer["body"]["code"]),
        (200, &serde_json::json!(0)),
        "{answer}"
    );
    assert_eq!(
        served.exchange().total().received,
        0,
        "it went to the process"
    );
    served.process.signal(Signal::TERM);
    assert_eq!(served.ended().await.0.code(), Some(0));
    sandbox.signal(Signal::TERM);
    let (status, lines) = sandbox.ended().await;
    assert_eq!(status.code(), Some(0), "{lines:#?}");
}

#[tokio::test]
async fn the_sandbox_records_what_it_executes_before_it_answers_and_goes_on_in_the_file() {
    let directory = TempDir::new().unwrap();
    let (environment, record) = (
        directory.path().join("sandbox.env"),
        directory.path().join("executed.jsonl"),
    );
    let order = serde_json::json!({
        "instrument_name": "BTC_USD", "side": "BUY", "type": "LIMIT", "price": "1", "quantity": "1", "client_oid": "a",
    });
    for code in [0, 204] {
        let sandbox = Process::start(
            command()
                .args(["sandbox", "--listen", "127.0.0.1:0", "--env-file-out"])
                .arg(&environment)
                .arg("--executed")
                .arg(&record),
        );
        sandbox
            .written
            .wait(&["stand-in exchange on http://127.0.0.1:"])
            .await;
        let served = serve_with(&std::fs::read_to_string(&environment).unwrap()).await;
        let (_, answer) = served
            .call("private/create-order", order.clone())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(answer["body"]["code"], code, "{answer}");
        let lines = std::fs::read_to_string(&record).unwrap();
        let line: serde_json::Value = serde_json::from_str(lines.trim_end()).unwrap();
        assert_eq!(line["client_oid"], "a", "one line: {lines}");
        served.process.signal(Signal::TERM);
        assert_eq!(served.ended().await.0.code(), Some(0));
        sandbox.signal(Signal::TERM);
        assert_eq!(sandbox.ended().await.0.code(), Some(0));
    }
}

/// The document's examples are commands that work, and stand for every kind of fault and field.
#[tokio::test]
async fn every_example_of_the_sandbox_document_is_carried_out() {
    let directory = TempDir::new().unwrap();
    let sandbox = Process::start(
        command()
            .args(["sandbox", "--listen", "127.0.0.1:0", "--env-file-out"])
            .arg(directory.path().join("sandbox.env")),
    );
    let line = sandbox
        .written
        .wait(&["stand-in exchange on http://127.0.0.1:"])
        .await;
    let base = line
        .split_once("on ")
        .and_then(|(_, rest)| rest.split_once(';'))
        .unwrap()
        .0;
    let document = include_str!("../../docs/sandbox.md");
    let mut carried_out = 0;
    for example in document.split("<!-- POST ").skip(1) {
        let (path, rest) = example.split_once(" -->\n```json\n").unwrap();
        let command = rest.split_once("\n```").unwrap().0;
        let answer = client()
            .post(format!("{base}{path}"))
            .body(command.to_owned())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{command}: {:?}", answer.text().await);
        carried_out += 1;
    }
    assert!(carried_out > 10, "the examples were found");
    sandbox.signal(Signal::TERM);
    assert_eq!(sandbox.ended().await.0.code(), Some(0));
}

async fn serve_with(environment: &str) -> Served {
    let mut starting = Starting::new().await;
    let mut named = 0;
    for line in environment.lines() {
        let (name, value) = line.split_once('=').expect("NAME=value");
        starting = starting.env(name, value);
        named += 1;
    }
    assert_eq!(named, 3, "{environment}");
    starting.serve().await
}
