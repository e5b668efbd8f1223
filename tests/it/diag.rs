//! The diagnosis of the running daemon over HTTP: who may, what starts a probe, and how a run ends.

use std::{sync::Arc, time::Duration};

use crypto_proxy::config::Config;
use gateway::secret::TokenDigest;
use reqwest::RequestBuilder;
use sandbox::{ApiKey, Fault};
use serde_json::{Value, json};

use crate::support::{Answer, Builder, TestProxy, client, contract::READ};

mod alarms;
mod doubt;
mod past;
mod rights;
mod runs;

const RUN: &str = "/diag/run";
const KNOWN: &str = "/diag/crypto-auth";
/// What a full run asks the exchange: three public calls for the clock, and four private reads.
const REQUESTS_OF_A_RUN: u64 = 7;

/// A proxy whose diagnosis is opened by the canary of that name.
fn builder() -> Builder {
    let builder = TestProxy::builder();
    let digest = TokenDigest::of(builder.canaries().diagnosis.as_bytes());
    builder.plan(|plan| diagnosed_by(plan, digest))
}

fn diagnosed_by(plan: &mut Config, digest: TokenDigest) {
    let callers = std::mem::take(&mut plan.callers);
    plan.callers = callers.with_diagnosing(digest, "operator");
}

/// A request with the token of the diagnosis.
fn request(proxy: &TestProxy, path: &str) -> RequestBuilder {
    let url = proxy.url(path);
    let request = if path.starts_with(RUN) {
        client().post(url)
    } else {
        client().get(url)
    };
    request.header("x-proxy-token", &proxy.canaries.diagnosis)
}

async fn ask(proxy: &TestProxy, path: &str) -> Answer {
    proxy.send(request(proxy, path)).await
}

/// The `event=diag` lines so far.
fn told(proxy: &TestProxy) -> Vec<String> {
    proxy
        .texts()
        .into_iter()
        .filter(|line| line.contains("event=diag "))
        .collect()
}

/// Lets the time in which runs are counted pass.
async fn five_minutes_later() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(300)).await;
    tokio::time::resume();
}

fn codes(json: &Value) -> Vec<&str> {
    let causes = json["causes"].as_array().expect("a list");
    causes
        .iter()
        .map(|cause| cause["code"].as_str().expect("a code"))
        .collect()
}

#[tokio::test]
async fn before_any_run_the_background_is_told_and_nobody_is_asked() {
    let proxy = builder().start().await;
    proxy
        .gateway
        .observed()
        .note_outbound("203.0.113.7".parse().unwrap());
    let answer = ask(&proxy, KNOWN).await;
    let json = answer.json();
    assert_eq!(
        (answer.status, &json["test_result"]),
        (200, &json!("not_run"))
    );
    assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
    assert_eq!(
        (&json["outbound_ip"], &json["credentials_status"]),
        (&json!("203.0.113.7"), &json!("configured"))
    );
    assert_eq!(
        (&json["findings"], &json["causes"]),
        (&json!([]), &json!([]))
    );
    assert_eq!(json["background"]["outbound"]["address"], "203.0.113.7");
    assert_eq!(json["background"]["exchange"]["unreachable"], false);
    assert!(
        json["next_step"]
            .as_str()
            .unwrap()
            .contains("crypto-proxy diagnose"),
        "{json}"
    );
    assert!(
        json["server_time_epoch"].as_u64().unwrap() > 1_700_000_000
            && json["timestamp_utc"].is_string(),
        "{json}"
    );
    assert_eq!(proxy.upstream_requests(), 0);
    assert!(told(&proxy).is_empty());
}

#[tokio::test]
async fn a_run_finds_what_is_wrong_keeps_it_and_leaves_one_line_and_no_record() {
    let proxy = builder().start().await;
    let other = ApiKey::new(&proxy.canaries.key, "an-invented-other-secret");
    proxy.exchange().change(|settings| settings.put_key(other));
    let answer = ask(&proxy, RUN).await;
    let json = answer.json();
    assert_eq!(
        (answer.status, &json["test_result"], &json["conclusion"]),
        (200, &json!("trouble"), &json!("trouble"))
    );
    assert_eq!(codes(&json)[0], "CP-KEY-MISMATCH", "{json:#}");
    assert_eq!(json["next_step"], json["causes"][0]["next_step"]);
    let whose = json["credentials_of"].as_str().unwrap();
    let fingerprint = json["key_fingerprint"].as_str().unwrap();
    assert!(
        whose.starts_with("those of the running daemon (started 20") && whose.contains(fingerprint),
        "{whose}"
    );
    let rid = answer.header("x-request-id").unwrap();
    let lines = told(&proxy);
    let start =
        format!("[CRYPTO_AUTH_DIAG] event=diag rid={rid} caller=operator result=trouble took_ms=");
    assert!(
        lines.len() == 1 && lines[0].starts_with(&start),
        "{lines:?}"
    );
    assert!(
        lines[0].contains(" cause=CP-KEY-MISMATCH likelihood="),
        "{lines:?}"
    );
    assert!(
        proxy
            .texts()
            .iter()
            .all(|line| !line.contains("event=call") && !line.contains("event=hint"))
    );
    let asked = proxy.upstream_requests();
    let known = ask(&proxy, KNOWN).await.json();
    assert_eq!(
        (&known["causes"], &known["at"], &known["test_result"]),
        (&json["causes"], &json["at"], &json!("trouble"))
    );
    assert_eq!(
        (asked, proxy.upstream_requests()),
        (REQUESTS_OF_A_RUN, REQUESTS_OF_A_RUN),
        "a GET asks nobody"
    );
}

#[tokio::test]
async fn the_last_hints_stand_beside_newest_first() {
    let proxy = builder().start().await;
    let first = proxy.meet(Fault::code(40103)).await;
    let second = proxy.meet(Fault::code(40101)).await;
    for answer in [&first, &second] {
        proxy
            .wait_line(&["event=hint rid=", &answer.header("x-request-id").unwrap()])
            .await;
    }
    let json = ask(&proxy, KNOWN).await.json();
    let hints = json["hints"].as_array().unwrap();
    assert_eq!(
        (hints.len(), &hints[0]["code"], &hints[1]["code"]),
        (2, &json!(40101), &json!(40103)),
        "{json:#}"
    );
    assert_eq!(
        (&hints[1]["cause"], &hints[1]["method"]),
        (&json!("CP-IP-NOT-LISTED"), &json!(READ))
    );
    assert_eq!(
        hints[0]["rid"].as_str(),
        second.header("x-request-id").as_deref()
    );
}

fn shared(proxy: TestProxy) -> Arc<TestProxy> {
    Arc::new(proxy)
}
