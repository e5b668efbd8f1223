//! Keys, signatures, clocks, addresses and permissions.

use super::*;

const BARE: &str = r#"{"code":40101,"message":"Authentication failure"}"#;

async fn code(client: &Client, method: &str) -> (u16, Value) {
    let reply = client.call(method, json!({})).await;
    (reply.status, reply.json()["code"].clone())
}

#[tokio::test]
async fn a_wrong_key_or_secret_gets_the_bare_body() {
    let (exchange, running) = started().await;
    for (key, secret) in [(KEY, "wrong"), ("wrong", SECRET), ("", "")] {
        let reply = Client::with_key(&running, key, secret)
            .call("private/user-balance", json!({}))
            .await;
        assert_eq!((reply.status, reply.body.as_str()), (401, BARE));
    }
    let counts = exchange.counts("private/user-balance");
    assert_eq!(
        counts,
        Counts {
            received: 3,
            authenticated: 0,
            executed: 0
        }
    );
}

#[tokio::test]
async fn what_was_signed_must_be_what_was_sent() {
    let (_exchange, running) = started().await;
    let client = Client::new(&running);
    let body = client.signed("private/create-order", &limit_order("a"));
    let path = "/exchange/v1/private/create-order";
    assert_eq!(
        client.post(path, &body.replace("0.01", "0.02")).await.body,
        BARE
    );
    assert_eq!(
        client
            .post(path, &body.replace("\"id\":7", "\"id\":8"))
            .await
            .body,
        BARE
    );
    let other = client
        .post("/exchange/v1/private/cancel-order", &body)
        .await;
    assert_eq!((other.status, &other.json()["code"]), (400, &json!(40003)));
    assert_eq!(client.post(path, &body).await.status, 200);
}

#[tokio::test]
async fn the_nonce_may_differ_from_the_clock_by_a_minute() {
    let (exchange, running) = started().await;
    let mut client = Client::new(&running);
    for (offset_ms, status) in [(-55_000, 200), (55_000, 200), (-61_000, 400), (65_000, 400)] {
        client.clock_offset_ms = offset_ms;
        assert_eq!(
            client.call("private/user-balance", json!({})).await.status,
            status,
            "{offset_ms}"
        );
    }
    assert_eq!(
        code(&client, "private/user-balance").await,
        (400, json!(40102))
    );
    exchange.change(|settings| settings.clock_offset_ms = 65_000);
    assert_eq!(code(&client, "private/user-balance").await, (200, json!(0)));
}

#[tokio::test]
async fn the_date_header_follows_the_clock() {
    let (exchange, running) = started().await;
    exchange.change(|settings| settings.clock_offset_ms = i64::MIN);
    let reply = Client::new(&running)
        .get("/exchange/v1/public/get-tickers")
        .await;
    assert_eq!(reply.header("date"), Some("Thu, 01 Jan 1970 00:00:00 GMT"));
    assert_eq!(reply.head.to_ascii_lowercase().matches("date:").count(), 1);
}

#[tokio::test]
async fn a_whitelist_is_held_against_the_apparent_address() {
    let exchange = FakeExchange::new(
        Settings::default()
            .and_key(ApiKey::new(KEY, SECRET).whitelist(["203.0.113.7".parse().unwrap()])),
    );
    let running = exchange.start().await.unwrap();
    let client = Client::new(&running);
    assert_eq!(
        code(&client, "private/user-balance").await,
        (401, json!(40103))
    );
    exchange.change(|settings| settings.unlisted = Refusal::code(40101));
    assert_eq!(
        client.call("private/user-balance", json!({})).await.body,
        BARE
    );
    exchange.set_apparent_address("203.0.113.7".parse::<IpAddr>().unwrap());
    assert_eq!(code(&client, "private/user-balance").await, (200, json!(0)));
    exchange.set_apparent_address(None);
    assert_eq!(
        client.call("private/user-balance", json!({})).await.body,
        BARE
    );
}

#[tokio::test]
async fn a_method_needs_its_permission() {
    let exchange = FakeExchange::new(
        Settings::default().and_key(ApiKey::new(KEY, SECRET).permissions([Permission::Read])),
    );
    let running = exchange.start().await.unwrap();
    let client = Client::new(&running);
    assert_eq!(code(&client, "private/user-balance").await, (200, json!(0)));
    assert_eq!(
        client
            .call("private/create-order", limit_order("a"))
            .await
            .body,
        BARE
    );
    exchange.change(|settings| {
        settings.forbidden = Refusal {
            code: 40101,
            http_status: Some(403),
        }
    });
    assert_eq!(
        code(&client, "private/create-withdrawal").await,
        (403, json!(40101))
    );
    exchange.change(|settings| {
        settings.put_key(ApiKey::new(KEY, SECRET).permissions([Permission::Withdraw]))
    });
    let params = json!({ "currency": "BTC", "amount": "1", "address": "invented", "client_wid": "w1", "network_id": null });
    let done = client
        .call("private/create-withdrawal", params)
        .await
        .json();
    assert_eq!(
        (&done["code"], &done["result"]["client_wid"]),
        (&json!(0), &json!("w1"))
    );
    assert_eq!(
        code(&client, "private/user-balance").await,
        (403, json!(40101))
    );
}

#[tokio::test]
async fn a_disabled_key_looks_like_a_wrong_one() {
    let (exchange, running) = started().await;
    let client = Client::new(&running);
    exchange.change(|settings| settings.key_mut(KEY).unwrap().state = KeyState::Disabled);
    assert_eq!(
        client.call("private/user-balance", json!({})).await.body,
        BARE
    );
}

#[tokio::test]
async fn ids_and_nonces_may_be_numbers_or_strings_and_come_back_as_sent() {
    let (_exchange, running) = started().await;
    let client = Client::new(&running);
    let body = client.signed("private/get-trades", &json!({}));
    let as_text = body.replace("\"id\":7", "\"id\":\"7\"");
    for (body, id) in [(body, json!(7)), (as_text, json!("7"))] {
        let reply = client
            .post("/exchange/v1/private/get-trades", &body)
            .await
            .json();
        assert_eq!((&reply["id"], &reply["code"]), (&id, &json!(0)));
    }
}

#[test]
fn settings_show_no_secret() {
    let shown = format!("{:?}", Settings::with_key(KEY, SECRET));
    assert!(shown.contains(KEY) && !shown.contains(SECRET), "{shown}");
}
