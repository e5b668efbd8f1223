//! A captured request is worth nothing: not within a run, not after a crash, not when it is old.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use gateway::{clock::Clock, policy::Preset};
use tempfile::TempDir;

use crate::support::{
    TestProxy, client,
    contract::{ORDER, READ},
    signing::{Pair, Unsigned, told},
};

const NOW: u64 = 1_790_000_000_000;

async fn at(cell: &Arc<AtomicU64>, directory: Option<&TempDir>) -> TestProxy {
    let (clock, state_dir) = (
        Clock::set_by(Arc::clone(cell)),
        directory.map(|directory| directory.path().to_owned()),
    );
    let builder = TestProxy::builder()
        .caller("trader", Preset::Trade)
        .plan(move |plan| {
            plan.clock = clock;
            plan.state_dir = state_dir;
            plan.history.enabled = false;
        });
    // The stand-in's clock is the system's.
    builder
        .exchange(|settings| settings.clock_offset_ms = i64::try_from(NOW).unwrap() - system_ms())
        .start()
        .await
}

fn system_ms() -> i64 {
    i64::try_from(Clock::system().now_ms()).unwrap()
}

fn order(nonce: u64) -> Unsigned {
    let params =
        r#"{"instrument_name":"BTC_USD","side":"BUY","type":"LIMIT","price":"1","quantity":"1"}"#;
    Unsigned::new(ORDER, params).at(nonce)
}

#[tokio::test]
async fn a_request_counts_once_in_whatever_case_its_signature_is_written() {
    let cell = Arc::new(AtomicU64::new(NOW));
    let (proxy, pair) = (at(&cell, None).await, Pair::of("trader"));
    let call = order(NOW + 1);
    assert_eq!(proxy.signed(&pair, &call).await.status, 200);
    let (body, sig) = (call.body(&pair), call.sig(&pair));
    for again in [
        body.clone(),
        body.replace(&sig, &sig.to_uppercase()),
        body.replace(",\"", " , \""),
    ] {
        let answer = proxy.post_exchange(ORDER, again).await;
        let (status, code, message) = told(&answer);
        assert_eq!((status, code), (401, 40101));
        assert!(message.contains("seen before"), "{message}");
    }
    assert_eq!(
        (
            proxy.exchange().count(ORDER),
            proxy.told_refusals("status=401 why=replayed")
        ),
        (1, 3)
    );
}

#[tokio::test]
async fn requests_may_come_out_of_order_and_a_minute_apart_and_not_a_second_more() {
    let cell = Arc::new(AtomicU64::new(NOW - 60_000));
    let (proxy, pair) = (at(&cell, None).await, Pair::of("trader"));
    cell.store(NOW, Ordering::Relaxed);
    for nonce in [NOW + 60_000, NOW - 60_000, NOW + 5, NOW + 1] {
        assert_eq!(
            proxy
                .signed(&pair, &Unsigned::new(READ, "{}").at(nonce))
                .await
                .status,
            200,
            "{nonce}"
        );
    }
    for nonce in [NOW - 61_000, NOW + 61_000, NOW - 60_001, 17] {
        let answer = proxy
            .post_exchange(READ, Unsigned::new(READ, "{}").at(nonce).body(&pair))
            .await;
        assert_eq!((answer.status, told(&answer).1), (400, 40102), "{nonce}");
    }
    assert_eq!(
        (
            proxy.exchange().count(READ),
            proxy.told_refusals("status=400 why=nonce")
        ),
        (4, 4)
    );
}

#[tokio::test]
async fn nonces_from_before_the_start_are_refused_where_nothing_is_remembered() {
    let cell = Arc::new(AtomicU64::new(NOW));
    let (proxy, pair) = (at(&cell, None).await, Pair::of("trader"));
    let answer = proxy
        .post_exchange(READ, Unsigned::new(READ, "{}").at(NOW - 1).body(&pair))
        .await;
    assert_eq!((answer.status, told(&answer).1), (400, 40102));
    proxy
        .wait_line(&[
            "no state directory",
            "nonces from before the start are refused",
        ])
        .await;
}

#[tokio::test]
async fn a_captured_request_is_refused_after_a_crash_and_after_an_orderly_end() {
    let (directory, pair) = (TempDir::new().unwrap(), Pair::of("trader"));
    let cell = Arc::new(AtomicU64::new(NOW));
    let captured = order(NOW + 1);
    let first = at(&cell, Some(&directory)).await;
    assert_eq!(first.signed(&pair, &captured).await.status, 200);
    // As a crash: nothing is closed, nothing is written.
    first.task.abort();
    cell.store(NOW + 100, Ordering::Relaxed);
    let second = at(&cell, Some(&directory)).await;
    let answer = second.post_exchange(ORDER, captured.body(&pair)).await;
    assert_eq!(
        (answer.status, told(&answer).1),
        (400, 40102),
        "{}",
        answer.text()
    );
    assert_eq!(second.told_refusals("status=400 why=before_start"), 1);
    // Some seconds were written ahead; the clock passes them.
    cell.store(NOW + 10_000, Ordering::Relaxed);
    let later = order(NOW + 10_001);
    assert_eq!(second.signed(&pair, &later).await.status, 200);
    second.stop().await;
    let third = at(&cell, Some(&directory)).await;
    for old in [&captured, &later] {
        let answer = third.post_exchange(ORDER, old.body(&pair)).await;
        assert_eq!(
            (answer.status, told(&answer).1),
            (400, 40102),
            "{}",
            answer.text()
        );
    }
    assert_eq!(third.exchange().count(ORDER), 0);
    assert_eq!(
        third.signed(&pair, &order(NOW + 10_002)).await.status,
        200,
        "nobody waits after an orderly end"
    );
}

#[tokio::test]
async fn a_disk_that_takes_no_mark_refuses_signed_requests_and_leaves_tokens_alone() {
    let directory = TempDir::new().unwrap();
    let cell = Arc::new(AtomicU64::new(NOW));
    let path = directory.path().join("gone");
    let clock = Clock::set_by(Arc::clone(&cell));
    let builder = TestProxy::builder().caller("trader", Preset::Trade);
    let proxy = builder.plan(move |plan| {
        plan.clock = clock;
        plan.state_dir = Some(path);
        plan.history.enabled = false;
    });
    let proxy = proxy.start().await;
    let answer = proxy
        .post_exchange(
            READ,
            Unsigned::new(READ, "{}")
                .at(NOW + 1)
                .body(&Pair::of("trader")),
        )
        .await;
    assert_eq!((answer.status, told(&answer).1), (503, 9_010_001));
    assert_eq!(proxy.told_refusals("status=503 why=replay_mark"), 1);
    proxy
        .wait_line(&["cannot be written", "they are refused until it can"])
        .await;
    assert_eq!(proxy.upstream_requests(), 0);
    let ready = proxy.send(client().get(proxy.url("/ready"))).await;
    assert_eq!(ready.status, 503, "{}", ready.text());
    assert!(ready.text().contains("signed requests are refused"));
    proxy.call_text(READ, "{}").await;
    assert_eq!(proxy.upstream_requests(), 1);
}

// The mark is waited for; a connection that was closed meanwhile had used its signature up, and left no word.
#[tokio::test]
async fn a_signed_call_that_waits_for_the_disk_keeps_its_place_whoever_comes() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("gone");
    let builder = TestProxy::builder().caller("trader", Preset::Trade);
    let proxy = builder.plan(move |plan| {
        plan.state_dir = Some(path);
        plan.history.enabled = false;
        plan.server.max_connections = 8;
    });
    let proxy = proxy.start().await;
    let body = Unsigned::new(READ, "{}")
        .at(Clock::system().now_ms())
        .body(&Pair::of("trader"));
    let mut waiting = proxy.connect().await;
    waiting
        .write(&format!(
            "POST /exchange/v1/{READ} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    // Answered behind it: so it was read, and waits.
    proxy.send(client().get(proxy.url("/health"))).await;
    let answer = tokio::select! {
        answer = waiting.answer() => answer,
        () = async {
            loop {
                drop(proxy.connect().await);
                tokio::task::yield_now().await;
            }
        } => unreachable!(),
    };
    assert_eq!((answer.status, told(&answer).1), (503, 9_010_001));
    assert_eq!(proxy.upstream_requests(), 0);
}
