//! Many clients at once, with updates: memory bounded, none lost or crossed, one stalled client harms nobody.
//!
//! `STREAM_SECONDS` sets the time (10 where it is not set), `STREAM_CLIENTS` the number (500).

use std::time::{Duration, Instant};

use crypto_proxy::config::Config;
use futures_util::{SinkExt, StreamExt};
use gateway::policy::Policy;
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

use super::{order, records};
use crate::support::{
    PATIENCE,
    stream::{KEY, connect, login, now_ms},
    threaded,
};

/// What the proxy, the stand-in and the clients of this process may take together for each client, in kB.
const KB_PER_CLIENT: u64 = 200;
/// What the stand-in and the captured lines keep of an order, in kB.
const KB_PER_ORDER: u64 = 4;
/// What an allocator may keep for itself, in kB.
const SLACK_KB: u64 = 16_000;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// Room for so many clients and one more.
fn roomy(plan: &mut Config, clients: usize) {
    plan.streams.max_per_caller = clients + 1;
    plan.streams.max_sockets = clients + 1;
    plan.streams.max_unauthenticated = clients + 1;
    plan.streams.max_commands = 4;
    // One of several callers has half of it; a busy machine lets every order be under way at once.
    plan.gateway.max_in_flight = 2 * (clients + 1);
}

fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let row = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    row.split_whitespace().nth(1).unwrap().parse().unwrap()
}

type Stream = WebSocketStream<TcpStream>;

/// The next frame; heartbeats are answered on the way.
async fn next(stream: &mut Stream) -> Value {
    loop {
        let text = match timeout(PATIENCE, stream.next())
            .await
            .expect("a frame in time")
        {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            ended => panic!("{ended:?}"),
        };
        let frame: Value = serde_json::from_str(&text).unwrap();
        if frame["method"] != "public/heartbeat" {
            return frame;
        }
        let alive = json!({ "id": frame["id"], "method": "public/respond-heartbeat" });
        stream.send(Message::text(alive.to_string())).await.unwrap();
    }
}

async fn opened(address: std::net::SocketAddr, number: u64) -> Stream {
    let mut stream = connect(address, "user", &[]).await.expect("a stream");
    stream
        .send(Message::text(
            login(KEY, 1000 + number, now_ms()).to_string(),
        ))
        .await
        .unwrap();
    assert_eq!(next(&mut stream).await["code"], 0);
    let channels =
        json!({ "id": 1, "method": "subscribe", "params": { "channels": ["user.balance"] } });
    stream
        .send(Message::text(channels.to_string()))
        .await
        .unwrap();
    assert_eq!(next(&mut stream).await["code"], 0);
    assert_eq!(next(&mut stream).await["result"]["channel"], "user.balance");
    stream
}

/// What one client saw: its own orders' answers, and the numbers of the updates.
struct Seen {
    orders: u64,
    updates: u64,
}

/// Places an order, waits for the answer to it and goes on reading updates, until the last update.
async fn live(mut stream: Stream, number: u64, last: u64) -> Seen {
    let mut seen = Seen {
        orders: 0,
        updates: 0,
    };
    let (mut asked, mut due) = (None, number % 8);
    while seen.updates < last {
        if asked.is_none() && seen.updates >= due {
            due += 8;
            let id = number * 1_000_000 + seen.orders;
            let frame = json!({ "id": id, "method": "private/create-order", "params": order(&format!("s-{id}")) });
            stream.send(Message::text(frame.to_string())).await.unwrap();
            asked = Some(id);
        }
        let frame = next(&mut stream).await;
        if frame["method"] == "private/create-order" {
            let id = asked.take().expect("an answer to what was asked");
            assert_eq!(
                (&frame["id"], &frame["code"]),
                (&json!(id), &json!(0)),
                "another client's answer? {frame}"
            );
            assert_eq!(frame["result"]["client_oid"], format!("s-{id}"));
            seen.orders += 1;
        } else if let Some(update) = frame["result"]["data"]["n"].as_u64() {
            assert_eq!(
                update,
                seen.updates + 1,
                "client {number} missed one, or got one twice"
            );
            seen.updates = update;
        }
    }
    if let Some(id) = asked {
        let frame = next(&mut stream).await;
        assert_eq!(frame["id"], id);
        seen.orders += 1;
    }
    seen
}

/// Set where a process has been started for this test alone.
const ALONE: &str = "STREAM_ALONE";
const NAME: &str = "stream::load::hundreds_of_clients_with_updates_lose_nothing_mix_nothing_up_and_stay_within_their_memory";

/// Memory is that of a process: beside other tests in the same one it would be theirs that is measured.
#[test]
fn hundreds_of_clients_with_updates_lose_nothing_mix_nothing_up_and_stay_within_their_memory() {
    if std::env::var_os(ALONE).is_some() {
        return run_load();
    }
    let program = std::env::current_exe().expect("this program");
    let arguments = ["--exact", NAME, "--nocapture", "--test-threads", "1"];
    let output = std::process::Command::new(program)
        .args(arguments)
        .env(ALONE, "1")
        .output()
        .expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn run_load() {
    let (clients, seconds) = (
        setting("STREAM_CLIENTS", 500),
        setting("STREAM_SECONDS", 10),
    );
    let room = usize::try_from(clients).unwrap();
    let (runtime, proxy) = threaded(|builder| {
        builder
            .streams(Policy::default())
            .plan(move |plan| roomy(plan, room))
    });
    let updates = seconds * 4;
    let (before, filled, after, seen) = runtime.block_on(async {
        let before = resident_kb();
        let stalled = opened(proxy.address(), clients).await;
        let mut openings = JoinSet::new();
        for number in 0..clients {
            let address = proxy.address();
            openings.spawn(async move { (number, opened(address, number).await) });
        }
        let open = openings.join_all().await;
        let filled = resident_kb();
        let mut living = JoinSet::new();
        for (number, stream) in open {
            living.spawn(live(stream, number, updates));
        }
        let began = Instant::now();
        for number in 1..=updates {
            proxy.exchange().publish(
                "user.balance",
                &json!({ "n": number, "x": "y".repeat(512) }),
            );
            let due = began + Duration::from_millis(250) * u32::try_from(number).unwrap();
            tokio::time::sleep_until(due.into()).await;
        }
        let seen = living.join_all().await;
        drop(stalled);
        (before, filled, resident_kb(), seen)
    });
    let orders: u64 = seen.iter().map(|seen| seen.orders).sum();
    println!(
        "{clients} clients, {seconds} s, {updates} updates each, {orders} orders; VmRSS {before} kB before, {filled} kB \
         with all open, {after} kB at the end"
    );
    assert_eq!(seen.len() as u64, clients);
    assert_eq!(proxy.exchange().orders_placed(), orders);
    assert_eq!(
        records(&proxy, &["method=private/create-order", "outcome=answered"]).len() as u64,
        orders
    );
    assert!(orders >= clients, "{orders} orders");
    // What stays of an order stays with the stand-in and the captured lines; nothing may grow with the updates.
    assert!(
        after < filled + orders * KB_PER_ORDER + SLACK_KB,
        "{filled} kB → {after} kB with {orders} orders"
    );
    assert!(
        filled < before + clients * KB_PER_CLIENT,
        "{before} kB → {filled} kB"
    );
}
