//! Who is believed: a signature of a virtual key, under every rendering that documented clients use, and a token.

use crypto_proxy::http::Refused;
use gateway::policy::Preset;
use serde_json::{Value, json};

use crate::support::{
    TestProxy, client,
    contract::{ORDER, READ},
    signing::{Pair, Unsigned, told, write},
};

const ORDER_PARAMS: &str = r#"{"instrument_name":"BTC_USD","side":"BUY","type":"LIMIT","price":"50000.00","quantity":"0.01","reduce_only":true}"#;

async fn trading() -> (TestProxy, Pair) {
    (
        TestProxy::builder()
            .caller("trader", Preset::Trade)
            .start()
            .await,
        Pair::of("trader"),
    )
}

#[tokio::test]
async fn a_signed_call_reaches_the_exchange_and_its_answer_comes_back_as_it_came() {
    let (proxy, pair) = trading().await;
    let call = Unsigned::new(ORDER, ORDER_PARAMS);
    let answer = proxy.signed(&pair, &call).await;
    assert_eq!(
        (answer.status, answer.outcome()),
        (200, "answered".to_owned()),
        "{}",
        answer.text()
    );
    assert_eq!(
        answer.json()["id"].to_string(),
        call.id,
        "exactly the client's own"
    );
    assert_eq!(proxy.exchange().orders_placed(), 1);
    assert!(
        proxy.exchange().received()[0].authenticated,
        "signed anew with our own key"
    );
    let line = proxy.record(&answer);
    assert!(
        line.text()
            .contains(" caller=trader method=private/create-order "),
        "{}",
        line.text()
    );
}

#[tokio::test]
async fn the_python_clients_renderings_are_believed_and_what_goes_on_is_signed_as_documented() {
    let (proxy, pair) = trading().await;
    let flat = "instrument_nameBTC_USDprice50000.00quantity0.01reduce_onlyTruesideBUYtypeLIMIT";
    let call = Unsigned {
        params_string: Some(flat.to_owned()),
        ..Unsigned::new(ORDER, ORDER_PARAMS)
    };
    let answer = proxy.signed(&pair, &call).await;
    assert_eq!(
        (answer.status, answer.json()["code"].clone()),
        (200, json!(0)),
        "{}",
        answer.text()
    );
    let none = Unsigned {
        params_string: Some("network_idNone".to_owned()),
        ..Unsigned::new(READ, r#"{"network_id":null}"#)
    };
    assert_eq!(proxy.signed(&pair, &none).await.status, 200);
    assert!(
        proxy
            .exchange()
            .received()
            .iter()
            .all(|received| received.authenticated)
    );
}

#[tokio::test]
async fn unknown_keys_wrong_signatures_and_missing_proofs_are_told_alike() {
    let (proxy, pair) = trading().await;
    let call = || Unsigned::new(READ, "{}");
    let unknown = Pair::of("nobody");
    let real = pair.with_key(&proxy.canaries.key);
    let without = |name: &str| {
        let members: Vec<_> = call()
            .members(&pair)
            .into_iter()
            .filter(|(member, _)| *member != name)
            .collect();
        write(&members)
    };
    let bodies = [
        call().body(&pair.with_wrong_secret()),
        call().body(&unknown),
        call().body(&real),
        call().body(&pair.with_key("")),
        without("sig"),
        without("api_key"),
        call().body(&pair).replace("\"sig\":\"", "\"sig\":\"00"),
        r#"{"method":"private/user-balance"}"#.to_owned(),
    ];
    let mut seen = Vec::new();
    for body in &bodies {
        let answer = proxy.post_exchange(READ, body.clone()).await;
        let (status, code, message) = told(&answer);
        assert_eq!(
            (status, code, answer.outcome().as_str()),
            (401, 40101, "refused"),
            "{body}"
        );
        seen.push(message);
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(
        (
            proxy.rejections.counted(Refused::Signature(
                gateway::auth::SignatureRejected::Signature
            )),
            proxy.upstream_requests()
        ),
        (8, 0)
    );
    assert_eq!(proxy.told_refusals("status=401 why=signature"), 8);
}

#[tokio::test]
async fn a_changed_byte_anywhere_in_what_was_signed_is_refused() {
    let (proxy, pair) = trading().await;
    let changes = [
        ("\"0.01\"", "\"0.02\""),
        ("\"BUY\"", "\"SELL\""),
        ("private/create-order", "private/cancel-order"),
        ("\"id\":4", "\"id\":5"),
        (":true", ":false"),
    ];
    for (before, after) in changes {
        let body = Unsigned::new(ORDER, ORDER_PARAMS).body(&pair);
        assert!(body.contains(before));
        let path = if before.starts_with("private") {
            after
        } else {
            ORDER
        };
        let answer = proxy.post_exchange(path, body.replace(before, after)).await;
        assert_eq!((answer.status, told(&answer).1), (401, 40101), "{after}");
    }
    assert_eq!(proxy.upstream_requests(), 0);
}

#[tokio::test]
async fn shifted_params_verify_alike_and_count_as_the_same_request() {
    // The documented scheme is not injective; SECURITY.md says what follows from it.
    let (proxy, pair) = trading().await;
    let one = Unsigned::new(READ, r#"{"a":"1b2"}"#);
    let shifted = Unsigned {
        params: Some(r#"{"a":"1","b":"2"}"#.to_owned()),
        ..one.clone()
    };
    assert_eq!(one.sig(&pair), shifted.sig(&pair));
    assert_eq!(proxy.signed(&pair, &one).await.status, 200);
    let answer = proxy.post_exchange(READ, shifted.body(&pair)).await;
    assert_eq!((answer.status, told(&answer).1), (400, 40102));
    assert_eq!(proxy.upstream_requests(), 1);
}

#[tokio::test]
async fn a_token_takes_the_place_of_the_signature_and_the_proof_in_the_body_is_not_looked_at() {
    let (proxy, _) = trading().await;
    let post = |body: &str| {
        let request = client().post(proxy.url(&format!("/exchange/v1/{READ}")));
        request
            .header("x-proxy-token", &proxy.canaries.token)
            .header("content-type", "application/json")
            .body(body.to_owned())
    };
    let answer = proxy
        .ask(post(&format!(r#"{{"id":7,"method":"{READ}"}}"#)))
        .await;
    assert_eq!(
        (answer.status, answer.json()["id"].clone()),
        (200, json!(7)),
        "{}",
        answer.text()
    );
    let odd =
        format!(r#"{{"sig":7,"id":8,"nonce":"x","api_key":null,"method":"{READ}","params":{{}}}}"#);
    assert_eq!(proxy.ask(post(&odd)).await.json()["id"], 8);
    let sent: Value = proxy.exchange().received()[1].json().unwrap();
    assert_eq!(sent["api_key"], proxy.canaries.key);
    assert!(
        proxy
            .record(&proxy.ask(post(&odd)).await)
            .text()
            .contains(" caller=default ")
    );
}

#[tokio::test]
async fn a_wrong_token_is_not_made_good_by_a_signature() {
    let (proxy, pair) = trading().await;
    let request = client()
        .post(proxy.url(&format!("/exchange/v1/{READ}")))
        .header("content-type", "application/json");
    let body = Unsigned::new(READ, "{}").body(&pair);
    let answer = proxy
        .ask(
            request
                .header("x-proxy-token", "wrong-token-marker")
                .body(body),
        )
        .await;
    assert_eq!((answer.status, told(&answer).1), (401, 40101));
    assert_eq!(
        (
            proxy.told_refusals("status=401 why=token"),
            proxy.upstream_requests()
        ),
        (1, 0)
    );
}

#[tokio::test]
async fn a_caller_with_the_preset_read_cannot_trade() {
    let proxy = TestProxy::builder()
        .caller("reader", Preset::Read)
        .start()
        .await;
    let pair = Pair::of("reader");
    let answer = proxy
        .signed(&pair, &Unsigned::new(ORDER, ORDER_PARAMS))
        .await;
    let (status, code, message) = told(&answer);
    assert_eq!(
        (status, code, answer.outcome().as_str()),
        (403, 10005, "refused")
    );
    assert!(
        message.contains("private/create-order is not allowed for caller reader"),
        "{message}"
    );
    assert_eq!(proxy.record(&answer).field("CRYPTO_WHY"), Some("denied"));
    assert_eq!(
        (proxy.upstream_requests(), proxy.exchange().orders_placed()),
        (0, 0)
    );
    assert_eq!(
        proxy.signed(&pair, &Unsigned::new(READ, "{}")).await.status,
        200
    );
}
