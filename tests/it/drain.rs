//! SIGTERM as the daemon sees it: what was sent is finished, nothing new begins, nobody waits for the idle.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crypto_proxy::app::Drained;
use sandbox::Fault;
use serde_json::json;
use tokio::{net::TcpStream, runtime::Builder, time::timeout};

use crate::support::{
    Answer, PATIENCE, TestProxy,
    connection::{get, order},
};

const CREATE: &str = "private/create-order";
/// Far below every deadline of a connection (the shortest is 5 s).
const AT_ONCE: Duration = Duration::from_secs(3);

/// Stops accepting, and waits until new connections are refused.
async fn stop_accepting(proxy: &TestProxy) {
    proxy.stop.cancel();
    let refused = async {
        while TcpStream::connect(proxy.address()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, refused)
        .await
        .expect("the listener closes");
}

fn assert_refused_as_draining(answer: &Answer) {
    assert_eq!((answer.status, answer.outcome().as_str()), (503, "refused"));
    assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
    assert!(
        answer.inner()["error"]
            .as_str()
            .unwrap()
            .contains("nothing was sent"),
        "{}",
        answer.text()
    );
}

// Fault 70, "sent"; G6.
#[tokio::test]
async fn calls_that_were_sent_are_finished_and_answered_after_the_stop() {
    let proxy = TestProxy::start().await;
    proxy.exchange().script_always("*", Fault::hang_after());
    let mut callers = Vec::new();
    for number in 0..3 {
        let mut caller = proxy.connect().await;
        caller
            .write(&proxy.request(CREATE, &order(&format!("sent-{number}"))))
            .await;
        callers.push(caller);
    }
    let mut gone = proxy.connect().await;
    gone.write(&proxy.request(CREATE, &order("sent-gone")))
        .await;
    proxy.exchange().wait_received(CREATE, 4).await;
    drop(gone);
    stop_accepting(&proxy).await;
    assert_eq!(proxy.gateway.in_flight(), 4, "the stop cancels nothing");
    assert!(!proxy.task.is_finished());
    proxy.exchange().release();
    for caller in &mut callers {
        let answer = caller.answer().await;
        assert_eq!(
            (
                answer.status,
                answer.outcome().as_str(),
                &answer.inner()["code"]
            ),
            (200, "answered", &json!(0))
        );
        assert!(caller.end().await.is_empty(), "and nothing after it");
    }
    proxy
        .wait_line(&["event=call OK", "client_oid=sent-gone"])
        .await;
    let (drained, _) = timeout(AT_ONCE, proxy.stop())
        .await
        .expect("nothing is left to wait for");
    assert_eq!(drained, Drained::Clean);
}

// Fault 70, "reading"; G6.
#[tokio::test]
async fn a_call_that_is_read_after_the_stop_is_refused_and_never_sent() {
    let proxy = TestProxy::start().await;
    let body = json!({ "method": CREATE, "params": order("late-1") }).to_string();
    let mut caller = proxy.connect().await;
    caller
        .write(&proxy.head(body.len(), "expect: 100-continue\r\n"))
        .await;
    caller.wait_continue().await;
    stop_accepting(&proxy).await;
    assert!(
        !proxy.task.is_finished(),
        "a request that came before the stop is waited for"
    );
    caller.write(&body).await;
    let answer = caller.answer().await;
    proxy.check(&answer);
    assert_refused_as_draining(&answer);
    assert!(caller.end().await.is_empty());
    assert_eq!(proxy.exchange().total().received, 0);
    let record = proxy
        .wait_line(&["event=call FAIL", "client_oid=late-1"])
        .await;
    assert!(
        record.text().contains("outcome=refused why=draining"),
        "{}",
        record.text()
    );
    let (drained, _) = timeout(AT_ONCE, proxy.stop())
        .await
        .expect("nothing is left to wait for");
    assert_eq!(drained, Drained::Clean);
}

#[tokio::test]
async fn while_draining_a_kept_connection_gets_503_and_ready_says_why() {
    let proxy = TestProxy::start().await;
    let mut caller = proxy.connect().await;
    caller
        .write(&proxy.request("private/user-balance", &json!({})))
        .await;
    assert_eq!(caller.answer().await.status, 200);
    proxy.gateway.drain();
    caller.write(&proxy.request(CREATE, &order("late-2"))).await;
    let answer = caller.answer().await;
    proxy.check(&answer);
    assert_refused_as_draining(&answer);
    caller.write(&get("/ready")).await;
    let answer = caller.answer().await;
    assert_eq!(
        (answer.status, answer.json()),
        (503, json!({ "ready": false, "because": ["draining"] }))
    );
    let mut other = proxy.connect().await;
    other.write(&get("/health")).await;
    assert_eq!(other.answer().await.status, 200, "alive it is");
    assert_eq!(proxy.exchange().total().received, 1);
}

#[tokio::test]
async fn connections_without_a_request_do_not_hold_the_stop_up() {
    let proxy = TestProxy::start().await;
    let [mut silent, mut begun, mut kept, mut kept_begun] = [
        proxy.connect().await,
        proxy.connect().await,
        proxy.connect().await,
        proxy.connect().await,
    ];
    for caller in [&mut kept, &mut kept_begun] {
        caller
            .write(&proxy.request("private/user-balance", &json!({})))
            .await;
        assert_eq!(caller.answer().await.status, 200);
    }
    for caller in [&mut begun, &mut kept_begun] {
        caller.write("GET /health HTTP/1.1\r\nhost: local").await;
    }
    // The proxy has read the beginnings once it has answered somebody who came after them.
    let mut last = proxy.connect().await;
    last.write(&get("/health")).await;
    assert_eq!(last.answer().await.status, 200);
    proxy.stop.cancel();
    for caller in [
        &mut silent,
        &mut begun,
        &mut kept,
        &mut kept_begun,
        &mut last,
    ] {
        let sent = timeout(AT_ONCE, caller.end())
            .await
            .expect("closed at once");
        assert!(sent.is_empty(), "{}", String::from_utf8_lossy(&sent));
    }
    let (drained, _) = timeout(AT_ONCE, proxy.stop())
        .await
        .expect("nothing is left to wait for");
    assert_eq!(drained, Drained::Clean);
}

#[tokio::test]
async fn an_idle_proxy_stops_at_once_although_somebody_holds_its_gateway() {
    let mut quickest = PATIENCE;
    for _ in 0..3 {
        let proxy = TestProxy::start().await;
        assert_eq!(
            proxy.call("private/user-balance", json!({})).await.status,
            200
        );
        let (gateway, told) = (Arc::clone(&proxy.gateway), Instant::now());
        proxy.stop().await;
        quickest = quickest.min(told.elapsed());
        drop(gateway);
    }
    // What runs beside the calls is given a second to end, and must not need it.
    assert!(quickest < Duration::from_millis(500), "{quickest:?}");
}

// Fault 71. The runtime is the test's own, because the process's end is what it is about.
#[test]
fn a_call_left_at_the_drain_deadline_is_recorded_as_unknown_when_the_process_ends() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let mut proxy = runtime.block_on(async {
        let deadline = |plan: &mut crypto_proxy::config::Config| {
            plan.server.drain_deadline = Duration::from_millis(100);
        };
        TestProxy::builder().plan(deadline).start().await
    });
    let caller = runtime.block_on(async {
        proxy.exchange().script_always("*", Fault::hang_after());
        let mut caller = proxy.connect().await;
        caller.write(&proxy.request(CREATE, &order("left-1"))).await;
        proxy.exchange().wait_received(CREATE, 1).await;
        proxy.stop.cancel();
        let drained = timeout(PATIENCE, &mut proxy.task)
            .await
            .expect("it ends")
            .unwrap();
        assert_eq!(drained, Drained::Left(1));
        caller
    });
    assert!(
        !proxy
            .texts()
            .iter()
            .any(|text| text.contains("event=call ")),
        "nothing is said before it is known"
    );
    drop(runtime);
    let calls: Vec<_> = proxy
        .texts()
        .into_iter()
        .filter(|text| text.contains("event=call "))
        .collect();
    assert_eq!(calls.len(), 1, "{calls:?}");
    for part in [
        "event=call FAIL",
        "outcome=unknown why=abandoned client_oid=left-1",
    ] {
        assert!(calls[0].contains(part), "{}", calls[0]);
    }
    proxy.scan_lines();
    drop(caller);
}
