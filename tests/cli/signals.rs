//! Signals with an order under way.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{CREATE, Served, Starting, records};

/// What systemd gives it (`TimeoutStopSec`), less the time that a busy machine may take.
const STOP_LIMIT: Duration = Duration::from_secs(20);

// Fault 70, G6.
#[tokio::test]
async fn sigterm_with_an_order_under_way_lets_the_caller_have_its_answer_and_exits_0() {
    let served = Served::start().await;
    let call = served.order_under_way("term-1").await;
    let told = Instant::now();
    served.process.signal(Signal::TERM);
    served
        .process
        .written
        .wait(&["stopping", "in_flight=1"])
        .await;
    served.exchange().release();
    let (status, answer) = call.await.unwrap().expect("an answer");
    assert_eq!(
        (status, &answer["body"]["code"]),
        (200, &json!(0)),
        "{answer}"
    );
    let (status, lines) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    assert!(told.elapsed() < STOP_LIMIT);
    let records: Vec<_> = records(&lines).collect();
    assert!(
        records[0].contains("event=call OK") && records[0].contains("client_oid=term-1"),
        "{records:?}"
    );
}

// Fault 71, the drain deadline; the shortest settings that the loader takes.
#[tokio::test]
async fn an_order_that_reaches_its_deadline_during_the_drain_is_unknown_and_the_exit_is_clean() {
    let starting = Starting::new()
        .await
        .env("CRYPTO_PROXY__CALLS__DEADLINE_MS", "900");
    let served = starting.env("CRYPTO_PROXY__UPSTREAM__CONNECT_DEADLINE_MS", "300");
    let served = served
        .env("CRYPTO_PROXY__LISTENER__DRAIN_DEADLINE_MS", "1000")
        .serve()
        .await;
    let call = served.order_under_way("drain-1").await;
    served.process.signal(Signal::TERM);
    let (status, answer) = call
        .await
        .unwrap()
        .expect("the deadline of the call comes first");
    assert_eq!(
        (status, &answer["body"]["outcome"]),
        (504, &json!("unknown")),
        "{answer}"
    );
    assert_eq!(answer["body"]["client_oid"], "drain-1");
    let (status, lines) = served.ended().await;
    assert_eq!(
        status.code(),
        Some(0),
        "every call was finished, if not well: {lines:#?}"
    );
}

// Fault 71, the second signal.
#[tokio::test]
async fn a_second_sigterm_ends_it_at_once_and_the_open_order_is_recorded_as_unknown() {
    let served = Served::start().await;
    let call = served.order_under_way("twice-1").await;
    served.process.signal(Signal::TERM);
    served
        .process
        .written
        .wait(&["stopping", "in_flight=1"])
        .await;
    let told = Instant::now();
    served.process.signal(Signal::TERM);
    let (status, lines) = served.ended().await;
    assert!(
        told.elapsed() < Duration::from_secs(5),
        "{:?}",
        told.elapsed()
    );
    assert_eq!(status.code(), Some(1), "{lines:#?}");
    assert!(
        call.await.unwrap().is_err(),
        "the caller is told nothing, least of all that it was not sent"
    );
    let records: Vec<_> = records(&lines).collect();
    assert_eq!(records.len(), 1, "{lines:#?}");
    assert!(
        records[0].contains("outcome=unknown why=abandoned client_oid=twice-1"),
        "{}",
        records[0]
    );
}

// Fault 73, as long as nothing is reloaded.
#[tokio::test]
async fn sighup_says_that_a_restart_is_needed_and_ends_nothing() {
    let served = Served::start().await;
    let call = served.order_under_way("hup-1").await;
    served.process.signal(Signal::HUP);
    served.process.written.wait(&["restart needed"]).await;
    assert_eq!(served.health().await, 200);
    served.exchange().release();
    assert_eq!(call.await.unwrap().expect("an answer").0, 200);
    served.process.signal(Signal::TERM);
    assert_eq!(served.ended().await.0.code(), Some(0));
}

// Fault 72.
#[tokio::test]
async fn after_kill_9_nothing_claims_that_the_order_was_not_sent() {
    let served = Served::start().await;
    let call = served.order_under_way("kill-1").await;
    served.process.signal(Signal::KILL);
    assert!(call.await.unwrap().is_err(), "no answer");
    assert_eq!(served.exchange().executed(CREATE), 1, "it was executed");
    let (status, lines) = served.ended().await;
    assert_eq!(status.code(), None, "ended by the signal");
    assert_eq!(records(&lines).count(), 0, "{lines:#?}");
    assert!(
        !lines
            .iter()
            .any(|line| line.contains("not_sent") || line.contains("refused")),
        "{lines:#?}"
    );
}
