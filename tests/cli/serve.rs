//! `serve` from its start to its end, as an operator sees it.

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Process, Served, Starting, command, records};

#[tokio::test]
async fn a_start_without_anything_exits_78_and_lists_every_problem_at_once() {
    let (status, lines) = Process::start(command().args(["serve", "--config", "/dev/null"]))
        .ended()
        .await;
    assert_eq!(status.code(), Some(78));
    for part in [
        "CRYPTO_API_KEY",
        "CRYPTO_API_SECRET",
        "CRYPTO_PROXY_TOKEN",
        "/etc/crypto.env",
    ] {
        assert!(
            lines
                .iter()
                .any(|line| line.starts_with("error: ") && line.contains(part)),
            "{part}: {lines:#?}"
        );
    }
}

#[tokio::test]
async fn one_wrong_setting_does_not_hide_the_next_and_no_value_of_a_secret_is_shown() {
    let mut starting = Starting::new()
        .await
        .env("CRYPTO_PROXY_LISTEN", "no address at all")
        .env("CRYPTO_REST_BASE", "https://exchange.example/v1")
        .env("CRYPTO_PROXY__CALLS__DEADLINE_MS", "soon")
        .env("CRYPTO_API_SECRET", "");
    let (status, lines) = Process::start(&mut starting.command).ended().await;
    assert_eq!(status.code(), Some(78));
    for part in [
        "CRYPTO_PROXY_LISTEN",
        "exchange.example",
        "DEADLINE_MS",
        "CRYPTO_API_SECRET",
    ] {
        assert!(
            lines.iter().any(|line| line.contains(part)),
            "{part}: {lines:#?}"
        );
    }
    lines.iter().for_each(|line| {
        starting
            .canaries
            .assert_absent(line, "what the process wrote")
    });
}

#[tokio::test]
async fn a_file_that_was_named_and_is_not_there_is_no_reason_to_run_on_defaults() {
    let mut starting = Starting::new().await;
    starting
        .command
        .args(["--config"])
        .env("CRYPTO_PROXY_CONFIG", "/no/such/file.toml");
    let mut bare = command();
    for (name, value) in starting.command.as_std().get_envs() {
        bare.env(name, value.unwrap());
    }
    let (status, lines) = Process::start(bare.arg("serve")).ended().await;
    assert_eq!(status.code(), Some(78), "{lines:#?}");
    assert!(
        lines.iter().any(|line| line.contains("/no/such/file.toml")),
        "{lines:#?}"
    );
}

#[tokio::test]
async fn an_address_that_is_taken_is_named_with_a_guess_at_who_has_it() {
    let first = Served::start().await;
    let mut second = Starting::new()
        .await
        .env("CRYPTO_PROXY_LISTEN", first.address.to_string());
    let (status, lines) = Process::start(&mut second.command).ended().await;
    assert_eq!(status.code(), Some(1));
    let told = |line: &String| {
        line.contains(&first.address.to_string()) && line.contains("another process")
    };
    assert!(lines.iter().any(told), "{lines:#?}");
    assert_eq!(first.health().await, 200, "the first one still serves");
}

#[tokio::test]
async fn it_serves_calls_and_ends_with_0_when_it_is_told_to() {
    for signal in [Signal::TERM, Signal::INT] {
        let served = Served::start().await;
        assert_eq!(served.health().await, 200);
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
        served.process.signal(signal);
        let (status, lines) = served.ended().await;
        assert_eq!(status.code(), Some(0), "{lines:#?}");
        assert_eq!(records(&lines).count(), 1, "{lines:#?}");
        assert!(
            lines
                .iter()
                .any(|line| line.contains("stopped: every call was finished")),
            "{lines:#?}"
        );
    }
}
