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
    let own = serde_json::from_str::<serde_json::Value>(&good).unwrap()["id"].clone();
    let long = format!("{{\"pad\":\"{}\",", "x".repeat(2000));
    // The id where it can be read, and -1 where it cannot.
    let bodies = [
        (String::new(), json!(-1)),
        ("[]".to_owned(), json!(-1)),
        (good.replace("}", ""), json!(-1)),
        (good.replacen('{', "{\"extra\":1,", 1), own.clone()),
        (good.replacen('{', &long, 1), own.clone()),
        (good.replacen('{', "{\"id\":1,", 1), json!(-1)),
        (good.replacen('{', "{\"p\\u0061rams\":{},", 1), own.clone()),
        (good.replace("\"params\":{}", "\"params\":[]"), own.clone()),
        (good.replace("\"id\":", "\"id\":-"), json!(-1)),
    ];
    for (body, id) in &bodies {
        let answer = proxy.post_exchange(READ, body.clone()).await;
        assert_eq!(refused(&answer), (400, 40003), "{body}: {}", answer.text());
        assert_eq!(
            (answer.json()["id"].clone(), answer.json()["method"].clone()),
            (id.clone(), json!(READ)),
            "{body}"
        );
    }
    let post = |method: &str, kind: &str, body: &str| {
        client()
            .post(proxy.url(&format!("/exchange/v1/{method}")))
            .header("content-type", kind)
            .body(body.to_owned())
    };
    let conversion = "public/staking/get-conversion-rate";
    let json_type = "application/json";
    for (request, id) in [
        (post(READ, "text/plain", &good), own),
        (
            post(conversion, json_type, r#"{"id":5,"method":"public/other"}"#),
            json!(5),
        ),
        (
            post(conversion, json_type, r#"{"id":5,"extra":1}"#),
            json!(5),
        ),
    ] {
        let answer = proxy.ask(request).await;
        assert_eq!(refused(&answer), (400, 40003));
        assert_eq!(answer.json()["id"], id);
    }
    let with_token = post(
        READ,
        json_type,
        r#"{"id":6,"method":"private/user-balance","params":[]}"#,
    )
    .header("x-proxy-token", &proxy.canaries.token);
    let answer = proxy.ask(with_token).await;
    assert_eq!(
        (refused(&answer), &answer.json()["id"]),
        ((400, 40003), &json!(6))
    );
    assert_eq!(
        (
            proxy.told_refusals("status=400 why=body"),
            proxy.upstream_requests()
        ),
        (12, 0)
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
    for path in ["other/thing", "privat", "private", "public"] {
        let answer = proxy.ask(ask(http::Method::POST, path)).await;
        assert_eq!(refused(&answer), (404, 40002), "{path}: {}", answer.text());
        assert!(!answer.text().contains("takes POST"), "{path}");
    }
}

#[tokio::test]
async fn a_base_with_one_slash_more_is_served_and_another_one_is_told_the_right_one() {
    let (proxy, pair) = start().await;
    let post = |path: &str, body: String| {
        client()
            .post(proxy.url(path))
            .header("content-type", "application/json")
            .body(body)
    };
    let body = || Unsigned::new(READ, "{}").body(&pair);
    let served = [
        "/exchange/v1//private/user-balance",
        "//exchange/v1/private/user-balance",
    ];
    for path in served {
        let answer = proxy.ask(post(path, body())).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    let book = client().get(proxy.url("/exchange/v1//public/get-tickers"));
    assert_eq!(proxy.ask(book).await.status, 200);
    for (path, method) in [
        ("/private/user-balance", READ),
        ("/v1/private/user-balance", READ),
        ("/v2/private/user-balance", READ),
        ("/exchange/v2/private/user-balance", READ),
        ("/public/get-tickers", "public/get-tickers"),
        ("/v2/public/auth/../x", "ERROR"),
        ("/user", "ERROR"),
        ("/market", "ERROR"),
    ] {
        let answer = proxy.ask(post(path, body())).await;
        assert_eq!(refused(&answer), (404, 40002), "{path}: {}", answer.text());
        assert!(told(&answer).2.contains("ends in /exchange/v1"), "{path}");
        if !path.contains("..") {
            assert_eq!(answer.json()["method"], method, "{path}");
        }
    }
    // Nothing else is cleaned up.
    for path in [
        "///exchange/v1/private/user-balance",
        "/exchange//v1/private/user-balance",
        "/exchange/v1/./private/user-balance",
        "/exchange/v1///private/user-balance",
        "/exchange/v1/private//user-balance",
        "/EXCHANGE/v1/private/user-balance",
        "/exchange%2Fv1/private/user-balance",
    ] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n");
        let text = body();
        let request = format!(
            "{head}content-type: application/json\r\ncontent-length: {}\r\n\r\n{text}",
            text.len()
        );
        let mut raw = proxy.raw().await;
        raw.write(request.as_bytes()).await;
        let answer = raw.answer().await;
        assert!(
            [400, 404, 405].contains(&answer.status),
            "{path}: {}",
            answer.text()
        );
    }
    assert_eq!(proxy.exchange().count(READ), 2);
    let foreign = post("//exchange/v1/private/user-balance", body()).header("host", "evil.example");
    assert_eq!(
        refused(&proxy.ask(foreign).await),
        (421, 40003),
        "in this shape"
    );
}

#[tokio::test]
async fn a_byte_order_mark_before_the_body_is_no_part_of_it() {
    let (proxy, pair) = start().await;
    let call = Unsigned::new(READ, "{}");
    let body = format!("\u{feff}{}", call.body(&pair));
    let answer = proxy.post_exchange(READ, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}
