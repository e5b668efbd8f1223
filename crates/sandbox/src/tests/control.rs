//! The control paths, as another process uses them.

use super::*;

async fn command(client: &Client, name: &str, body: Value) -> u16 {
    client
        .post(&format!("/sandbox/{name}"), &body.to_string())
        .await
        .status
}

#[tokio::test]
async fn faults_are_scripted_over_http() {
    let (_exchange, running) = started().await;
    let client = Client::new(&running);
    let script = json!({
        "target": "private/create-order",
        "once": [
            {"do": "cut", "when": "after"},
            {"do": "reset"},
            {"do": "reply", "status": 502, "content_type": "text/html", "headers": {"X-Edge": "1"}, "body_hex": "ff"},
            {"do": "wire", "steps": [{"write": "HTTP/1.1 204 No Content\r\n"}, {"write_hex": "0d0a"}, {"pause_ms": 1}, "reset"]},
            {"do": "pass", "delay_ms": 1},
        ],
        "always": {"do": "code", "code": 50001},
    });
    assert_eq!(command(&client, "script", script).await, 200);
    let call = async |name| {
        client
            .try_call("private/create-order", limit_order(name))
            .await
    };
    assert!(call("a").await.is_none());
    assert!(call("b").await.is_none());
    let edge = call("c").await.unwrap();
    assert_eq!(
        (edge.status, edge.header("x-edge"), edge.body.as_str()),
        (502, Some("1"), "\u{fffd}")
    );
    assert!(call("d").await.is_none());
    assert_eq!(call("e").await.unwrap().status, 200);
    assert_eq!(call("f").await.unwrap().json()["code"], 50001);
    let counts = client.get("/sandbox/received").await.json();
    assert_eq!(
        counts["methods"]["private/create-order"],
        json!({"received": 6, "authenticated": 6, "executed": 2})
    );
    assert_eq!(
        (&counts["total"]["received"], &counts["orders_placed"]),
        (&json!(6), &json!(2))
    );
    assert_eq!(
        command(
            &client,
            "script",
            json!({"target": "private/create-order", "clear": true})
        )
        .await,
        200
    );
    assert_eq!(call("g").await.unwrap().status, 200);
}

#[tokio::test]
async fn late_halved_and_drawn_faults_are_scripted_over_http() {
    let (exchange, running) = started().await;
    let client = Client::new(&running);
    let script = json!({
        "target": "private/create-order",
        "once": [{"do": "cut", "when": "late", "late_ms": 10}, {"do": "reset", "when": "within"}],
        "seed": 7,
        "sometimes": [
            {"probability": 0.5, "do": "reply", "when": "after", "status": 502, "content_type": "text/html", "body": "<html>"},
            {"probability": 0.5, "do": "hang", "when": "late", "late_ms": 0},
        ],
    });
    assert_eq!(command(&client, "script", script).await, 200);
    for (name, executed) in [("late", 1), ("half", 2)] {
        let reply = client
            .try_call("private/create-order", limit_order(name))
            .await;
        assert!(reply.is_none(), "{name}");
        exchange
            .wait_executed("private/create-order", executed)
            .await;
    }
    let mut answers = std::collections::BTreeSet::new();
    for number in 0..20 {
        let client = Client::new(&running);
        let call = tokio::spawn(async move {
            client
                .try_call("private/create-order", limit_order(&number.to_string()))
                .await
                .map(|reply| reply.status)
        });
        exchange
            .wait_executed("private/create-order", 3 + number)
            .await;
        exchange.release();
        answers.insert(call.await.unwrap());
    }
    assert_eq!(answers, [None, Some(502)].into());
}

#[tokio::test]
async fn settings_change_over_http_all_or_none() {
    let (exchange, running) = started().await;
    let client = Client::new(&running);
    let change = json!({
        "apparent_address": "203.0.113.7",
        "rate_limits": "on",
        "unlisted": {"code": 40101},
        "keys": [{"api_key": KEY, "whitelist": ["198.51.100.4"]}, {"api_key": "new", "api_secret": "s", "permissions": ["read"]}],
    });
    assert_eq!(command(&client, "state", change).await, 200);
    assert_eq!(
        client.call("private/user-balance", json!({})).await.json()["code"],
        40101
    );
    let new = Client::with_key(&running, "new", "s");
    assert_eq!(
        new.call("private/user-balance", json!({})).await.status,
        200
    );
    assert_eq!(client.get("/ip").await.body, "203.0.113.7\n");
    let half = json!({"clock_offset_ms": 5, "keys": [{"api_key": "unknown"}]});
    assert_eq!(command(&client, "state", half).await, 400);
    exchange.change(|settings| assert_eq!(settings.clock_offset_ms, 0));
    let more = json!({"apparent_address": "peer", "clock_offset_ms": -90000, "keys": [{"api_key": "new", "state": "disabled"}]});
    assert_eq!(command(&client, "state", more).await, 200);
    assert_eq!(client.get("/ip").await.body, "127.0.0.1\n");
    assert_eq!(
        client.call("private/user-balance", json!({})).await.json()["code"],
        40102
    );
    assert_eq!(
        new.call("private/user-balance", json!({})).await.json()["code"],
        40101
    );
}

#[tokio::test]
async fn what_is_not_understood_is_answered_with_the_reason() {
    let (exchange, running) = started().await;
    let client = Client::new(&running);
    for (name, body) in [
        (
            "script",
            json!({"target": "x", "once": [{"do": "explode"}]}),
        ),
        (
            "script",
            json!({"target": "x", "once": [{"do": "cut", "wen": "after"}]}),
        ),
        ("script", json!({"target": "x", "once": [{"do": "code"}]})),
        (
            "script",
            json!({"target": "x", "once": [{"do": "hang", "when": "within"}]}),
        ),
        (
            "script",
            json!({"target": "x", "once": [{"do": "cut", "when": "late"}]}),
        ),
        (
            "script",
            json!({"target": "x", "once": [{"do": "cut", "late_ms": 5}]}),
        ),
        (
            "script",
            json!({"target": "x", "once": [{"do": "pass", "when": "late", "late_ms": 5}]}),
        ),
        (
            "script",
            json!({"target": "x", "always": {"do": "cut", "probability": 0.5}}),
        ),
        (
            "script",
            json!({"target": "x", "sometimes": [{"do": "cut"}]}),
        ),
        (
            "script",
            json!({"target": "x", "sometimes": [{"do": "cut", "probability": 1.5}]}),
        ),
        (
            "script",
            json!({"target": "x", "sometimes": [{"do": "cut", "probability": 0.6}, {"do": "reset", "probability": 0.6}]}),
        ),
        (
            "script",
            json!({"target": "x", "once": [{"do": "reply", "body_hex": "0"}]}),
        ),
        ("state", json!({"apparent_address": "nowhere"})),
        ("state", json!([])),
    ] {
        let reply = client
            .post(&format!("/sandbox/{name}"), &body.to_string())
            .await;
        assert!(
            reply.status == 400 && reply.json()["error"].is_string(),
            "{body}"
        );
    }
    assert_eq!(client.get("/sandbox/nothing").await.status, 404);
    assert_eq!(exchange.total(), Counts::default());
}

#[tokio::test]
async fn a_hang_is_released_over_http() {
    let (exchange, running) = started().await;
    let client = Client::new(&running);
    assert_eq!(
        command(
            &client,
            "script",
            json!({"target": "/ip", "once": [{"do": "hang", "when": "after"}]})
        )
        .await,
        200
    );
    let hanging = tokio::spawn(async move { Client::new(&running).get("/ip").await.status });
    exchange.wait_received("/ip", 1).await;
    assert_eq!(command(&client, "release", json!({})).await, 200);
    assert_eq!(hanging.await.unwrap(), 200);
}

#[tokio::test]
async fn run_serves_until_it_is_told_to_stop() {
    let exchange = FakeExchange::new(Settings::default());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving =
        tokio::spawn(async move { run(&exchange, listener, async { drop(stopped.await) }).await });
    let client = Client {
        addr,
        key: KEY.into(),
        secret: SECRET.into(),
        clock_offset_ms: 0,
    };
    assert_eq!(client.get("/ip").await.status, 200);
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
}
