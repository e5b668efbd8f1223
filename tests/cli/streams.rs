//! The exchange's WebSockets from the real binary, for callers that it issued itself.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use gateway::clock::Clock;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::support::{
    CREATE, PATIENCE,
    house::{House, Pair},
};

/// An open user stream.
struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self(
            client_async(format!("ws://{address}/exchange/v1/user"), stream)
                .await
                .unwrap()
                .0,
        )
    }

    async fn logged_in(address: SocketAddr, pair: &Pair) -> Self {
        let mut socket = Self::open(address).await;
        assert_eq!(
            socket.ask(&login(pair, Clock::system().now_ms())).await["code"],
            0
        );
        socket
    }

    async fn ask(&mut self, frame: &Value) -> Value {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
        loop {
            match timeout(PATIENCE, self.0.next())
                .await
                .expect("a frame in time")
            {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                ended => panic!("no frame: {ended:?}"),
            }
        }
    }
}

fn login(pair: &Pair, nonce: u64) -> Value {
    let sig = pair.sign(&format!("public/auth5{}{nonce}", pair.key));
    json!({ "id": 5, "method": "public/auth", "api_key": pair.key, "nonce": nonce, "sig": sig })
}

#[tokio::test]
async fn a_captured_login_is_refused_after_kill_9() {
    let house = House::new().await;
    let pair = house.issue("bot", &["--preset", "read"]).await;
    let (first, address) = house.serve().await;
    let captured = login(&pair, Clock::system().now_ms());
    assert_eq!(Socket::open(address).await.ask(&captured).await["code"], 0);
    assert_eq!(
        Socket::open(address).await.ask(&captured).await["code"],
        40102,
        "within the run"
    );
    first.signal(Signal::KILL);
    first.ended().await;

    let (second, address) = house.serve().await;
    let mut socket = Socket::open(address).await;
    let answer = socket.ask(&captured).await;
    assert_eq!(
        (answer["id"].as_u64(), answer["code"].as_i64()),
        (Some(5), Some(40102)),
        "{answer}"
    );
    // What a client signs at that moment is refused for a few seconds; a clock that runs ahead is past them.
    assert_eq!(
        socket
            .ask(&login(&pair, Clock::system().now_ms() + 20_000))
            .await["code"],
        0
    );
    assert_eq!(house.exchange.exchange().count("public/auth"), 2);
    second.signal(Signal::TERM);
    let (status, lines) = second.ended().await;
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    for line in &lines {
        house.canaries.assert_absent(line, "what the process wrote");
        assert!(!line.contains(&pair.secret), "{line}");
    }
}

fn order(id: u64) -> Value {
    let params = json!({ "instrument_name": "BTC_USD", "side": "BUY", "type": "LIMIT", "price": "50000",
                         "quantity": "0.01", "client_oid": format!("ws-{id}") });
    json!({ "id": id, "method": CREATE, "params": params, "nonce": 17 })
}

#[tokio::test]
async fn callers_that_the_command_issued_trade_and_read_over_streams_within_their_presets() {
    let house = House::new().await;
    let trader = house.issue("trader", &["--preset", "trade"]).await;
    let reader = house.issue("reader", &["--preset", "read"]).await;
    let (process, address) = house.serve().await;

    let mut socket = Socket::logged_in(address, &trader).await;
    let guard = json!({ "id": 6, "method": "private/set-cancel-on-disconnect", "params": { "scope": "CONNECTION" } });
    assert_eq!(socket.ask(&guard).await["code"], 0);
    assert_eq!(socket.ask(&order(7)).await["result"]["client_oid"], "ws-7");
    let parts = [
        "event=call OK",
        "caller=trader",
        "method=private/create-order",
        "door=ws",
        "outcome=answered",
    ];
    process.written.wait(&parts).await;

    let mut socket = Socket::logged_in(address, &reader).await;
    let before = house.exchange.exchange().total().received;
    for refused in [
        order(8),
        json!({ "id": 8, "method": "private/batch-order-request", "params": { "creates": [order(8)["params"]] } }),
        json!({ "id": 8, "method": "private/not-invented-yet", "params": {} }),
        guard,
    ] {
        let answer = socket.ask(&refused).await;
        assert_eq!(
            (&answer["code"], &answer["outcome"]),
            (&json!(40002), &json!("refused")),
            "{refused}"
        );
    }
    assert_eq!(
        house.exchange.exchange().total().received,
        before,
        "nothing of it went on"
    );
    assert_eq!(
        socket
            .ask(&json!({ "id": 9, "method": "private/user-balance" }))
            .await["code"],
        0
    );
    assert_eq!(house.exchange.exchange().orders_placed(), 1);

    drop(socket);
    process.signal(Signal::TERM);
    let (status, lines) = process.ended().await;
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    for line in &lines {
        house.canaries.assert_absent(line, "what the process wrote");
        assert!(
            !line.contains(&trader.secret) && !line.contains(&reader.secret),
            "{line}"
        );
    }
}
