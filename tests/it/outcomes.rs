//! One word for what became of a call, the same on every channel.

use std::{sync::Arc, time::Duration};

use catalogue::codes;
use gateway::connect::Resolver;
use sandbox::{Canned, Fault};

use crate::support::{
    TestProxy,
    contract::{READ, refusing_address},
};

const INCONCLUSIVE: Option<&str> = Some("inconclusive_answer");

#[tokio::test]
async fn codes_that_tell_what_became_of_the_call_are_answered() {
    let proxy = TestProxy::start().await;
    for code in [
        0, 204, 306, 40101, 40102, 40103, 42901, 40401, 43003, 43012, 140_001,
    ] {
        let answer = proxy.meet(Fault::code(code)).await;
        assert_eq!(
            (answer.status, &answer.inner()["code"]),
            (200, &code.into())
        );
        proxy.assert_outcome(&answer, "answered", None);
        assert_eq!(
            proxy.record(&answer).field("CRYPTO_CODE"),
            Some(&*code.to_string())
        );
    }
}

#[tokio::test]
async fn codes_that_do_not_are_passed_on_all_the_same_and_are_unknown() {
    let proxy = TestProxy::start().await;
    for code in [50001, 40801, 120_009, 9_010_001, 10001, 424_242, -1] {
        for status in [200, 400, 500] {
            let body = format!(r#"{{"code":{code},"message":"x"}}"#);
            let answer = proxy.pass_on(Canned::json(status, body.clone())).await;
            assert_eq!(
                answer.text(),
                format!(r#"{{"status":{status},"body":{body},"rid":1}}"#)
            );
            proxy.assert_outcome(&answer, "unknown", INCONCLUSIVE);
        }
    }
    assert!(codes::find(10001).is_some() && codes::find(424_242).is_none());
}

#[tokio::test]
async fn the_code_decides_and_never_the_http_status() {
    let proxy = TestProxy::start().await;
    for status in [400, 401, 429, 500, 503] {
        let answer = proxy.pass_on(Canned::json(status, r#"{"code":306}"#)).await;
        proxy.assert_outcome(&answer, "answered", None);
    }
    proxy.assert_outcome(
        &proxy.pass_on(Canned::html(200, "<html>")).await,
        "unknown",
        INCONCLUSIVE,
    );
}

#[tokio::test]
async fn a_code_may_be_a_string_and_may_not_contradict_itself() {
    let proxy = TestProxy::start().await;
    let cases = [
        (r#"{"code":"0"}"#, "answered"),
        (r#"{"code":"40101"}"#, "answered"),
        (r#"{"code":0,"code":0}"#, "answered"),
        (r#"{"code":0,"code":"0"}"#, "answered"),
        (r#"{"code":0,"code":306}"#, "unknown"),
        (r#"{"code":50001,"code":0}"#, "unknown"),
        (r#"{"code":"zero"}"#, "unknown"),
        (r#"{"code":""}"#, "unknown"),
        (r#"{"code":0.0}"#, "unknown"),
        (r#"{"code":99999999999999999999}"#, "unknown"),
        (r#"{"code":true}"#, "unknown"),
        (r#"{"code":{"code":0}}"#, "unknown"),
        (r#"{"Code":0}"#, "unknown"),
    ];
    for (body, word) in cases {
        let answer = proxy.pass_on(Canned::json(200, body)).await;
        assert_eq!(
            answer.text(),
            format!(r#"{{"status":200,"body":{body},"rid":1}}"#)
        );
        proxy.assert_outcome(&answer, word, INCONCLUSIVE.filter(|_| word == "unknown"));
    }
}

#[tokio::test]
async fn a_refused_connection_is_a_502_and_not_sent() {
    let (_kept, address) = refusing_address();
    let proxy = TestProxy::builder()
        .base(format!("http://{address}/exchange/v1"))
        .start()
        .await;
    let answer = proxy.call_text(READ, "{}").await;
    let expected = r#"{"status":502,"body":{"error":"Crypto.com API error: no connection to the exchange could be made","outcome":"not_sent"},"rid":1}"#;
    assert_eq!((answer.status, answer.text()), (502, expected));
    proxy.assert_outcome(&answer, "not_sent", Some("connect"));
    assert!(
        proxy
            .record(&answer)
            .text()
            .contains(" response_status=502 outcome=not_sent why=connect ")
    );
}

fn resolver(
    lookup: impl Fn() -> std::io::Result<Vec<std::net::IpAddr>> + Send + Sync + Clone + 'static,
) -> Resolver {
    Resolver::with_lookup(Arc::new(move |_| {
        let lookup = lookup.clone();
        Box::pin(async move { lookup() })
    }))
}

#[tokio::test]
async fn a_name_without_an_address_is_a_502_and_not_sent() {
    let nowhere = resolver(|| Err(std::io::ErrorKind::NotFound.into()));
    let builder = TestProxy::builder().base("http://localhost:9/exchange/v1");
    let proxy = builder
        .plan(move |plan| plan.resolver = nowhere)
        .start()
        .await;
    let answer = proxy.call_text("private/create-order", "{}").await;
    assert_eq!(
        (answer.status, answer.header("x-proxy-client-oid")),
        (502, None)
    );
    proxy.assert_outcome(&answer, "not_sent", Some("dns"));
}

#[tokio::test]
async fn a_deadline_before_there_is_a_connection_is_a_504_and_not_sent() {
    let silent = Resolver::with_lookup(Arc::new(|_| Box::pin(std::future::pending())));
    let total = Duration::from_millis(100);
    let builder = TestProxy::builder().base("http://localhost:9/exchange/v1");
    let proxy = builder
        .plan(move |plan| (plan.resolver, plan.gateway.deadline) = (silent, total))
        .start()
        .await;
    let answer = proxy.call_text(READ, "{}").await;
    let expected =
        r#"{"status":504,"body":{"error":"Crypto.com API timeout","outcome":"not_sent"},"rid":1}"#;
    assert_eq!((answer.status, answer.text()), (504, expected));
    proxy.assert_outcome(&answer, "not_sent", Some("deadline"));
}

#[tokio::test]
async fn a_connection_that_takes_too_long_is_a_504_and_not_sent() {
    let silent = Resolver::with_lookup(Arc::new(|_| Box::pin(std::future::pending())));
    let connect = Duration::from_millis(100);
    let builder = TestProxy::builder().base("http://localhost:9/exchange/v1");
    let proxy = builder
        .plan(move |plan| (plan.resolver, plan.upstream.connect_deadline) = (silent, connect))
        .start()
        .await;
    let answer = proxy.call_text(READ, "{}").await;
    assert_eq!(answer.status, 504);
    proxy.assert_outcome(&answer, "not_sent", Some("connect_deadline"));
}

#[tokio::test]
async fn a_defect_of_ours_is_a_500_with_one_record_and_the_process_lives_on() {
    let broken = Resolver::with_lookup(Arc::new(|_| panic!("PAYLOAD7391")));
    let builder = TestProxy::builder().base("http://localhost:9/exchange/v1");
    let proxy = builder
        .plan(move |plan| plan.resolver = broken)
        .start()
        .await;
    for _ in 0..2 {
        let answer = proxy.call_text(READ, "{}").await;
        let expected = r#"{"status":500,"body":{"error":"Proxy error: internal error; the log names the place","outcome":"not_sent"},"rid":1}"#;
        assert_eq!((answer.status, answer.text()), (500, expected));
        proxy.assert_outcome(&answer, "not_sent", Some("defect"));
    }
    assert!(
        proxy
            .texts()
            .iter()
            .all(|line| !line.contains("PAYLOAD7391")),
        "{:?}",
        proxy.texts()
    );
    assert_eq!(proxy.gateway.in_flight(), 0);
}
