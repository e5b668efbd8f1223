//! `caller`: issuing, rotating and revoking with the real binary, and what the daemon makes of it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{CREATE, Process, Served, Starting, client, command, order};

const READ: &str = "private/user-balance";

/// A configuration, the callers beside it, and a state directory.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("config.toml"), "").unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self, arguments: &[&str]) -> Process {
        let mut command = command();
        command
            .arg("caller")
            .args(arguments)
            .arg("--config")
            .arg(self.path("config.toml"));
        Process::start(command.env("STATE_DIRECTORY", self.path("state")))
    }

    /// The exit code, and what was written.
    async fn caller(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let (status, lines) = self.start(arguments).ended().await;
        (status.code(), lines.join("\n"))
    }

    async fn good(&self, arguments: &[&str]) -> String {
        let (code, text) = self.caller(arguments).await;
        assert_eq!(code, Some(0), "{arguments:?}: {text}");
        assert!(!text.contains("cpt_") && !text.contains("cpvs_"), "{text}");
        text
    }

    /// Adds a caller; its token.
    async fn add(&self, name: &str, further: &[&str]) -> String {
        let out = self.path(&format!("{name}.env"));
        let arguments = [&["add", name, "--out", out.to_str().unwrap()], further].concat();
        self.good(&arguments).await;
        token_in(&out)
    }

    async fn serve(&self) -> Served {
        let starting = Starting::new()
            .await
            .env("STATE_DIRECTORY", self.path("state"));
        starting
            .env("CRYPTO_PROXY__CALLERS__FILE", self.path("callers.toml"))
            .serve()
            .await
    }
}

fn value_in(file: &Path, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("{name} in {text}"))
        .to_owned()
}

fn token_in(file: &Path) -> String {
    value_in(file, "CRYPTO_PROXY_TOKEN")
}

/// The HTTP status that a token gets for a call.
async fn status(served: &Served, token: &str, method: &str, params: Value) -> u16 {
    let request = client()
        .post(format!("http://{}/proxy/private", served.address))
        .header("x-proxy-token", token);
    let body = json!({ "method": method, "params": params }).to_string();
    let response = request
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await
        .unwrap();
    response.status().as_u16()
}

/// Stops the daemon; no token that was issued stands in what it wrote.
async fn end(served: Served, tokens: &[&String]) -> Vec<String> {
    served.process.signal(Signal::TERM);
    let (status, lines) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    for line in &lines {
        assert!(
            tokens.iter().all(|token| !line.contains(&token[4..20])),
            "{line}"
        );
    }
    lines
}

#[tokio::test]
async fn what_was_issued_works_within_its_policy_and_is_written_once_for_its_owner_alone() {
    let desk = Desk::new();
    let reader = desk.add("reader", &[]).await;
    let trader = desk
        .add(
            "trader",
            &[
                "--preset",
                "trade",
                "--instrument",
                "BTC_USD",
                "--source",
                "127.0.0.0/8",
            ],
        )
        .await;
    let out = desk.path("trader.env");
    assert_eq!(
        fs::metadata(&out).unwrap().permissions().mode() & 0o7777,
        0o600
    );
    assert!(value_in(&out, "CRYPTO_PROXY_VIRTUAL_KEY").starts_with("cpvk_"));
    assert_eq!(value_in(&out, "CRYPTO_PROXY_VIRTUAL_SECRET").len(), 69);
    let served = desk.serve().await;
    assert_eq!(status(&served, &reader, READ, json!({})).await, 200);
    assert_eq!(status(&served, &reader, CREATE, order("a")).await, 403);
    assert_eq!(status(&served, &trader, CREATE, order("b")).await, 200);
    let lines = end(served, &[&reader, &trader]).await;
    for part in [
        "caller=reader method=private/user-balance",
        "caller=trader method=private/create-order",
    ] {
        assert!(
            lines.iter().any(|line| line.contains(part)),
            "{part}: {lines:#?}"
        );
    }
    let list = desk.good(&["list"]).await;
    assert!(
        list.contains("reader")
            && list.contains("may read trade, on BTC_USD, from 127.0.0.0/8; generation 1"),
        "{list}"
    );
}

#[tokio::test]
async fn nothing_is_made_where_it_could_not_be_shown() {
    let desk = Desk::new();
    let (code, text) = desk.caller(&["add", "one"]).await;
    assert_eq!(code, Some(64));
    assert!(
        text.contains("stdout is not a terminal") && text.contains("--out FILE"),
        "{text}"
    );
    fs::write(desk.path("taken"), "mine").unwrap();
    let (code, text) = desk
        .caller(&["add", "one", "--out", desk.path("taken").to_str().unwrap()])
        .await;
    assert_eq!(
        (code, fs::read_to_string(desk.path("taken")).unwrap()),
        (Some(64), "mine".to_owned()),
        "{text}"
    );
    assert!(!desk.path("callers.toml").exists() && !desk.path("state").exists());
    // Where the order is refused, no empty file stays.
    let out = desk.path("out");
    let (code, text) = desk
        .caller(&[
            "add",
            "one",
            "--allow",
            "tra*de",
            "--out",
            out.to_str().unwrap(),
        ])
        .await;
    assert_eq!(code, Some(64), "{text}");
    assert!(
        !out.exists() && !desk.path("callers.toml").exists(),
        "{text}"
    );
}

#[tokio::test]
async fn during_a_rotation_both_tokens_are_valid_and_afterwards_the_new_one() {
    let desk = Desk::new();
    let old = desk.add("one", &[]).await;
    let out = desk.path("new.env");
    let said = desk
        .good(&[
            "rotate",
            "one",
            "--grace",
            "1h",
            "--out",
            out.to_str().unwrap(),
        ])
        .await;
    assert!(
        said.contains("valid until") && said.contains("systemctl restart"),
        "{said}"
    );
    let new = token_in(&out);
    let served = desk.serve().await;
    for token in [&old, &new] {
        assert_eq!(status(&served, token, READ, json!({})).await, 200);
    }
    end(served, &[&old, &new]).await;
    desk.good(&["rotate", "one", "--finish"]).await;
    let served = desk.serve().await;
    assert_eq!(status(&served, &old, READ, json!({})).await, 401);
    assert_eq!(status(&served, &new, READ, json!({})).await, 200);
    end(served, &[&old, &new]).await;
}

#[tokio::test]
async fn a_restored_file_does_not_bring_a_revoked_caller_back() {
    let desk = Desk::new();
    let token = desk.add("one", &[]).await;
    let other = desk.add("other", &[]).await;
    let backup = fs::read(desk.path("callers.toml")).unwrap();
    desk.good(&["revoke", "one"]).await;
    fs::write(desk.path("callers.toml"), backup).unwrap();
    let served = desk.serve().await;
    assert_eq!(status(&served, &token, READ, json!({})).await, 401);
    assert_eq!(status(&served, &other, READ, json!({})).await, 200);
    let lines = end(served, &[&token, &other]).await;
    assert!(
        lines
            .iter()
            .any(|line| line.contains("caller one") && line.contains("was revoked and stays so")),
        "{lines:#?}"
    );
    let shown = desk.good(&["show", "one"]).await;
    assert!(shown.contains("generation  1: revoked"), "{shown}");
}

#[tokio::test]
async fn callers_that_are_added_at_the_same_time_are_all_there() {
    let desk = Desk::new();
    let names: Vec<String> = (0..6).map(|number| format!("caller-{number}")).collect();
    let start =
        |name: &String| desk.start(&["add", name, "--out", desk.path(name).to_str().unwrap()]);
    let all: Vec<Process> = names.iter().map(start).collect();
    for process in all {
        let (status, lines) = process.ended().await;
        assert_eq!(status.code(), Some(0), "{lines:#?}");
    }
    let list = desk.good(&["list"]).await;
    assert!(
        names.iter().all(|name| list.contains(name.as_str())),
        "{list}"
    );
    let served = desk.serve().await;
    for name in &names {
        assert_eq!(
            status(&served, &token_in(&desk.path(name)), READ, json!({})).await,
            200,
            "{name}"
        );
    }
    end(served, &[]).await;
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named_with_its_cause_once() {
    let desk = Desk::new();
    let callers = desk.path("callers.toml");
    fs::write(&callers, b"\xff\xfe").unwrap();
    fs::set_permissions(&callers, fs::Permissions::from_mode(0o600)).unwrap();
    let file = format!("[callers]\nfile = {callers:?}\n");
    fs::write(desk.path("config.toml"), file).unwrap();
    let (code, text) = desk.caller(&["list"]).await;
    assert_eq!(code, Some(78), "{text}");
    assert_eq!(text.matches("valid UTF-8").count(), 1, "{text}");
}

#[tokio::test]
async fn wrong_orders_are_usage_and_broken_files_are_configuration() {
    let desk = Desk::new();
    desk.add("one", &[]).await;
    let out = desk.path("out");
    let out = out.to_str().unwrap();
    for (arguments, part) in [
        (
            &["add", "one", "--out", out][..],
            "there is a caller one already",
        ),
        (
            &["add", "Two", "--out", out],
            "is not a valid name of a caller",
        ),
        (
            &["add", "two", "--source", "10.0.0.1/8", "--out", out],
            "beyond its prefix",
        ),
        (
            &["add", "two", "--expires", "2001-01-01", "--out", out],
            "is in the past",
        ),
        (
            &["add", "two", "--diagnose", "--preset", "read", "--out", out],
            "cannot be used with",
        ),
        (&["rotate", "two", "--out", out], "there is no caller two"),
        (&["rotate", "one", "--finish"], "no rotation of one"),
        (&["revoke", "two"], "there is no caller two"),
        (&["show", "two"], "there is no caller two"),
        (&["revoke"], "required"),
    ] {
        let (code, text) = desk.caller(arguments).await;
        assert!(
            code == Some(64) && text.contains(part),
            "{arguments:?}: {code:?} {text}"
        );
        assert!(!Path::new(out).exists(), "{arguments:?}");
    }
    fs::write(desk.path("callers.toml"), "nonsense").unwrap();
    for arguments in [
        &["list"][..],
        &["revoke", "one"],
        &["add", "two", "--out", out],
    ] {
        let (code, text) = desk.caller(arguments).await;
        assert!(
            code == Some(78) && text.contains("line 1"),
            "{arguments:?}: {code:?} {text}"
        );
    }
    desk.good(&["revoke", "--all"]).await;
    assert!(
        desk.good(&["list"])
            .await
            .contains("No callers but the default one")
    );
}
