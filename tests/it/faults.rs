//! What happens when things break: one named test per fault of `docs/contract.md`.
//!
//! A fault is tried on an order, because there it costs money. Whatever breaks, the answer's header, its envelope and
//! the log line carry the same outcome, the upstream counts what it was really sent, and the next call goes well.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use crypto_proxy::http::Refused;
use serde_json::{Value, json};

use crate::support::{
    Answer, Builder, TestProxy,
    wire::{Script, Step, Wire, reply},
};

mod answer_broken;
mod answer_foreign;
mod answer_of_exchange;
mod body_odd;
mod caller_gone;
mod connecting;
mod framing;
mod listener;
mod lost;
mod names;
mod network;
mod places;
mod pooled;
mod request_odd;
mod tls;

/// Name of the order on which faults are tried.
const OID: &str = "fault-order-17";
/// For calls that end at their deadline.
const DEADLINE: Duration = Duration::from_millis(700);
/// For connections that are never made.
const CONNECT_DEADLINE: Duration = Duration::from_millis(250);

/// What the caller and the operator are told.
#[derive(Clone, Copy, Debug)]
struct Told {
    status: u16,
    outcome: &'static str,
    why: &'static str,
}

const fn told(status: u16, outcome: &'static str, why: &'static str) -> Told {
    Told {
        status,
        outcome,
        why,
    }
}

const LOST: Told = told(502, "unknown", "lost");
const MALFORMED: Told = told(502, "unknown", "malformed");
const TIMED_OUT: Told = told(504, "unknown", "deadline");

/// The order.
fn order() -> Value {
    json!({
        "instrument_name": "BTC_USD", "side": "BUY", "type": "LIMIT", "price": "1", "quantity": "1", "client_oid": OID,
    })
}

/// The order with more in it than any kernel takes for a peer that does not read; needs a wider `max_body_bytes`.
fn huge_order() -> Value {
    let mut order = order();
    order["notes"] = json!("x".repeat(8 << 20));
    order
}

async fn place(proxy: &TestProxy) -> Answer {
    proxy.call("private/create-order", order()).await
}

/// The same with a name that was not used, where another call of a test has the usual one.
async fn place_anew(proxy: &TestProxy) -> Answer {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut order = order();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    order["client_oid"] = json!(format!("anew-{count}"));
    proxy.call("private/create-order", order).await
}

/// A proxy in front of a scripted upstream.
fn in_front_of(wire: &Wire) -> Builder {
    TestProxy::builder()
        .base(wire.base())
        .plan(|plan| plan.gateway.find_out = false)
}

/// The same, with a deadline that a test can wait for.
fn hurried(wire: &Wire) -> Builder {
    in_front_of(wire).plan(|plan| plan.gateway.deadline = DEADLINE)
}

/// Header, envelope and log line say the same, and an unknown order is named together with the way to find it.
fn assert_told(proxy: &TestProxy, answer: &Answer, expected: Told) {
    let Told {
        status,
        outcome,
        why,
    } = expected;
    assert_eq!(
        (answer.status, &*answer.outcome()),
        (status, outcome),
        "{}",
        answer.text()
    );
    if status != 200 {
        assert_eq!(answer.inner()["outcome"], outcome, "{}", answer.text());
    }
    let rid = answer.header("x-request-id").expect("a request id");
    let line = proxy.records_of(&rid)[0].clone();
    assert!(
        line.text().contains(&format!(" outcome={outcome} ")),
        "{}",
        line.text()
    );
    assert!(
        why.is_empty() || line.text().contains(&format!(" why={why} ")),
        "{}",
        line.text()
    );
    assert_eq!(line.field("CRYPTO_OUTCOME"), Some(outcome));
    let oid = answer.header("x-proxy-client-oid");
    let unknown = outcome == "unknown";
    assert_eq!(
        oid.as_deref(),
        unknown.then_some(OID),
        "the order is named where it may have been executed"
    );
    assert!(
        !unknown || line.text().contains(&format!("client_oid={OID}")),
        "{}",
        line.text()
    );
    if unknown && status != 200 {
        assert_eq!(answer.inner()["client_oid"], OID);
        let how = answer.inner()["how_to_find_out"].to_string();
        assert!(how.contains("private/get-order-detail"), "{how}");
    }
}

/// Requests refused for a reason before a caller was known: those counted now, and those told in the log already.
fn refused_so_far(proxy: &TestProxy, refused: Refused, why: &str) -> u64 {
    let why = format!(" why={why} count=");
    let told = |line: &String| {
        line.split_once(&why)?
            .1
            .split(' ')
            .next()?
            .parse::<u64>()
            .ok()
    };
    proxy.rejections.counted(refused) + proxy.texts().iter().filter_map(told).sum::<u64>()
}

/// No signature that the upstream received stands in any log line.
fn assert_no_signature_logged(proxy: &TestProxy, wire: &Wire) {
    for signature in wire.requests().iter().map(|request| request.signature()) {
        assert!(
            !proxy.texts().iter().any(|text| text.contains(&signature)),
            "a signature was logged"
        );
    }
}

/// The order meets `steps` on a fresh connection; it was sent once, and the next call, on a connection of its own, goes
/// well.
async fn met(steps: impl Into<Vec<Step>>, expected: Told) -> (TestProxy, Answer) {
    let wire = Wire::start([
        Script::plain(steps),
        Script::plain([Step::Request, Step::Write(reply::good())]),
    ])
    .await;
    let hurry = expected.status == 504;
    let proxy = if hurry {
        hurried(&wire)
    } else {
        in_front_of(&wire)
    }
    .start()
    .await;
    let started = Instant::now();
    let answer = place(&proxy).await;
    if hurry {
        assert!(
            (DEADLINE..DEADLINE * 4).contains(&started.elapsed()),
            "took {:?}",
            started.elapsed()
        );
    }
    assert_told(&proxy, &answer, expected);
    assert_eq!(
        (wire.connections(), wire.begun()),
        (1, 1),
        "sent once: {:?}",
        wire.received()
    );
    recovers(&proxy, &wire).await;
    assert_eq!(
        wire.begun(),
        2,
        "sent once, and the next call once: {:?}",
        wire.received()
    );
    (proxy, answer)
}

/// The next call is answered, over a connection that the fault has not touched.
async fn recovers(proxy: &TestProxy, wire: &Wire) {
    let (before, calls) = (wire.connections(), wire.begun());
    let next = proxy.call("private/user-balance", json!({})).await;
    assert_eq!(
        (next.status, &*next.outcome()),
        (200, "answered"),
        "{}",
        next.text()
    );
    assert_eq!(
        (wire.connections(), wire.begun()),
        (before + 1, calls + 1),
        "the broken connection is not used again"
    );
    assert_no_signature_logged(proxy, wire);
}
