//! Our refusals, in the exchange's own error shape.

use gateway::policy::Preset;
use serde_json::json;

use crate::support::{
    Answer, TestProxy, client,
    contract::{ORDER, READ},
    signing::{Pair, Unsigned, told},
};

async fn start() -> (TestProxy, Pair) {
    (
        TestProxy::builder()
            .caller("trader", Preset::Trade)
            .start()
            .await,
        Pair::of("trader"),
    )
}

fn refused(answer: &Answer) -> (u16, i64) {
    assert_eq!(answer.outcome(), "refused", "{}", answer.text());
    let (status, code, _) = told(answer);
    (status, code)
}

#[tokio::test]
async fn path_and_body_must_name_the_same_method() {
    let (proxy, pair) = start().await;
    for path in [
        ORDER,
        "private/user-balance/",
        "private/user%2Dbalance",
        "private//user-balance",
        "private/x",
    ] {
        let answer = proxy
            .post_exchange(path, Unsigned::new(READ, "{}").body(&pair))
            .await;
        assert_eq!(refused(&answer), (400, 40003), "{path}: {}", answer.text());
        assert_eq!(
            proxy.record(&answer).field("CRYPTO_WHY"),
            Some("path_and_body")
        );
    }
    assert_eq!(proxy.upstream_requests(), 0);
}

#[tokio::test]
async fn methods_that_nobody_knows_are_denied_and_what_is_no_method_is_no_call() {
    let (proxy, pair) = start().await;
    let answer = proxy
        .signed(&pair, &Unsigned::new("private/not-invented-yet", "{}"))
        .await;
    assert_eq!(refused(&answer), (403, 10005));
    assert!(
        told(&answer).2.contains("not in the catalogue"),
        "{}",
        answer.text()
    );
    let answer = proxy
        .signed(&pair, &Unsigned::new("private/Create-Order", "{}"))
        .await;
    assert_eq!(
        (refused(&answer), answer.json()["method"].clone()),
        ((400, 40002), json!("ERROR"))
    );
    let answer = proxy
        .signed(&pair, &Unsigned::new("private/create-withdrawal", "{}"))
        .await;
    assert_eq!(refused(&answer), (403, 10005));
    assert_eq!(proxy.upstream_requests(), 0);
}

#[tokio::test]
async fn params_that_cannot_be_signed_are_refused_with_what_to_send_instead_and_the_clients_own_id()
{
    let (proxy, pair) = start().await;
    let call = Unsigned::new(ORDER, r#"{"price":50000.00}"#);
    let answer = proxy
        .signed(
            &pair,
            &Unsigned {
                params_string: Some("price50000.00".to_owned()),
                ..call.clone()
            },
        )
        .await;
    assert_eq!(
        (refused(&answer), answer.json()["id"].to_string()),
        ((400, 40004), call.id)
    );
    assert!(
        told(&answer).2.contains("send it as a string"),
        "{}",
        answer.text()
    );
    assert_eq!(
        proxy.record(&answer).field("CRYPTO_WHY"),
        Some("params_not_signable")
    );
}

#[tokio::test]
async fn bodies_that_are_no_request_are_refused_and_counted_before_anybody_is_known() {
    let (proxy, pair) = start().await;
    let good = Unsigned::new(READ, "{}").body(&pair);
    let bodies = [
        String::new(),
        "[]".to_owned(),
        good.replace("}", ""),
        good.replacen('{', "{\"extra\":1,", 1),
        good.replacen('{', "{\"id\":1,", 1),
        good.replacen('{', "{\"p\\u0061rams\":{},", 1),
        good.replace("\"params\":{}", "\"params\":[]"),
        good.replace("\"id\":", "\"id\":-"),
    ];
    for body in &bodies {
        let answer = proxy.post_exchange(READ, body.clone()).await;
        assert_eq!(refused(&answer), (400, 40003), "{body}: {}", answer.text());
        assert_eq!(
            (answer.json()["id"].clone(), answer.json()["method"].clone()),
            (json!(-1), json!(READ))
        );
    }
    let request = client()
        .post(proxy.url(&format!("/exchange/v1/{READ}")))
        .header("content-type", "text/plain");
    assert_eq!(refused(&proxy.ask(request.body(good)).await), (400, 40003));
    assert_eq!(
        (
            proxy.told_refusals("status=400 why=body"),
            proxy.upstream_requests()
        ),
        (9, 0)
    );
}

#[tokio::test]
async fn a_host_that_is_not_served_and_a_browsers_request_are_refused_in_this_doors_shape() {
    let (proxy, pair) = start().await;
    let post = || {
        client()
            .post(proxy.url(&format!("/exchange/v1/{READ}")))
            .body(Unsigned::new(READ, "{}").body(&pair))
    };
    let answer = proxy.ask(post().header("host", "evil.example")).await;
    assert_eq!(
        (refused(&answer), answer.json()["method"].clone()),
        ((421, 40003), json!(READ))
    );
    let answer = proxy
        .ask(post().header("origin", "http://evil.example"))
        .await;
    assert_eq!(refused(&answer), (403, 10005));
    assert_eq!(proxy.upstream_requests(), 0);
}

#[tokio::test]
async fn wrong_verbs_and_paths_are_told_in_this_doors_shape() {
    let (proxy, _) = start().await;
    let ask = |verb: http::Method, path: &str| {
        client().request(verb, proxy.url(&format!("/exchange/v1/{path}")))
    };
    let answer = proxy.ask(ask(http::Method::GET, READ)).await;
    assert_eq!(
        (refused(&answer), answer.header("allow").as_deref()),
        ((405, 40003), Some("POST"))
    );
    let answer = proxy.ask(ask(http::Method::PUT, "public/get-book")).await;
    assert_eq!(
        (refused(&answer), answer.header("allow").as_deref()),
        ((405, 40003), Some("GET, POST"))
    );
    let answer = proxy.ask(ask(http::Method::POST, "public/get-book")).await;
    assert_eq!(
        (refused(&answer), answer.header("allow").as_deref()),
        ((405, 40003), Some("GET"))
    );
    for path in ["other/thing", "privat", "private"] {
        let answer = proxy.ask(ask(http::Method::POST, path)).await;
        assert!(
            matches!(refused(&answer), (404, 40002) | (405, 40003)),
            "{path}: {}",
            answer.text()
        );
    }
}
