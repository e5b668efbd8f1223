//! What the exchange receives for a call.

use serde_json::{Value, json};

use crate::support::{
    TestProxy, client,
    contract::{ORDER, READ},
};

const UPSTREAM_HEADERS: [&str; 5] = [
    "accept",
    "content-length",
    "content-type",
    "host",
    "user-agent",
];

#[tokio::test]
async fn the_request_goes_to_the_method_below_the_base_with_these_headers_only() {
    let proxy = TestProxy::start().await;
    let request = client()
        .post(proxy.url("/proxy/private"))
        .header("x-proxy-token", &proxy.canaries.token);
    let request = request
        .header("content-type", "application/json; charset=utf-8")
        .header("x-custom", "mine");
    let request = request
        .header("cookie", "a=b")
        .header("user-agent", "backend/1")
        .header("authorization", "Basic x");
    let request = request
        .header("x-request-id", "mine")
        .header("accept-encoding", "gzip")
        .header("accept", "text/x");
    proxy
        .send(request.body(r#"{"method":"private/user-balance"}"#))
        .await;
    let received = proxy.exchange().received().remove(0);
    assert_eq!(
        (
            received.method.as_str(),
            received.verb.as_str(),
            received.authenticated
        ),
        (READ, "POST", true)
    );
    let mut names: Vec<_> = received.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, UPSTREAM_HEADERS);
    assert_eq!(
        received
            .headers
            .get_all("content-type")
            .iter()
            .collect::<Vec<_>>(),
        ["application/json"]
    );
    assert_eq!(received.headers["accept"], "*/*");
    assert_eq!(
        received.headers["user-agent"],
        concat!("crypto-proxy/", env!("CARGO_PKG_VERSION"))
    );
}

#[tokio::test]
async fn the_body_has_the_documented_fields_in_order_and_the_params_byte_for_byte() {
    let proxy = TestProxy::start().await;
    let params = "{ \"instrument_name\" : \"BTC_USD\",\n\t\"side\":\"\\u0042UY\", \"type\":\"LIMIT\",\
                  \"price\":\"50000.00\" ,\"quantity\":0.5,\"client_oid\":\"a\\/b\" }";
    proxy.call_text(ORDER, params).await;
    let received = proxy.exchange().received().remove(0);
    let sent = received.json().unwrap();
    let (nonce, signature, key) = (
        &sent["nonce"],
        sent["sig"].as_str().unwrap(),
        &proxy.canaries.key,
    );
    let expected = format!(
        r#"{{"id":1,"method":"{ORDER}","api_key":"{key}","params":{params},"nonce":{nonce},"sig":"{signature}"}}"#
    );
    assert_eq!(std::str::from_utf8(&received.body).unwrap(), expected);
    assert_eq!(signature.len(), 64);
    assert!(
        signature
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    );
    assert!(received.authenticated);
}

#[tokio::test]
async fn absent_params_are_sent_as_an_empty_object_and_other_fields_not_at_all() {
    let proxy = TestProxy::start().await;
    let extra = r#"{"id":77,"method":"private\/user-balance","nonce":5,"api_key":"x","sig":"y","extra":[{}]}"#;
    let answer = proxy.post(extra).await;
    let sent = proxy.exchange().received()[0].json().unwrap();
    let names: Vec<_> = sent.as_object().unwrap().keys().cloned().collect();
    assert_eq!(names.len(), 6, "{names:?}");
    assert_eq!(
        (&sent["id"], &sent["params"], &sent["method"]),
        (&json!(1), &json!({}), &json!(READ))
    );
    assert_eq!(
        (answer.inner()["id"].clone(), answer.json()["rid"].clone()),
        (json!(1), json!(1))
    );
}

#[tokio::test]
async fn nonces_are_milliseconds_of_now_and_increase_with_every_call() {
    let proxy = TestProxy::start().await;
    let balance = || proxy.call_text(READ, "{}");
    tokio::join!(balance(), balance(), balance(), balance());
    let nonce = |body: Value| body["nonce"].as_u64().unwrap();
    let mut nonces: Vec<u64> = proxy
        .exchange()
        .received()
        .iter()
        .map(|got| nonce(got.json().unwrap()))
        .collect();
    nonces.sort_unstable();
    nonces.dedup();
    assert_eq!(nonces.len(), 4);
    let now = gateway::clock::Clock::system().now_ms();
    assert!(
        nonces.iter().all(|nonce| now.abs_diff(*nonce) < 30_000),
        "{nonces:?} at {now}"
    );
    assert_eq!(proxy.exchange().counts(READ).authenticated, 4);
}
