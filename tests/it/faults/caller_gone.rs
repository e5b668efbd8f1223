//! The caller leaves, or reads too slowly.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::{io::AsyncReadExt, sync::Notify};

use super::{OID, in_front_of, order};
use crate::support::{
    TestProxy,
    downstream::{Downstream, post},
    wire::{Script, Step, Wire, reply},
};

/// More than the kernel takes for a caller that does not read.
const LARGE: usize = 12 << 20;

fn request(proxy: &TestProxy) -> String {
    let body = json!({ "method": "private/create-order", "params": order() }).to_string();
    post(proxy, &format!("Content-Length: {}\r\n", body.len()), &body)
}

#[tokio::test]
async fn fault_52_a_caller_that_leaves_before_its_call_was_understood_sends_nothing() {
    let proxy = TestProxy::start().await;
    let whole = request(&proxy);
    let mut caller = Downstream::connect(&proxy).await;
    caller.write(&whole[..whole.len() - 5]).await;
    drop(caller);
    let line = proxy.wait_line(&["event=call ", "outcome=refused"]).await;
    assert!(line.text().contains("FAIL"), "{}", line.text());
    assert_eq!(proxy.exchange().total().received, 0);
    proxy.scan_lines();
}

#[tokio::test]
async fn fault_53_a_call_is_completed_and_recorded_when_its_caller_leaves_after_it_was_sent() {
    let answer = Arc::new(Notify::new());
    let steps = [
        Step::Request,
        Step::Await(Arc::clone(&answer)),
        Step::Write(reply::good()),
    ];
    let good = Script::plain([Step::Request, Step::Write(reply::good())]);
    let wire = Wire::start([Script::plain(steps), good]).await;
    let proxy = in_front_of(&wire).start().await;
    let mut caller = Downstream::connect(&proxy).await;
    caller.write(request(&proxy)).await;
    wire.have_come(1).await;
    drop(caller);
    // The daemon has noticed before the exchange answers: its side of the connection is gone.
    proxy
        .call("private/user-balance", json!({ "b": "x" }))
        .await;
    assert_eq!(proxy.gateway.in_flight(), 1, "the order is still under way");
    answer.notify_one();
    let line = proxy
        .wait_line(&["method=private/create-order", "outcome=answered"])
        .await;
    assert!(
        line.text().contains(&format!("client_oid={OID}")),
        "{}",
        line.text()
    );
    assert_eq!(wire.received()[0].begun(), 1);
}

#[tokio::test]
async fn fault_54_a_slow_reader_holds_no_upstream_slot_and_is_given_up() {
    let large = format!(r#"{{"code":0,"pad":"{}"}}"#, "x".repeat(LARGE));
    let wire = Wire::start([Script::plain([
        Step::Request,
        Step::Write(reply::json(200, large)),
    ])])
    .await;
    let proxy = in_front_of(&wire)
        .plan(|plan| plan.upstream.max_reply_bytes = 2 * LARGE)
        .start()
        .await;
    let mut stuck = Downstream::connect_narrow(proxy.address()).await;
    stuck.write(request(&proxy)).await;
    let line = proxy.wait_line(&["event=call ", "outcome=answered"]).await;
    assert!(line.text().contains(OID), "{}", line.text());
    assert_eq!(
        proxy.gateway.in_flight(),
        0,
        "the slot is free although the caller reads nothing"
    );
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    let mut read = Vec::new();
    let end = tokio::time::timeout(
        crate::support::PATIENCE,
        stuck.stream.read_to_end(&mut read),
    )
    .await;
    let _ = end.expect("the connection was ended");
    assert!(read.len() < LARGE, "given up half way: {}", read.len());
}
