//! A captured request after `kill -9`: the real binary, with a caller that it issued itself.

use std::net::SocketAddr;

use gateway::clock::Clock;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    client,
    house::{House, Pair},
};

const READ: &str = "private/user-balance";

/// A signed request with this nonce.
fn request(pair: &Pair, nonce: u64) -> String {
    let (key, sig) = (&pair.key, pair.sign(&format!("{READ}7{}{nonce}", pair.key)));
    format!(
        r#"{{"id":7,"method":"{READ}","api_key":"{key}","params":{{}},"nonce":{nonce},"sig":"{sig}"}}"#
    )
}

async fn post(address: SocketAddr, body: &str) -> (u16, Value) {
    let request = client().post(format!("http://{address}/exchange/v1/{READ}"));
    let response = request
        .header("content-type", "application/json")
        .body(body.to_owned())
        .send()
        .await
        .unwrap();
    (
        response.status().as_u16(),
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap(),
    )
}

#[tokio::test]
async fn a_captured_request_is_refused_after_kill_9_and_clients_go_on_once_the_mark_is_passed() {
    let house = House::new().await;
    let pair = house.issue("bot", &["--preset", "read"]).await;
    let (first, address) = house.serve().await;
    let captured = request(&pair, Clock::system().now_ms());
    assert_eq!(post(address, &captured).await.0, 200);
    // A read again from the same peer does no harm within the run.
    assert_eq!(post(address, &captured).await.0, 200);
    first.signal(Signal::KILL);
    first.ended().await;

    let (second, address) = house.serve().await;
    let (status, answer) = post(address, &captured).await;
    assert_eq!(
        (status, answer["code"].as_i64()),
        (400, Some(40102)),
        "{answer}"
    );
    // What a client signs at that moment is refused for a few seconds; a clock that runs ahead is past them.
    let ahead = request(&pair, Clock::system().now_ms() + 20_000);
    assert_eq!(post(address, &ahead).await.0, 200);
    second.signal(Signal::KILL);
    second.ended().await;

    let (third, address) = house.serve().await;
    for old in [&captured, &ahead] {
        assert_eq!(post(address, old).await.1["code"].as_i64(), Some(40102));
    }
    assert_eq!(house.exchange.exchange().count(READ), 3);
    third.signal(Signal::TERM);
    let (status, lines) = third.ended().await;
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    for line in &lines {
        house.canaries.assert_absent(line, "what the process wrote");
        assert!(!line.contains(&pair.secret), "{line}");
    }
}

#[tokio::test]
async fn after_an_orderly_end_a_captured_request_is_refused_and_clients_go_on_at_once() {
    let house = House::new().await;
    let pair = house.issue("bot", &["--preset", "read"]).await;
    let (first, address) = house.serve().await;
    let captured = request(&pair, Clock::system().now_ms());
    assert_eq!(post(address, &captured).await.0, 200);
    first.signal(Signal::TERM);
    first.ended().await;
    let (_second, address) = house.serve().await;
    assert_eq!(
        post(address, &captured).await.1["code"].as_i64(),
        Some(40102)
    );
    assert_eq!(
        post(address, &request(&pair, Clock::system().now_ms() + 1))
            .await
            .0,
        200
    );
    assert_eq!(house.exchange.exchange().count(READ), 2);
}
