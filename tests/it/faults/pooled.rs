//! Connections that were kept: stale, cut under a call, or talkative.

use std::sync::Arc;

use tokio::sync::Notify;

use super::{LOST, TIMED_OUT, assert_told, hurried, in_front_of, place, place_anew, recovers};
use crate::support::{
    TestProxy,
    wire::{Script, Step, Wire, reply},
};

fn answered() -> [Step; 2] {
    [Step::Request, Step::Write(reply::good())]
}

/// A first call that goes well and leaves its connection in the pool.
async fn warmed_up(proxy: &TestProxy, wire: &Wire) {
    assert_eq!(&*place_anew(proxy).await.outcome(), "answered");
    assert_eq!((wire.connections(), wire.begun()), (1, 1));
}

#[tokio::test]
async fn fault_13_a_connection_closed_while_idle_is_replaced_and_the_order_sent_once() {
    for end in [Step::Fin, Step::Reset] {
        let close = Arc::new(Notify::new());
        let [request, answer] = answered();
        let first = Script::plain([request, answer, Step::Await(Arc::clone(&close)), end]);
        let wire = Wire::start([first, Script::plain(answered())]).await;
        let proxy = in_front_of(&wire).start().await;
        warmed_up(&proxy, &wire).await;
        close.notify_one();
        wire.ended(0).await;
        let answer = place(&proxy).await;
        assert_eq!((answer.status, &*answer.outcome()), (200, "answered"));
        assert_eq!(
            (wire.connections(), wire.begun()),
            (2, 2),
            "{:?}",
            wire.received()
        );
    }
}

#[tokio::test]
async fn fault_13_a_connection_closed_in_the_moment_of_use_never_carries_an_order_twice() {
    // The first bytes of the second order meet a reset: too late to be noticed before they are written.
    let first = [answered().to_vec(), vec![Step::Head, Step::Reset]].concat();
    let wire = Wire::start([Script::plain(first), Script::plain(answered())]).await;
    let proxy = in_front_of(&wire).start().await;
    warmed_up(&proxy, &wire).await;
    assert_told(&proxy, &place(&proxy).await, LOST);
    assert_eq!((wire.connections(), wire.begun()), (1, 2));
    recovers(&proxy, &wire).await;
}

#[tokio::test]
async fn fault_14_a_pooled_connection_closed_after_the_request_is_unknown_and_sent_once() {
    lost_in_the_pool(Step::Fin).await;
}

#[tokio::test]
async fn fault_15_a_pooled_connection_reset_after_the_request_is_unknown_and_sent_once() {
    lost_in_the_pool(Step::Reset).await;
}

/// The second request of a kept connection is read, and then the connection ends like this.
async fn lost_in_the_pool(end: Step) {
    let first = [answered().to_vec(), vec![Step::Request, end]].concat();
    let wire = Wire::start([Script::plain(first), Script::plain(answered())]).await;
    let proxy = in_front_of(&wire).start().await;
    warmed_up(&proxy, &wire).await;
    assert_told(&proxy, &place(&proxy).await, LOST);
    assert_eq!(
        (wire.connections(), wire.begun()),
        (1, 2),
        "not sent again: {:?}",
        wire.received()
    );
    recovers(&proxy, &wire).await;
}

#[tokio::test]
async fn fault_18_a_pooled_connection_that_falls_silent_is_dropped_at_the_deadline() {
    let first = [answered().to_vec(), vec![Step::Request]].concat();
    let wire = Wire::start([Script::plain(first), Script::plain(answered())]).await;
    let proxy = hurried(&wire).start().await;
    warmed_up(&proxy, &wire).await;
    assert_told(&proxy, &place(&proxy).await, TIMED_OUT);
    wire.ended(0).await;
    recovers(&proxy, &wire).await;
}

#[tokio::test]
async fn fault_45_a_second_reply_is_never_matched_to_another_call() {
    let two = [reply::good_numbered(1), reply::good_numbered(666)]
        .concat()
        .into();
    let scripts = [
        Script::plain([Step::Request, Step::Write(two)]),
        numbered(2),
    ];
    let wire = Wire::start(scripts).await;
    let proxy = in_front_of(&wire).start().await;
    let first = place_anew(&proxy).await;
    assert_eq!(first.inner()["result"]["order_id"], "1");
    let second = place(&proxy).await;
    assert_eq!(
        second.inner()["result"]["order_id"],
        "2",
        "the stray reply answered another call"
    );
    wire.ended(0).await;
    assert_eq!((wire.connections(), wire.begun()), (2, 2));
}

#[tokio::test]
async fn fault_45_a_second_reply_that_comes_late_is_never_matched_to_another_call() {
    // The stray reply follows in a segment of its own, in every possible nearness to the next call.
    for _ in 0..40 {
        let stray = [
            Step::Request,
            Step::Write(reply::good_numbered(1)),
            Step::Write(reply::good_numbered(666)),
        ];
        let wire = Wire::start([Script::plain(stray), numbered(2)]).await;
        let proxy = in_front_of(&wire).start().await;
        assert_eq!(place_anew(&proxy).await.inner()["result"]["order_id"], "1");
        let second = place(&proxy).await;
        assert_ne!(
            second.inner()["result"]["order_id"],
            "666",
            "the stray reply answered another call"
        );
    }
}

#[tokio::test]
async fn fault_46_a_connection_on_which_bytes_came_unasked_is_not_used_again() {
    for bytes in [
        reply::good_numbered(666),
        "x".into(),
        reply::typed(408, "text/html", "timeout"),
    ] {
        let speak = Arc::new(Notify::new());
        let first = [
            Step::Request,
            Step::Write(reply::good()),
            Step::Await(Arc::clone(&speak)),
            Step::Write(bytes),
        ];
        let wire = Wire::start([Script::plain(first), numbered(2)]).await;
        let proxy = in_front_of(&wire).start().await;
        warmed_up(&proxy, &wire).await;
        speak.notify_one();
        wire.ended(0).await;
        let answer = place(&proxy).await;
        assert_eq!(
            answer.inner()["result"]["order_id"],
            "2",
            "{}",
            answer.text()
        );
        assert_eq!((wire.connections(), wire.begun()), (2, 2));
    }
}

fn numbered(number: usize) -> Script {
    Script::plain([Step::Request, Step::Write(reply::good_numbered(number))])
}
