//! A network that goes away, comes back, delays and cuts, between the proxy and its upstream.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use super::{CONNECT_DEADLINE, DEADLINE, TIMED_OUT, assert_told, place, place_anew, told};
use crate::support::{
    TestProxy, client,
    tls::Authority,
    wire::{Request, Script, Step, Wire, reply},
};

#[tokio::test]
async fn fault_48_calls_while_the_link_is_down_end_by_phase_and_the_next_ones_go_well_without_a_restart()
 {
    // Down: what is on the kept connection is swallowed, and nobody answers new handshakes. Then it is back.
    let authority = Authority::new();
    let server = authority.server("localhost");
    let answered = || [Step::Request, Step::Write(reply::good())];
    let until_down = [answered().to_vec(), vec![Step::Request]].concat();
    let wire = Wire::start([
        Script::tls(&server, until_down),
        Script::plain([Step::Drain]),
        Script::plain([Step::Drain]),
        Script::tls(&server, answered()),
    ]);
    let wire = wire.await;
    let file = authority.file();
    let proxy = TestProxy::builder()
        .base(wire.tls_base())
        .plan(move |plan| {
            plan.upstream.ca_file = Some(file);
            plan.upstream.connect_deadline = CONNECT_DEADLINE;
            plan.gateway.deadline = DEADLINE;
            plan.gateway.find_out = false;
        });
    let proxy = proxy.start().await;
    assert_told(&proxy, &place_anew(&proxy).await, told(200, "answered", ""));
    assert_told(&proxy, &place(&proxy).await, TIMED_OUT);
    for _ in 0..2 {
        assert_told(
            &proxy,
            &place_anew(&proxy).await,
            told(504, "not_sent", "connect_deadline"),
        );
    }
    let ready = proxy.send(client().get(proxy.url("/ready"))).await;
    assert_eq!(ready.status, 503, "three attempts have failed");
    assert_told(&proxy, &place_anew(&proxy).await, told(200, "answered", ""));
    let ready = proxy.send(client().get(proxy.url("/ready"))).await;
    assert_eq!(ready.status, 200);
    let nonces: Vec<u64> = wire.requests().iter().map(Request::nonce).collect();
    assert_eq!(
        nonces.len(),
        3,
        "two answered, one lost on the wire, none twice"
    );
    assert!(
        nonces.is_sorted_by(|left, right| left < right),
        "{nonces:?}"
    );
}

const CALLS: usize = 120;
const AT_ONCE: usize = 8;

#[tokio::test]
async fn fault_49_over_a_network_that_delays_and_cuts_nothing_is_sent_twice_and_deadlines_hold() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!(
        "http://{}/exchange/v1",
        listener.local_addr().expect("an address")
    );
    let proxy = TestProxy::builder()
        .base(base)
        .plan(|plan| {
            plan.gateway.deadline = DEADLINE;
            plan.gateway.find_out = false;
        })
        .start()
        .await;
    let exchange = proxy.exchange().clone();
    let relay = tokio::spawn(lossy_relay(listener, proxy.exchange_address()));
    let places = Semaphore::new(AT_ONCE);
    let calls = (0..CALLS).map(|number| {
        let (proxy, places) = (&proxy, &places);
        async move {
            let _place = places.acquire().await.expect("open");
            let mut order = super::order();
            order["client_oid"] = json!(format!("lossy-{number}"));
            // Without the harness's search after each answer, whose time would count.
            let body = json!({ "method": "private/create-order", "params": order }).to_string();
            let request = client()
                .post(proxy.url("/proxy/private"))
                .header("content-type", "application/json");
            let request = request
                .header("x-proxy-token", &proxy.canaries.token)
                .body(body);
            let started = Instant::now();
            let answer = request.send().await.expect("always an answer");
            assert!(started.elapsed() < DEADLINE * 3, "{:?}", started.elapsed());
            (
                format!("lossy-{number}"),
                answer.headers()["x-proxy-outcome"]
                    .to_str()
                    .expect("a word")
                    .to_owned(),
            )
        }
    });
    let outcomes: Vec<(String, String)> = futures_util::future::join_all(calls).await;
    let mut arrived: BTreeMap<String, Vec<bool>> = BTreeMap::new();
    for received in exchange.received() {
        let body = received.json().expect("whole requests only");
        let oid = body["params"]["client_oid"]
            .as_str()
            .expect("an order")
            .to_owned();
        arrived.entry(oid).or_default().push(received.executed);
    }
    let times = |oid: &str| arrived.get(oid).map_or(0, Vec::len);
    for (oid, outcome) in &outcomes {
        match &**outcome {
            "answered" => assert_eq!(arrived.get(oid), Some(&vec![true]), "{oid}"),
            "not_sent" => assert_eq!(times(oid), 0, "{oid} was called not sent"),
            "unknown" => assert!(times(oid) <= 1, "{oid} was sent {} times", times(oid)),
            other => panic!("{oid}: {other}"),
        }
    }
    let count = |wanted: &str| {
        outcomes
            .iter()
            .filter(|(_, outcome)| outcome == wanted)
            .count()
    };
    assert!(
        count("answered") > CALLS / 10 && count("unknown") > CALLS / 10,
        "a network as bad as meant: {outcomes:?}"
    );
    let records = proxy
        .texts()
        .iter()
        .filter(|line| line.contains("event=call "))
        .count();
    assert_eq!(records, CALLS, "one record per call");
    proxy.scan_lines();
    relay.abort();
}

/// Numbers that look random and are the same each time (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Passes bytes on, late, in pieces, and not always: some connections are cut by an end or a reset, some fall silent.
async fn lossy_relay(listener: TcpListener, exchange: SocketAddr) {
    let seeds = Arc::new(std::sync::Mutex::new(Dice(0x5eed_1234_5678_9abc)));
    loop {
        let (downstream, _) = listener.accept().await.expect("a connection");
        let upstream = TcpStream::connect(exchange)
            .await
            .expect("the stand-in lives");
        let seed = seeds.lock().expect("no panic").roll(u64::MAX - 1) + 1;
        tokio::spawn(async move {
            let reset = Dice(seed).roll(2) == 0;
            if reset {
                downstream.set_zero_linger().expect("a TCP socket");
            }
            let (mut from_proxy, mut to_proxy) = downstream.into_split();
            let (mut from_exchange, mut to_exchange) = upstream.into_split();
            tokio::select! {
                () = pass_on(&mut from_proxy, &mut to_exchange, Dice(seed)) => {}
                () = pass_on(&mut from_exchange, &mut to_proxy, Dice(seed ^ 0xffff)) => {}
            }
        });
    }
}

/// One direction; returns where the connection is to be cut.
async fn pass_on(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut dice: Dice,
) {
    let mut piece = [0; 256];
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        // The network's delay, not a test's wait.
        tokio::time::sleep(Duration::from_millis(dice.roll(60))).await;
        match dice.roll(20) {
            0 => return,
            1 => std::future::pending().await,
            2 => {
                let _ = to.write_all(&piece[..count / 2]).await;
                return;
            }
            _ if to.write_all(&piece[..count]).await.is_err() => return,
            _ => {}
        }
    }
}
