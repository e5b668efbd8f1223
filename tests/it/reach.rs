//! The watch of the way to the exchange, in the running daemon: what it measures, what it says, and what it leaves alone.

use std::{io, sync::Arc, time::Duration};

use crypto_proxy::{app::Drained, telemetry::Line};
use diagnosis::reach;
use gateway::{connect::Resolver, secret::TokenDigest};
use sandbox::{Canned, Fault};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{
    Builder, TestProxy, client,
    contract::READ,
    tls::Authority,
    wire::{Script, Step, Wire, reply},
};

const PUBLIC: &str = "public/get-tickers";
/// What one measurement asks: once for the answer, once for its first byte.
const ASKED: u64 = 2;
const EXCHANGE: &str = "https://api.crypto.com/exchange/v1";

/// A proxy whose diagnosis is opened by the canary of that name.
fn builder() -> Builder {
    let builder = TestProxy::builder();
    let digest = TokenDigest::of(builder.canaries().diagnosis.as_bytes());
    builder.plan(move |plan| {
        let callers = std::mem::take(&mut plan.callers);
        plan.callers = callers.with_diagnosing(digest, "operator");
    })
}

/// The same, with a watch that measures at start and when somebody gives it a reason.
fn watching() -> Builder {
    builder().plan(|plan| {
        plan.reach = reach::Settings {
            enabled: true,
            interval: Duration::from_secs(3600),
        }
    })
}

async fn reachability(proxy: &TestProxy) -> Value {
    let request = client()
        .get(proxy.url("/diag/crypto-auth"))
        .header("x-proxy-token", &proxy.canaries.diagnosis);
    proxy.send(request).await.json()["background"]["reachability"].clone()
}

/// What the status page says, as a file.
async fn page(proxy: &TestProxy) -> String {
    let request = client()
        .get(proxy.url("/?copy"))
        .header("accept", "text/html");
    let page = request
        .basic_auth("operator", Some(&proxy.canaries.diagnosis))
        .send()
        .await
        .expect("an answer");
    let text = page.text().await.expect("a page");
    proxy.canaries.assert_absent(&text, "the page");
    text
}

/// The `event=reach` lines so far.
fn said(proxy: &TestProxy) -> Vec<String> {
    proxy
        .texts()
        .into_iter()
        .filter(|line| line.contains("event=reach "))
        .collect()
}

/// Lets minutes pass, one after the other, until this is so; a measurement that is under way takes none of them.
async fn minutes_pass(proxy: &TestProxy, is_so: impl Fn() -> bool) {
    for _ in 0..100 {
        if is_so() {
            return;
        }
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(61)).await;
        tokio::time::resume();
        proxy.settle().await;
    }
    panic!("not within a hundred minutes: {:#?}", said(proxy));
}

/// Nothing of a measurement is a call, and readiness hears nothing of it.
async fn assert_apart(proxy: &TestProxy) {
    assert!(
        proxy
            .texts()
            .iter()
            .all(|line| !line.contains("event=call") && !line.contains("event=signing"))
    );
    assert_eq!(
        proxy.send(client().get(proxy.url("/ready"))).await.text(),
        r#"{"ready":true}"#
    );
    assert!(!proxy.gateway.observed().is_unreachable());
    proxy.scan_lines();
}

/// The exchange counts as not reached, on every channel.
async fn assert_fails(proxy: &TestProxy, phase: &str, cause: &str, next: &str) -> Line {
    let line = proxy
        .wait_line(&[
            "event=reach state=failed",
            &format!("phase={phase} cause={cause} "),
        ])
        .await;
    let fields = [
        "CRYPTO_EVENT",
        "CRYPTO_REACH",
        "CRYPTO_PHASE",
        "CRYPTO_CAUSE",
    ]
    .map(|name| line.field(name));
    assert_eq!(
        fields,
        [Some("reach"), Some("failed"), Some(phase), Some(cause)]
    );
    assert!(
        line.text().contains("; next: ") && line.text().contains(next),
        "{}",
        line.text()
    );
    let shown = reachability(proxy).await;
    assert_eq!(
        (&shown["reachable"], &shown["failed_phase"], &shown["cause"]),
        (&json!(false), &json!(phase), &json!(cause))
    );
    assert!(
        shown["phases"][phase]["failed"].is_string() && shown["phases"][phase]["ms"].is_u64(),
        "{shown:#}"
    );
    assert!(
        shown["next_step"].as_str().unwrap().contains(next) && shown["since"] == shown["at"],
        "{shown:#}"
    );
    let page = page(proxy).await;
    assert!(
        page.contains(" fails since ") && page.contains(&format!("({cause})")),
        "{page}"
    );
    assert_eq!(said(proxy).len(), 1, "{:?}", said(proxy));
    assert_apart(proxy).await;
    line
}

#[tokio::test]
async fn each_phase_is_timed_at_start_and_shown() {
    let proxy = watching().start().await;
    let line = proxy
        .wait_line(&[
            "event=reach state=reachable name_ms=",
            " tcp_ms=",
            " first_byte_ms=",
        ])
        .await;
    assert_eq!(
        (line.field("CRYPTO_REACH"), line.field("CRYPTO_PHASE")),
        (Some("reachable"), None)
    );
    assert!(
        line.field("CRYPTO_TCP_MS")
            .is_some_and(|ms| ms.parse::<u64>().is_ok()),
        "{:?}",
        line.text()
    );
    let shown = reachability(&proxy).await;
    assert_eq!(
        (&shown["watched"], &shown["reachable"], &shown["cause"]),
        (&json!(true), &json!(true), &Value::Null)
    );
    for phase in ["name", "tcp", "first_byte"] {
        assert!(shown["phases"][phase]["ms"].is_u64(), "{shown:#}");
    }
    assert_eq!(
        shown["phases"]["tls"],
        json!({ "not_made": "the base URL is http, on this machine" })
    );
    assert!(
        shown["at"].is_string() && shown["age_s"].as_u64().unwrap() < 60,
        "{shown:#}"
    );
    let page = page(&proxy).await;
    assert!(
        page.contains(" ms · TCP ") && page.contains(" · first byte "),
        "{page}"
    );
    assert_eq!(
        (proxy.exchange().count(PUBLIC), proxy.upstream_requests()),
        (ASKED, ASKED)
    );
    assert_apart(&proxy).await;
}

#[tokio::test]
async fn a_verified_session_is_timed_and_one_of_an_unknown_authority_fails_its_phase() {
    for known in [true, false] {
        let (authority, other) = (Authority::new(), Authority::new());
        let server = if known {
            authority.server("localhost")
        } else {
            other.server("localhost")
        };
        let answered: Vec<Step> = (0..ASKED)
            .flat_map(|_| [Step::Request, Step::Write(reply::good())])
            .collect();
        let wire = Wire::start([
            Script::tls(&server, [Step::Drain]),
            Script::tls(&server, answered),
        ])
        .await;
        let file = authority.file();
        let proxy = watching()
            .base(wire.tls_base())
            .plan(move |plan| plan.upstream.ca_file = Some(file))
            .start()
            .await;
        if known {
            proxy
                .wait_line(&["event=reach state=reachable", " tls_ms=", " first_byte_ms="])
                .await;
            assert!(reachability(&proxy).await["phases"]["tls"]["ms"].is_u64());
            assert_eq!(
                wire.connections(),
                2,
                "one for the phases, one for the answer and its first byte"
            );
        } else {
            assert_fails(&proxy, "tls", "CP-TLS", "openssl s_client").await;
            assert_eq!(
                (wire.connections(), wire.begun()),
                (1, 0),
                "nothing is asked of a stranger"
            );
        }
    }
}

#[tokio::test]
async fn a_name_that_is_not_resolved_fails_the_first_phase() {
    let proxy = watching().base(EXCHANGE).plan(|plan| {
        plan.resolver = Resolver::with_lookup(Arc::new(|_| {
            Box::pin(async { Err(io::ErrorKind::NotFound.into()) })
        }));
    });
    let proxy = proxy.start().await;
    assert_fails(&proxy, "name", "CP-DNS", "getent ahosts api.crypto.com").await;
    let shown = reachability(&proxy).await;
    assert_eq!(
        shown["phases"]["tcp"]["not_made"],
        "the name of the exchange was not resolved"
    );
}

#[tokio::test]
async fn a_closed_port_fails_the_connection() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let proxy = watching()
        .base(format!("http://{closed}/exchange/v1"))
        .start()
        .await;
    let line = assert_fails(&proxy, "tcp", "CP-NETWORK", "curl -4v https://127.0.0.1/").await;
    assert!(line.field("CRYPTO_NAME_MS").is_some() && line.field("CRYPTO_FIRST_BYTE_MS").is_none());
}

#[tokio::test]
async fn a_page_or_a_path_that_is_not_known_fails_the_first_byte_and_calls_go_on() {
    let cases = [
        (404, "CP-WRONG-BASE", "CRYPTO_REST_BASE="),
        (200, "CP-EDGE-BLOCKED", "another outbound address"),
    ];
    for (status, cause, next) in cases {
        let proxy = watching().start().await;
        proxy.wait_line(&["event=reach state=reachable"]).await;
        proxy.exchange().script_always(
            PUBLIC,
            Fault::reply(Canned::html(status, "<html>invented</html>")),
        );
        // A call that is lost is the reason to look again.
        proxy.exchange().script(READ, Fault::cut_before());
        assert_eq!(proxy.call_text(READ, "{}").await.outcome(), "unknown");
        let line = proxy
            .wait_line(&["event=reach state=failed phase=first_byte", cause, next])
            .await;
        assert!(
            line.text()
                .contains(&format!("evidence: first byte: HTTP {status}, no JSON")),
            "{}",
            line.text()
        );
        assert_eq!(proxy.call_text(READ, "{}").await.inner()["code"], 0);
        assert_eq!(reachability(&proxy).await["cause"], cause);
        proxy.scan_lines();
    }
}

#[tokio::test]
async fn a_call_that_failed_on_the_way_is_followed_by_a_measurement_and_a_refused_one_is_not() {
    let proxy = watching().start().await;
    proxy.wait_line(&["event=reach state=reachable"]).await;
    proxy.exchange().script(READ, Fault::code(40101));
    assert_eq!(proxy.call_text(READ, "{}").await.inner()["code"], 40101);
    proxy.settle().await;
    assert_eq!(proxy.exchange().count(PUBLIC), ASKED);
    proxy.exchange().script(READ, Fault::reset_before());
    assert_eq!(proxy.call_text(READ, "{}").await.outcome(), "unknown");
    proxy.exchange().wait_received(PUBLIC, 2 * ASKED).await;
    assert_eq!(said(&proxy).len(), 1, "it came to the same");
}

#[tokio::test]
async fn a_failure_and_its_end_are_said_once_each() {
    let page = Fault::reply(Canned::html(403, "<html>invented</html>"));
    let proxy = watching().start().await;
    proxy.wait_line(&["event=reach state=reachable"]).await;
    proxy.exchange().script_always(PUBLIC, page);
    proxy.exchange().script(READ, Fault::cut_before());
    proxy.call_text(READ, "{}").await;
    proxy
        .wait_line(&["event=reach state=failed phase=first_byte cause=CP-EDGE-BLOCKED"])
        .await;
    minutes_pass(&proxy, || proxy.exchange().count(PUBLIC) >= 3 * ASKED).await;
    proxy.exchange().clear_script(PUBLIC);
    minutes_pass(&proxy, || said(&proxy).len() > 2).await;
    let again = proxy
        .wait_line(&[
            "event=reach state=reachable",
            "the exchange answers again, ",
        ])
        .await;
    assert_eq!(again.field("CRYPTO_REACH"), Some("reachable"));
    assert_eq!(said(&proxy).len(), 3, "{:?}", said(&proxy));
    assert_eq!(reachability(&proxy).await["reachable"], true);
}

#[tokio::test]
async fn calls_and_readiness_do_not_wait_for_a_measurement_that_hangs_and_a_stop_ends_it() {
    let proxy = watching().start().await;
    // Before the task of the watch has its first turn.
    proxy.exchange().script_always(PUBLIC, Fault::hang_before());
    proxy.exchange().wait_received(PUBLIC, 1).await;
    assert_eq!(proxy.call_text(READ, "{}").await.inner()["code"], 0);
    assert_eq!(
        proxy.send(client().get(proxy.url("/ready"))).await.text(),
        r#"{"ready":true}"#
    );
    assert_eq!(proxy.stop().await.0, Drained::Clean);
}

#[tokio::test]
async fn a_stop_ends_a_look_up_that_would_take_an_hour() {
    let (asked, mut names) = tokio::sync::mpsc::unbounded_channel();
    let proxy = watching().base(EXCHANGE).plan(move |plan| {
        plan.upstream.connect_deadline = Duration::from_secs(3600);
        plan.resolver = Resolver::with_lookup(Arc::new(move |name| {
            asked.send(name).unwrap();
            Box::pin(std::future::pending())
        }));
    });
    let proxy = proxy.start().await;
    assert_eq!(names.recv().await.as_deref(), Some("api.crypto.com"));
    assert_eq!(
        reachability(&proxy).await["at"],
        Value::Null,
        "nothing is known before the first has ended"
    );
    assert_eq!(proxy.stop().await.0, Drained::Clean);
    // The runtime of this test ends only when the thread has: a look-up that goes on would be seen here.
}

#[tokio::test]
async fn where_it_is_off_nobody_is_asked_and_that_is_said() {
    let proxy = builder().start().await;
    proxy.exchange().script(READ, Fault::cut_before());
    proxy.call_text(READ, "{}").await;
    proxy.settle().await;
    let shown = reachability(&proxy).await;
    assert_eq!(
        (&shown["watched"], &shown["at"], &shown["reachable"]),
        (&json!(false), &Value::Null, &Value::Null)
    );
    assert_eq!((proxy.exchange().count(PUBLIC), said(&proxy).len()), (0, 0));
    assert!(!page(&proxy).await.contains("first byte"));
}
