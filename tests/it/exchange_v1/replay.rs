//! A captured request is worth nothing: not within a run, not after a crash, not when it is old.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use gateway::{clock::Clock, policy::Preset};
use tempfile::TempDir;

use crate::support::{
    TestProxy, as_left_by_a_crash, client,
    contract::{ORDER, READ},
    signing::{Pair, Unsigned, told},
};

const NOW: u64 = 1_790_000_000_000;

async fn at(cell: &Arc<AtomicU64>, directory: Option<&TempDir>) -> TestProxy {
    with_clock(Clock::set_by(Arc::clone(cell)), directory).await
}

async fn with_clock(clock: Clock, directory: Option<&TempDir>) -> TestProxy {
    let state_dir = directory.map(|directory| directory.path().to_owned());
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

/// Whoever is somewhere else.
fn other_peer() -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy();
    let from = client.local_address(Some([127, 0, 0, 2].into()));
    from.build().unwrap()
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
        assert_eq!((status, code), (400, 40006), "no authentication failure");
        for says in ["seen before", "was not sent", "what happened to the first"] {
            assert!(message.contains(says), "{message}");
        }
    }
    assert_eq!(proxy.exchange().count(ORDER), 1);
    // From where the first came, each is a call of its caller; from elsewhere it is nobody's in particular.
    let refused = |line: &&String| line.contains(" outcome=refused why=repeated ");
    assert_eq!(proxy.texts().iter().filter(refused).count(), 3);
    let elsewhere = other_peer().post(proxy.url(&format!("/exchange/v1/{ORDER}")));
    let elsewhere = elsewhere.header("content-type", "application/json");
    let answer = proxy.ask(elsewhere.body(body)).await;
    assert_eq!((answer.status, told(&answer).1), (400, 40006));
    assert_eq!(proxy.told_refusals("status=400 why=repeated"), 1);
    let named = proxy.texts();
    assert!(
        named
            .iter()
            .any(|line| line.ends_with("from=127.0.0.2 caller=trader")),
        "{named:?}"
    );
}

#[tokio::test]
async fn a_read_that_two_programs_of_one_key_sign_alike_is_served_to_both() {
    let cell = Arc::new(AtomicU64::new(NOW));
    let (proxy, pair) = (at(&cell, None).await, Pair::of("trader"));
    let call = Unsigned::new(READ, "{}").at(NOW + 1);
    let (first, second) = tokio::join!(proxy.signed(&pair, &call), proxy.signed(&pair, &call));
    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!(proxy.exchange().count(READ), 2, "each with its own nonce");
    // Different reads of one millisecond were never alike.
    let of = |id: &str, method: &str| Unsigned {
        id: id.to_owned(),
        ..Unsigned::new(method, "{}").at(NOW + 2)
    };
    let (orders, balance) = (of("7", "private/get-open-orders"), of("7", READ));
    let (orders, balance) =
        tokio::join!(proxy.signed(&pair, &orders), proxy.signed(&pair, &balance));
    assert_eq!((orders.status, balance.status), (200, 200));
    cell.store(NOW + 60_002, Ordering::Relaxed);
    let late = proxy.post_exchange(READ, call.body(&pair)).await;
    assert_eq!(
        (late.status, told(&late).1),
        (400, 40102),
        "outside the window"
    );
}

#[tokio::test]
async fn a_read_again_is_refused_from_elsewhere_and_in_another_form() {
    let cell = Arc::new(AtomicU64::new(NOW));
    let (proxy, pair) = (at(&cell, None).await, Pair::of("trader"));
    let method = "private/get-order-history";
    let call = Unsigned::new(method, r#"{"limit":"1","page_size":"23"}"#).at(NOW + 1);
    assert_eq!(proxy.signed(&pair, &call).await.status, 200);
    let elsewhere = other_peer()
        .post(proxy.url(&format!("/exchange/v1/{method}")))
        .header("content-type", "application/json");
    let elsewhere = proxy.ask(elsewhere.body(call.body(&pair))).await;
    // The same text to sign, cut elsewhere: another read, which nobody signed.
    let cut = call.body(&pair).replace(
        r#"{"limit":"1","page_size":"23"}"#,
        r#"{"limit":"1page_size23"}"#,
    );
    let cut = proxy.post_exchange(method, cut).await;
    for answer in [&elsewhere, &cut] {
        let (status, code, message) = told(answer);
        assert_eq!((status, code), (400, 40102), "{message}");
        assert!(message.contains("sign anew"), "{message}");
    }
    assert_eq!(proxy.told_refusals("status=400 why=replayed"), 2);
    assert_eq!(proxy.exchange().count(method), 1);
    assert_eq!(
        proxy.signed(&pair, &call).await.status,
        200,
        "still its own"
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
    let directory = as_left_by_a_crash(directory.path());
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
async fn a_first_start_with_a_clock_an_hour_fast_locks_nobody_out_once_it_is_right() {
    let fast = NOW + 3_600_000;
    let (directory, pair) = (TempDir::new().unwrap(), Pair::of("trader"));
    let (wall, passed) = (Arc::new(AtomicU64::new(fast)), Arc::new(AtomicU64::new(0)));
    let clock = Clock::stepped_by(Arc::clone(&wall), Arc::clone(&passed));
    let proxy = with_clock(clock, Some(&directory)).await;
    let early = Unsigned::new(READ, "{}").at(fast + 1);
    // The exchange, whose clock is right, refuses it: admitted it was all the same.
    proxy.post_exchange(READ, early.body(&pair)).await;
    assert_eq!(proxy.upstream_requests(), 1);
    wall.store(NOW, Ordering::Relaxed);
    let call = order(NOW + 1);
    let answer = proxy.post_exchange(ORDER, call.body(&pair)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    proxy
        .wait_line(&["the clock stepped back by 3600 s", "rotate them"])
        .await;
    let ready = proxy.send(client().get(proxy.url("/ready"))).await;
    assert!(
        !ready.text().contains("signed requests"),
        "{}",
        ready.text()
    );
    let answer = proxy.post_exchange(ORDER, call.body(&pair)).await;
    assert_eq!((answer.status, told(&answer).1), (400, 40006));
    // The read is remembered over the step: the same peer may repeat it, which changes nothing.
    wall.store(fast, Ordering::Relaxed);
    proxy.post_exchange(READ, early.body(&pair)).await;
    assert_eq!(proxy.upstream_requests(), 3);
    assert_eq!(proxy.exchange().count(ORDER), 1);
}

#[tokio::test]
async fn ready_says_for_how_long_signed_requests_are_refused_after_a_mark_that_lies_ahead() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("replay.json"), "nonsense").unwrap();
    let cell = Arc::new(AtomicU64::new(NOW));
    let proxy = at(&cell, Some(&directory)).await;
    for (now_ms, said) in [(NOW, true), (NOW + 60_001, false)] {
        cell.store(now_ms, Ordering::Relaxed);
        let ready = proxy.send(client().get(proxy.url("/ready"))).await;
        let text = ready.text();
        assert_eq!(
            (
                ready.status,
                text.contains("signed requests are refused for 60 s more")
            ),
            (200, said),
            "{text}"
        );
    }
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
