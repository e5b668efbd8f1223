//! How runs begin, are shared, and end.

use crypto_proxy::app::Drained;
use diagnosis::runner;
use tokio::time::timeout;

use super::*;
use crate::support::PATIENCE;

/// A run, asked for in a task of its own.
fn asked(proxy: &Arc<TestProxy>, path: &'static str) -> tokio::task::JoinHandle<(u16, Value)> {
    let request = request(proxy, path);
    tokio::spawn(async move {
        let answer = Answer::read(request.send().await.expect("an answer")).await;
        (answer.status, answer.json())
    })
}

#[tokio::test]
async fn five_runs_may_follow_each_other_and_the_sixth_is_refused_with_the_time() {
    let proxy = builder().start().await;
    for run in 1..=5 {
        let answer = ask(&proxy, RUN).await.json();
        assert_eq!(answer["test_result"], "healthy", "run {run}: {answer:#}");
    }
    let answer = ask(&proxy, RUN).await;
    let (json, seconds) = (answer.json(), answer.header("retry-after").unwrap());
    assert_eq!(
        (answer.status, json["retry_after_s"].to_string()),
        (429, seconds.clone())
    );
    assert!(
        (200..=300).contains(&seconds.parse::<u64>().unwrap()),
        "{seconds}"
    );
    assert_eq!(json["last_at"], ask(&proxy, KNOWN).await.json()["at"]);
    assert_eq!(
        (proxy.upstream_requests(), told(&proxy).len()),
        (5 * REQUESTS_OF_A_RUN, 5)
    );
    five_minutes_later().await;
    assert_eq!(ask(&proxy, RUN).await.status, 200);
    assert_eq!(
        (proxy.upstream_requests(), told(&proxy).len()),
        (6 * REQUESTS_OF_A_RUN, 6)
    );
}

#[tokio::test]
async fn after_a_repair_a_second_run_is_made_at_once_and_ends_what_failed_calls_left() {
    let proxy = builder().start().await;
    proxy.exchange().script(READ, Fault::code(40101));
    assert_eq!(ask(&proxy, RUN).await.json()["test_result"], "trouble");
    let observed = proxy.gateway.observed();
    (0..3).for_each(|_| observed.note_attempt(false));
    assert_eq!(
        proxy.send(client().get(proxy.url("/ready"))).await.status,
        503
    );
    assert_eq!(ask(&proxy, RUN).await.json()["test_result"], "healthy");
    assert_eq!(
        proxy.send(client().get(proxy.url("/ready"))).await.text(),
        r#"{"ready":true}"#
    );
}

#[tokio::test]
async fn whoever_asks_during_a_run_gets_its_result_ranked_with_what_they_say() {
    let proxy = shared(builder().start().await);
    proxy.exchange().script(READ, Fault::hang_after());
    let first = asked(&proxy, RUN);
    proxy.exchange().wait_received(READ, 1).await;
    let second = asked(&proxy, "/diag/run?file_key_fp=00000000");
    assert_eq!(ask(&proxy, KNOWN).await.json()["running"], true);
    proxy.settle().await;
    proxy.exchange().release();
    let ((status, first), (status_of_second, second)) =
        (first.await.unwrap(), second.await.unwrap());
    assert_eq!((status, status_of_second), (200, 200));
    assert_eq!(
        (&first["at"], &first["findings"]),
        (&second["at"], &second["findings"])
    );
    assert_eq!(
        (codes(&first), codes(&second)),
        (vec![], vec!["CP-NOT-RESTARTED"]),
        "{second:#}"
    );
    assert_eq!(
        (proxy.upstream_requests(), told(&proxy).len()),
        (REQUESTS_OF_A_RUN, 1)
    );
    assert_eq!(ask(&proxy, KNOWN).await.json()["running"], false);
    proxy.scan_lines();
}

#[tokio::test]
async fn a_caller_who_hangs_up_ends_no_run() {
    let proxy = shared(builder().start().await);
    proxy.exchange().script(READ, Fault::hang_after());
    let gone = asked(&proxy, RUN);
    proxy.exchange().wait_received(READ, 1).await;
    gone.abort();
    proxy.settle().await;
    proxy.exchange().release();
    proxy.wait_line(&["event=diag ", "result=healthy"]).await;
    assert_eq!(ask(&proxy, KNOWN).await.json()["test_result"], "healthy");
}

#[tokio::test]
async fn an_exchange_that_hangs_does_not_keep_a_run_beyond_its_deadline() {
    let short = runner::Settings {
        run_deadline: Duration::from_millis(400),
        ..Default::default()
    };
    let proxy = builder()
        .plan(move |plan| plan.runner = short)
        .start()
        .await;
    proxy.exchange().script_always("*", Fault::hang_before());
    let json = timeout(PATIENCE, ask(&proxy, RUN))
        .await
        .expect("it ends")
        .json();
    assert_eq!(json["test_result"], "unreachable", "{json:#}");
    assert!(
        (400..4000).contains(&json["took_ms"].as_u64().unwrap()),
        "{}",
        json["took_ms"]
    );
    assert_eq!(
        proxy.send(client().get(proxy.url("/ready"))).await.text(),
        r#"{"ready":true}"#,
        "readiness is not touched"
    );
}

#[tokio::test]
async fn a_stop_ends_a_run_at_once_and_says_so() {
    let proxy = shared(builder().start().await);
    proxy.exchange().script(READ, Fault::hang_after());
    let under_way = asked(&proxy, RUN);
    proxy.exchange().wait_received(READ, 1).await;
    proxy.stop.cancel();
    let (status, json) = timeout(PATIENCE, under_way).await.unwrap().unwrap();
    assert_eq!(
        (status, json["detail"].as_str()),
        (503, Some("The proxy is stopping; nothing was probed"))
    );
    proxy.wait_line(&["event=diag ", "result=ended"]).await;
    let proxy = Arc::into_inner(proxy).unwrap();
    assert_eq!(proxy.stop().await.0, Drained::Clean);
}

#[tokio::test]
async fn live_calls_go_on_during_a_run_and_order_history_is_left_to_them() {
    let proxy = shared(builder().start().await);
    assert_eq!(
        proxy
            .call_text("private/get-order-history", "{}")
            .await
            .status,
        200
    );
    proxy
        .exchange()
        .script("private/get-open-orders", Fault::hang_after());
    let run = asked(&proxy, RUN);
    proxy
        .exchange()
        .wait_received("private/get-open-orders", 1)
        .await;
    assert_eq!(proxy.call_text(READ, "{}").await.outcome(), "answered");
    proxy.exchange().release();
    let (_, json) = run.await.unwrap();
    let told = json["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|found| found["probe"] == "order history")
        .unwrap();
    assert!(
        told["says"]
            .as_str()
            .unwrap()
            .contains("HTTP 200, code 0, answered to a program"),
        "{told}"
    );
    assert_eq!(
        (&told["verdict"], &json["test_result"]),
        (&json!("ok"), &json!("healthy"))
    );
    assert_eq!(
        proxy.exchange().count("private/get-order-history"),
        1,
        "the live one"
    );
}

#[tokio::test]
async fn what_a_program_was_answered_meanwhile_counts_in_place_of_the_probe() {
    const POLLED: &str = "private/get-order-history";
    for (polled, first, verdict, never) in [
        // The seeds' own case: some methods work.
        (0, "CP-SOME-METHODS", "ok", "CP-KEY-DISABLED"),
        (40101, "CP-KEY-MISMATCH", "BAD", "CP-SOME-METHODS"),
    ] {
        let proxy = builder().start().await;
        for method in [
            READ,
            "private/get-open-orders",
            "private/get-account-summary",
        ] {
            proxy.exchange().script_always(method, Fault::code(40101));
        }
        proxy.exchange().script(POLLED, Fault::code(polled));
        assert_eq!(proxy.call_text(POLLED, "{}").await.inner()["code"], polled);
        let json = ask(&proxy, RUN).await.json();
        let found = json["findings"].as_array().unwrap();
        let found = found.iter().find(|found| found["probe"] == "order history");
        let found = found.unwrap();
        assert_eq!(
            (&found["verdict"], &found["code"]),
            (&json!(verdict), &json!(polled)),
            "{json:#}"
        );
        let says = found["says"].as_str().unwrap();
        assert!(says.contains("answered to a program"), "{says}");
        assert_eq!(codes(&json)[0], first, "{json:#}");
        assert!(!codes(&json).contains(&never), "{json:#}");
        assert_eq!(proxy.exchange().count(POLLED), 1, "the live one");
    }
}

#[tokio::test]
async fn a_call_that_the_exchange_never_saw_keeps_no_probe_from_asking() {
    let proxy = builder()
        .policy(|policy| {
            policy
                .deny_methods
                .insert("private/get-order-history".to_owned());
        })
        .start()
        .await;
    let refused = proxy.call_text("private/get-order-history", "{}").await;
    assert_eq!(refused.outcome(), "refused");
    ask(&proxy, RUN).await;
    assert_eq!(proxy.exchange().count("private/get-order-history"), 1);
}
