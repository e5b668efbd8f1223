//! The stand-in as its callers meet it: over a socket.
//!
//! Every test speaks bare HTTP/1.1 through `Client`, so that no client library can hide what the stand-in does.

mod authentication;
mod client;
mod control;
mod executed;
mod faults;
mod names;
mod orders;
mod shapes;
mod streams;

use serde_json::json;

use self::client::Client;
use super::*;

const KEY: &str = "invented-key";
const SECRET: &str = "invented-secret";

async fn started() -> (FakeExchange, Running) {
    let exchange = FakeExchange::new(Settings::with_key(KEY, SECRET));
    let running = exchange.start().await.unwrap();
    (exchange, running)
}

fn limit_order(client_oid: &str) -> Value {
    json!({
        "instrument_name": "BTC_USD", "side": "BUY", "type": "LIMIT",
        "price": "50000", "quantity": "0.01", "client_oid": client_oid,
    })
}

#[tokio::test]
async fn the_echo_tells_the_apparent_address() {
    let (exchange, running) = started().await;
    let client = Client::new(&running);
    assert_eq!(client.get("/ip").await.body, "127.0.0.1\n");
    exchange.set_apparent_address("203.0.113.7".parse::<IpAddr>().unwrap());
    exchange.script("/ip/2", Fault::reply(Canned::text(200, "198.51.100.4\n")));
    exchange.script("/ip/3", Fault::reply(Canned::text(503, "")));
    assert_eq!(client.get("/ip").await.body, "203.0.113.7\n");
    assert_eq!(client.get("/ip/2").await.body, "198.51.100.4\n");
    assert_eq!(client.get("/ip/3").await.status, 503);
    assert_eq!(client.get("/ip/2").await.body, "203.0.113.7\n");
    assert_eq!((exchange.count("/ip"), exchange.total().received), (2, 5));
}

#[tokio::test]
async fn public_methods_are_gets_and_need_no_signature() {
    let (exchange, running) = started().await;
    let client = Client::new(&running);
    let reply = client
        .get("/exchange/v1/public/get-tickers?instrument_name=BTC_USD")
        .await;
    let tickers = reply.json();
    assert_eq!(
        (reply.status, &tickers["id"], &tickers["code"]),
        (200, &json!(-1), &json!(0))
    );
    assert_eq!(tickers["result"]["data"][0]["i"], "BTC_USD");
    let instruments = client
        .get("/exchange/v1/public/get-instruments")
        .await
        .json();
    assert!(instruments["result"]["data"].as_array().unwrap().len() > 10);
    let book = client
        .get("/exchange/v1/public/get-book?instrument_name=BTC_USD&depth=3")
        .await
        .json();
    assert_eq!(
        book["result"]["data"][0]["bids"].as_array().unwrap().len(),
        3
    );
    let nameless = client
        .get("/exchange/v1/public/get-candlestick?timeframe=1m")
        .await;
    assert_eq!(
        (nameless.status, &nameless.json()["code"]),
        (400, &json!(40004))
    );
    let unknown = client.get("/exchange/v1/public/get-nothing").await;
    assert_eq!(
        (unknown.status, &unknown.json()["code"]),
        (400, &json!(40002))
    );
    let outside = client.get("/exchange/v2/public/get-tickers").await;
    assert_eq!(
        (outside.status, &outside.json()["code"]),
        (404, &json!(10004))
    );
    let body =
        r#"{"id":1,"method":"public/staking/get-conversion-rate","api_key":"x","params":{}}"#;
    let posted = client
        .post("/exchange/v1/public/staking/get-conversion-rate", body)
        .await;
    assert_eq!((posted.status, &posted.json()["id"]), (200, &json!(1)));
    assert_eq!(
        (exchange.total().executed, exchange.total().authenticated),
        (4, 0)
    );
}

#[tokio::test]
async fn every_method_of_the_catalogue_is_answered_in_the_envelope() {
    let (_exchange, running) = started().await;
    let client = Client::new(&running);
    for method in [
        "private/staking/get-open-stake",
        "private/bot/get-trading-bots",
        "private/otc/get-open-deals",
    ] {
        let reply = client.call(method, json!({})).await;
        let expected = format!(r#"{{"id":7,"method":"{method}","code":0,"result":{{"data":[]}}}}"#);
        assert_eq!(
            (reply.status, reply.body.as_str()),
            (200, expected.as_str())
        );
    }
    let reply = client.call("private/no-such-method", json!({})).await;
    assert_eq!((reply.status, &reply.json()["code"]), (400, &json!(40002)));
    let websocket_only = client
        .call("private/set-cancel-on-disconnect", json!({}))
        .await;
    assert_eq!(websocket_only.json()["code"], 40002);
}

#[tokio::test]
async fn budgets_are_enforced_once_switched_on() {
    let (exchange, running) = started().await;
    let client = Client::new(&running);
    assert_eq!(
        client
            .call("private/get-order-history", json!({}))
            .await
            .status,
        200
    );
    assert_eq!(
        client
            .call("private/get-order-history", json!({}))
            .await
            .status,
        200
    );
    exchange.change(|settings| settings.rate_limits = RateLimits::On);
    assert_eq!(
        client
            .call("private/get-order-history", json!({}))
            .await
            .status,
        200
    );
    let refused = client.call("private/get-order-history", json!({})).await;
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (429, &json!(42901))
    );
    assert_eq!(exchange.executed("private/get-order-history"), 3);
}

#[tokio::test]
async fn what_was_received_is_kept_byte_for_byte() {
    let (exchange, running) = started().await;
    let client = Client::new(&running);
    let body = client.signed("private/user-balance", &json!({}));
    client
        .post("/exchange/v1/private/user-balance", &body)
        .await;
    let received = exchange.received();
    assert_eq!(received.len(), 1);
    assert_eq!(
        (received[0].method.as_str(), &received[0].body),
        ("private/user-balance", &body.into_bytes().into())
    );
    assert_eq!(received[0].headers["content-type"], "application/json");
    assert!(received[0].authenticated && received[0].executed);
    assert_eq!(received[0].json().unwrap()["id"], 7);
}

#[tokio::test]
async fn shutdown_closes_the_port_and_kept_connections() {
    let (_exchange, running) = started().await;
    let client = Client::new(&running);
    let mut kept = client.connect().await;
    assert_eq!(kept.request("GET", "/ip", "").await.unwrap().status, 200);
    assert_eq!(kept.request("GET", "/ip", "").await.unwrap().status, 200);
    running.shutdown().await;
    assert!(kept.request("GET", "/ip", "").await.is_none());
    assert!(tokio::net::TcpStream::connect(client.addr).await.is_err());
}

#[tokio::test]
async fn no_input_does_harm() {
    let (exchange, running) = started().await;
    let client = Client::new(&running);
    let deep = format!("{{\"id\":{}", "[".repeat(100_000));
    for body in [
        "",
        "null",
        "[]",
        "{}",
        "{\"id\":1e999}",
        "{\"id\":{},\"params\":[]}",
        "\u{0}",
        &deep,
    ] {
        let reply = client.post("/exchange/v1/private/create-order", body).await;
        assert!(
            matches!(reply.status, 400 | 401),
            "{} {}",
            reply.status,
            &body[..body.len().min(20)]
        );
    }
    let long = " ".repeat((1 << 20) + 1);
    assert_eq!(
        client
            .post("/exchange/v1/private/create-order", &long)
            .await
            .status,
        413
    );
    assert_eq!(exchange.executed("private/create-order"), 0);
    assert_eq!(client.get("/ip").await.status, 200);
}
