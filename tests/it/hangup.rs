//! Callers that leave, and an exchange that cuts the line: what happens to the call, and what is said of it.

use std::time::{Duration, Instant};

use crypto_proxy::app::Drained;
use sandbox::{Canned, Fault};
use serde_json::Value;

use crate::support::{
    Answer, TestProxy,
    connection::{Connection, get, order},
};

const CREATE: &str = "private/create-order";

/// By the time of this answer the proxy has met everything that came before it.
async fn roundtrips(proxy: &TestProxy) {
    for _ in 0..20 {
        let mut other = proxy.connect().await;
        other.write(&get("/health")).await;
        assert_eq!(other.answer().await.status, 200);
    }
}

// Fault 53.
#[tokio::test]
async fn an_order_whose_caller_hangs_up_is_completed_and_recorded() {
    let proxy = TestProxy::start().await;
    proxy.exchange().script(CREATE, Fault::hang_after());
    let mut caller = proxy.connect().await;
    caller
        .write(&proxy.request(CREATE, &order("left-alone-1")))
        .await;
    proxy.exchange().wait_received(CREATE, 1).await;
    drop(caller);
    roundtrips(&proxy).await;
    assert!(
        !proxy
            .texts()
            .iter()
            .any(|text| text.contains("event=call ")),
        "the order is still under way"
    );
    assert_eq!(proxy.gateway.in_flight(), 1);
    proxy.exchange().release();
    let record = proxy
        .wait_line(&["event=call OK", "client_oid=left-alone-1"])
        .await;
    assert!(
        record
            .text()
            .contains("response_status=200 code=0 outcome=answered"),
        "{}",
        record.text()
    );
    assert_eq!(proxy.exchange().executed(CREATE), 1);
    proxy.scan_lines();
}

// Fault 52 in a proxy without a queue: the caller is gone before there is a call.
#[tokio::test]
async fn a_caller_that_leaves_while_sending_its_body_leaves_a_record_and_nothing_is_sent() {
    for reset in [false, true] {
        let proxy = TestProxy::start().await;
        let mut caller = proxy.connect().await;
        caller
            .write(&proxy.head(100, "expect: 100-continue\r\n"))
            .await;
        caller.wait_continue().await;
        caller.write("{\"method\":\"private/cre").await;
        if reset {
            caller.reset();
        } else {
            drop(caller);
        }
        let record = proxy.wait_line(&["event=call FAIL"]).await;
        assert!(
            record.text().contains("outcome=refused why=body_broken"),
            "{}",
            record.text()
        );
        assert_eq!(proxy.exchange().total().received, 0);
        proxy.scan_lines();
    }
}

// Faults 14 and 15, seen on every channel.
#[tokio::test]
async fn an_order_that_the_exchange_read_before_the_cut_is_unknown_everywhere_and_named() {
    for fault in [
        Fault::cut_after(),
        Fault::reset_after(),
        Fault::cut_before(),
    ] {
        let proxy = TestProxy::start().await;
        proxy.exchange().script(CREATE, fault);
        let answer = proxy.call(CREATE, order("cut-1")).await;
        assert_unknown(&proxy, &answer, 502, "lost", "cut-1");
        assert_eq!(proxy.exchange().count(CREATE), 1, "sent once");
    }
}

// Whether the exchange takes the nonce or the id for its name is contradictory in its documents: nobody is told either.
#[tokio::test]
async fn an_unknown_order_without_client_oid_has_no_name() {
    let proxy = TestProxy::start().await;
    proxy.exchange().script(CREATE, Fault::cut_after());
    let mut params = order("");
    params.as_object_mut().unwrap().remove("client_oid");
    let answer = proxy.call(CREATE, params).await;
    assert_eq!((answer.status, &*answer.outcome()), (502, "unknown"));
    assert_eq!(answer.header("x-proxy-client-oid"), None);
    assert_eq!(answer.inner()["client_oid"], Value::Null);
    assert_eq!(proxy.exchange().count(CREATE), 1, "sent once");
}

#[tokio::test]
async fn an_order_that_the_exchange_never_answers_is_unknown_at_the_deadline_and_named() {
    let deadline = Duration::from_millis(200);
    let proxy = TestProxy::builder()
        .plan(move |plan| plan.gateway.deadline = deadline)
        .start()
        .await;
    proxy.exchange().script(CREATE, Fault::hang_after());
    let answer = proxy.call(CREATE, order("silence-1")).await;
    assert_unknown(&proxy, &answer, 504, "deadline", "silence-1");
    assert_eq!(
        proxy.exchange().executed(CREATE),
        1,
        "it was executed, which is why nobody may say it was not"
    );
}

// Fault 66: the proxy guards against the second, and so does the exchange.
#[tokio::test]
async fn the_same_client_oid_twice_reaches_the_exchange_once() {
    let proxy = TestProxy::start().await;
    proxy.exchange().script(CREATE, Fault::cut_after());
    assert_eq!(
        proxy.call(CREATE, order("twice-1")).await.outcome(),
        "unknown"
    );
    let second = proxy.call(CREATE, order("twice-1")).await;
    assert_eq!((second.outcome().as_str(), second.status), ("unknown", 504));
    assert_eq!(
        (
            proxy.exchange().count(CREATE),
            proxy.exchange().executed(CREATE)
        ),
        (1, 1)
    );
}

/// After this time without a byte taken a reader is given up.
const WRITE_STALL: Duration = Duration::from_secs(10);

// Fault 54.
#[tokio::test]
async fn a_caller_that_does_not_read_its_answer_holds_no_room_and_is_given_up() {
    let proxy = TestProxy::builder()
        .plan(|plan| plan.upstream.max_reply_bytes = 32 << 20)
        .start()
        .await;
    let long = format!(
        "{{\"id\":1,\"code\":0,\"result\":\"{}\"}}",
        "x".repeat(12 << 20)
    );
    proxy
        .exchange()
        .script(CREATE, Fault::reply(Canned::json(200, long)));
    let mut caller = Connection::with_small_buffer(proxy.address()).await;
    caller.write(&proxy.request(CREATE, &order("slow-1"))).await;
    let record = proxy
        .wait_line(&["event=call OK", "client_oid=slow-1"])
        .await;
    assert!(
        record.text().contains("outcome=answered"),
        "{}",
        record.text()
    );
    roundtrips(&proxy).await;
    assert_eq!(
        proxy.gateway.in_flight(),
        0,
        "its room is free while it does not read"
    );
    let since = Instant::now();
    proxy.stop.cancel();
    let (drained, _) = proxy.stop().await;
    assert_eq!(
        drained,
        Drained::Clean,
        "given up, not waited for until the drain deadline"
    );
    assert!(
        since.elapsed() <= WRITE_STALL + Duration::from_secs(2),
        "{:?}",
        since.elapsed()
    );
    assert!(
        since.elapsed() >= WRITE_STALL - Duration::from_secs(2),
        "{:?}: it did read",
        since.elapsed()
    );
}

/// Header, body, line and field say the same.
fn assert_unknown(proxy: &TestProxy, answer: &Answer, status: u16, why: &str, client_oid: &str) {
    assert_eq!(
        (answer.status, answer.outcome().as_str()),
        (status, "unknown")
    );
    assert_eq!(
        answer.header("x-proxy-client-oid").as_deref(),
        Some(client_oid)
    );
    let inner = answer.inner();
    assert_eq!(
        (&inner["outcome"], &inner["client_oid"]),
        (&Value::from("unknown"), &Value::from(client_oid))
    );
    assert!(
        inner["how_to_find_out"]
            .as_str()
            .unwrap()
            .contains("private/get-order-detail")
    );
    let records = proxy.records_of(&answer.header("x-request-id").unwrap());
    let expected = format!(
        "event=call FAIL rid={}",
        answer.header("x-request-id").unwrap()
    );
    assert!(
        records[0].text().contains(&expected),
        "{}",
        records[0].text()
    );
    let expected =
        format!("response_status={status} outcome=unknown why={why} client_oid={client_oid} ");
    assert!(
        records[0].text().contains(&expected),
        "{}",
        records[0].text()
    );
    assert_eq!(records[0].field("CRYPTO_OUTCOME"), Some("unknown"));
    assert_eq!(records[0].field("CRYPTO_CLIENT_OID"), Some(client_oid));
}
