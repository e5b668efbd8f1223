//! Names that are taken once, for good, and what the queries find by them.

use super::{
    orders::{code, names, result},
    *,
};

const ORDER: &str = "private/create-order";
const TAKEN: (u16, i64) = (400, 204);

fn with_withdrawals(exchange: &FakeExchange) {
    exchange.change(|settings| {
        if let Some(key) = settings.key_mut(KEY) {
            key.permissions.insert(Permission::Withdraw);
        }
    });
}

/// As `limit_order`, but filled at once.
fn market_order(client_oid: &str) -> Value {
    json!({
        "instrument_name": "BTC_USD", "side": "BUY", "type": "MARKET", "quantity": "0.001", "client_oid": client_oid,
    })
}

fn withdrawal(client_wid: Value) -> Value {
    json!({ "currency": "BTC", "amount": "1", "address": "invented-address", "client_wid": client_wid })
}

#[tokio::test]
async fn a_name_is_text_of_1_to_36_characters() {
    let (exchange, running) = started().await;
    let client = Client::new(&running);
    for (name, expected) in [
        (json!("x".repeat(37)), (400, 40004)),
        (json!(""), (400, 40004)),
        (json!("  "), (400, 40004)),
        (json!(7), (400, 40001)),
        (json!(true), (400, 40001)),
        (json!(["a"]), (400, 40001)),
        (json!("x".repeat(36)), (200, 0)),
        (json!("ü".repeat(36)), (200, 0)),
        (json!("a b/c:d.e_f-g \"h\" #1"), (200, 0)),
        (json!(null), (200, 0)),
    ] {
        let mut order = limit_order("");
        order["client_oid"] = name.clone();
        assert_eq!(code(&client, ORDER, order).await, expected, "{name}");
    }
    assert_eq!(exchange.orders_placed(), 4);
}

#[tokio::test]
async fn a_name_that_was_taken_is_taken_whatever_became_of_its_order() {
    let (exchange, running) = started().await;
    let client = Client::new(&running);
    result(&client, ORDER, limit_order("cancelled")).await;
    result(
        &client,
        "private/cancel-order",
        json!({ "client_oid": "cancelled" }),
    )
    .await;
    result(&client, ORDER, market_order("filled")).await;
    let advanced = "private/advanced/create-order";
    result(&client, advanced, limit_order("advanced")).await;
    let list =
        |name: &str| json!({ "contingency_type": "LIST", "order_list": [limit_order(name)] });
    result(&client, "private/create-order-list", list("leg")).await;
    let group = json!({ "order_list": [limit_order("first"), limit_order("second")] });
    result(&client, "private/advanced/create-oco", group).await;
    let placed = exchange.orders_placed();
    for name in ["cancelled", "filled", "advanced", "leg", "first", "second"] {
        for method in [ORDER, advanced] {
            assert_eq!(code(&client, method, limit_order(name)).await, TAKEN);
        }
        let legs = result(&client, "private/create-order-list", list(name)).await;
        assert_eq!(legs[0]["code"], 204, "{name}: {legs}");
        let group = json!({ "order_list": [limit_order("new"), limit_order(name)] });
        let oto = code(&client, "private/advanced/create-oto", group).await;
        assert_eq!(oto, TAKEN, "{name}");
    }
    assert_eq!(exchange.orders_placed(), placed);
}

#[tokio::test]
async fn an_amendment_takes_its_new_name_or_changes_nothing() {
    let (exchange, running) = started().await;
    let client = Client::new(&running);
    let placed = result(&client, ORDER, limit_order("a")).await;
    result(&client, ORDER, limit_order("other")).await;
    let amend = |target: Value, name: &str| {
        let mut params =
            json!({ "new_price": "49000", "new_quantity": "0.02", "client_oid": name });
        params["order_id"] = target;
        params
    };
    let by_id = |name: &str| amend(placed["order_id"].clone(), name);
    for name in ["a", "other"] {
        let taken = code(&client, "private/amend-order", by_id(name)).await;
        assert_eq!(taken, TAKEN, "{name}");
    }
    let long = code(&client, "private/amend-order", by_id(&"x".repeat(37))).await;
    assert_eq!(long, (400, 40004));
    assert_eq!(exchange.order("a").unwrap()["quantity"], "0.01");
    let amended = result(&client, "private/amend-order", by_id("b")).await;
    assert_eq!(
        (&amended["client_oid"], &amended["order_id"]),
        (&json!("b"), &placed["order_id"])
    );
    for name in ["a", "b"] {
        let detail = json!({ "client_oid": name });
        let detail = result(&client, "private/get-order-detail", detail).await;
        assert_eq!(
            (&detail["client_oid"], &detail["quantity"]),
            (&json!("b"), &json!("0.02"))
        );
        assert_eq!(code(&client, ORDER, limit_order(name)).await, TAKEN);
    }
    let nameless = amend(json!(null), "c");
    let refused = code(&client, "private/amend-order", nameless).await;
    assert_eq!(
        refused,
        (400, 40004),
        "client_oid is the new name, no target"
    );
}

#[tokio::test]
async fn the_order_id_of_an_amendment_comes_before_the_name() {
    let (exchange, running) = started().await;
    let client = Client::new(&running);
    let placed = result(&client, ORDER, limit_order("a")).await;
    result(&client, ORDER, limit_order("b")).await;
    result(&client, "private/advanced/create-order", limit_order("c")).await;
    let mut params = json!({
        "order_id": placed["order_id"], "orig_client_oid": "b", "new_price": "49000", "new_quantity": "0.02",
    });
    let amended = result(&client, "private/amend-order", params.clone()).await;
    assert_eq!(amended["client_oid"], "a");
    assert_eq!(exchange.order("b").unwrap()["quantity"], "0.01");
    (params["order_id"], params["orig_client_oid"]) = (json!(null), json!("c"));
    let other_family = code(&client, "private/amend-order", params.clone()).await;
    assert_eq!(other_family, (500, 212));
    (params["orig_client_oid"], params["client_oid"]) = (json!(null), json!("c"));
    let amended = result(&client, "private/advanced/amend-order", params).await;
    assert_eq!(amended["client_oid"], "c");
}

#[test]
fn a_name_outlives_its_order() {
    let exchange = FakeExchange::new(Settings::default());
    let mut account = lock(&exchange.state.account);
    let mut asked = ParsedCall::nothing("1", ORDER);
    let mut place = |name: &str| {
        asked.params = json::Json::parse(limit_order(name).to_string().as_bytes()).unwrap();
        account.execute(&asked, 0).map_err(|refusal| refusal.code)
    };
    place("first").unwrap();
    for number in 0..1_001 {
        place(&number.to_string()).unwrap();
    }
    assert_eq!(place("first"), Err(204));
    assert_eq!(account.placed(), 1_002);
    assert!(account.order("first").is_none(), "the order is forgotten");
}

#[tokio::test]
async fn nameless_frames_without_a_nonce_are_orders_each() {
    let exchange = FakeExchange::new(Settings::default());
    let mut order = limit_order("");
    order["client_oid"] = json!(null);
    let order = json::Json::parse(order.to_string().as_bytes()).unwrap();
    let legs = json::Json::List(vec![order.clone(), order.clone()]);
    let legs = json::Json::Object(vec![("order_list".to_owned(), legs)]);
    let mut account = lock(&exchange.state.account);
    for (method, params) in [(ORDER, order), ("private/create-order-list", legs)] {
        let mut asked = ParsedCall::nothing("1", method);
        asked.params = params;
        for _ in 0..2 {
            account.execute(&asked, 0).unwrap();
        }
    }
    assert_eq!(account.placed(), 6);
}

#[tokio::test]
async fn a_client_wid_is_taken_once() {
    let (exchange, running) = started().await;
    with_withdrawals(&exchange);
    let client = Client::new(&running);
    let method = "private/create-withdrawal";
    result(&client, method, withdrawal(json!("w"))).await;
    for (name, expected) in [
        (json!("w"), (400, 40006)),
        (json!(7), (400, 40001)),
        (json!("x".repeat(101)), (400, 40004)),
        (json!(""), (200, 0)),
        (json!(null), (200, 0)),
    ] {
        let asked = withdrawal(name.clone());
        assert_eq!(code(&client, method, asked).await, expected, "{name}");
    }
    let history = result(&client, "private/get-withdrawal-history", json!({})).await;
    assert_eq!(history["withdrawal_list"].as_array().unwrap().len(), 3);
    result(&client, ORDER, limit_order("w")).await;
    let fiat = "private/fiat/fiat-create-withdraw";
    let again = code(&client, fiat, json!({ "client_wid": "w" })).await;
    assert_eq!(again, (400, 40006));
    let too_much =
        json!({ "currency": "BTC", "amount": "1000", "address": "x", "client_wid": "later" });
    assert_eq!(code(&client, method, too_much).await, (400, 30024));
    result(&client, method, withdrawal(json!("later"))).await;
}

#[tokio::test]
async fn an_order_is_found_by_its_name_and_by_its_id_in_its_family_only() {
    let (_exchange, running) = started().await;
    let client = Client::new(&running);
    let families = [
        (ORDER, "private/get-order-detail", "plain"),
        (
            "private/advanced/create-order",
            "private/advanced/get-order-detail",
            "advanced",
        ),
    ];
    for (create, _, name) in families {
        let placed = result(&client, create, market_order(name)).await;
        let by = [
            json!({ "client_oid": name }),
            json!({ "order_id": placed["order_id"] }),
        ];
        for asked in by {
            for (own, detail, _) in families {
                if own == create {
                    let found = result(&client, detail, asked.clone()).await;
                    assert_eq!(found["order_id"], placed["order_id"]);
                } else {
                    assert_eq!(code(&client, detail, asked.clone()).await, (200, 40401));
                }
            }
        }
    }
    for (_, detail, _) in families {
        for asked in [json!({ "client_oid": "x" }), json!({ "order_id": "1" })] {
            assert_eq!(code(&client, detail, asked).await, (200, 40401));
        }
    }
}

#[tokio::test]
async fn open_orders_come_all_and_the_history_by_time_and_limit() {
    let (exchange, running) = started().await;
    let client = Client::new(&running);
    for number in 0..105 {
        let asked = limit_order(&format!("open{number}"));
        result(&client, ORDER, asked).await;
    }
    let open = result(&client, "private/get-open-orders", json!({})).await;
    assert_eq!(names(&open).len(), 105);
    let mut created = Vec::new();
    for (name, offset) in [("a", 0), ("b", 1_000), ("c", 2_000)] {
        exchange.change(|settings| settings.clock_offset_ms = offset);
        let order = if name == "b" {
            limit_order(name)
        } else {
            market_order(name)
        };
        result(&client, ORDER, order).await;
        created.push(
            exchange.order(name).unwrap()["create_time"]
                .as_i64()
                .unwrap(),
        );
    }
    result(
        &client,
        "private/cancel-order",
        json!({ "client_oid": "b" }),
    )
    .await;
    let (first, second, third) = (created[0], created[1], created[2]);
    for (asked, expected) in [
        (json!({}), vec!["c", "b", "a"]),
        (json!({ "limit": 2 }), vec!["c", "b"]),
        (
            json!({ "limit": "1", "instrument_name": "BTC_USD" }),
            vec!["c"],
        ),
        (json!({ "instrument_name": "ETH_USD" }), vec![]),
        (json!({ "start_time": second }), vec!["c", "b"]),
        (json!({ "end_time": second.to_string() }), vec!["b", "a"]),
        (
            json!({ "start_time": format!("{second}000000"), "end_time": second * 1_000_000 }),
            vec!["b"],
        ),
        (
            json!({ "start_time": first + 1, "end_time": third - 1 }),
            vec!["b"],
        ),
        (json!({ "start_time": third + 1 }), vec![]),
    ] {
        let found = result(&client, "private/get-order-history", asked.clone()).await;
        assert_eq!(names(&found), expected, "{asked}");
    }
    for asked in [
        json!({ "start_time": "yesterday" }),
        json!({ "start_time": 2, "end_time": 1 }),
    ] {
        let refused = code(&client, "private/get-order-history", asked.clone()).await;
        assert_eq!(refused, (400, 40005), "{asked}");
    }
}

#[tokio::test]
async fn withdrawals_are_found_by_currency_time_status_and_page() {
    let (exchange, running) = started().await;
    with_withdrawals(&exchange);
    let client = Client::new(&running);
    for number in 0..25 {
        let asked = json!({
            "currency": if number == 0 { "ETH" } else { "CRO" }, "amount": "1", "address": "invented-address",
            "client_wid": number.to_string(),
        });
        result(&client, "private/create-withdrawal", asked).await;
    }
    for (asked, expected) in [
        (json!({}), (20, "24")),
        (json!({ "page": 1 }), (5, "4")),
        (json!({ "page": "2" }), (0, "")),
        (json!({ "page_size": 2, "page": 1 }), (2, "22")),
        (json!({ "page_size": "200" }), (25, "24")),
        (json!({ "currency": "ETH" }), (1, "0")),
        (json!({ "status": "5", "page_size": 3 }), (3, "24")),
        (json!({ "status": "1" }), (0, "")),
        (json!({ "end_ts": 1 }), (0, "")),
        (json!({ "start_ts": "1", "page_size": 1 }), (1, "24")),
    ] {
        let found = result(&client, "private/get-withdrawal-history", asked.clone()).await;
        let found = found["withdrawal_list"].as_array().unwrap();
        let newest = found
            .first()
            .map_or("", |it| it["client_wid"].as_str().unwrap());
        assert_eq!((found.len(), newest), expected, "{asked}");
    }
}

#[tokio::test]
async fn positions_are_told_for_one_instrument_or_all() {
    let (_exchange, running) = started().await;
    let client = Client::new(&running);
    for instrument in ["BTCUSD-PERP", "ETHUSD-PERP"] {
        let mut order = market_order(instrument);
        order["instrument_name"] = json!(instrument);
        result(&client, ORDER, order).await;
    }
    for (asked, expected) in [
        (json!({}), 2),
        (json!({ "instrument_name": "ETHUSD-PERP" }), 1),
        (json!({ "instrument_name": "BTC_USD" }), 0),
    ] {
        let found = result(&client, "private/get-positions", asked.clone()).await;
        assert_eq!(found["data"].as_array().unwrap().len(), expected, "{asked}");
    }
}

#[tokio::test]
async fn a_stand_in_can_execute_a_name_again_to_show_who_sends_it_twice() {
    let (exchange, running) = started().await;
    let client = Client::new(&running);
    exchange.change(|settings| settings.names = Names::Again);
    for _ in 0..2 {
        let placed = client
            .call("private/create-order", limit_order("twice"))
            .await;
        assert_eq!(placed.json()["code"], 0);
    }
    let names: Vec<_> = exchange
        .executed_calls()
        .into_iter()
        .map(|call| call.client_oid)
        .collect();
    assert_eq!(names, [Some("twice".to_owned()), Some("twice".to_owned())]);
}
