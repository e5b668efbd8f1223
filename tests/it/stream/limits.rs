//! What a client may have of us, and what one of them can do to the others.

use std::time::{Duration, Instant};

use crypto_proxy::http::Refused;
use futures_util::{SinkExt, StreamExt};
use sandbox::{Fault, Side};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::{CREATE, at_exchange, create, records, subscribe};
use crate::support::{
    PATIENCE, TestProxy,
    stream::{KEY, OTHER, Socket, login, now_ms, streaming},
};

#[tokio::test]
async fn sockets_are_limited_in_total_by_caller_and_for_strangers() {
    let proxy = streaming(|plan| {
        plan.streams.max_per_caller = 2;
        plan.streams.max_unauthenticated = 1;
        plan.streams.max_sockets = 5;
    })
    .await;
    let _two = [Socket::bot(&proxy).await, Socket::bot(&proxy).await];
    let mut third = Socket::open(&proxy, "user").await;
    assert_eq!(third.ask(login(KEY, 9, now_ms())).await["code"], 42901);
    assert_eq!(third.close_code().await, 1008);
    drop(third);
    let mut other = open_when_there_is_room(&proxy, "user").await;
    other.log_in(OTHER).await;
    let mut first = Socket::open(&proxy, "user").await;
    let stranger = Socket::open(&proxy, "user").await;
    assert_eq!(first.close_code().await, 1008, "it left for the second");
    let _market = open_when_there_is_room(&proxy, "market").await;
    assert_eq!(
        Socket::try_open(&proxy, "market", &[]).await.err(),
        Some(503),
        "a sixth socket"
    );
    drop((other, stranger));
    proxy.exchange().wait_streams(|open| open.len() == 3).await;
    proxy
        .wait_line(&["event=stream what=closed", "caller=other"])
        .await;
    open_when_there_is_room(&proxy, "market").await;
}

#[tokio::test]
async fn sockets_that_never_log_in_keep_no_login_out() {
    let proxy = streaming(|plan| plan.streams.max_unauthenticated = 4).await;
    let mut silent = Vec::new();
    for _ in 0..12 {
        silent.push(Socket::open(&proxy, "user").await);
    }
    let mut bot = Socket::bot(&proxy).await;
    assert_eq!(silent[0].close_code().await, 1008, "the first had to leave");
    let read = json!({ "id": 1, "method": "private/user-balance", "params": {} });
    assert_eq!(bot.ask(read).await["code"], 0);
    proxy.wait_line(&["status=0 why=crowded"]).await;
}

#[tokio::test]
async fn a_socket_that_is_turned_away_takes_no_slot_from_others() {
    let proxy = streaming(|plan| {
        plan.streams.max_per_caller = 1;
        plan.streams.max_sockets = 2;
    })
    .await;
    let token = [("x-proxy-token", proxy.canaries.token.clone())];
    let _its_own = Socket::try_open(&proxy, "user", &token).await;
    for _ in 0..4 {
        let beyond = Socket::try_open(&proxy, "user", &token).await;
        // It answers no close frame, and does not leave.
        std::mem::forget(beyond.expect("a slot"));
        proxy.settle().await;
    }
    let proxy = streaming(|plan| {
        plan.streams.max_unauthenticated = 1;
        plan.streams.max_sockets = 2;
    })
    .await;
    for _ in 0..4 {
        let mut stranger = Socket::open(&proxy, "user").await;
        for _ in 0..8 {
            stranger.send_text("{}").await;
        }
        std::mem::forget(stranger);
        proxy.settle().await;
    }
    Socket::bot(&proxy).await;
}

/// A place is free a moment after its socket has ended.
async fn open_when_there_is_room(proxy: &TestProxy, side: &str) -> Socket {
    loop {
        if let Ok(socket) = Socket::try_open(proxy, side, &[]).await {
            return socket;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn frames_that_are_too_long_or_no_text_end_their_socket() {
    let proxy = streaming(|_| {}).await;
    let mut long = Socket::bot(&proxy).await;
    let _ = long
        .stream
        .send(Message::text("x".repeat((64 << 10) + 1)))
        .await;
    assert_eq!(long.close_code().await, 1009);
    let mut binary = Socket::bot(&proxy).await;
    binary
        .stream
        .send(Message::binary(vec![0xff]))
        .await
        .unwrap();
    assert_eq!(binary.close_code().await, 1007);
    proxy.exchange().wait_streams(<[_]>::is_empty).await;
}

#[tokio::test]
async fn a_frame_of_the_exchange_beyond_the_limit_ends_the_socket_and_not_the_memory() {
    let proxy = streaming(|_| {}).await;
    let mut socket = Socket::bot(&proxy).await;
    let long =
        json!({ "id": -1, "method": "subscribe", "code": 0, "result": "x".repeat((1 << 20) + 1) });
    proxy.exchange().send_text(Side::User, &long.to_string());
    assert_eq!(socket.close_code().await, 1011);
}

#[tokio::test]
async fn commands_without_an_answer_are_limited_on_each_socket() {
    let proxy = streaming(|plan| plan.streams.max_commands = 2).await;
    let (mut socket, mut other) = (Socket::bot(&proxy).await, Socket::bot(&proxy).await);
    proxy.exchange().script_always(CREATE, Fault::hang_after());
    socket.send(create(1, "a")).await;
    socket.send(create(2, "b")).await;
    let refused = socket.ask(create(3, "c")).await;
    assert_eq!(
        (&refused["code"], &refused["outcome"]),
        (&json!(42901), &json!("refused"))
    );
    assert_eq!(records(&proxy, &["why=socket_full"]).len(), 1);
    proxy.exchange().clear_script(CREATE);
    assert_eq!(other.ask(create(3, "d")).await["code"], 0);
    assert_eq!(proxy.exchange().orders_placed(), 3);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_and_harms_nobody() {
    let proxy = streaming(|plan| plan.streams.max_waiting.bytes = 1 << 20).await;
    let (stalled, mut reader) = (
        Socket::open(&proxy, "market").await,
        Socket::open(&proxy, "market").await,
    );
    let mut stalled = stalled;
    for socket in [&mut stalled, &mut reader] {
        socket.ask(subscribe(&["ticker.BTC_USD"])).await;
        socket.next().await;
    }
    let filler = "x".repeat(16 << 10);
    let mut published = 0_u64;
    while proxy.exchange().streams().len() == 2 {
        published += 1;
        assert!(published < 4000, "64 MB, and it still is not closed");
        proxy
            .exchange()
            .publish("ticker.BTC_USD", &json!([{ "n": published, "x": filler }]));
        assert_eq!(number(&mut reader).await, published);
    }
    proxy
        .wait_line(&[
            "event=stream what=closed",
            "by=proxy close_code=1008",
            "reads too slowly",
        ])
        .await;
    proxy
        .exchange()
        .publish("ticker.BTC_USD", &json!([{ "n": 0 }]));
    assert_eq!(reader.next().await["result"]["data"][0]["n"], 0);
    drop(stalled);
}

/// The number of the next update; the search for secrets is left out, because it would make the reader the slow one.
async fn number(reader: &mut Socket) -> u64 {
    let message = timeout(PATIENCE, reader.stream.next())
        .await
        .expect("an update in time");
    let text = message
        .expect("an update")
        .expect("an update")
        .into_text()
        .expect("an update");
    serde_json::from_str::<Value>(&text).unwrap()["result"]["data"][0]["n"]
        .as_u64()
        .expect("an update")
}

#[tokio::test]
async fn a_command_that_a_stall_ended_is_told_at_once_and_not_at_its_deadline() {
    let proxy = streaming(|plan| {
        plan.gateway.deadline = Duration::from_secs(300);
        plan.streams.max_waiting.stall = Duration::from_secs(300);
        (plan.streams.max_commands, plan.gateway.max_in_flight) = (4096, 4096);
    })
    .await;
    let socket = Socket::bot(&proxy).await;
    proxy.exchange().stall_streams();
    let (mut sending, mut reading) = socket.stream.split();
    let filler = "x".repeat(48 << 10);
    tokio::spawn(async move {
        for id in 1..400 {
            let frame =
                json!({ "id": id, "method": "private/user-balance", "params": { "x": filler } });
            let _ = sending.send(Message::text(frame.to_string())).await;
        }
    });
    // The way to the exchange is full when no more are taken from the client.
    let (mut under_way, mut unchanged) = (0, 0);
    for _ in 0..2000 {
        proxy.settle().await;
        let now = proxy.gateway.in_flight();
        unchanged = if now == under_way && now > 16 {
            unchanged + 1
        } else {
            0
        };
        under_way = now;
        if unchanged == 30 {
            break;
        }
    }
    assert_eq!(unchanged, 30, "{under_way} under way");
    proxy.gateway.stalls().note(Duration::from_secs(8));
    proxy.exchange().release();
    proxy
        .wait_line(&["outcome=not_sent why=too_late", "private/user-balance"])
        .await;
    let told = async {
        while let Some(Ok(frame)) = reading.next().await {
            let text = frame.into_text().unwrap();
            if text.contains("\"outcome\":\"not_sent\"") {
                return text;
            }
        }
        panic!("it ended");
    };
    let told = timeout(PATIENCE, told).await.expect("an answer in time");
    assert!(
        told.contains("42901") && told.contains("was not running"),
        "{told}"
    );
}

#[tokio::test]
async fn an_exchange_that_takes_nothing_ends_the_socket_and_what_was_not_sent_is_told_as_such() {
    let proxy = streaming(|plan| {
        plan.streams.max_waiting.stall = Duration::from_millis(500);
        (plan.streams.max_commands, plan.gateway.max_in_flight) = (4096, 4096);
    })
    .await;
    let mut socket = Socket::bot(&proxy).await;
    proxy.exchange().stall_streams();
    let filler = "x".repeat(50 << 10);
    let mut id = 0;
    // The client's frames fill the way to the exchange until none is taken from it any more.
    let ended = loop {
        id += 1;
        let frame =
            json!({ "id": id, "method": "private/user-balance", "params": { "x": filler } })
                .to_string();
        tokio::select! {
            sent = socket.stream.send(Message::text(frame)) => assert!(sent.is_ok() && id < 4000, "{id}: {sent:?}"),
            told = proxy.wait_line(&["event=stream what=closed"]) => break told,
        }
    };
    assert!(
        ended.text().contains("close_code=1011") && ended.text().contains("stalled"),
        "{}",
        ended.text()
    );
    let not_sent = records(&proxy, &["method=private/user-balance", "outcome=not_sent"]).len();
    let unknown = records(&proxy, &["method=private/user-balance", "outcome=unknown"]).len();
    assert!(
        not_sent > 0 && unknown > 0,
        "{not_sent} not sent, {unknown} unknown"
    );
}

#[tokio::test]
async fn a_client_that_is_not_heard_any_more_is_closed() {
    let proxy = streaming(|plan| {
        plan.streams.ping_every = Duration::from_millis(100);
        plan.streams.silence = Duration::from_millis(500);
    })
    .await;
    let silent = Socket::bot(&proxy).await;
    proxy
        .wait_line(&[
            "event=stream what=closed",
            "close_code=1008",
            "nothing was heard from the client",
        ])
        .await;
    proxy.exchange().wait_streams(<[_]>::is_empty).await;
    drop(silent);
}

#[tokio::test]
async fn market_streams_without_a_token_leave_places_for_callers() {
    let proxy = streaming(|plan| plan.streams.max_sockets = 16).await;
    let visitors = [
        Socket::open(&proxy, "market").await,
        Socket::open(&proxy, "market").await,
    ];
    assert_eq!(
        Socket::try_open(&proxy, "market", &[]).await.err(),
        Some(503),
        "of a quarter of the places half, and no more"
    );
    assert_eq!(proxy.rejections.counted(Refused::Connections), 1);
    let token = [("x-proxy-token", proxy.canaries.token.clone())];
    let _known = Socket::try_open(&proxy, "market", &token)
        .await
        .expect("a place for a token");
    let _bot = Socket::bot(&proxy).await;
    drop(visitors);
    open_when_there_is_room(&proxy, "market").await;
}

#[tokio::test]
async fn a_market_stream_without_a_token_costs_a_public_call() {
    let proxy = streaming(|plan| plan.http.exchange_v1.public_calls_per_s = 1).await;
    let opened = Instant::now();
    let _first = Socket::open(&proxy, "market").await;
    let second = Socket::try_open(&proxy, "market", &[]).await.err();
    assert!(
        second == Some(429) || opened.elapsed() >= Duration::from_secs(1),
        "{second:?}"
    );
    assert_eq!(proxy.rejections.counted(Refused::PublicBudget), 1);
    let token = [("x-proxy-token", proxy.canaries.token.clone())];
    for _ in 0..3 {
        Socket::try_open(&proxy, "market", &token)
            .await
            .expect("a token costs nothing of it");
    }
}

#[tokio::test]
async fn a_client_that_reads_too_slowly_is_still_told_of_each_of_its_commands_once_and_as_the_records_say()
 {
    const COMMANDS: u64 = 24;
    let proxy = streaming(|plan| plan.streams.max_waiting.frames = 1).await;
    let mut socket = Socket::bot(&proxy).await;
    proxy.exchange().script_always(CREATE, Fault::hang_after());
    for id in 1..=COMMANDS {
        socket.send(create(id, &format!("slow-{id}"))).await;
    }
    proxy.exchange().wait_executed(CREATE, COMMANDS).await;
    // More than the buffers of sockets take: one of these answers finds the queue full.
    let filler = "x".repeat(900 << 10);
    for id in 1..=COMMANDS {
        let answer = format!(r#"{{"id":{id},"method":"{CREATE}","code":0,"result":"{filler}"}}"#);
        proxy.exchange().send_text(Side::User, &answer);
    }
    proxy
        .wait_line(&[
            "event=stream what=closed",
            "by=proxy close_code=1008",
            "reads too slowly",
        ])
        .await;
    let (mut answered, mut unknown) = (0, 0);
    while let Some(Ok(Message::Text(text))) = timeout(PATIENCE, socket.stream.next())
        .await
        .expect("an end in time")
    {
        if text.contains("\"code\":0") {
            answered += 1
        } else {
            unknown += 1
        }
    }
    assert_eq!(
        answered + unknown,
        COMMANDS,
        "{answered} answered, {unknown} unknown"
    );
    for (outcome, told) in [("outcome=answered", answered), ("outcome=unknown", unknown)] {
        assert_eq!(
            records(&proxy, &["method=private/create-order", outcome]).len() as u64,
            told,
            "{outcome}"
        );
    }
}

/// What one address may send at once without a token, and what time adds to it.
const FRAMES_AT_ONCE: u64 = 200;
const FRAMES_PER_S: u64 = 10;

#[tokio::test]
async fn what_strangers_send_on_the_market_stream_reaches_the_exchange_within_a_budget() {
    let proxy = streaming(|_| {}).await;
    let begun = Instant::now();
    let heartbeats = flood(
        &proxy,
        |id| json!({ "id": id, "method": "public/respond-heartbeat" }),
    )
    .await;
    assert_eq!(heartbeats, 1008);
    let subscriptions = flood(&proxy, |_| subscribe(&["ticker.BTC_USD"])).await;
    assert_eq!(subscriptions, 1008);
    proxy.exchange().wait_streams(<[_]>::is_empty).await;
    assert_eq!(at_exchange(&proxy, "public/respond-heartbeat"), 0);
    let budget = FRAMES_AT_ONCE + FRAMES_PER_S * (begun.elapsed().as_secs() + 1);
    let arrived = at_exchange(&proxy, "subscribe");
    assert!(arrived <= budget, "{arrived} of {budget}");
    assert!(proxy.rejections.counted(Refused::Frames) >= 2);
    // Whoever is known has no part in that budget.
    let token = [("x-proxy-token", proxy.canaries.token.clone())];
    let mut known = Socket::try_open(&proxy, "market", &token).await.unwrap();
    assert_eq!(known.ask(subscribe(&["ticker.BTC_USD"])).await["code"], 0);
}

/// Sends 20,000 frames by a market socket without a token, as far as it is let; how it is closed.
async fn flood(proxy: &TestProxy, frame: impl Fn(u64) -> Value) -> u16 {
    let (mut write, mut read) = Socket::open(proxy, "market").await.stream.split();
    let sending = async {
        for id in 0..20_000 {
            let text = frame(id).to_string();
            if write.send(Message::text(text)).await.is_err() {
                break;
            }
        }
        // The close frame is still to be read.
        std::future::pending::<()>().await;
    };
    let closing = async {
        while let Some(Ok(message)) = read.next().await {
            if let Message::Close(Some(frame)) = message {
                return frame.code.into();
            }
        }
        0
    };
    let end = timeout(PATIENCE, async {
        tokio::select! {
            code = closing => code,
            () = sending => 0,
        }
    });
    end.await.expect("an end")
}

#[tokio::test]
async fn a_heartbeat_is_answered_once_and_by_nobody_who_was_not_asked() {
    let proxy = streaming(|_| {}).await;
    let mut bot = Socket::bot(&proxy).await;
    let answer = |id: &Value| json!({ "id": id, "method": "public/respond-heartbeat" });
    bot.send(answer(&json!(1))).await;
    proxy.exchange().send_heartbeats();
    let asked = bot.next().await;
    for _ in 0..3 {
        bot.send(answer(&asked["id"])).await;
    }
    assert_eq!(bot.ask(create(5, "after")).await["code"], 0);
    assert_eq!(at_exchange(&proxy, "public/respond-heartbeat"), 1);
}

#[tokio::test]
async fn frames_of_somebody_unknown_are_short() {
    let proxy = streaming(|_| {}).await;
    for side in ["market", "user"] {
        let mut stranger = Socket::open(&proxy, side).await;
        let long = subscribe(&["ticker.BTC_USD"; 480].map(|channel| channel));
        let _ = stranger.stream.send(Message::text(long.to_string())).await;
        assert_eq!(stranger.close_code().await, 1009, "{side}");
    }
    assert_eq!(at_exchange(&proxy, "subscribe"), 0);
}
