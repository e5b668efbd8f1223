//! An order that may have been executed: its caller is told by which name to look for it, and where.

use std::time::Duration;

use sandbox::Fault;
use serde_json::{Value, json};

use crate::support::{
    Answer, TestProxy,
    contract::{ORDER, READ},
};

const TIMEOUT: &str = "Crypto.com API timeout";

async fn short() -> TestProxy {
    TestProxy::builder()
        .plan(|plan| plan.gateway.deadline = Duration::from_millis(500))
        .start()
        .await
}

async fn after_the_deadline(proxy: &TestProxy, method: &str, params: Value) -> Answer {
    proxy.exchange().script(method, Fault::hang_after());
    let answer = proxy.call(method, params).await;
    assert_eq!(
        (answer.status, answer.inner()["error"].as_str()),
        (504, Some(TIMEOUT)),
        "{}",
        answer.text()
    );
    proxy.assert_outcome(&answer, "unknown", Some("deadline"));
    assert_eq!(proxy.exchange().count(method), 1);
    answer
}

/// Header, envelope, line and field must name the orders alike, or not at all.
fn assert_named(proxy: &TestProxy, answer: &Answer, name: Option<&str>) {
    assert_eq!(answer.header("x-proxy-client-oid").as_deref(), name);
    assert_eq!(answer.inner()["client_oid"].as_str(), name);
    let line = proxy.record(answer);
    assert_eq!(line.field("CRYPTO_CLIENT_OID"), name);
    let in_line = name.map(|name| format!(" client_oid={name} "));
    assert!(
        in_line.is_none_or(|part| line.text().contains(&part)),
        "{}",
        line.text()
    );
}

fn advice(answer: &Answer) -> String {
    answer.inner()["how_to_find_out"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn order(client_oid: Option<Value>) -> Value {
    let mut order = json!({
        "instrument_name": "BTC_USD", "side": "BUY", "type": "LIMIT", "price": "1", "quantity": "1",
    });
    order
        .as_object_mut()
        .unwrap()
        .extend(client_oid.map(|oid| ("client_oid".to_owned(), oid)));
    order
}

#[tokio::test]
async fn an_order_is_named_by_its_callers_client_oid() {
    let proxy = short().await;
    let answer = after_the_deadline(&proxy, ORDER, order(Some(json!("mine-1")))).await;
    assert_named(&proxy, &answer, Some("mine-1"));
    let advice = advice(&answer);
    assert!(
        advice.contains("private/get-order-detail with its client_oid; never place it again"),
        "{advice}"
    );
    assert!(proxy.exchange().order("mine-1").is_some());
}

#[tokio::test]
async fn an_order_without_a_client_oid_has_no_name() {
    for absent in [None, Some(Value::Null)] {
        let proxy = short().await;
        let answer = after_the_deadline(&proxy, ORDER, order(absent)).await;
        assert_named(&proxy, &answer, None);
    }
}

#[tokio::test]
async fn every_order_of_a_list_that_has_a_name_is_named() {
    let proxy = short().await;
    let list = json!({
        "contingency_type": "LIST",
        "order_list": [order(Some(json!("a"))), order(None), order(Some(json!("b.2")))],
    });
    let answer = after_the_deadline(&proxy, "private/create-order-list", list).await;
    assert_named(&proxy, &answer, Some("a,b.2"));
    assert!(advice(&answer).contains("private/get-order-detail"));
}

#[tokio::test]
async fn an_advanced_order_is_looked_for_among_the_advanced_ones() {
    let proxy = short().await;
    let answer = after_the_deadline(
        &proxy,
        "private/advanced/create-order",
        order(Some(json!("adv"))),
    )
    .await;
    assert_named(&proxy, &answer, Some("adv"));
    assert!(advice(&answer).contains("ask private/advanced/get-order-detail with its client_oid"));
}

#[tokio::test]
async fn a_cancellation_names_the_order_but_never_an_order_id_as_a_client_oid() {
    let proxy = short().await;
    let by_client_oid = after_the_deadline(
        &proxy,
        "private/cancel-order",
        json!({ "client_oid": "mine-1" }),
    )
    .await;
    assert_named(&proxy, &by_client_oid, Some("mine-1"));
    proxy
        .exchange()
        .script("private/advanced/cancel-order", Fault::hang_after());
    let by_order_id = proxy
        .call(
            "private/advanced/cancel-order",
            json!({ "order_id": "6142909898000000001" }),
        )
        .await;
    assert_named(&proxy, &by_order_id, None);
    for answer in [by_client_oid, by_order_id] {
        let advice = advice(&answer);
        assert!(
            advice.starts_with("the order may have been changed or cancelled: ask private/"),
            "{advice}"
        );
    }
}

#[tokio::test]
async fn a_read_that_ends_in_doubt_needs_no_advice() {
    let proxy = short().await;
    let answer = after_the_deadline(&proxy, READ, json!({})).await;
    assert_named(&proxy, &answer, None);
    assert_eq!(
        answer.text(),
        r#"{"status":504,"body":{"error":"Crypto.com API timeout","outcome":"unknown"},"rid":1}"#
    );
}

#[tokio::test]
async fn a_lost_order_is_named_as_well_and_so_is_one_that_the_exchange_leaves_in_doubt() {
    let proxy = TestProxy::start().await;
    proxy.exchange().script(ORDER, Fault::cut_after());
    let lost = proxy.call(ORDER, order(Some(json!("lost-1")))).await;
    assert_eq!(lost.status, 502);
    assert_named(&proxy, &lost, Some("lost-1"));
    assert!(!advice(&lost).is_empty());
    proxy.exchange().script(ORDER, Fault::code(50001).after());
    let in_doubt = proxy.call(ORDER, order(None)).await;
    assert_eq!(
        (in_doubt.status, in_doubt.outcome().as_str()),
        (200, "unknown")
    );
    assert_eq!(in_doubt.header("x-proxy-client-oid"), None);
    assert_eq!(in_doubt.inner()["code"], 50001);
}

#[tokio::test]
async fn an_order_whose_end_is_known_carries_no_such_header() {
    let proxy = TestProxy::start().await;
    let placed = proxy.call(ORDER, order(Some(json!("mine-1")))).await;
    let again = proxy.call(ORDER, order(Some(json!("mine-1")))).await;
    assert_eq!(
        (&placed.inner()["code"], &again.inner()["code"]),
        (&json!(0), &json!(0))
    );
    proxy.gateway.drain();
    let refused = proxy.call(ORDER, order(Some(json!("mine-2")))).await;
    for (answer, word) in [
        (&placed, "answered"),
        (&again, "answered"),
        (&refused, "refused"),
    ] {
        assert_eq!(
            (
                answer.header("x-proxy-client-oid"),
                answer.outcome().as_str()
            ),
            (None, word)
        );
    }
    assert_eq!(
        proxy.record(&placed).field("CRYPTO_CLIENT_OID"),
        Some("mine-1")
    );
    assert_eq!(proxy.exchange().orders_placed(), 1);
}

#[tokio::test]
async fn a_client_oid_that_could_forge_a_header_or_a_line_is_not_repeated() {
    let proxy = short().await;
    let hostile = json!("x\r\nX-Proxy-Outcome: answered\r\n[CRYPTO_AUTH_DIAG] event=call OK");
    let answer = after_the_deadline(&proxy, ORDER, order(Some(hostile))).await;
    assert_named(&proxy, &answer, None);
    assert!(advice(&answer).contains("private/get-order-detail"));
    assert!(
        proxy
            .texts()
            .iter()
            .all(|line| !line.contains("event=call OK")),
        "{:?}",
        proxy.texts()
    );
}

#[tokio::test]
async fn an_order_is_completed_and_recorded_though_its_caller_has_left() {
    let proxy = TestProxy::start().await;
    proxy.exchange().script(ORDER, Fault::hang_after());
    {
        let call = proxy.call(ORDER, order(Some(json!("left-1"))));
        tokio::select! {
            _ = call => panic!("the exchange was silent"),
            () = proxy.exchange().wait_received(ORDER, 1) => {}
        }
    }
    proxy.exchange().release();
    let line = proxy
        .wait_line(&["event=call OK", " client_oid=left-1 "])
        .await;
    assert!(
        line.text().contains(" code=0 outcome=answered "),
        "{}",
        line.text()
    );
    assert_eq!(proxy.exchange().executed(ORDER), 1);
}
