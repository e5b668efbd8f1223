//! Requests that are made to slip through: tokens, hosts, methods, params, line breaks. None reaches the exchange.

use crypto_proxy::http::Refused;
use serde_json::json;

use super::{OID, refused_so_far};
use crate::support::{Answer, TestProxy, client};

/// Refused with this status, recorded so, and not sent.
fn assert_refused(proxy: &TestProxy, answer: &Answer, status: u16) {
    assert_eq!(
        (answer.status, &*answer.outcome()),
        (status, "refused"),
        "{}",
        answer.text()
    );
    for line in proxy.records_of(&answer.header("x-request-id").expect("a request id")) {
        assert!(line.text().contains("outcome=refused"), "{}", line.text());
        assert_eq!(line.field("CRYPTO_OUTCOME"), Some("refused"));
    }
    assert_eq!(
        proxy.exchange().total().received,
        0,
        "something reached the exchange"
    );
}

fn bare(proxy: &TestProxy) -> reqwest::RequestBuilder {
    let body = json!({ "method": "private/create-order", "params": super::order() }).to_string();
    client()
        .post(proxy.url("/proxy/private"))
        .header("content-type", "application/json")
        .body(body)
}

#[tokio::test]
async fn fault_60_a_foreign_host_is_misdirected() {
    let proxy = TestProxy::start().await;
    let token = &proxy.canaries.token;
    let foreign = [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:9000",
        "user@127.0.0.1",
        "2130706433",
    ];
    for host in foreign {
        let answer = proxy
            .send(
                bare(&proxy)
                    .header("host", host)
                    .header("x-proxy-token", token),
            )
            .await;
        assert_refused(&proxy, &answer, 421);
        let health = proxy
            .send(client().get(proxy.url("/health")).header("host", host))
            .await;
        assert_eq!(health.status, 421, "not even /health answers to {host}");
    }
    assert_eq!(
        refused_so_far(&proxy, Refused::Host, "host"),
        2 * foreign.len() as u64
    );
}

#[tokio::test]
async fn fault_60_a_request_of_another_site_is_refused() {
    let proxy = TestProxy::start().await;
    for origin in ["https://evil.example", "null", "", "http://127.0.0.1:9000"] {
        let request = bare(&proxy)
            .header("origin", origin)
            .header("x-proxy-token", &proxy.canaries.token);
        assert_refused(&proxy, &proxy.send(request).await, 403);
    }
    assert_eq!(refused_so_far(&proxy, Refused::Origin, "origin"), 4);
}

#[tokio::test]
async fn fault_61_every_wrong_token_gets_the_same_answer_and_is_counted() {
    let proxy = TestProxy::start().await;
    let token = proxy.canaries.token.clone();
    let prefix = token[..token.len() - 1].to_owned();
    let longer = format!("{token}0");
    let shown: [&[&str]; 8] = [
        &[],
        &[""],
        &["wrong-token-invented"],
        &[&prefix],
        &[&longer],
        &[&token, &token],
        &["wrong-token-invented", &token],
        &[&"x".repeat(8000)],
    ];
    for tokens in shown {
        let request = tokens.iter().fold(bare(&proxy), |request, token| {
            request.header("x-proxy-token", *token)
        });
        let answer = proxy.send(request).await;
        assert_refused(&proxy, &answer, 401);
        assert_eq!(answer.text(), r#"{"detail":"Invalid proxy token"}"#);
    }
    assert_eq!(refused_so_far(&proxy, Refused::Token, "token"), 8);
    // A mebibyte does not even pass as a head.
    let huge = bare(&proxy)
        .header("x-proxy-token", "x".repeat(1 << 20))
        .send()
        .await;
    assert!(huge.is_err() || huge.is_ok_and(|response| response.status() == 431));
    assert_eq!(proxy.exchange().total().received, 0);
}

#[tokio::test]
async fn fault_62_a_method_that_is_a_path_trick_is_invalid() {
    let proxy = TestProxy::start().await;
    let long = format!("private/{}", "a".repeat(60_000));
    for method in [
        "../../x",
        "private/../public/x",
        "private/%2e%2e/x",
        "//evil",
        "private/x?y",
        "private/x#y",
        "private/x\0",
        "private/x\r\nHost: evil",
        "private/\u{2024}\u{2024}/x",
        "private/\u{ff0e}\u{ff0e}/x",
        "private\\create-order",
        "private//create-order",
        "private/create-order/",
        "PRIVATE/create-order",
        "private/create-order ",
        "https://evil.example/private/x",
        "private/create-order@evil.example",
        "",
        &long,
    ] {
        let answer = proxy.call(method, json!({})).await;
        assert_refused(&proxy, &answer, 422);
        assert_eq!(
            answer.json()["detail"][0]["loc"],
            json!(["body", "method"]),
            "{}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn fault_63_public_and_withdrawal_methods_are_not_allowed() {
    let proxy = TestProxy::start().await;
    for method in [
        "public/get-instruments",
        "public/auth",
        "private/create-withdrawal",
        "private/create-subaccount-transfer",
        "private/never-heard-of",
        "private/advanced/never-heard-of",
    ] {
        let answer = proxy.call(method, json!({})).await;
        assert_refused(&proxy, &answer, 403);
        assert!(
            answer.inner()["error"].to_string().contains(method),
            "{}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn fault_64_params_that_cannot_be_signed_safely_are_invalid() {
    let proxy = TestProxy::start().await;
    let body = |params: &str| format!(r#"{{"method":"private/create-order","params":{params}}}"#);
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    for params in [
        r#"{"a":1,"a":2}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"a":{"b":{"c":{"d":1}}}}"#,
        r#"{"a":[null]}"#,
        r#"{"a":[1.5]}"#,
        r#"{"a":1.10}"#,
        r#"{"a":1e5}"#,
        r#"{"a":0.1234567890123456789}"#,
        r#"{"a":1e999}"#,
        r#"{"a":9223372036854775808}"#,
        r#"{"a":-0}"#,
        r#"{"a":"\ud800"}"#,
        "{\"\u{e9}\":1}",
        "null",
        "[]",
        "7",
        "\"x\"",
        "{\"a\":NaN}",
        "{\"a\":1",
        &deep,
    ] {
        assert_refused(&proxy, &proxy.post(&body(params)).await, 422);
    }
}

#[tokio::test]
async fn fault_64_odd_params_that_can_be_signed_arrive_as_they_were_signed() {
    let proxy = TestProxy::start().await;
    for params in [
        r#"{ "b" : "\u0041\/" , "a" : 1 , "list":["x","y"] }"#,
        r#"{"a":9223372036854775807,"b":-1,"c":0.5,"d":true,"e":null}"#,
        "{\"a\":\"\u{e9}\u{1f600}\\n\\r\\u0000\"}",
        r#"{"":"","a":[],"b":{}}"#,
    ] {
        let answer = proxy
            .post(&format!(
                r#"{{"method":"private/user-balance","params":{params}}}"#
            ))
            .await;
        assert_eq!(answer.status, 200, "{params}: {}", answer.text());
        let received = proxy.exchange().received().pop().expect("it arrived");
        assert!(
            received.authenticated,
            "the signature does not fit: {params}"
        );
        let text = String::from_utf8(received.body.to_vec()).expect("UTF-8");
        assert!(text.contains(&format!(r#""params":{params},"#)), "{text}");
    }
}

#[tokio::test]
async fn fault_65_line_breaks_forge_no_log_line() {
    let proxy = TestProxy::start().await;
    let forged = "x\r\n[CRYPTO_AUTH_DIAG] event=call OK forged=1\n";
    assert_refused(
        &proxy,
        &proxy.call(&format!("private/{forged}"), json!({})).await,
        422,
    );
    assert_refused(
        &proxy,
        &proxy
            .post(&json!({ "method": forged, "params": {} }).to_string())
            .await,
        422,
    );
    let key = format!(
        r#"{{"method":"private/create-order","params":{{"{}":[null]}}}}"#,
        forged.escape_default()
    );
    assert_refused(&proxy, &proxy.post(&key).await, 422);
    // In a value it is legal, and signed; in an order's name it is not repeated.
    let mut order = super::order();
    order["client_oid"] = json!(format!("{OID}{forged}"));
    let answer = proxy.call("private/create-order", order).await;
    assert_eq!(answer.status, 200);
    for line in proxy.texts() {
        assert!(
            !line.contains(['\r', '\n']) && !line.contains("forged"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn fault_65_a_request_id_of_the_caller_is_not_taken_over() {
    let proxy = TestProxy::start().await;
    let request = bare(&proxy)
        .header("x-proxy-token", &proxy.canaries.token)
        .header("x-request-id", "forged id=1");
    let answer = proxy.send(request).await;
    assert_ne!(
        answer.header("x-request-id").as_deref(),
        Some("forged id=1")
    );
    assert!(!proxy.texts().iter().any(|line| line.contains("forged")));
    let received = proxy.exchange().received();
    assert!(
        !received[0].headers.contains_key("x-request-id")
            && !received[0].headers.contains_key("x-proxy-token")
    );
}
