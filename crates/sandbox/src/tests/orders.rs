//! The life of orders.

use super::*;

pub(super) async fn result(client: &Client, method: &str, params: Value) -> Value {
    let reply = client.call(method, params).await.json();
    assert_eq!(reply["code"], 0, "{method}: {reply}");
    reply["result"].clone()
}

pub(super) async fn code(client: &Client, method: &str, params: Value) -> (u16, i64) {
    let reply = client.call(method, params).await;
    (reply.status, reply.json()["code"].as_i64().unwrap())
}

pub(super) fn names(result: &Value) -> Vec<&str> {
    result["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|order| order["client_oid"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_limit_order_rests_until_it_is_cancelled() {
    let (exchange, running) = started().await;
    let client = Client::new(&running);
    let placed = result(&client, "private/create-order", limit_order("a")).await;
    assert_eq!(placed["client_oid"], "a");
    assert_eq!(
        names(
            &result(
                &client,
                "private/get-open-orders",
                json!({"page":0,"page_size":200})
            )
            .await
        ),
        ["a"]
    );
    let detail = result(
        &client,
        "private/get-order-detail",
        json!({ "client_oid": "a" }),
    )
    .await;
    assert_eq!(
        (&detail["order_id"], &detail["status"]),
        (&placed["order_id"], &json!("ACTIVE"))
    );
    assert_eq!(
        result(
            &client,
            "private/cancel-order",
            json!({ "order_id": placed["order_id"] })
        )
        .await,
        placed
    );
    assert_eq!(
        names(&result(&client, "private/get-open-orders", json!({})).await),
        [""; 0]
    );
    assert_eq!(
        names(
            &result(
                &client,
                "private/get-order-history",
                json!({"instrument_name":"BTC_USD"})
            )
            .await
        ),
        ["a"]
    );
    assert_eq!(
        code(
            &client,
            "private/cancel-order",
            json!({ "client_oid": "a" })
        )
        .await,
        (500, 316)
    );
    assert_eq!(
        (
            exchange.executed("private/create-order"),
            exchange.orders_placed()
        ),
        (1, 1)
    );
    assert_eq!(exchange.order("a").unwrap()["status"], "CANCELED");
}

#[tokio::test]
async fn a_market_order_fills_at_once_and_moves_balances() {
    let (_exchange, running) = started().await;
    let client = Client::new(&running);
    let order =
        json!({ "instrument_name": "BTC_USD", "side": "BUY", "type": "MARKET", "notional": "600" });
    result(&client, "private/create-order", order).await;
    let summary = result(&client, "private/get-account-summary", json!({})).await;
    let has = |currency: &str, balance: &str| {
        let accounts = summary["accounts"].as_array().unwrap();
        accounts
            .iter()
            .any(|account| account["currency"] == currency && account["balance"] == balance)
    };
    assert!(has("BTC", "100.01") && has("USD", "999400"), "{summary}");
    assert_eq!(
        names(&result(&client, "private/get-trades", json!({})).await).len(),
        1
    );
    let balance = result(&client, "private/user-balance", json!({})).await;
    assert!(
        balance["data"][0]["position_balances"]
            .as_array()
            .unwrap()
            .len()
            >= 5
    );
    let perpetual = json!({ "instrument_name": "BTCUSD-PERP", "side": "SELL", "type": "MARKET", "quantity": "1" });
    result(&client, "private/create-order", perpetual).await;
    assert_eq!(
        result(&client, "private/get-positions", json!({})).await["data"][0]["quantity"],
        "-1"
    );
}

#[tokio::test]
async fn a_client_oid_is_taken_once() {
    let (exchange, running) = started().await;
    let client = Client::new(&running);
    result(&client, "private/create-order", limit_order("a")).await;
    assert_eq!(
        code(&client, "private/create-order", limit_order("a")).await,
        (400, 204)
    );
    let mut nameless = limit_order("");
    nameless.as_object_mut().unwrap().remove("client_oid");
    let body = client.signed("private/create-order", &nameless);
    let nonce = serde_json::from_str::<Value>(&body).unwrap()["nonce"].to_string();
    let placed = client
        .post("/exchange/v1/private/create-order", &body)
        .await
        .json();
    assert_eq!(placed["result"]["client_oid"], json!(nonce));
    let repeated = client
        .post("/exchange/v1/private/create-order", &body)
        .await
        .json();
    assert_eq!(repeated["code"], 204);
    assert_eq!(
        (
            exchange.count("private/create-order"),
            exchange.executed("private/create-order")
        ),
        (4, 2)
    );
}

#[tokio::test]
async fn what_is_wrong_with_an_order_has_its_code() {
    let (exchange, running) = started().await;
    let client = Client::new(&running);
    let changed = |key: &str, value: Value| {
        let mut order = limit_order("a");
        order[key] = value;
        order
    };
    for (order, expected) in [
        (json!({}), (400, 40004)),
        (changed("price", json!("")), (400, 40004)),
        (changed("price", json!("-1")), (400, 308)),
        (changed("quantity", json!("1x")), (400, 213)),
        (changed("quantity", json!("1000")), (500, 306)),
        (changed("side", json!("HOLD")), (400, 220)),
        (changed("type", json!("STOP_LIMIT")), (500, 140_001)),
        (changed("type", json!("ICEBERG")), (400, 218)),
        (changed("instrument_name", json!("NO_SUCH")), (400, 209)),
        (changed("client_oid", json!("x".repeat(37))), (400, 40004)),
    ] {
        assert_eq!(
            code(&client, "private/create-order", order.clone()).await,
            expected,
            "{order}"
        );
    }
    assert_eq!(exchange.orders_placed(), 0);
    assert_eq!(
        code(
            &client,
            "private/get-order-detail",
            json!({ "client_oid": "a" })
        )
        .await,
        (200, 40401)
    );
    assert_eq!(
        code(&client, "private/get-order-detail", json!({})).await,
        (400, 40004)
    );
    assert_eq!(
        code(&client, "private/cancel-order", json!({ "order_id": "1" })).await,
        (500, 212)
    );
}

#[tokio::test]
async fn of_a_list_each_order_stands_alone_and_of_a_group_all_or_none() {
    let (exchange, running) = started().await;
    let client = Client::new(&running);
    let list = json!({ "contingency_type": "LIST", "order_list": [limit_order("a"), limit_order("a"), limit_order("b")] });
    let results = result(&client, "private/create-order-list", list).await;
    let codes: Vec<_> = results
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["code"].as_i64().unwrap())
        .collect();
    assert_eq!(codes, [0, 204, 0]);
    let group = |a: &str, b: &str| json!({ "order_list": [limit_order(a), limit_order(b)] });
    assert_eq!(
        code(&client, "private/advanced/create-oco", group("c", "a")).await,
        (400, 204)
    );
    assert_eq!(
        code(&client, "private/advanced/create-oco", group("c", "c")).await,
        (400, 204)
    );
    assert_eq!(exchange.orders_placed(), 2);
    assert!(
        result(&client, "private/advanced/create-oco", group("c", "d")).await["list_id"]
            .is_string()
    );
    assert_eq!(
        names(&result(&client, "private/advanced/get-open-orders", json!({})).await),
        ["d", "c"]
    );
    assert_eq!(
        names(&result(&client, "private/get-open-orders", json!({})).await),
        ["b", "a"]
    );
}

#[tokio::test]
async fn trigger_orders_are_advanced_orders_and_seen_there_only() {
    let (_exchange, running) = started().await;
    let client = Client::new(&running);
    let order = json!({
        "instrument_name": "BTC_USD", "side": "SELL", "type": "STOP_LIMIT", "price": 49000.5, "quantity": "0.1",
        "ref_price": "50000", "reduce_only": true, "client_oid": "t", "leverage": "10", "exec_inst": ["MARGIN_ORDER"],
    });
    result(&client, "private/advanced/create-order", order).await;
    assert_eq!(
        names(&result(&client, "private/get-trigger-orders", json!({})).await),
        ["t"]
    );
    assert_eq!(
        names(&result(&client, "private/advanced/get-open-orders", json!({})).await),
        ["t"]
    );
    assert_eq!(
        names(&result(&client, "private/get-open-orders", json!({})).await),
        [""; 0]
    );
    assert_eq!(
        code(
            &client,
            "private/get-order-detail",
            json!({ "client_oid": "t" })
        )
        .await,
        (200, 40401)
    );
    let cancelled = client
        .call("private/advanced/cancel-all-orders", json!({}))
        .await;
    assert_eq!(
        cancelled.body,
        r#"{"id":7,"method":"private/advanced/cancel-all-orders","code":0}"#
    );
    assert_eq!(
        names(&result(&client, "private/advanced/get-order-history", json!({})).await),
        ["t"]
    );
}

#[tokio::test]
async fn each_order_of_a_list_is_cancelled_for_itself() {
    let (_exchange, running) = started().await;
    let client = Client::new(&running);
    let placed = result(&client, "private/create-order", limit_order("a")).await;
    let leg = |order_id: &Value| json!({ "instrument_name": "BTC_USD", "order_id": order_id });
    let list = json!({ "contingency_type": "LIST", "order_list": [leg(&placed["order_id"]), leg(&json!("1"))] });
    let results = result(&client, "private/cancel-order-list", list).await;
    assert_eq!(
        (&results[0]["code"], &results[0]["order_id"]),
        (&json!(0), &placed["order_id"])
    );
    assert_eq!(
        (&results[1]["code"], &results[1]["index"]),
        (&json!(212), &json!(1))
    );
    assert_eq!(
        code(&client, "private/cancel-order-list", json!({})).await,
        (400, 40004)
    );
}

#[tokio::test]
async fn withdrawals_are_remembered_and_fees_are_none() {
    let (exchange, running) = started().await;
    exchange.change(|settings| {
        if let Some(key) = settings.key_mut(KEY) {
            key.permissions.insert(Permission::Withdraw);
        }
    });
    let client = Client::new(&running);
    let asked = json!({ "currency": "BTC", "amount": "1", "address": "invented-address", "client_wid": "w" });
    let withdrawn = result(&client, "private/create-withdrawal", asked).await;
    let history = result(&client, "private/get-withdrawal-history", json!({})).await;
    assert_eq!(
        history["withdrawal_list"][0]["id"],
        withdrawn["id"].to_string()
    );
    assert_eq!(history["withdrawal_list"][0]["client_wid"], "w");
    let fees = result(
        &client,
        "private/get-instrument-fee-rate",
        json!({ "instrument_name": "BTC_USD" }),
    )
    .await;
    assert_eq!(fees["effective_maker_rate_bps"], "0");
    assert_eq!(
        code(
            &client,
            "private/get-instrument-fee-rate",
            json!({ "instrument_name": "X" })
        )
        .await,
        (400, 209)
    );
}
