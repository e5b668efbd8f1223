//! More connections than the listener has places, and connections that bring no request.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{io::AsyncWriteExt, sync::Notify};

use super::{in_front_of, place};
use crate::support::{
    TestProxy, client,
    connection::raise_descriptors,
    downstream::Downstream,
    wire::{Script, Step, Wire, reply},
};

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
            // Most were closed already: strangers have a quarter of the places.
            let half = b"POST /proxy/private HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ";
            let _ = connection.stream.write_all(half).await;
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
        assert!(connection.whatever_comes().await.1.is_empty());
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
            if AsyncWriteExt::write_all(&mut slow.stream, b"x")
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
async fn a_call_under_way_is_answered_however_many_strangers_come() {
    let release = Arc::new(Notify::new());
    let steps = [
        Step::Request,
        Step::Await(Arc::clone(&release)),
        Step::Write(reply::good()),
    ];
    let wire = Wire::start([Script::plain(steps)]).await;
    let proxy = Arc::new(
        in_front_of(&wire)
            .plan(|plan| plan.server.max_connections = 8)
            .start()
            .await,
    );
    let call = place(&proxy);
    let others = async {
        wire.have_come(1).await;
        let held = idle(&proxy, 50).await;
        for _ in 0..5 {
            assert_eq!(health(&proxy).await, 200);
        }
        release.notify_one();
        drop(held);
    };
    let (answered, ()) = tokio::join!(call, others);
    assert_eq!(answered.outcome(), "answered");
    assert_eq!(wire.begun(), 1);
}
