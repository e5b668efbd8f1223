//! `/health`, `/` and `/ready`: what supervisors and people see without a token.

use gateway::observed::Expected;
use sandbox::{Canned, Fault};
use serde_json::json;

use crate::support::{Answer, TestProxy, client, contract::READ};

async fn ask(proxy: &TestProxy, path: &str) -> Answer {
    proxy.send(client().get(proxy.url(path))).await
}

async fn ready(proxy: &TestProxy) -> (u16, String) {
    let answer = ask(proxy, "/ready").await;
    (answer.status, answer.text().to_owned())
}

#[tokio::test]
async fn health_answers_as_documented_and_names_no_outcome() {
    let proxy = TestProxy::start().await;
    let answer = ask(&proxy, "/health").await;
    assert_eq!(
        (answer.status, answer.text()),
        (200, r#"{"status":"healthy","service":"crypto-proxy"}"#)
    );
    assert_eq!(answer.headers.len(), 5, "{:?}", answer.headers);
    assert!(
        proxy.texts().iter().all(|line| !line.contains("event=")),
        "{:?}",
        proxy.texts()
    );
}

#[tokio::test]
async fn the_root_names_the_proxy_and_its_version() {
    let proxy = TestProxy::start().await;
    let answer = ask(&proxy, "/").await;
    let expected =
        json!({ "message": "Crypto.com Signer Proxy", "version": env!("CARGO_PKG_VERSION") });
    assert_eq!((answer.status, answer.json()), (200, expected));
}

#[tokio::test]
async fn ready_follows_whether_the_exchange_can_be_reached() {
    let proxy = TestProxy::start().await;
    assert_eq!(ready(&proxy).await, (200, r#"{"ready":true}"#.to_owned()));
    for failed in 1..=3 {
        assert_eq!(ready(&proxy).await.0, 200, "after {failed} - 1 failures");
        proxy.meet(Fault::cut_before()).await;
    }
    let because = r#"{"because":["the last attempts to reach the exchange failed"],"ready":false}"#;
    assert_eq!(ready(&proxy).await, (503, because.to_owned()));
    assert_eq!(ask(&proxy, "/health").await.status, 200);
    assert_eq!(proxy.call_text(READ, "{}").await.outcome(), "answered");
    assert_eq!(ready(&proxy).await, (200, r#"{"ready":true}"#.to_owned()));
}

#[tokio::test]
async fn answers_that_cannot_be_passed_on_do_not_make_the_exchange_unreachable() {
    let proxy = TestProxy::start().await;
    for _ in 0..3 {
        assert_eq!(proxy.pass_on(Canned::json(200, "{")).await.status, 502);
    }
    assert_eq!(ready(&proxy).await.0, 200);
    for _ in 0..3 {
        assert_eq!(
            proxy
                .pass_on(Canned::json(302, "{}").header("location", "/login"))
                .await
                .status,
            502
        );
    }
    assert_eq!(ready(&proxy).await.0, 503);
}

#[tokio::test]
async fn refusals_of_ours_say_nothing_about_the_exchange() {
    let proxy = TestProxy::start().await;
    for _ in 0..4 {
        assert_eq!(
            proxy
                .call_text("private/create-withdrawal", "{}")
                .await
                .status,
            403
        );
    }
    assert_eq!(ready(&proxy).await.0, 200);
}

#[tokio::test]
async fn ready_is_503_while_draining_and_health_is_not() {
    let proxy = TestProxy::start().await;
    proxy.gateway.drain();
    assert_eq!(
        ready(&proxy).await,
        (503, r#"{"because":["draining"],"ready":false}"#.to_owned())
    );
    assert_eq!(ask(&proxy, "/health").await.status, 200);
}

#[tokio::test]
async fn drift_and_standing_warnings_are_told_under_200() {
    let expected = Expected::Listed(vec!["203.0.113.7".parse().unwrap()]);
    let plan = |plan: &mut crypto_proxy::config::Config| {
        plan.expected = expected;
        plan.standing_warnings = vec!["the token was published".to_owned()];
    };
    let proxy = TestProxy::builder().plan(plan).start().await;
    let observed = proxy.gateway.observed();
    observed.note_outbound("203.0.113.7".parse().unwrap());
    assert_eq!(ready(&proxy).await, (200, r#"{"ready":true}"#.to_owned()));
    observed.note_outbound("198.51.100.4".parse().unwrap());
    let drift = "outbound address 198.51.100.4 is not among CRYPTO_EXPECTED_IP";
    let expected = json!({ "ready": true, "warnings": [drift] });
    assert_eq!(ready(&proxy).await, (200, expected.to_string()));
    // A stranger would learn from them that guessing is worth while.
    let with = |token: &str| {
        let request = client()
            .get(proxy.url("/ready"))
            .header("X-Proxy-Token", token);
        proxy.send(request)
    };
    let expected = json!({ "ready": true, "warnings": ["the token was published", drift] });
    assert_eq!(
        with(&proxy.canaries.token).await.text(),
        expected.to_string()
    );
    let wrong = with("invented-token-of-nobody").await;
    assert_eq!(
        wrong.text(),
        json!({ "ready": true, "warnings": [drift] }).to_string()
    );
}

#[tokio::test]
async fn a_clock_far_from_the_exchanges_is_a_warning_and_nothing_is_refused() {
    let proxy = TestProxy::builder()
        .exchange(|exchange| exchange.clock_offset_ms = 20_000)
        .start()
        .await;
    for _ in 0..2 {
        assert_eq!(ready(&proxy).await.1, r#"{"ready":true}"#);
        assert_eq!(proxy.call_text(READ, "{}").await.inner()["code"], 0);
    }
    let warning =
        r#"{"ready":true,"warnings":["the clock differs from the exchange's by 5 s or more"]}"#;
    assert_eq!(ready(&proxy).await, (200, warning.to_owned()));
    proxy
        .exchange()
        .change(|exchange| exchange.clock_offset_ms = 90_000);
    assert_eq!(proxy.call_text(READ, "{}").await.inner()["code"], 40102);
}
