//! The exchange's WebSockets from the real binary, for callers that it issued itself.

use std::net::SocketAddr;

use crypto_proxy::gateway::clock::Clock;
use futures_util::{SinkExt, StreamExt};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::support::{
    PATIENCE,
    house::{House, Pair},
};

/// An open user stream.
struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self(client_async(format!("ws://{address}/exchange/v1/user"), stream).await.unwrap().0)
    }

    async fn ask(&mut self, frame: &Value) -> Value {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
        loop {
            match timeout(PATIENCE, self.0.next()).await.expect("a frame in time") {
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
    assert_eq!(Socket::open(address).await.ask(&captured).await["code"], 40101, "within the run");
    first.signal(Signal::KILL);
    first.ended().await;

    let (second, address) = house.serve().await;
    let mut socket = Socket::open(address).await;
    let answer = socket.ask(&captured).await;
    assert_eq!((answer["id"].as_u64(), answer["code"].as_i64()), (Some(5), Some(40102)), "{answer}");
    // What a client signs at that moment is refused for a few seconds; a clock that runs ahead is past them.
    assert_eq!(socket.ask(&login(&pair, Clock::system().now_ms() + 20_000)).await["code"], 0);
    assert_eq!(house.exchange.stand_in().count("public/auth"), 2);
    second.signal(Signal::TERM);
    let (status, lines) = second.ended().await;
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    for line in &lines {
        house.canaries.assert_absent(line, "what the process wrote");
        assert!(!line.contains(&pair.secret), "{line}");
    }
}
