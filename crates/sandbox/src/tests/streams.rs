//! The streams, as a client meets them.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message},
};

use super::{client::sign, *};

/// Longer than anything here takes; reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    async fn open(running: &Running, path: &str) -> Self {
        let stream = TcpStream::connect(running.addr()).await.unwrap();
        Self(
            client_async(
                format!("ws://{}/exchange/v1/{path}", running.addr()),
                stream,
            )
            .await
            .unwrap()
            .0,
        )
    }

    pub(super) async fn user(running: &Running) -> Self {
        let mut socket = Self::open(running, "user").await;
        let login = socket.ask(login(SECRET)).await;
        assert_eq!(
            login,
            json!({ "id": 1, "method": "public/auth", "code": 0 })
        );
        socket
    }

    pub(super) async fn send(&mut self, frame: Value) {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }

    async fn next(&mut self) -> Value {
        loop {
            match tokio::time::timeout(PATIENCE, self.0.next())
                .await
                .expect("a frame in time")
            {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(_)) => {}
                ended => panic!("{ended:?}"),
            }
        }
    }

    pub(super) async fn ask(&mut self, frame: Value) -> Value {
        self.send(frame).await;
        self.next().await
    }

    /// The close code, or `None` where the connection ended without one.
    pub(super) async fn end(&mut self) -> Option<u16> {
        loop {
            match tokio::time::timeout(PATIENCE, self.0.next())
                .await
                .expect("an end in time")
            {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}

fn login(secret: &str) -> Value {
    let nonce = clock::now_ms(0);
    let sig = sign(secret, &format!("public/auth1{KEY}{nonce}"));
    json!({ "id": 1, "method": "public/auth", "api_key": KEY, "nonce": nonce, "sig": sig })
}

fn subscribe(channels: &[&str]) -> Value {
    json!({ "id": 2, "method": "subscribe", "params": { "channels": channels } })
}

fn create(id: u64, client_oid: &str) -> Value {
    json!({ "id": id, "method": "private/create-order", "params": limit_order(client_oid) })
}

#[tokio::test]
async fn a_login_is_verified_and_nothing_private_goes_before_it() {
    let (exchange, running) = started().await;
    let mut socket = Socket::open(&running, "user").await;
    assert_eq!(socket.ask(create(5, "a")).await["code"], 40101);
    assert_eq!(socket.ask(subscribe(&["user.order"])).await["code"], 40101);
    assert_eq!(socket.ask(login("another secret")).await["code"], 40101);
    assert_eq!(socket.ask(login(SECRET)).await["code"], 0);
    assert_eq!(socket.ask(create(6, "a")).await["code"], 0);
    assert_eq!(
        exchange.counts("private/create-order"),
        Counts {
            received: 2,
            authenticated: 1,
            executed: 1
        }
    );
    assert_eq!(exchange.streams()[0].api_key.as_deref(), Some(KEY));
}

/// crypto-com-client sends its login so.
#[tokio::test]
async fn a_binary_frame_is_taken_for_text_and_must_be_utf_8() {
    let (_exchange, running) = started().await;
    let mut socket = Socket::open(&running, "user").await;
    let frame = Message::binary(login(SECRET).to_string());
    socket.0.send(frame).await.unwrap();
    assert_eq!(
        socket.next().await,
        json!({ "id": 1, "method": "public/auth", "code": 0 })
    );
    socket.0.send(Message::binary(vec![0xff])).await.unwrap();
    assert_eq!(socket.end().await, Some(1007));
}

#[tokio::test]
async fn subscribers_get_a_confirmation_a_snapshot_and_then_every_update() {
    let (_exchange, running) = started().await;
    let mut socket = Socket::user(&running).await;
    socket.ask(create(5, "resting")).await;
    assert_eq!(
        socket.ask(subscribe(&["user.order", "user.balance"])).await,
        json!({"id":2,"method":"subscribe","code":0})
    );
    let first = socket.next().await;
    assert_eq!(
        (&first["id"], &first["result"]["channel"]),
        (&json!(2), &json!("user.order"))
    );
    assert_eq!(first["result"]["data"][0]["client_oid"], "resting");
    assert_eq!(
        socket.next().await["result"]["subscription"],
        "user.balance"
    );
    let rest = Client::new(&running);
    rest.call("private/cancel-order", json!({ "client_oid": "resting" }))
        .await;
    let update = socket.next().await;
    assert_eq!(
        (&update["id"], &update["result"]["data"][0]["status"]),
        (&json!(-1), &json!("CANCELED"))
    );
    let mut bought = limit_order("bought");
    bought["type"] = json!("MARKET");
    rest.call("private/create-order", bought).await;
    let told = [socket.next().await, socket.next().await];
    assert!(
        told.iter()
            .any(|frame| frame["result"]["data"][0]["status"] == "FILLED"),
        "{told:?}"
    );
    assert!(
        told.iter()
            .any(|frame| frame["result"]["channel"] == "user.balance"),
        "{told:?}"
    );
}

/// As client libraries met it; the vendor's example has the short name.
#[tokio::test]
async fn a_channel_of_one_instrument_is_told_by_its_whole_name() {
    let (_exchange, running) = started().await;
    let mut socket = Socket::user(&running).await;
    let names = ["user.order.BTC_USD", "user.trade.BTC_USD"];
    assert_eq!(socket.ask(subscribe(&names)).await["code"], 0);
    let mut bought = limit_order("bought");
    bought["type"] = json!("MARKET");
    let rest = Client::new(&running);
    rest.call("private/create-order", bought).await;
    let mut told: Vec<_> = Vec::new();
    while told.len() < 2 {
        let channel = socket.next().await["result"]["channel"].clone();
        if !told.contains(&channel) {
            told.push(channel);
        }
    }
    told.sort_by_key(ToString::to_string);
    assert_eq!(told, names);
}

#[tokio::test]
async fn the_market_gives_snapshots_to_everybody_and_executes_nothing() {
    let (exchange, running) = started().await;
    let mut socket = Socket::open(&running, "market").await;
    let without_id =
        json!({ "method": "subscribe", "params": { "channels": ["ticker.BTC_USD"] }, "nonce": 1 });
    assert_eq!(
        socket.ask(without_id).await,
        json!({ "id": -1, "method": "subscribe", "code": 0 })
    );
    assert_eq!(socket.next().await["result"]["data"][0]["a"], "60000");
    for (channel, member) in [
        ("book.BTC_USD.10", "bids"),
        ("trade.BTC_USD", "p"),
        ("candlestick.1m.BTC_USD", "o"),
    ] {
        socket.ask(subscribe(&[channel])).await;
        let first = socket.next().await;
        assert_eq!(first["result"]["subscription"], channel);
        assert!(!first["result"]["data"][0][member].is_null(), "{first}");
    }
    assert_eq!(
        exchange.publish("ticker.BTC_USD", &json!([{ "a": "1" }])),
        1
    );
    assert_eq!(socket.next().await["result"]["data"], json!([{ "a": "1" }]));
    assert_eq!(
        socket.ask(subscribe(&["ticker.NO_SUCH"])).await["code"],
        10004
    );
    assert_eq!(socket.ask(create(5, "a")).await["code"], 40002);
}

#[tokio::test]
async fn a_heartbeat_that_is_not_answered_closes_with_1000_and_an_answered_one_does_not() {
    let (exchange, running) = started().await;
    exchange.change(|settings| settings.heartbeat_answer_ms = 300);
    let mut silent = Socket::user(&running).await;
    let mut alive = Socket::user(&running).await;
    exchange.send_heartbeats();
    let asked = alive.next().await;
    assert_eq!(asked["method"], "public/heartbeat");
    alive
        .send(json!({ "id": asked["id"], "method": "public/respond-heartbeat" }))
        .await;
    assert_eq!(silent.next().await["method"], "public/heartbeat");
    assert_eq!(silent.end().await, Some(1000));
    assert_eq!(alive.ask(create(5, "alive")).await["code"], 0);
}

#[tokio::test]
async fn orders_of_a_connection_that_asked_for_it_are_cancelled_when_it_ends() {
    let (exchange, running) = started().await;
    let (mut asked, mut other) = (Socket::user(&running).await, Socket::user(&running).await);
    let set = json!({ "id": 9, "method": "private/set-cancel-on-disconnect", "params": { "scope": "CONNECTION" } });
    assert_eq!(asked.ask(set).await["result"]["scope"], "CONNECTION");
    asked.ask(create(5, "lost")).await;
    other.ask(create(5, "kept")).await;
    drop(asked);
    exchange.wait_streams(|open| open.len() == 1).await;
    let status = |name: &str| exchange.order(name).unwrap()["status"].clone();
    while status("lost") != "CANCELED" {
        tokio::task::yield_now().await;
    }
    assert_eq!(status("kept"), "ACTIVE");
}

#[tokio::test]
async fn leaving_a_channel_counts_as_a_loss_where_that_was_asked_for() {
    let (exchange, running) = started().await;
    let mut socket = Socket::user(&running).await;
    socket
        .ask(json!({ "id": 9, "method": "private/set-cancel-on-disconnect", "params": {} }))
        .await;
    socket.ask(subscribe(&["user.balance"])).await;
    socket.next().await;
    socket.ask(create(5, "lost")).await;
    let leave =
        json!({ "id": 3, "method": "unsubscribe", "params": { "channels": ["user.balance"] } });
    assert_eq!(
        socket.ask(leave).await,
        json!({ "id": 3, "method": "unsubscribe", "code": 0 })
    );
    assert_eq!(exchange.order("lost").unwrap()["status"], "CANCELED");
}

#[tokio::test]
async fn a_batch_cancels_and_creates_and_an_amendment_changes() {
    let (exchange, running) = started().await;
    let mut socket = Socket::user(&running).await;
    socket.ask(create(5, "a")).await;
    let amend = json!({ "orig_client_oid": "a", "new_price": "2", "new_quantity": "3" });
    assert_eq!(
        socket
            .ask(json!({ "id": 6, "method": "private/amend-order", "params": amend }))
            .await["code"],
        0
    );
    assert_eq!(exchange.order("a").unwrap()["limit_price"], "2");
    let params = json!({ "instrument_name": "BTC_USD", "cancels": [{ "client_oid": "a" }],
                         "creates": [limit_order("b"), limit_order("b")] });
    let batch = socket
        .ask(json!({ "id": 7, "method": "private/batch-order-request", "params": params }))
        .await;
    let codes: Vec<_> = batch["result"]["creates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["code"].clone())
        .collect();
    assert_eq!(
        (&batch["result"]["cancels"][0]["code"], codes),
        (&json!(0), vec![json!(0), json!(204)])
    );
    assert_eq!(exchange.order("a").unwrap()["status"], "CANCELED");
}

#[tokio::test]
async fn frames_without_sense_are_answered_with_error() {
    let (_exchange, running) = started().await;
    let mut socket = Socket::user(&running).await;
    for text in [
        "",
        "[]",
        "{",
        "{}",
        "{\"id\":1}",
        "{\"method\":\"private/x\"}",
    ] {
        socket.0.send(Message::text(text)).await.unwrap();
        let answer = socket.next().await;
        assert_eq!(
            (&answer["id"], &answer["method"]),
            (&json!(-1), &json!("ERROR")),
            "{text}: {answer}"
        );
    }
}

#[tokio::test]
async fn faults_and_closures_are_scripted() {
    let (exchange, running) = started().await;
    let mut socket = Socket::user(&running).await;
    exchange.script("private/create-order", Fault::code(50001));
    assert_eq!(socket.ask(create(5, "a")).await["code"], 50001);
    exchange.script("private/create-order", Fault::hang_after());
    socket.send(create(6, "b")).await;
    exchange.wait_executed("private/create-order", 1).await;
    exchange.script("private/create-order", Fault::cut_after());
    socket.send(create(7, "c")).await;
    assert_eq!(socket.end().await, None);
    assert_eq!(exchange.orders_placed(), 2);
    let mut closed = Socket::user(&running).await;
    let control = Client::new(&running);
    let told = control
        .post(
            "/sandbox/streams",
            r#"{"do":"close","code":1013,"reason":"restarting"}"#,
        )
        .await;
    assert_eq!(told.status, 200);
    assert_eq!(closed.end().await, Some(1013));
    exchange.wait_streams(<[_]>::is_empty).await;
    assert_eq!(control.get("/sandbox/streams").await.json(), json!([]));
    exchange.script("user", Fault::reply(Canned::html(503, "<html>")));
    let stream = TcpStream::connect(running.addr()).await.unwrap();
    let refused = client_async(format!("ws://{}/exchange/v1/user", running.addr()), stream).await;
    assert!(matches!(refused, Err(Error::Http(response)) if response.status() == 503));
}

#[tokio::test]
async fn the_budget_of_a_socket_is_enforced_where_budgets_are() {
    let (exchange, running) = started().await;
    exchange.change(|settings| settings.rate_limits = RateLimits::On);
    let mut socket = Socket::open(&running, "market").await;
    for _ in 0..201 {
        socket.send(json!({ "id": 3, "method": "unsubscribe", "params": { "channels": ["ticker.BTC_USD"] } })).await;
    }
    let mut codes = Vec::new();
    for _ in 0..201 {
        codes.push(socket.next().await["code"].clone());
    }
    assert!(
        codes.contains(&json!(42901)),
        "201 frames in less than two seconds"
    );
}
