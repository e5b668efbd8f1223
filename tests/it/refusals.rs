//! What we choose not to try: denied, too long, too slow, no room, stopping.

use std::time::Duration;

use catalogue::methods::Class;
use sandbox::Fault;
use serde_json::json;

use crate::support::{Answer, PATIENCE, TestProxy, contract::ORDER, contract::READ};

fn error(answer: &Answer) -> String {
    answer.inner()["error"].as_str().unwrap().to_owned()
}

fn order() -> serde_json::Value {
    json!({ "instrument_name": "BTC_USD", "side": "BUY", "type": "LIMIT", "price": "1", "quantity": "1" })
}

#[tokio::test]
async fn policy_names_the_method_the_rule_and_the_setting() {
    let change = |policy: &mut gateway::policy::Policy| {
        policy.deny_methods.insert("private/cancel-order".into());
        policy.deny_classes.insert(Class::AccountAdmin);
        policy
            .allow_methods
            .insert("private/create-subaccount-transfer".into());
    };
    let proxy = TestProxy::builder().policy(change).start().await;
    let cases = [
        (
            "private/create-withdrawal",
            "class transfer is not allowed; policy.allow_methods = [\"private/create-withd",
        ),
        (
            "private/create-withdrawal",
            "policy.allow_classes = [\"transfer\"]",
        ),
        ("private/staking/stake", "class products"),
        ("private/cancel-order", "listed in policy.deny_methods"),
        (
            "private/change-account-leverage",
            "listed in policy.deny_classes",
        ),
        ("private/not-invented-yet", "not in the catalogue"),
        (
            "private/not-invented-yet",
            "policy.allow_methods = [\"private/not-invented-yet\"]",
        ),
        ("public/get-tickers", "public methods need no signature"),
        ("public/auth", "public methods need no signature"),
        ("private/set-cancel-on-disconnect", "on WebSockets only"),
    ];
    for (method, rule) in cases {
        let answer = proxy.call(method, json!({ "a": "MARKER7391" })).await;
        assert_eq!(answer.status, 403, "{}", answer.text());
        let error = error(&answer);
        let named = format!("Proxy refused: {method} is not allowed for caller default: ");
        assert!(error.starts_with(&named) && error.contains(rule), "{error}");
        assert!(!answer.text().contains("MARKER7391"));
        proxy.assert_outcome(&answer, "refused", Some("denied"));
    }
    assert_eq!(proxy.upstream_requests(), 0);
    assert_ne!(
        proxy
            .call("private/create-subaccount-transfer", json!({}))
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn without_room_a_call_is_refused_at_once_and_health_still_answers() {
    let proxy = TestProxy::builder()
        .plan(|plan| plan.gateway.max_in_flight = 1)
        .start()
        .await;
    proxy.exchange().script(ORDER, Fault::hang_after());
    let meanwhile = async {
        proxy.exchange().wait_received(ORDER, 1).await;
        // The first call is released only after these answers, so nobody waited for it.
        let answer = proxy.call_text(READ, "{}").await;
        assert_eq!(
            (answer.status, answer.header("retry-after").as_deref()),
            (503, Some("1"))
        );
        assert!(
            error(&answer).contains("1 calls are under way already (calls.max_in_flight)"),
            "{}",
            answer.text()
        );
        proxy.assert_outcome(&answer, "refused", Some("no_room"));
        for path in ["/health", "/ready"] {
            assert_eq!(
                proxy
                    .send(crate::support::client().get(proxy.url(path)))
                    .await
                    .status,
                200
            );
        }
        proxy.exchange().release();
    };
    let (first, ()) = tokio::join!(proxy.call(ORDER, order()), meanwhile);
    assert_eq!(first.outcome(), "answered");
    assert_eq!(
        (proxy.exchange().count(READ), proxy.gateway.in_flight()),
        (0, 0)
    );
    assert_eq!(proxy.call_text(READ, "{}").await.outcome(), "answered");
}

#[tokio::test]
async fn while_stopping_new_calls_are_refused() {
    let proxy = TestProxy::start().await;
    proxy.gateway.drain();
    let answer = proxy.call(ORDER, order()).await;
    assert_eq!(
        (answer.status, answer.header("retry-after").as_deref()),
        (503, Some("1"))
    );
    let expected = r#"{"status":503,"body":{"error":"Proxy refused: the proxy is stopping; nothing was sent, try again shortly","outcome":"refused"},"rid":1}"#;
    assert_eq!(answer.text(), expected);
    proxy.assert_outcome(&answer, "refused", Some("draining"));
    assert_eq!(proxy.upstream_requests(), 0);
}

fn head(proxy: &TestProxy) -> String {
    let token = &proxy.canaries.token;
    format!(
        "POST /proxy/private HTTP/1.1\r\nhost: localhost\r\nx-proxy-token: {token}\r\ncontent-type: application/json\r\n"
    )
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_by_its_announcement_and_by_its_bytes() {
    let proxy = TestProxy::builder()
        .plan(|plan| plan.http.max_body_bytes = 64)
        .start()
        .await;
    let fits = format!(r#"{{"method":"{READ}"}}{}"#, " ".repeat(31));
    assert_eq!((fits.len(), proxy.post(&fits).await.status), (64, 200));
    let chunk = format!("{:x}\r\n{}\r\n", 65, " ".repeat(65));
    let announced = format!("{}content-length: 65\r\n\r\n", head(&proxy));
    for request in [
        announced,
        format!("{}transfer-encoding: chunked\r\n\r\n{chunk}", head(&proxy)),
    ] {
        let answer = proxy.send_raw(&request).await;
        let expected = r#"{"detail":"The body is too long (listener.max_body_bytes)"}"#;
        assert_eq!((answer.status, answer.text()), (413, expected));
        assert_eq!(answer.header("connection").as_deref(), Some("close"));
        proxy.assert_outcome(&answer, "refused", Some("body_too_long"));
    }
    assert_eq!(proxy.upstream_requests(), 1);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_refused_after_its_deadline() {
    let proxy = TestProxy::builder()
        .plan(|plan| plan.http.body_deadline = Duration::from_millis(50))
        .start()
        .await;
    let mut raw = proxy.raw().await;
    raw.write(format!("{}content-length: 100\r\n\r\n{{\"method\":", head(&proxy)).as_bytes())
        .await;
    let answer = raw.answer().await;
    proxy.check(&answer);
    let expected = r#"{"detail":"The body did not arrive in time (listener.body_deadline_ms)"}"#;
    assert_eq!((answer.status, answer.text()), (408, expected));
    proxy.assert_outcome(&answer, "refused", Some("body_deadline"));
    assert!(raw.is_closed().await);
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_one_record_and_no_call() {
    let proxy = TestProxy::builder()
        .plan(|plan| plan.http.body_deadline = PATIENCE * 10)
        .start()
        .await;
    let mut raw = proxy.raw().await;
    raw.write(format!("{}content-length: 100\r\n\r\n{{\"method\":", head(&proxy)).as_bytes())
        .await;
    drop(raw);
    let line = proxy.wait_line(&["event=call FAIL", " method=none "]).await;
    assert_eq!(line.field("CRYPTO_OUTCOME"), Some("refused"));
    assert_eq!(proxy.upstream_requests(), 0);
}
