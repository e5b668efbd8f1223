//! `GET /orders/{name}`: what became of a caller's own order, and of nobody else's.

use std::sync::Arc;

use gateway::{
    access::AccessRules,
    auth::Caller,
    policy::{Policy, Preset},
    secret::TokenDigest,
};
use sandbox::Fault;
use serde_json::{Value, json};

use crate::support::{Answer, TestProxy, client, contract::ORDER};

const TOKEN: &str = "cpt_invented-token-of-the-second-caller";
const LIST: &str = "private/create-order-list";

async fn proxy() -> TestProxy {
    proxy_with(AccessRules::default()).await
}

/// With a second caller that has these rules.
async fn proxy_with(access: AccessRules) -> TestProxy {
    let second = Caller {
        name: "second".into(),
        policy: Policy {
            allow_classes: Preset::Trade.classes().iter().copied().collect(),
            access,
            ..Policy::nothing()
        },
    };
    TestProxy::builder()
        .plan(|plan| {
            let digest = TokenDigest::of(TOKEN.as_bytes());
            let callers = std::mem::take(&mut plan.callers);
            plan.callers = callers.with_token(digest, Arc::new(second));
        })
        .start()
        .await
}

fn order(name: Option<&str>) -> Value {
    let mut order = json!({
        "instrument_name": "BTC_USD", "side": "BUY", "type": "LIMIT", "price": "1", "quantity": "1",
    });
    if let Some(name) = name {
        order["client_oid"] = json!(name);
    }
    order
}

async fn asked_by(proxy: &TestProxy, token: &str, path: &str) -> Answer {
    let request = client().get(proxy.url(path)).header("x-proxy-token", token);
    proxy.send(request).await
}

async fn asked(proxy: &TestProxy, name: &str) -> Answer {
    asked_by(proxy, &proxy.canaries.token, &format!("/orders/{name}")).await
}

/// The attempts of a name that is there.
async fn attempts(proxy: &TestProxy, name: &str) -> Vec<Value> {
    let answer = asked(proxy, name).await;
    assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
    let attempts = answer.json()["attempts"].clone();
    attempts.as_array().expect("attempts").clone()
}

#[tokio::test]
async fn its_own_caller_learns_what_became_of_an_order() {
    let proxy = proxy().await;
    let placed = proxy.call(ORDER, order(Some("mine-1"))).await;
    let id = placed.inner()["result"]["order_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let found = attempts(&proxy, "mine-1").await;
    let [one] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(
        (
            &one["state"],
            &one["method"],
            &one["code"],
            &one["order_ids"]
        ),
        (&json!("answered"), &json!(ORDER), &json!(0), &json!([id]))
    );
    assert_eq!(one["rid"], json!(placed.header("x-request-id")));
    assert_eq!(one["can_still_arrive"], json!(false));
    assert_eq!(one["legs"][0]["name"], json!("mine-1"));
    assert_eq!(one["legs"][0]["state"], json!("executed"));
    for time in ["begun", "ended"] {
        let time = one[time].as_str().unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
    }
    for of_the_operator in ["caller", "environment", "by_hand"] {
        assert!(one.get(of_the_operator).is_none(), "{one}");
    }
    assert_eq!(attempts(&proxy, &id).await, found, "by the exchange's id");
}

#[tokio::test]
async fn another_callers_order_and_one_that_nobody_placed_get_the_same_answer() {
    let proxy = proxy().await;
    proxy.call(ORDER, order(Some("mine-1"))).await;
    let [of_another, of_nobody] = [
        asked_by(&proxy, TOKEN, "/orders/mine-1").await,
        asked_by(&proxy, TOKEN, "/orders/nobodys").await,
    ];
    assert_eq!((of_another.status, of_nobody.status), (404, 404));
    assert_eq!(of_another.text(), of_nobody.text());
}

#[tokio::test]
async fn every_attempt_of_a_name_is_told_the_newest_first() {
    let proxy = proxy().await;
    proxy.exchange().script(ORDER, Fault::code(306));
    proxy.call(ORDER, order(Some("again"))).await;
    proxy.call(ORDER, order(Some("again"))).await;
    let found = attempts(&proxy, "again").await;
    let codes: Vec<_> = found.iter().map(|one| one["code"].clone()).collect();
    assert_eq!(codes, [json!(0), json!(306)], "{found:?}");
    let legs: Vec<_> = found
        .iter()
        .map(|one| one["legs"][0]["state"].clone())
        .collect();
    assert_eq!(legs, [json!("executed"), json!("refused")]);
}

#[tokio::test]
async fn an_order_in_doubt_is_unknown_until_the_exchange_was_asked() {
    let proxy = proxy().await;
    proxy.exchange().script(ORDER, Fault::cut_after());
    let lost = proxy.call(ORDER, order(Some("lost-1"))).await;
    assert_eq!(lost.outcome(), "unknown");
    let rid = lost.header("x-request-id").unwrap();
    // Its request id names it as long as it is open.
    let answer = asked(&proxy, &rid).await;
    if answer.status == 200 {
        let one = &answer.json()["attempts"][0];
        assert_eq!(one["state"], json!("unknown"), "{one}");
        assert_eq!(one["can_still_arrive"], json!(true), "{one}");
        assert!(one["for_s"].as_u64().unwrap() > 0, "{one}");
    }
    proxy
        .wait_line(&["event=order_found_out", "name=lost-1"])
        .await;
    let one = &attempts(&proxy, "lost-1").await[0];
    assert_eq!(one["state"], json!("executed"), "{one}");
    assert!(one["looked_after"].as_u64().unwrap() > 0, "{one}");
}

#[tokio::test]
async fn an_order_that_is_under_way_is_running() {
    let proxy = proxy().await;
    proxy.exchange().script(ORDER, Fault::hang_after());
    let asking = async {
        proxy.exchange().wait_received(ORDER, 1).await;
        attempts(&proxy, "slow-1").await
    };
    let found = tokio::select! {
        _ = proxy.call(ORDER, order(Some("slow-1"))) => panic!("it hangs"),
        found = asking => found,
    };
    assert_eq!(found[0]["state"], json!("running"), "{found:?}");
    assert_eq!(found[0]["ended"], Value::Null);
}

#[tokio::test]
async fn a_key_and_each_leg_of_a_list_are_names() {
    let proxy = proxy().await;
    let request = client()
        .post(proxy.url("/proxy/private"))
        .header("x-proxy-token", &proxy.canaries.token)
        .header("content-type", "application/json")
        .header("idempotency-key", "key/1");
    let body = json!({ "method": ORDER, "params": order(None) }).to_string();
    assert_eq!(proxy.send(request.body(body)).await.status, 200);
    assert_eq!(attempts(&proxy, "key%2F1").await.len(), 1);
    let list = json!({ "contingency_type": "LIST", "order_list": [order(Some("leg-a")), order(Some("leg-b"))] });
    proxy.call(LIST, list).await;
    let [first, second] = [
        attempts(&proxy, "leg-a").await,
        attempts(&proxy, "leg-b").await,
    ];
    assert_eq!(first, second);
    assert_eq!(first[0]["legs"].as_array().unwrap().len(), 2);
}

/// The text with each byte escaped.
fn escaped(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn whatever_is_journaled_under_a_name_can_be_asked_by_it() {
    let proxy = proxy().await;
    for name in [
        &"x".repeat(36),
        &"x".repeat(128),
        &"y".repeat(129),
        &"ä".repeat(65),
        &"z".repeat(3000),
        "a/b",
        "a b",
        "..",
        "%41",
        "a+b",
        "a?b#c",
        r#"a"b'c\d"#,
        "line\nfeed\0",
        "\u{202e}\u{1f980}",
    ] {
        proxy.call(ORDER, order(Some(name))).await;
        // A client's URL library would resolve dots by itself.
        let found = if name == ".." {
            let mut raw = proxy.connect().await;
            let token = &proxy.canaries.token;
            raw.write(&format!(
                "GET /orders/.. HTTP/1.1\r\nHost: localhost\r\nX-Proxy-Token: {token}\r\n\r\n"
            ))
            .await;
            let answer = raw.answer().await;
            answer.json()["attempts"].as_array().unwrap().clone()
        } else {
            attempts(&proxy, &escaped(name)).await
        };
        assert_eq!(found.len(), 1, "{name:?}: {found:?}");
        assert_eq!(found[0]["method"], json!(ORDER));
        // Also by the form in which it is kept.
        let kept = found[0]["legs"][0]["name"].as_str().unwrap();
        assert_eq!(kept.starts_with("sha256:"), name.len() > 128, "{kept}");
        if name != ".." {
            assert_eq!(attempts(&proxy, &escaped(kept)).await, found, "{name:?}");
        }
    }
}

#[tokio::test]
async fn what_is_no_name_or_no_caller_is_refused() {
    let proxy = proxy().await;
    proxy.call(ORDER, order(Some("a"))).await;
    let token = proxy.canaries.token.clone();
    for (token, path, status) in [
        ("cpt_wrong", "/orders/a", 401),
        ("", "/orders/a", 401),
        (&token, "/orders/a?open=1", 422),
        (&token, "/orders/%zz", 422),
        (&token, "/orders/%ff", 422),
        (&token, "/orders/", 404),
        (&token, "/orders", 404),
        (&token, "/orders/a/b", 404),
        (&token, "/orders/a%20", 404),
    ] {
        let answer = asked_by(&proxy, token, path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
    let foreign = client()
        .get(proxy.url("/orders/a"))
        .header("x-proxy-token", &token)
        .header("origin", "http://evil.example");
    assert_eq!(proxy.send(foreign).await.status, 403);
}

#[tokio::test]
async fn who_may_not_call_from_there_may_not_ask_from_there() {
    let sources = vec!["192.0.2.0/24".parse().unwrap()];
    let proxy = proxy_with(AccessRules {
        sources,
        ..AccessRules::default()
    })
    .await;
    let answer = asked_by(&proxy, TOKEN, "/orders/a").await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert!(answer.text().contains("second"), "{}", answer.text());
}
