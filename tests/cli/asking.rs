//! `diagnose` asks the running daemon: the real binary on both sides, in front of a stand-in exchange.

use std::process::Output;

use rustix::process::Signal;
use sandbox::{ApiKey, KeyState};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Served, Starting, command};

/// What an operator has: the daemon's environment file, with these changes.
struct Operator {
    served: Served,
    folder: TempDir,
    lines: Vec<String>,
}

impl Operator {
    async fn new() -> Self {
        Self::of(Served::start().await)
    }

    fn of(served: Served) -> Self {
        let canaries = &served.canaries;
        let lines = vec![
            format!("CRYPTO_API_KEY={}", canaries.key),
            format!("CRYPTO_API_SECRET={}", canaries.secret),
            format!("CRYPTO_PROXY_TOKEN={}", canaries.token),
            format!("CRYPTO_PROXY_DIAG_TOKEN={}", canaries.diagnosis),
            format!("CRYPTO_REST_BASE={}", served.exchange.base_url()),
            format!("CRYPTO_PROXY_LISTEN={}", served.address),
        ];
        Self {
            served,
            folder: TempDir::new().unwrap(),
            lines,
        }
    }

    /// With this line in place of the variable's.
    fn line(mut self, line: &str) -> Self {
        let name = line.split_once('=').expect("NAME=value").0;
        self.lines
            .retain(|known| !known.starts_with(&format!("{name}=")));
        self.lines.push(line.to_owned());
        self
    }

    /// Exit code, stdout, stderr; both searched for secrets.
    async fn diagnose(&self, arguments: &[&str]) -> (i32, String, String) {
        let (config, file) = (
            self.folder.path().join("config.toml"),
            self.folder.path().join("crypto.env"),
        );
        std::fs::write(&config, "").unwrap();
        std::fs::write(&file, self.lines.join("\n") + "\n").unwrap();
        let mut command = command();
        command
            .arg("diagnose")
            .args(arguments)
            .arg("--config")
            .arg(config)
            .arg("--env-file")
            .arg(file);
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().await.expect("the binary starts");
        let (out, err) = (
            String::from_utf8(stdout).unwrap(),
            String::from_utf8(stderr).unwrap(),
        );
        for text in [&out, &err] {
            self.served
                .canaries
                .assert_absent(text, "what diagnose says");
            assert!(
                !text.contains('\u{1b}'),
                "colour or progress in a pipe: {text}"
            );
        }
        (status.code().expect("an exit code"), out, err)
    }
}

#[tokio::test]
async fn the_daemon_is_asked_and_its_report_reads_as_any() {
    let operator = Operator::new().await;
    let (code, out, err) = operator.diagnose(&[]).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(
        out.contains("those of the running daemon (started 20") && out.contains("key fingerprint"),
        "{out}"
    );
    assert!(
        out.contains("private/user-balance: HTTP 200, code 0") && out.contains("nothing to do"),
        "{out}"
    );
    assert!(
        out.lines()
            .all(|line| line.chars().count() <= 80 || line.contains('/')),
        "{out}"
    );
    operator
        .served
        .process
        .written
        .wait(&["event=diag ", "caller=operator", "result=healthy"])
        .await;
    // After a repair one may look again at once.
    for _ in 1..5 {
        assert_eq!(operator.diagnose(&[]).await.0, 0);
    }
    let (code, out, err) = operator.diagnose(&[]).await;
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert!(
        err.contains("the last time was 20")
            && err.contains("again in ")
            && err.contains("--alone"),
        "{err}"
    );
    assert_eq!(
        operator.diagnose(&["--alone"]).await.0,
        0,
        "which is what the message offers"
    );
    operator.served.process.signal(Signal::TERM);
    assert_eq!(operator.served.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn json_is_what_the_daemon_says_and_the_exit_code_is_the_results() {
    let operator = Operator::new().await;
    let canaries = &operator.served.canaries;
    let other = ApiKey::new(&canaries.key, "an-invented-other-secret");
    operator
        .served
        .exchange()
        .change(|settings| settings.put_key(other));
    let (code, out, _) = operator
        .diagnose(&["--json", "--key-updated", "2026-01-31T09:30:00Z"])
        .await;
    let json: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
    assert_eq!(
        (code, &json["test_result"], &json["causes"][0]["code"]),
        (1, &"trouble".into(), &"CP-KEY-MISMATCH".into())
    );
    assert!(
        json["history"]
            .as_str()
            .unwrap()
            .contains("key updated on the dashboard 2026-01-31T09:30:00Z"),
        "{json:#}"
    );
    assert!(json["background"]["outbound"].is_object(), "{json:#}");
}

#[tokio::test]
async fn the_page_of_the_daemon_is_written_beside_its_report_or_to_stdout_alone() {
    let operator = Operator::new().await;
    let page = operator.folder.path().join("page.html");
    let (code, out, err) = operator.diagnose(&["--html", page.to_str().unwrap()]).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let html = std::fs::read_to_string(&page).unwrap();
    operator.served.canaries.assert_absent(&html, "the page");
    assert!(
        html.starts_with("<!DOCTYPE html>") && html.contains("those of the running daemon"),
        "{html}"
    );
    assert!(
        !html.contains("http-equiv=\"refresh") && out.contains("nothing to do"),
        "{out}"
    );
    let operator = Operator::new().await;
    let (code, out, _) = operator.diagnose(&["--html", "-"]).await;
    assert!(
        code == 0 && out.starts_with("<!DOCTYPE html>") && out.trim_end().ends_with("</html>"),
        "{out}"
    );
}

#[tokio::test]
async fn another_key_in_the_file_is_a_daemon_that_was_not_restarted() {
    let operator = Operator::new()
        .await
        .line("CRYPTO_API_KEY=an-invented-newer-key");
    let (code, out, err) = operator.diagnose(&[]).await;
    assert_eq!((code, err.as_str()), (1, ""), "{out}");
    assert!(
        out.contains("1. CP-NOT-RESTARTED  very likely")
            && out.contains("systemctl restart crypto-proxy"),
        "{out}"
    );
}

#[tokio::test]
async fn a_rotated_pair_whose_old_key_was_disabled_is_a_daemon_that_was_not_restarted() {
    let (key, secret) = ("an-invented-newer-key", "an-invented-newer-secret");
    let operator = Operator::new().await;
    let operator = operator
        .line(&format!("CRYPTO_API_KEY={key}"))
        .line(&format!("CRYPTO_API_SECRET={secret}"));
    let old = operator.served.canaries.key.clone();
    operator.served.exchange().change(|settings| {
        settings.key_mut(&old).unwrap().state = KeyState::Disabled;
        settings.put_key(ApiKey::new(key, secret));
    });
    let (code, out, err) = operator.diagnose(&[]).await;
    assert_eq!((code, err.as_str()), (1, ""), "{out}");
    assert!(
        out.contains("1. CP-NOT-RESTARTED  very likely")
            && !out.contains("the file's pair is not acc"),
        "{out}"
    );
    let (_, next) = out.split_once("next step").expect("a next step");
    assert!(next.contains("systemctl restart crypto-proxy"), "{out}");
}

#[tokio::test]
async fn a_daemon_that_is_away_is_trouble_with_a_way_to_look_without_it() {
    let operator = Operator::new().await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = closed.local_addr().unwrap().to_string();
    drop(closed);
    let operator = operator.line(&format!("CRYPTO_PROXY_LISTEN={gone}"));
    let (code, out, err) = operator.diagnose(&[]).await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        [gone.as_str(), "systemctl status", "--alone"]
            .iter()
            .all(|part| err.contains(part)),
        "{err}"
    );
    let url = format!("http://{}", operator.served.address);
    assert_eq!(
        operator.diagnose(&["--url", &url]).await.0,
        0,
        "--url counts before the settings"
    );
}

#[tokio::test]
async fn a_wrong_token_none_and_a_daemon_without_one_are_configuration() {
    let operator = Operator::new()
        .await
        .line("CRYPTO_PROXY_DIAG_TOKEN=an-invented-wrong-token");
    let (code, _, err) = operator.diagnose(&[]).await;
    assert!(
        code == 78
            && err.contains("does not take this CRYPTO_PROXY_DIAG_TOKEN")
            && err.contains("restart"),
        "{err}"
    );
    let operator = operator.line("CRYPTO_PROXY_DIAG_TOKEN=");
    let (code, _, err) = operator.diagnose(&[]).await;
    assert!(
        code == 78 && err.contains("no CRYPTO_PROXY_DIAG_TOKEN") && err.contains("--alone"),
        "{err}"
    );
    assert_eq!(
        operator.served.exchange().total().received,
        0,
        "nobody was asked"
    );
    let without = Operator::of(
        Starting::new()
            .await
            .env("CRYPTO_PROXY_DIAG_TOKEN", "")
            .serve()
            .await,
    );
    let (code, _, err) = without.diagnose(&[]).await;
    assert!(
        code == 78 && err.contains("set CRYPTO_PROXY_DIAG_TOKEN and restart"),
        "{err}"
    );
}

#[tokio::test]
async fn what_only_a_look_without_the_daemon_may_do_is_a_usage_error() {
    let url = ["--alone", "--url", "http://127.0.0.1:9"];
    for arguments in [
        &["--probe-trade"][..],
        &["--db", "invented.db"],
        &["--url", "https://127.0.0.1"],
        &url,
    ] {
        let output = command()
            .arg("diagnose")
            .args(arguments)
            .output()
            .await
            .unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_symptom_that_is_said_twice_is_told_to_the_daemon_once() {
    let operator = Operator::new().await;
    let said = ["fails-elsewhere", "only-margin-orders", "fails-elsewhere"];
    let arguments: Vec<&str> = said
        .into_iter()
        .flat_map(|word| ["--symptom", word])
        .collect();
    let (code, out, err) = operator.diagnose(&arguments).await;
    assert_eq!((code, err.as_str()), (1, ""), "{out}");
    assert!(
        out.contains("CP-SIGNS-FOR-ITSELF") && out.contains("CP-MARGIN"),
        "{out}"
    );
}

#[tokio::test]
async fn a_unix_socket_is_asked_as_well() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("invented.sock");
    let listen = format!("127.0.0.1:0,unix:{}", socket.display());
    let served = Starting::new()
        .await
        .env("CRYPTO_PROXY_LISTEN", listen)
        .serve()
        .await;
    let operator =
        Operator::of(served).line(&format!("CRYPTO_PROXY_LISTEN=unix:{}", socket.display()));
    let (code, out, err) = operator.diagnose(&[]).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("those of the running daemon"), "{out}");
}

#[tokio::test]
async fn what_is_no_daemon_of_ours_is_called_so() {
    let operator = Operator::new().await;
    let url = format!("http://{}", operator.served.exchange.addr());
    let (code, out, err) = operator.diagnose(&["--url", &url]).await;
    assert!(
        code == 1 && out.is_empty() && err.contains("--alone"),
        "{err}"
    );
}
