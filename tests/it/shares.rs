//! Room for calls is shared out: among callers, among what they ask for, and over time, where the process stood still.

use std::{sync::Arc, time::Duration};

use gateway::{
    auth::Caller,
    policy::{Policy, Preset},
    secret::TokenDigest,
};
use sandbox::Fault;
use serde_json::{Value, json};
use tokio::{
    io::AsyncReadExt,
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::support::{
    Answer, PATIENCE, TestProxy, client,
    connection::{Connection, order},
    downstream::Downstream,
    stream::{OTHER, Socket, streaming},
};

mod unread;

const CREATE: &str = "private/create-order";
const CANCEL_ALL: &str = "private/cancel-all-orders";
const BALANCE: &str = "private/user-balance";
const READER: &str = "cpt_invented-token-of-a-caller-that-reads";

async fn with_a_reader() -> TestProxy {
    with_a_reader_and(|_| ()).await
}

async fn with_a_reader_and(
    also: impl FnOnce(&mut crypto_proxy::config::Config) + Send + 'static,
) -> TestProxy {
    let change = move |config: &mut crypto_proxy::config::Config| {
        also(config);
        let allow_classes = Preset::Trade.classes().iter().copied().collect();
        let policy = Policy {
            allow_classes,
            ..Policy::nothing()
        };
        let caller = Arc::new(Caller {
            name: "reader".into(),
            policy,
        });
        let digest = TokenDigest::of(READER.as_bytes());
        config.callers = std::mem::take(&mut config.callers).with_token(digest, caller);
    };
    TestProxy::builder().plan(change).start().await
}

async fn as_reader(proxy: &TestProxy, method: &str, params: Value) -> Answer {
    let request = client()
        .post(proxy.url("/proxy/private"))
        .header("x-proxy-token", READER)
        .header("content-type", "application/json");
    let body = json!({ "method": method, "params": params }).to_string();
    proxy.send(request.body(body)).await
}

/// Waits until this holds; each time the proxy has met everything that came before.
async fn until(proxy: &TestProxy, what: &str, holds: impl Fn() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !holds() {
            proxy.settle().await;
        }
    });
    waited
        .await
        .unwrap_or_else(|_| panic!("never: {what}; {:#?}", proxy.texts()));
}

#[tokio::test]
async fn slow_reads_of_one_caller_keep_neither_orders_nor_cancellations_of_another_out() {
    const READS: usize = 280;
    let proxy = with_a_reader().await;
    proxy.exchange().script_always(BALANCE, Fault::hang_after());
    let mut readers: Vec<Connection<TcpStream>> = Vec::new();
    let request = proxy
        .request(BALANCE, &json!({}))
        .replace(&*proxy.canaries.token, READER);
    for _ in 0..READS {
        let mut reader = proxy.connect().await;
        reader.write(&request).await;
        readers.push(reader);
    }
    let refused = || {
        let texts = proxy.texts();
        let refused = texts
            .iter()
            .filter(|text| text.contains("response_status=503 outcome=refused why=no_room"));
        refused.count() + proxy.refusals_counted()
    };
    until(&proxy, "every read is under way or refused", || {
        proxy.gateway.in_flight() + refused() == READS
    })
    .await;
    for (method, params) in [
        (CREATE, order("neighbour-1")),
        (CANCEL_ALL, json!({})),
        (BALANCE, json!({})),
    ] {
        if method == BALANCE {
            proxy.exchange().clear_script(BALANCE);
        }
        let answer = proxy.call(method, params).await;
        assert_eq!(answer.outcome(), "answered", "{method}: {}", answer.text());
    }
    let answer = as_reader(&proxy, CANCEL_ALL, json!({})).await;
    assert_eq!(answer.outcome(), "answered", "its own: {}", answer.text());
    let answer = as_reader(&proxy, CREATE, order("its-own")).await;
    assert_eq!(answer.outcome(), "answered", "its own: {}", answer.text());
    let answer = as_reader(&proxy, BALANCE, json!({})).await;
    assert_eq!(
        (answer.status, answer.outcome().as_str()),
        (503, "refused"),
        "{}",
        answer.text()
    );
    assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
    assert!(
        answer
            .text()
            .contains("96 calls of this caller are under way already"),
        "{}",
        answer.text()
    );
    assert_eq!((proxy.gateway.in_flight(), refused()), (96, READS - 96 + 1));
    proxy.exchange().release();
    until(&proxy, "room comes back", || proxy.gateway.in_flight() == 0).await;
}

#[tokio::test]
async fn connections_of_one_caller_that_bring_no_body_turn_no_newcomer_away() {
    let proxy = with_a_reader_and(|config| config.server.max_connections = 16).await;
    let token = &*proxy.canaries.token;
    let slow = proxy.head(1000, "").replace(token, READER);
    let mut open = Vec::new();
    // Six are its share of the callers' places, and four the strangers'.
    for _ in 0..20 {
        let mut connection = Downstream::connect_narrow(proxy.address()).await;
        connection.write(&slow).await;
        open.push(connection);
        proxy.settle().await;
    }
    for (method, params) in [(BALANCE, json!({})), (CANCEL_ALL, json!({}))] {
        let mut newcomer = proxy.connect().await;
        newcomer.write(&proxy.request(method, &params)).await;
        let answer = newcomer.answer().await;
        assert_eq!(answer.outcome(), "answered", "{method}: {}", answer.text());
    }
}

#[tokio::test]
async fn commands_of_streams_take_from_the_same_room() {
    let proxy = streaming(|config| config.gateway.max_in_flight = 4).await;
    proxy.exchange().script_always(BALANCE, Fault::hang_after());
    let mut bot = Socket::bot(&proxy).await;
    let read = |id: u64| json!({ "id": id, "method": BALANCE, "params": {} });
    bot.send(read(1)).await;
    bot.send(read(2)).await;
    let refused = bot.ask(read(3)).await;
    assert_eq!(
        (&refused["id"], &refused["code"], &refused["outcome"]),
        (&json!(3), &json!(42901), &json!("refused")),
        "{refused}"
    );
    let cancelled = bot
        .ask(json!({ "id": 4, "method": CANCEL_ALL, "params": {} }))
        .await;
    assert_eq!(cancelled["code"], 0, "{cancelled}");
    let mut other = Socket::of(&proxy, OTHER).await;
    let placed = other
        .ask(json!({ "id": 1, "method": CREATE, "params": order("of-the-other") }))
        .await;
    assert_eq!(placed["code"], 0, "{placed}");
}

#[tokio::test]
async fn an_order_that_waited_through_a_stall_is_refused_and_its_repetition_is_the_only_one() {
    let proxy = TestProxy::start().await;
    proxy.gateway.stalls().note(Duration::from_secs(8));
    let refused = proxy.call(CREATE, order("frozen-1")).await;
    assert_eq!(
        (refused.status, refused.outcome().as_str()),
        (503, "refused")
    );
    assert_eq!(refused.header("retry-after").as_deref(), Some("1"));
    assert!(
        refused
            .text()
            .contains("the proxy was not running for 8 s, in which this call may have waited"),
        "{}",
        refused.text()
    );
    let read = proxy.call(BALANCE, json!({})).await;
    assert_eq!(read.outcome(), "answered", "a read is still wanted");
    let repeated = timeout(PATIENCE, async {
        loop {
            let answer = proxy.call(CREATE, order("frozen-1")).await;
            if answer.outcome() != "refused" {
                return answer;
            }
        }
    });
    assert_eq!(repeated.await.unwrap().inner()["code"], 0);
    assert_eq!(proxy.exchange().count(CREATE), 1);
    proxy
        .wait_line(&["response_status=503 outcome=refused why=not_running"])
        .await;
}

#[tokio::test]
async fn a_cancellation_goes_also_right_after_a_stall() {
    let proxy = streaming(|_| {}).await;
    let mut bot = Socket::bot(&proxy).await;
    for length in [8, 20] {
        proxy.gateway.stalls().note(Duration::from_secs(length));
        let cancelled = proxy.call(CANCEL_ALL, json!({})).await;
        assert_eq!(cancelled.outcome(), "answered", "{}", cancelled.text());
        let cancelled = bot
            .ask(json!({ "id": length, "method": CANCEL_ALL, "params": {} }))
            .await;
        assert_eq!(cancelled["code"], 0, "{cancelled}");
        let refused = proxy.call(CREATE, order("frozen-3")).await;
        assert_eq!(refused.outcome(), "refused");
    }
    assert_eq!(
        (
            proxy.exchange().count(CANCEL_ALL),
            proxy.exchange().count(CREATE)
        ),
        (4, 0)
    );
}

#[tokio::test]
async fn a_read_that_waited_longer_than_its_time_is_refused_too() {
    let proxy = TestProxy::start().await;
    proxy.gateway.stalls().note(Duration::from_secs(20));
    let refused = proxy.call(BALANCE, json!({})).await;
    assert_eq!(
        (refused.status, refused.outcome().as_str()),
        (503, "refused")
    );
    assert_eq!(proxy.exchange().total().received, 0);
}

#[tokio::test]
async fn a_command_that_waited_through_a_stall_is_refused() {
    let proxy = streaming(|_| {}).await;
    let mut bot = Socket::bot(&proxy).await;
    proxy.gateway.stalls().note(Duration::from_secs(8));
    let refused = bot
        .ask(json!({ "id": 7, "method": CREATE, "params": order("frozen-2") }))
        .await;
    assert_eq!(
        (&refused["code"], &refused["outcome"]),
        (&json!(42901), &json!("refused")),
        "{refused}"
    );
    let read = bot
        .ask(json!({ "id": 8, "method": BALANCE, "params": {} }))
        .await;
    assert_eq!(read["code"], 0, "{read}");
    assert_eq!(proxy.exchange().count(CREATE), 0);
}

/// An exchange that takes no connection until it is told to.
struct Shut {
    listener: tokio::net::TcpListener,
    _first: TcpStream,
}

impl Shut {
    async fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(0).unwrap();
        let first = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        Self {
            listener,
            _first: first,
        }
    }

    /// What comes over the next connection that the proxy's kernel tries again.
    async fn open(&self) -> Vec<u8> {
        let _first = self.listener.accept().await.unwrap();
        let (mut stream, _) = timeout(PATIENCE, self.listener.accept())
            .await
            .expect("the kernel tries again")
            .unwrap();
        let mut came = Vec::new();
        let mut chunk = [0; 4096];
        // Up to the end, or the first piece of a body.
        while let Ok(Ok(read @ 1..)) = timeout(PATIENCE, stream.read(&mut chunk)).await {
            came.extend_from_slice(&chunk[..read]);
            if came.windows(10).any(|window| window == b"client_oid") {
                break;
            }
        }
        came
    }
}

#[tokio::test]
async fn an_order_whose_caller_hung_up_or_that_waited_through_a_stall_is_not_sent_when_a_connection_is_there()
 {
    for hung_up in [true, false] {
        let shut = Shut::new().await;
        let base = format!("http://{}/exchange/v1", shut.listener.local_addr().unwrap());
        let proxy = TestProxy::builder().base(base).start().await;
        let mut caller = proxy.connect().await;
        caller
            .write(&proxy.request(CREATE, &order("too-late-1")))
            .await;
        until(&proxy, "it is under way", || proxy.gateway.in_flight() == 1).await;
        let kept = if hung_up {
            drop(caller);
            None
        } else {
            proxy.gateway.stalls().note(Duration::from_secs(8));
            Some(caller)
        };
        proxy.settle().await;
        let came = String::from_utf8(shut.open().await).unwrap();
        assert!(!came.contains("too-late-1"), "hung up: {hung_up}: {came}");
        let record = proxy
            .wait_line(&["event=call FAIL", "client_oid=too-late-1"])
            .await;
        assert!(
            record.text().contains("outcome=not_sent why=too_late"),
            "{}",
            record.text()
        );
        if let Some(mut caller) = kept {
            let answer = caller.answer().await;
            assert_eq!(
                (answer.status, answer.outcome().as_str()),
                (503, "not_sent")
            );
        }
    }
}

#[tokio::test]
async fn orders_that_were_sent_behind_another_request_end_with_their_callers_connection() {
    let proxy = TestProxy::start().await;
    proxy.exchange().script_always(BALANCE, Fault::hang_after());
    let mut caller = proxy.connect().await;
    let first = proxy.request(BALANCE, &json!({}));
    let orders = ["behind-1", "behind-2", "behind-3"];
    let orders = orders.map(|name| proxy.request(CREATE, &order(name)));
    caller.write(&format!("{first}{}", orders.concat())).await;
    proxy.exchange().wait_received(BALANCE, 1).await;
    drop(caller);
    proxy.settle().await;
    proxy.exchange().release();
    proxy.wait_line(&["event=call OK", BALANCE]).await;
    for _ in 0..20 {
        proxy.settle().await;
    }
    until(&proxy, "nothing is under way", || {
        proxy.gateway.in_flight() == 0
    })
    .await;
    assert_eq!(proxy.exchange().count(CREATE), 0, "{:#?}", proxy.texts());
}
