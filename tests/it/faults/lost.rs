//! The connection is lost, or silent, while a call is on it.

use std::sync::Arc;

use tokio::sync::Notify;

use super::{
    DEADLINE, LOST, TIMED_OUT, assert_told, huge_order, hurried, in_front_of, met, recovers,
};
use crate::support::wire::{Script, Step, Wire, reply};

#[tokio::test]
async fn fault_15_reset_after_the_whole_request_is_unknown_and_sent_once() {
    met([Step::Request, Step::Reset], LOST).await;
}

#[tokio::test]
async fn fault_16_reset_after_half_of_the_request_is_unknown_and_sent_once() {
    met([Step::Head, Step::Reset], LOST).await;
    met([Step::Bytes(40), Step::Reset], LOST).await;
}

#[tokio::test]
async fn fault_17_a_peer_that_never_reads_makes_an_order_unknown_at_the_deadline() {
    let shut = Arc::new(Notify::new());
    let good = Script::plain([Step::Request, Step::Write(reply::good())]);
    let wire = Wire::start_narrow([Script::plain([Step::Await(Arc::clone(&shut))]), good]).await;
    let proxy = in_front_of(&wire).plan(|plan| {
        plan.http.max_body_bytes = 32 << 20;
        plan.gateway.deadline = DEADLINE * 4;
    });
    let proxy = proxy.start().await;
    let answer = proxy.call("private/create-order", huge_order()).await;
    assert_told(&proxy, &answer, TIMED_OUT);
    assert_eq!(wire.connections(), 1);
    recovers(&proxy, &wire).await;
    shut.notify_one();
    wire.ended(0).await;
    // hyper flushes what it has begun before it closes, so a peer that wakes up may read the rest; never a second one.
    assert_eq!(wire.received()[0].begun(), 1);
}

#[tokio::test]
async fn fault_17_a_small_order_waits_whole_in_the_kernel_of_a_peer_that_reads_late() {
    let shut = Arc::new(Notify::new());
    let good = Script::plain([Step::Request, Step::Write(reply::good())]);
    let wire = Wire::start([Script::plain([Step::Await(Arc::clone(&shut))]), good]).await;
    let proxy = hurried(&wire).start().await;
    let answer = super::place(&proxy).await;
    assert_told(&proxy, &answer, TIMED_OUT);
    recovers(&proxy, &wire).await;
    shut.notify_one();
    wire.ended(0).await;
    assert_eq!(
        wire.received()[0].requests.len(),
        1,
        "it was there all the time: unknown was the truth"
    );
}

#[tokio::test]
async fn fault_18_a_peer_that_never_answers_makes_an_order_unknown_and_the_connection_is_dropped() {
    let wire = Wire::start([Script::plain([Step::Request])]).await;
    let proxy = hurried(&wire).start().await;
    let answer = super::place(&proxy).await;
    assert_told(&proxy, &answer, TIMED_OUT);
    assert_eq!(answer.inner()["error"], "Crypto.com API timeout");
    // The script reads on: it ends only because the proxy closes.
    wire.ended(0).await;
    assert_eq!(wire.requests().len(), 1);
    let rid = answer.header("x-request-id").unwrap();
    let total = proxy.records_of(&rid)[0]
        .field("CRYPTO_TOTAL_MS")
        .unwrap()
        .parse::<u128>()
        .unwrap();
    assert!(total >= DEADLINE.as_millis(), "{total}");
}
