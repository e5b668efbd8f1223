//! Several callers: each with its own policy, from its own place, until its own end, under its own name in the records.

use std::sync::Arc;

use crypto_proxy::{config::Config, server::Address};
use gateway::{
    access::AccessRules,
    auth::Caller,
    clock::Clock,
    policy::{Instruments, Policy, Preset, Written},
    secret::TokenDigest,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Answer, TestProxy, client, connection::Connection, contract::READ};

const ORDER: &str = "private/create-order";
const TOKEN: &str = "cpt_invented-token-of-the-second-caller";

fn preset(preset: Preset) -> Policy {
    let allow_classes = preset.classes().iter().copied().collect();
    Policy {
        allow_classes,
        written: Written::CallersFile,
        ..Policy::nothing()
    }
}

/// With a second caller of this policy.
fn second(plan: &mut Config, policy: Policy) {
    let caller = Arc::new(Caller {
        name: "second".into(),
        policy,
    });
    plan.callers =
        std::mem::take(&mut plan.callers).with_token(TokenDigest::of(TOKEN.as_bytes()), caller);
}

async fn proxy_with(policy: Policy) -> TestProxy {
    TestProxy::builder()
        .plan(|plan| second(plan, policy))
        .start()
        .await
}

/// A call of the second caller.
async fn call(proxy: &TestProxy, method: &str, params: Value) -> Answer {
    let request = client()
        .post(proxy.url("/proxy/private"))
        .header("x-proxy-token", TOKEN);
    let body = json!({ "method": method, "params": params }).to_string();
    proxy
        .send(
            request
                .header("content-type", "application/json")
                .body(body),
        )
        .await
}

fn order(instrument: &str) -> Value {
    json!({ "instrument_name": instrument, "side": "BUY", "type": "LIMIT", "price": "1", "quantity": "1" })
}

/// Refused by policy, recorded under the second caller's name with this word.
fn assert_refused(proxy: &TestProxy, answer: &Answer, why: &str, part: &str) {
    assert_eq!(answer.status, 403, "{}", answer.text());
    let error = answer.inner()["error"].as_str().unwrap().to_owned();
    assert!(
        error.contains(part) && error.contains("caller second"),
        "{error}"
    );
    proxy.assert_outcome(answer, "refused", Some(why));
    assert_eq!(proxy.record(answer).field("CRYPTO_CALLER"), Some("second"));
}

#[tokio::test]
async fn each_caller_has_its_own_policy_and_its_own_name_in_the_records() {
    let proxy = proxy_with(preset(Preset::Read)).await;
    let answer = call(&proxy, READ, json!({})).await;
    assert_eq!(
        (answer.status, proxy.record(&answer).field("CRYPTO_CALLER")),
        (200, Some("second"))
    );
    let answer = call(&proxy, ORDER, order("BTC_USD")).await;
    assert_refused(
        &proxy,
        &answer,
        "denied",
        "allow = [\"private/create-order\"] would allow this method",
    );
    let answer = proxy.call(ORDER, order("BTC_USD")).await;
    assert_eq!(
        (answer.status, proxy.record(&answer).field("CRYPTO_CALLER")),
        (200, Some("default"))
    );
    assert_eq!(proxy.upstream_requests(), 2);
}

#[tokio::test]
async fn a_list_of_instruments_holds_whatever_the_call_looks_like() {
    let policy = Policy {
        instruments: Some(Instruments::new(["BTC_USD".to_owned()])),
        ..preset(Preset::Trade)
    };
    let proxy = proxy_with(policy).await;
    assert_eq!(call(&proxy, ORDER, order("BTC_USD")).await.status, 200);
    let list =
        json!({ "contingency_type": "LIST", "order_list": [order("BTC_USD"), order("DOGE_USD")] });
    for (method, params, part) in [
        (ORDER, order("DOGE_USD"), "not in the caller's list"),
        (
            "private/create-order-list",
            list,
            "not in the caller's list",
        ),
        (
            "private/cancel-all-orders",
            json!({}),
            "has to name one of them",
        ),
        (
            "private/cancel-order",
            json!({ "order_id": "1", "instrument_name": "BTC_USD" }),
            "orders_by_id = true",
        ),
        (
            "private/get-open-orders",
            json!({ "instrument_name": "DOGE_USD" }),
            "not in the caller's list",
        ),
    ] {
        let answer = call(&proxy, method, params).await;
        assert_refused(&proxy, &answer, "instrument", part);
        assert!(
            !answer.text().contains("DOGE"),
            "the input is not repeated: {}",
            answer.text()
        );
    }
    assert_eq!(proxy.upstream_requests(), 1);
    assert_eq!(
        call(&proxy, "private/get-open-orders", json!({}))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_valid_token_from_another_address_is_a_403_with_a_record() {
    for (network, served) in [("127.0.0.0/8", true), ("192.0.2.0/24", false)] {
        let limits = AccessRules {
            sources: vec![network.parse().unwrap()],
            ..AccessRules::default()
        };
        let proxy = proxy_with(Policy {
            access: limits,
            ..preset(Preset::Read)
        })
        .await;
        let answer = call(&proxy, READ, json!({})).await;
        if served {
            assert_eq!(answer.status, 200, "{}", answer.text());
        } else {
            assert_refused(
                &proxy,
                &answer,
                "source",
                "from 127.0.0.1: the address is not among its sources",
            );
            assert_eq!(proxy.upstream_requests(), 0);
        }
        assert_eq!(
            proxy.call(READ, json!({})).await.status,
            200,
            "others are not held to it"
        );
    }
}

#[tokio::test]
async fn a_caller_ends_at_its_moment_while_the_daemon_runs() {
    let cell = Arc::new(std::sync::atomic::AtomicU64::new(Clock::system().now_ms()));
    let end = Clock::system().now_ms() + 60_000;
    let limits = AccessRules {
        expires_ms: Some(end),
        ..AccessRules::default()
    };
    let clock = Clock::set_by(Arc::clone(&cell));
    let policy = Policy {
        access: limits,
        ..preset(Preset::Read)
    };
    let proxy = TestProxy::builder()
        .plan(move |plan| {
            second(plan, policy);
            plan.clock = clock;
        })
        .start()
        .await;
    assert_eq!(call(&proxy, READ, json!({})).await.status, 200);
    cell.store(end, std::sync::atomic::Ordering::Relaxed);
    let answer = call(&proxy, READ, json!({})).await;
    assert_refused(&proxy, &answer, "expired", "may not call any more");
    assert_eq!(proxy.upstream_requests(), 1);
}

/// A call of the second caller over a unix socket, by this process.
async fn call_over_socket(uids: Vec<u32>) -> (TestProxy, Answer) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("proxy.sock");
    let listen = Address::Unix(path.clone());
    let policy = Policy {
        access: AccessRules {
            uids,
            ..AccessRules::default()
        },
        ..preset(Preset::Read)
    };
    let proxy = TestProxy::builder()
        .plan(move |plan| {
            second(plan, policy);
            plan.server.listen.push(listen);
        })
        .start()
        .await;
    let mut caller = Connection::unix(&path).await;
    let body = json!({ "method": READ }).to_string();
    let request = format!(
        "POST /proxy/private HTTP/1.1\r\nHost: localhost\r\nX-Proxy-Token: {TOKEN}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    caller.write(&request).await;
    let answer = caller.answer().await;
    proxy.check(&answer);
    (proxy, answer)
}

#[tokio::test]
async fn over_a_unix_socket_the_uid_of_the_process_counts_and_tcp_has_none() {
    let own = rustix::process::getuid().as_raw();
    let (proxy, answer) = call_over_socket(vec![own]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = call(&proxy, READ, json!({})).await;
    assert_refused(&proxy, &answer, "source", "from 127.0.0.1");
    let (proxy, answer) = call_over_socket(vec![own + 1]).await;
    assert_refused(&proxy, &answer, "source", &format!("as uid {own}"));
    assert_eq!(proxy.upstream_requests(), 0);
}
