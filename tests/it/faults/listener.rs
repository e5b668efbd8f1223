//! More connections than the listener has places, and connections that bring no request.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::sync::Notify;

use super::{in_front_of, place};
use crate::support::{
    TestProxy, client,
    downstream::Downstream,
    wire::{Script, Step, Wire, reply},
};

/// The listener's reserve for `/health`, from `daemon::server`.
const RESERVE: usize = 32;
const FIRST_REQUEST: Duration = Duration::from_millis(1500);

async fn idle(proxy: &TestProxy, count: usize) -> Vec<Downstream> {
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        all.push(Downstream::connect(proxy).await);
    }
    all
}

async fn health(proxy: &TestProxy) -> u16 {
    proxy.send(client().get(proxy.url("/health"))).await.status
}

#[tokio::test]
async fn fault_55_a_thousand_idle_and_slow_connections_are_closed_in_time_while_health_answers() {
    raise_descriptors();
    let proxy = TestProxy::builder()
        .plan(|plan| plan.server.first_request_deadline = FIRST_REQUEST)
        .start()
        .await;
    let started = Instant::now();
    let mut all = idle(&proxy, 1000).await;
    for (number, connection) in all.iter_mut().enumerate() {
        // Half of them have begun a head and will never end it.
        if number % 2 == 0 {
            connection
                .write("POST /proxy/private HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
                .await;
        }
    }
    assert_eq!(
        health(&proxy).await,
        200,
        "while a thousand connections wait"
    );
    assert_eq!(
        proxy.call("private/user-balance", json!({})).await.status,
        200
    );
    for connection in &mut all {
        assert!(connection.read_to_close().await.is_empty());
    }
    let took = started.elapsed();
    assert!(
        (FIRST_REQUEST..FIRST_REQUEST * 6).contains(&took),
        "{took:?}"
    );
}

#[tokio::test]
async fn fault_55_a_head_that_comes_byte_by_byte_is_given_up_at_the_same_deadline() {
    let deadline = Duration::from_millis(300);
    let proxy = TestProxy::builder()
        .plan(move |plan| plan.server.first_request_deadline = deadline)
        .start()
        .await;
    let mut slow = Downstream::connect(&proxy).await;
    let started = Instant::now();
    let mut ticks = tokio::time::interval(deadline / 20);
    // The pace of the caller; the loop ends because the proxy closes.
    let written = async {
        loop {
            ticks.tick().await;
            if tokio::io::AsyncWriteExt::write_all(&mut slow.stream, b"x")
                .await
                .is_err()
            {
                return;
            }
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, written)
        .await
        .expect("closed");
    assert!(
        (deadline..deadline * 6).contains(&started.elapsed()),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn fault_55_a_kept_connection_that_idles_is_closed_at_the_idle_deadline() {
    let proxy = TestProxy::builder()
        .plan(|plan| plan.server.idle_deadline = Duration::from_millis(300))
        .start()
        .await;
    let mut kept = Downstream::connect(&proxy).await;
    let started = Instant::now();
    kept.write(&proxy.request("private/user-balance", &serde_json::json!({})))
        .await;
    let answer = kept.answer().await;
    assert_eq!(answer.status, 200);
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn beyond_the_limit_a_connection_gets_an_honest_503_and_health_is_answered() {
    let release = Arc::new(Notify::new());
    let steps = [
        Step::Request,
        Step::Await(Arc::clone(&release)),
        Step::Write(reply::good()),
    ];
    let wire = Wire::start([Script::plain(steps)]).await;
    let proxy = Arc::new(
        in_front_of(&wire)
            .plan(|plan| plan.server.max_connections = 1)
            .start()
            .await,
    );
    let call = place(&proxy);
    let others = async {
        wire.have_come(1).await;
        for _ in 0..5 {
            let answer = client()
                .post(proxy.url("/proxy/private"))
                .body("{}")
                .send()
                .await
                .expect("an answer");
            assert_eq!(
                (
                    answer.status().as_u16(),
                    &answer.headers()["x-proxy-outcome"]
                ),
                (503, &"refused".parse().unwrap())
            );
            assert_eq!(
                (
                    &answer.headers()["retry-after"],
                    &answer.headers()["connection"]
                ),
                (&"1".parse().unwrap(), &"close".parse().unwrap())
            );
            assert_eq!(
                client()
                    .get(proxy.url("/health"))
                    .send()
                    .await
                    .expect("an answer")
                    .status(),
                200
            );
        }
        release.notify_one();
    };
    let (answered, ()) = tokio::join!(call, others);
    assert_eq!(answered.outcome(), "answered");
    assert_eq!(wire.begun(), 1);
}

#[tokio::test]
async fn beyond_even_the_reserve_every_connection_gets_an_honest_503() {
    let proxy = TestProxy::builder()
        .plan(|plan| plan.server.max_connections = 1)
        .start()
        .await;
    let held = idle(&proxy, 1 + RESERVE).await;
    for _ in 0..100 {
        let body = format!(
            r#"{{"method":"private/user-balance","pad":"{}"}}"#,
            "x".repeat(100_000)
        );
        let answer = client()
            .post(proxy.url("/proxy/private"))
            .body(body)
            .send()
            .await
            .expect("an honest 503");
        assert_eq!(
            (
                answer.status().as_u16(),
                &answer.headers()["x-proxy-outcome"]
            ),
            (503, &"refused".parse().unwrap())
        );
        assert_eq!(
            answer.text().await.expect("a body"),
            r#"{"detail":"too many connections"}"#
        );
    }
    assert_eq!(proxy.exchange().total().received, 0);
    drop(held);
}

#[tokio::test]
async fn a_reserve_full_of_silent_connections_is_soon_free_for_health_again() {
    let proxy = TestProxy::builder()
        .plan(|plan| plan.server.max_connections = 1)
        .start()
        .await;
    let mut held = idle(&proxy, 1 + RESERVE).await;
    // Long before the first place is given up: its deadline is 10 s.
    let started = Instant::now();
    assert!(held[RESERVE].read_to_close().await.is_empty());
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(health(&proxy).await, 200);
}

/// A thousand connections have two thousand ends in this process.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(8192, |maximum| maximum.min(8192));
    if limit.current.is_some_and(|current| current < wanted) {
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(wanted),
                maximum: limit.maximum,
            },
        )
        .expect("a higher limit");
    }
}
