//! Misbehaviour, exactly as scripted.

use std::time::Duration;

use super::*;

const ORDER: &str = "private/create-order";

#[tokio::test]
async fn a_cut_before_executes_nothing_and_a_cut_after_executes_once() {
    let (exchange, running) = started().await;
    let client = Client::new(&running);
    for fault in [
        Fault::cut_before(),
        Fault::reset_before(),
        Fault::cut_after(),
        Fault::reset_after(),
    ] {
        exchange.script(ORDER, fault);
    }
    let mut executed = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        let reply = client.try_call(ORDER, limit_order(name)).await;
        executed.push((reply.is_some(), exchange.executed(ORDER)));
    }
    assert_eq!(
        executed,
        [(false, 0), (false, 0), (false, 1), (false, 2), (true, 3)]
    );
    assert_eq!(exchange.count(ORDER), 5);
    assert!(exchange.order("b").is_none() && exchange.order("c").is_some());
}

#[tokio::test]
async fn a_cut_is_without_a_byte_and_orderly_unless_reset() {
    let (exchange, running) = started().await;
    let client = Client::new(&running);
    for (fault, orderly) in [(Fault::cut_after(), true), (Fault::reset_after(), false)] {
        exchange.script("/ip", fault);
        let mut connection = client.connect().await;
        connection
            .send(b"GET /ip HTTP/1.1\r\nHost: x\r\n\r\n")
            .await;
        assert_eq!(connection.rest().await, (Vec::new(), orderly));
    }
}

#[tokio::test]
async fn a_hang_waits_for_its_release() {
    let (exchange, running) = started().await;
    exchange.script(ORDER, Fault::hang_before());
    exchange.script(ORDER, Fault::hang_after());
    for (n, executed, answered) in [(1, 0, false), (2, 1, true)] {
        let client = Client::new(&running);
        let call = tokio::spawn(async move { client.try_call(ORDER, limit_order("a")).await });
        exchange.wait_received(ORDER, n).await;
        exchange.wait_executed(ORDER, executed).await;
        exchange.release();
        assert_eq!(call.await.unwrap().is_some(), answered);
        assert_eq!(exchange.executed(ORDER), executed);
    }
}

#[tokio::test]
async fn a_hang_ends_with_the_stand_in() {
    let (exchange, running) = started().await;
    exchange.script_always("/ip", Fault::hang_before());
    let client = Client::new(&running);
    let call = tokio::spawn(async move {
        client
            .connect()
            .await
            .request("GET", "/ip", "")
            .await
            .is_some()
    });
    exchange.wait_received("/ip", 1).await;
    running.shutdown().await;
    assert!(!call.await.unwrap());
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_undo_a_delayed_call() {
    let (exchange, running) = started().await;
    let client = Client::new(&running);
    exchange.script(ORDER, Fault::delay(Duration::from_millis(30)));
    let body = client.signed(ORDER, &limit_order("a"));
    let mut connection = client.connect().await;
    let head = format!(
        "POST /exchange/v1/{ORDER} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    );
    connection
        .send(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
        .await;
    exchange.wait_received(ORDER, 1).await;
    drop(connection);
    exchange.wait_executed(ORDER, 1).await;
    assert!(exchange.order("a").is_some());
}

#[tokio::test]
async fn replies_and_codes_come_as_scripted_before_or_after_execution() {
    let (exchange, running) = started().await;
    let client = Client::new(&running);
    exchange.script(
        ORDER,
        Fault::reply(Canned::html(403, "<html>").header("X-Edge", "1")),
    );
    exchange.script(
        ORDER,
        Fault::reply(Canned::json(200, "{\"code\":0,")).after(),
    );
    exchange.script(ORDER, Fault::code(50001).after());
    exchange.script(ORDER, Fault::code(40101));
    exchange.script(ORDER, Fault::code(9_010_001));
    let html = client.call(ORDER, limit_order("a")).await;
    assert_eq!(
        (html.status, html.body.as_str(), html.header("x-edge")),
        (403, "<html>", Some("1"))
    );
    assert_eq!(
        html.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(
        client.call(ORDER, limit_order("b")).await.body,
        "{\"code\":0,"
    );
    let internal = client.call(ORDER, limit_order("c")).await;
    let expected =
        format!(r#"{{"id":7,"method":"{ORDER}","code":50001,"message":"ERR_INTERNAL"}}"#);
    assert_eq!((internal.status, internal.body), (400, expected));
    let refused = client.call(ORDER, limit_order("d")).await;
    assert_eq!(
        (refused.status, refused.body.as_str()),
        (401, r#"{"code":40101,"message":"Authentication failure"}"#)
    );
    let maintenance = client.call(ORDER, limit_order("e")).await;
    assert_eq!(
        maintenance.body,
        r#"{"code":9010001,"message":"SYSTEM_MAINTENANCE"}"#
    );
    assert_eq!(exchange.executed(ORDER), 2);
}

#[tokio::test]
async fn bare_bytes_go_over_the_wire_as_they_are() {
    let (exchange, running) = started().await;
    let client = Client::new(&running);
    let part = |text: &'static str| WireStep::Write(text.into());
    let steps = [
        part("HTTP/1.1 200 OK\r\n"),
        WireStep::Pause(Duration::from_millis(1)),
        part("Content-Length: 9\r\n\r\n{"),
    ];
    exchange.script("/ip", Fault::wire(steps));
    let mut connection = client.connect().await;
    connection
        .send(b"GET /ip HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    let (bytes, orderly) = connection.rest().await;
    assert_eq!(
        (bytes.as_slice(), orderly),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".as_slice(),
            true
        )
    );
}

#[tokio::test]
async fn standing_faults_yield_to_queued_ones_and_end_when_cleared() {
    let (exchange, running) = started().await;
    let client = Client::new(&running);
    exchange.script_always(EVERY_METHOD, Fault::code(42901));
    exchange.script_always("private/get-trades", Fault::code(40103));
    exchange.script("private/get-trades", Fault::none());
    let mut codes = Vec::new();
    for method in [
        "private/get-trades",
        "private/get-trades",
        "private/get-positions",
    ] {
        codes.push(
            client.call(method, json!({})).await.json()["code"]
                .as_i64()
                .unwrap(),
        );
    }
    assert_eq!(codes, [0, 40103, 42901]);
    assert_eq!(client.get("/ip").await.status, 200);
    exchange.clear_script(EVERY_METHOD);
    assert_eq!(
        client.call("private/get-positions", json!({})).await.json()["code"],
        0
    );
}
