//! The flight recorder beside real calls: what they were is kept, and they never depend on it.

use std::{fs, path::Path};

use crypto_proxy::app::Drained;
use diagnosis::history::{CallRow, FILE_NAME, Filter, Questions};
use sandbox::{FakeExchange, Fault, Settings};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{TestProxy, canary::Canaries, client, connection::order};

const READ: &str = "private/user-balance";
const CREATE: &str = "private/create-order";

async fn start(dir: &Path) -> TestProxy {
    let dir = dir.to_owned();
    TestProxy::builder()
        .plan(|plan| plan.state_dir = Some(dir))
        .start()
        .await
}

fn calls(dir: &Path) -> Vec<CallRow> {
    Questions::open(&dir.join(FILE_NAME))
        .unwrap()
        .calls(&Filter::default())
        .unwrap()
}

/// Every byte of every file, as text with one character for each byte.
fn assert_no_secret(dir: &Path, canaries: &Canaries) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        // The order journal is beside it, and the socket for commands.
        if !entry.file_type().unwrap().is_file() {
            continue;
        }
        let path = entry.path();
        let bytes: String = fs::read(&path)
            .unwrap()
            .into_iter()
            .map(char::from)
            .collect();
        canaries.assert_absent_in_all([bytes], "a file of the state directory");
    }
}

#[tokio::test]
async fn every_call_is_kept_with_the_outcome_that_its_caller_was_told() {
    let dir = TempDir::new().unwrap();
    let proxy = start(dir.path()).await;
    let mut told = Vec::new();
    told.push((READ, proxy.call(READ, json!({})).await));
    proxy.exchange().script(READ, Fault::code(40101));
    told.push((READ, proxy.call(READ, json!({})).await));
    told.push((CREATE, proxy.call(CREATE, order("history-1")).await));
    told.push((
        "private/create-withdrawal",
        proxy.call("private/create-withdrawal", json!({})).await,
    ));
    let wrong = client()
        .post(proxy.url("/proxy/private"))
        .header("x-proxy-token", "wrong")
        .body("{}");
    assert_eq!(proxy.send(wrong).await.status, 401);
    let canaries = proxy.canaries.clone();
    // While the daemon has the file open, what was written last stands in the journal beside it.
    proxy.history.flush().await;
    assert!(
        dir.path()
            .join(format!("{FILE_NAME}-wal"))
            .metadata()
            .is_ok_and(|file| file.len() > 0)
    );
    assert_no_secret(dir.path(), &canaries);
    let (drained, _) = proxy.stop().await;
    assert_eq!(drained, Drained::Clean);
    let kept = calls(dir.path());
    assert_eq!(kept.len(), told.len());
    for (row, (method, answer)) in kept.iter().zip(&told) {
        assert_eq!(row.rid, answer.header("x-request-id").unwrap());
        assert_eq!(
            (row.method.as_deref(), row.outcome.as_str()),
            (Some(*method), answer.outcome().as_str())
        );
        assert_eq!((row.caller.as_str(), row.key_fp.len()), ("default", 8));
    }
    let codes: Vec<_> = kept
        .iter()
        .map(|row| (row.code, row.verdict.as_deref()))
        .collect();
    assert_eq!(
        codes,
        [
            (Some(0), Some("good")),
            (Some(40101), Some("auth")),
            (Some(0), Some("good")),
            (None, None)
        ]
    );
    let questions = Questions::open(&dir.path().join(FILE_NAME)).unwrap();
    let changes: Vec<_> = questions
        .changes(&Filter::default())
        .unwrap()
        .into_iter()
        .map(|row| row.kind)
        .collect();
    assert_eq!(
        changes[..6],
        [
            "start",
            "version",
            "base_url",
            "configuration",
            "key",
            "secret"
        ]
    );
    assert_eq!(changes[6..], ["method", "method", "stop"]);
    let refused = questions.refused(&Filter::default()).unwrap();
    assert_eq!(
        refused
            .iter()
            .map(|row| (row.why.as_str(), row.count))
            .collect::<Vec<_>>(),
        [("token", 1)]
    );
    drop(questions);
    assert_no_secret(dir.path(), &canaries);
}

// Fault 77.
#[tokio::test]
async fn calls_go_on_when_the_directory_is_taken_away_and_the_loss_is_said_once() {
    let parent = TempDir::new().unwrap();
    let dir = parent.path().join("state");
    fs::create_dir(&dir).unwrap();
    let proxy = start(&dir).await;
    assert_eq!(proxy.call(READ, json!({})).await.outcome(), "answered");
    fs::remove_dir_all(&dir).unwrap();
    assert_eq!(proxy.call(READ, json!({})).await.outcome(), "answered");
    proxy.wait_line(&["the history loses calls"]).await;
    assert_eq!(proxy.call(READ, json!({})).await.outcome(), "answered");
    let (drained, lines) = proxy.stop().await;
    assert_eq!(drained, Drained::Clean);
    let said = lines
        .lines()
        .iter()
        .filter(|line| line.text().contains("the history loses calls"))
        .count();
    assert_eq!(said, 1);
}

#[tokio::test]
async fn the_address_that_is_confirmed_is_a_change() {
    let dir = TempDir::new().unwrap();
    let state = dir.path().to_owned();
    // Two origins: one service alone confirms nothing.
    let exchange = FakeExchange::new(Settings::with_key("invented-key", "invented-secret"));
    let services = [
        exchange.start().await.unwrap(),
        exchange.start().await.unwrap(),
    ];
    let urls = services
        .each_ref()
        .map(|service| service.url("/ip").parse().unwrap());
    let builder = TestProxy::builder().plan(move |plan| {
        plan.state_dir = Some(state);
        plan.egress.services = urls.to_vec();
    });
    let proxy = builder.start().await;
    proxy
        .wait_line(&["event=address CRYPTO_COM_OUTBOUND_IP: "])
        .await;
    proxy.call(READ, json!({})).await;
    proxy.stop().await;
    let questions = Questions::open(&dir.path().join(FILE_NAME)).unwrap();
    let changes = questions.changes(&Filter::default()).unwrap();
    let address = changes
        .iter()
        .find(|row| row.kind == "address")
        .expect("a change");
    assert_eq!(address.after, calls(dir.path())[0].address);
}
