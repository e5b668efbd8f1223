//! How sockets end: together, with the same code, and with what was under way accounted for.

use std::time::Duration;

use crypto_proxy::app::Drained;
use futures_util::SinkExt;
use gateway::policy::Policy;
use sandbox::Fault;
use serde_json::json;
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{
        CloseFrame,
        frame::{
            Frame,
            coding::{CloseCode, Data, OpCode},
        },
    },
};

use super::{CREATE, create, records, subscribe};
use crate::support::{
    TestProxy,
    stream::{Socket, streaming},
};

fn cancelling() -> Policy {
    Policy {
        allow_methods: ["private/set-cancel-on-disconnect".into()].into(),
        ..Policy::default()
    }
}

#[tokio::test]
async fn heartbeats_go_to_the_client_and_its_answers_back() {
    let proxy = TestProxy::builder()
        .streams(Policy::default())
        .exchange(|settings| settings.heartbeat_answer_ms = 400)
        .start()
        .await;
    let (mut alive, mut dead) = (Socket::bot(&proxy).await, Socket::bot(&proxy).await);
    proxy.exchange().send_heartbeats();
    let asked = alive.next().await;
    assert_eq!(asked["method"], "public/heartbeat");
    alive
        .send(json!({ "id": asked["id"], "method": "public/respond-heartbeat" }))
        .await;
    proxy
        .exchange()
        .wait_received("public/respond-heartbeat", 1)
        .await;
    assert_eq!(
        dead.close_code().await,
        1000,
        "we do not answer for a client that does not"
    );
    assert_eq!(alive.ask(create(5, "alive")).await["code"], 0);
}

#[tokio::test]
async fn the_code_of_the_exchange_is_passed_on_and_commands_without_an_answer_are_told_before() {
    let proxy = streaming(|_| {}).await;
    let mut socket = Socket::bot(&proxy).await;
    proxy.exchange().script(CREATE, Fault::hang_after());
    socket.send(create(7, "where")).await;
    proxy.exchange().wait_executed(CREATE, 1).await;
    proxy.exchange().close_streams(1013, "restarting");
    let told = socket.next().await;
    assert_eq!(
        (&told["id"], &told["code"], &told["outcome"]),
        (&json!(7), &json!(40801), &json!("unknown"))
    );
    assert_eq!(socket.end().await, Some((1013, "restarting".to_owned())));
    assert_eq!(
        records(&proxy, &["client_oid=where", "outcome=unknown why=closed"]).len(),
        1
    );
    proxy
        .wait_line(&["event=stream what=closed", "by=exchange close_code=1013"])
        .await;
}

#[tokio::test]
async fn a_connection_to_the_exchange_that_is_cut_is_1011_for_the_client() {
    let proxy = streaming(|_| {}).await;
    let mut socket = Socket::bot(&proxy).await;
    proxy.exchange().cut_streams();
    assert_eq!(socket.close_code().await, 1011);
}

#[tokio::test]
async fn a_client_that_is_gone_takes_its_upstream_socket_and_its_orders_with_it() {
    let proxy = TestProxy::builder().streams(cancelling()).start().await;
    let (mut gone, mut stays) = (Socket::bot(&proxy).await, Socket::bot(&proxy).await);
    let set = json!({ "id": 5, "method": "private/set-cancel-on-disconnect", "params": { "scope": "CONNECTION" } });
    assert_eq!(gone.ask(set.clone()).await["code"], 0);
    assert_eq!(stays.ask(set).await["code"], 0);
    gone.ask(create(6, "gone")).await;
    stays.ask(create(6, "stays")).await;
    proxy.exchange().script(CREATE, Fault::hang_after());
    gone.send(create(7, "in-doubt")).await;
    proxy.exchange().wait_executed(CREATE, 3).await;
    assert_eq!(stays.ask(subscribe(&["user.order"])).await["code"], 0);
    let snapshot = stays.next().await;
    assert_eq!(snapshot["result"]["data"].as_array().unwrap().len(), 3);
    drop(gone);
    for _ in 0..2 {
        assert_eq!(
            stays.next().await["result"]["data"][0]["status"],
            "CANCELED"
        );
    }
    let status = |name: &str| proxy.exchange().order(name).unwrap()["status"].clone();
    assert_eq!(
        [status("gone"), status("in-doubt"), status("stays")],
        ["CANCELED", "CANCELED", "ACTIVE"]
    );
    proxy
        .wait_line(&["event=call FAIL", "client_oid=in-doubt"])
        .await;
    assert_eq!(
        records(
            &proxy,
            &["client_oid=in-doubt", "outcome=unknown why=caller_gone"]
        )
        .len(),
        1
    );
    assert_eq!(proxy.exchange().streams().len(), 1);
}

#[tokio::test]
async fn a_client_that_closes_is_answered_and_its_upstream_socket_closed() {
    let proxy = streaming(|_| {}).await;
    let mut socket = Socket::bot(&proxy).await;
    let frame = CloseFrame {
        code: CloseCode::Away,
        reason: "bye".into(),
    };
    socket
        .stream
        .send(Message::Close(Some(frame)))
        .await
        .unwrap();
    assert_eq!(socket.close_code().await, 1001);
    proxy.exchange().wait_streams(<[_]>::is_empty).await;
    proxy
        .wait_line(&["event=stream what=closed", "by=client close_code=1001"])
        .await;
}

#[tokio::test]
async fn a_client_that_leaves_while_its_way_is_opened_leaves_nothing_behind() {
    let proxy = streaming(|plan| plan.streams.settle = Duration::from_secs(60)).await;
    let mut socket = Socket::open(&proxy, "user").await;
    socket
        .send(crate::support::stream::login(
            crate::support::stream::KEY,
            1,
            crate::support::stream::now_ms(),
        ))
        .await;
    proxy.exchange().wait_streams(|open| open.len() == 1).await;
    drop(socket);
    proxy.exchange().wait_streams(<[_]>::is_empty).await;
    proxy
        .wait_line(&["event=call FAIL", "method=public/auth", "outcome=not_sent"])
        .await;
    assert_eq!(proxy.exchange().count("public/auth"), 0);
}

#[tokio::test]
async fn a_stop_lets_commands_end_refuses_new_ones_and_then_says_1012() {
    let proxy = streaming(|_| {}).await;
    let (mut busy, mut idle) = (Socket::bot(&proxy).await, Socket::bot(&proxy).await);
    let mut stranger = Socket::open(&proxy, "user").await;
    let mut market = Socket::open(&proxy, "market").await;
    proxy.exchange().wait_streams(|open| open.len() == 3).await;
    proxy
        .exchange()
        .script(CREATE, Fault::delay(Duration::from_millis(500)));
    busy.send(create(7, "under-way")).await;
    proxy.exchange().wait_received(CREATE, 1).await;
    proxy.stop.cancel();
    assert_eq!(idle.close_code().await, 1012);
    assert_eq!(stranger.close_code().await, 1012);
    assert_eq!(market.close_code().await, 1012);
    let refused = busy.ask(create(8, "too-late")).await;
    assert_eq!(
        (&refused["id"], &refused["code"], &refused["outcome"]),
        (&json!(8), &json!(42901), &json!("refused"))
    );
    let answered = busy.next().await;
    assert_eq!((&answered["id"], &answered["code"]), (&json!(7), &json!(0)));
    assert_eq!(busy.close_code().await, 1012);
    let exchange = proxy.exchange().clone();
    assert_eq!(
        records(&proxy, &["client_oid=under-way", "outcome=answered"]).len(),
        1
    );
    let (drained, _) = proxy.stop().await;
    assert_eq!((drained, exchange.orders_placed()), (Drained::Clean, 1));
}

#[tokio::test]
async fn a_stop_with_a_command_that_is_never_answered_counts_it() {
    let proxy = streaming(|plan| plan.server.drain_deadline = Duration::from_millis(300)).await;
    let mut socket = Socket::bot(&proxy).await;
    proxy.exchange().script(CREATE, Fault::hang_after());
    socket.send(create(7, "left")).await;
    proxy.exchange().wait_executed(CREATE, 1).await;
    assert_eq!(proxy.stop().await.0, Drained::Left(1));
}

#[tokio::test]
async fn the_reason_of_the_exchange_holds_no_secret_of_ours() {
    let proxy = streaming(|_| {}).await;
    let mut socket = Socket::bot(&proxy).await;
    let (key, secret) = (&proxy.canaries.key, &proxy.canaries.secret);
    proxy
        .exchange()
        .close_streams(1008, &format!("{key} {secret}"));
    let (code, reason) = socket.end().await.unwrap();
    assert!(
        code == 1008 && reason.bytes().all(|byte| matches!(byte, b'*' | b' ')),
        "{code}"
    );
    proxy
        .wait_line(&[
            "event=stream what=closed",
            "by=exchange close_code=1008",
            "****",
        ])
        .await;
    proxy.scan_lines();
}

#[tokio::test]
async fn a_client_that_breaks_the_rules_is_told_of_its_commands_before_the_end() {
    let long = Message::text("x".repeat((64 << 10) + 1));
    let not_utf8 = Message::Frame(Frame::message(vec![0xff], OpCode::Data(Data::Text), true));
    for (code, broken) in [
        (1007, Message::binary(vec![0xff])),
        (1009, long),
        (1007, not_utf8),
    ] {
        let proxy = streaming(|_| {}).await;
        let mut socket = Socket::bot(&proxy).await;
        proxy.exchange().script(CREATE, Fault::hang_after());
        socket.send(create(7, "where")).await;
        proxy.exchange().wait_executed(CREATE, 1).await;
        let _ = socket.stream.send(broken).await;
        let told = socket.next().await;
        assert_eq!(
            (&told["id"], &told["code"], &told["client_oid"]),
            (&json!(7), &json!(40801), &json!("where"))
        );
        assert_eq!(socket.close_code().await, code);
        assert_eq!(
            records(&proxy, &["client_oid=where", "outcome=unknown"]).len(),
            1
        );
    }
}
