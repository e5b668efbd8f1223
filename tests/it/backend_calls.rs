//! What the backend really sends, against the default policy and the default settings.
//!
//! `cargo test --test it backend -- --nocapture` prints the table.

use crate::support::{Answer, TestProxy};

/// Method, params as the backend writes them, and what must come of it: a code, or a part of the refusal's remedy.
type Call = (&'static str, &'static str, Result<i64, &'static str>);

const AS_STRING: &str = "send it as a string";

const READS: [Call; 14] = [
    ("private/user-balance", "{}", Ok(0)),
    ("private/get-account-summary", "{}", Ok(0)),
    (
        "private/get-open-orders",
        r#"{"page": 0, "page_size": 200}"#,
        Ok(0),
    ),
    ("private/get-order-history", "{}", Ok(0)),
    (
        "private/get-order-history",
        r#"{"instrument_name": "BTC_USDT"}"#,
        Ok(0),
    ),
    ("private/get-trigger-orders", "{}", Ok(0)),
    (
        "private/get-trigger-orders",
        r#"{"page": 0, "page_size": 200}"#,
        Ok(0),
    ),
    ("private/advanced/get-open-orders", "{}", Ok(0)),
    ("private/advanced/get-order-history", "{}", Ok(0)),
    (
        "private/advanced/get-order-history",
        r#"{"instrument_name": "BTC_USDT", "limit": 50}"#,
        Ok(0),
    ),
    (
        "private/get-order-detail",
        r#"{"order_id": "1"}"#,
        Ok(40401),
    ),
    (
        "private/get-order-detail",
        r#"{"order_id": 6142909897021751347}"#,
        Ok(40401),
    ),
    (
        "private/get-order-detail",
        r#"{"client_oid": "never-placed"}"#,
        Ok(40401),
    ),
    ("private/cancel-order", r#"{"order_id": "1"}"#, Ok(212)),
];

const ORDERS: [Call; 10] = [
    (
        "private/create-order",
        r#"{"instrument_name": "BTC_USDT", "side": "BUY", "type": "MARKET", "notional": "10.50", "client_oid": "b-1"}"#,
        Ok(0),
    ),
    (
        "private/create-order",
        r#"{"instrument_name": "BTC_USDT", "side": "SELL", "type": "LIMIT", "price": "50000.00", "quantity": "0.00010"}"#,
        Ok(0),
    ),
    (
        "private/create-order",
        r#"{"instrument_name": "BTC_USDT", "side": "BUY", "type": "LIMIT", "price": "50000.00", "quantity": "0.5", "leverage": "10", "exec_inst": ["MARGIN_ORDER"]}"#,
        Ok(0),
    ),
    (
        "private/advanced/create-order",
        r#"{"instrument_name": "BTC_USDT", "side": "SELL", "type": "STOP_LIMIT", "price": "40000", "quantity": "0.5", "ref_price": "41000", "reduce_only": true}"#,
        Ok(0),
    ),
    (
        "private/advanced/create-order",
        r#"{"instrument_name": "BTC_USDT", "side": "SELL", "type": "LIMIT", "price": 50000.5, "quantity": 0.1, "reduce_only": true}"#,
        Ok(0),
    ),
    (
        "private/advanced/create-order",
        r#"{"instrument_name": "BTC_USDT", "side": "SELL", "type": "LIMIT", "price": 50000.0, "quantity": "0.1"}"#,
        Err(AS_STRING),
    ),
    (
        "private/advanced/create-order",
        r#"{"instrument_name": "BTC_USDT", "side": "SELL", "type": "LIMIT", "price": "50000", "quantity": 1e-05}"#,
        Err(AS_STRING),
    ),
    (
        "private/advanced/create-order",
        r#"{"instrument_name": "BTC_USDT", "side": "SELL", "type": "TAKE_PROFIT", "ref_price": 1e+16, "quantity": "0.1"}"#,
        Err(AS_STRING),
    ),
    (
        "private/advanced/create-order",
        r#"{"instrument_name": "BTC_USDT", "side": "SELL", "type": "LIMIT", "price": 0.30000000000000004, "quantity": "0.1"}"#,
        Err(AS_STRING),
    ),
    (
        "private/advanced/create-order",
        r#"{"instrument_name": "BTC_USDT", "side": "BUY", "type": "LIMIT", "price": 50000, "quantity": "0.1"}"#,
        Ok(0),
    ),
];

const LISTS: [Call; 5] = [
    (
        "private/create-order-list",
        r#"{"contingency_type": "LIST", "order_list": [{"instrument_name": "BTC_USDT", "side": "BUY", "type": "LIMIT", "price": "40000.00", "quantity": "0.001"}, {"instrument_name": "ETH_USDT", "side": "SELL", "type": "LIMIT", "price": "9000", "quantity": "0.01", "client_oid": "leg-2"}]}"#,
        Ok(0),
    ),
    (
        "private/advanced/create-oco",
        r#"{"order_list": [{"instrument_name": "BTC_USDT", "side": "SELL", "type": "LIMIT", "price": "90000", "quantity": "0.001"}, {"instrument_name": "BTC_USDT", "side": "SELL", "type": "STOP_LOSS", "ref_price": "30000", "quantity": "0.001"}]}"#,
        Ok(0),
    ),
    (
        "private/advanced/create-oco",
        r#"{"order_list": [{"instrument_name": "BTC_USDT", "side": "SELL", "type": "LIMIT", "price": 90000.5, "quantity": 0.001}, {"instrument_name": "BTC_USDT", "side": "SELL", "type": "STOP_LOSS", "ref_price": 30000.5, "quantity": 0.001}]}"#,
        Ok(0),
    ),
    (
        "private/create-order-list",
        r#"{"contingency_type": "LIST", "order_list": [{"instrument_name": "BTC_USDT", "side": "BUY", "type": "LIMIT", "price": 40000.0, "quantity": "0.001"}]}"#,
        Err(AS_STRING),
    ),
    (
        "private/create-order-list",
        r#"{"contingency_type": "LIST", "order_list": [{"instrument_name": "BTC_USDT", "side": "BUY", "type": "LIMIT", "price": "40000", "quantity": "0.001", "exec_inst": ["POST_ONLY"]}]}"#,
        Err("calls.order_list_exec_inst"),
    ),
];

/// One line of the table.
fn row(call: &Call, answer: &Answer) -> String {
    let json = answer.json();
    let said = match json["detail"][0]["msg"].as_str() {
        Some(message) => message.to_owned(),
        None => format!(
            "code {} {}",
            json["body"]["code"],
            json["body"]["message"].as_str().unwrap_or_default()
        ),
    };
    format!(
        "| {} | `{}` | {} {} | {} |",
        call.0,
        call.1,
        answer.status,
        answer.outcome(),
        said.trim_end()
    )
}

fn assert_expected(proxy: &TestProxy, call: &Call, answer: &Answer) {
    match call.2 {
        Ok(code) => {
            assert_eq!(
                (answer.status, answer.outcome().as_str()),
                (200, "answered"),
                "{}",
                row(call, answer)
            );
            assert_eq!(answer.inner()["code"], code, "{}", row(call, answer));
            assert!(
                proxy
                    .exchange()
                    .received()
                    .last()
                    .is_some_and(|received| received.authenticated)
            );
        }
        Err(remedy) => {
            assert_eq!(
                (answer.status, answer.outcome().as_str()),
                (422, "refused"),
                "{}",
                row(call, answer)
            );
            let message = answer.json()["detail"][0]["msg"]
                .as_str()
                .unwrap()
                .to_owned();
            assert!(message.contains(remedy), "{}", row(call, answer));
        }
    }
}

#[tokio::test]
async fn every_call_of_the_backend_is_answered_or_refused_with_a_remedy() {
    let proxy = TestProxy::start().await;
    let mut table = vec![
        "| method | params | HTTP, outcome | said |".to_owned(),
        "| --- | --- | --- | --- |".to_owned(),
    ];
    let calls = READS.iter().chain(&ORDERS).chain(&LISTS);
    for call in calls.clone() {
        let answer = proxy.call_text(call.0, call.1).await;
        table.push(row(call, &answer));
        assert_expected(&proxy, call, &answer);
    }
    println!("{}", table.join("\n"));
    let signed = calls.filter(|call| call.2.is_ok()).count() as u64;
    let total = proxy.exchange().total();
    assert_eq!((total.received, total.authenticated), (signed, signed));
}

#[tokio::test]
async fn the_backend_can_cancel_and_read_back_the_order_that_it_placed() {
    let proxy = TestProxy::start().await;
    let placed = proxy.call_text(ORDERS[1].0, ORDERS[1].1).await.inner();
    let order_id = placed["result"]["order_id"].as_str().unwrap().to_owned();
    let params = format!(r#"{{"order_id": "{order_id}"}}"#);
    for (method, status) in [
        ("private/get-order-detail", "ACTIVE"),
        ("private/cancel-order", ""),
    ] {
        let answer = proxy.call_text(method, &params).await;
        assert_eq!(answer.inner()["code"], 0, "{}", answer.text());
        assert!(
            status.is_empty() || answer.inner()["result"]["status"] == status,
            "{}",
            answer.text()
        );
    }
    assert_eq!(
        proxy
            .call_text("private/get-order-detail", &params)
            .await
            .inner()["result"]["status"],
        "CANCELED"
    );
}
