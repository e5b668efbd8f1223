//! Complete answers of the exchange with bad news: passed on unchanged, and never asked twice.

use super::{Told, assert_told, in_front_of, place, told};
use crate::support::{
    Answer, TestProxy,
    wire::{Script, Step, Wire, reply},
};

const ANSWERED: Told = told(200, "answered", "");
const INCONCLUSIVE: Told = told(200, "unknown", "inconclusive_answer");

/// The order meets this answer, which is passed on byte for byte, having been sent once.
async fn passed_on(status: u16, body: &str, expected: Told) -> (TestProxy, Answer) {
    let wire = Wire::start([Script::plain([
        Step::Request,
        Step::Write(reply::json(status, body)),
    ])])
    .await;
    let proxy = in_front_of(&wire).start().await;
    let answer = place(&proxy).await;
    assert_told(&proxy, &answer, expected);
    assert_eq!(
        answer.text(),
        format!(r#"{{"status":{status},"body":{body},"rid":1}}"#)
    );
    assert_eq!(
        (wire.connections(), wire.begun()),
        (1, 1),
        "{:?}",
        wire.received()
    );
    super::assert_no_signature_logged(&proxy, &wire);
    (proxy, answer)
}

fn line_of(proxy: &TestProxy, answer: &Answer) -> String {
    proxy.records_of(&answer.header("x-request-id").expect("a request id"))[0]
        .text()
        .to_owned()
}

#[tokio::test]
async fn fault_32_a_429_is_passed_on_and_not_asked_again() {
    let body =
        r#"{"id":1,"method":"private/create-order","code":42901,"message":"TOO_MANY_REQUESTS"}"#;
    let (proxy, answer) = passed_on(429, body, ANSWERED).await;
    let line = line_of(&proxy, &answer);
    assert!(
        line.contains("FAIL") && line.contains("response_status=429 code=42901"),
        "{line}"
    );
}

#[tokio::test]
async fn fault_32_retry_after_of_the_exchange_does_not_delay_or_repeat_anything() {
    let head = "content-type: application/json\r\nretry-after: 3600\r\n";
    let limited = reply::with_head(429, head, r#"{"code":42901}"#);
    let wire = Wire::start([Script::plain([Step::Request, Step::Write(limited)])]).await;
    let proxy = in_front_of(&wire).start().await;
    assert_told(&proxy, &place(&proxy).await, ANSWERED);
    assert_eq!(wire.begun(), 1);
}

#[tokio::test]
async fn fault_33_5xx_with_a_code_are_passed_on_and_the_code_decides() {
    for status in [500, 502, 503, 504] {
        passed_on(
            status,
            r#"{"id":1,"code":306,"message":"INSUFFICIENT_AVAILABLE_BALANCE"}"#,
            ANSWERED,
        )
        .await;
        passed_on(
            status,
            r#"{"id":1,"code":50001,"message":"ERR_INTERNAL"}"#,
            INCONCLUSIVE,
        )
        .await;
        passed_on(
            status,
            r#"{"id":1,"code":40801,"message":"REQUEST_TIMEOUT"}"#,
            INCONCLUSIVE,
        )
        .await;
    }
}

#[tokio::test]
async fn fault_37_an_answer_without_a_code_is_passed_on_and_unknown() {
    for body in [
        r#"{"id":1,"result":{}}"#,
        "{}",
        "[]",
        "0",
        "\"code\"",
        "null",
        r#"{"code":null}"#,
        r#"{"code":1.5}"#,
    ] {
        passed_on(200, body, INCONCLUSIVE).await;
    }
    passed_on(200, r#"{"code":424242}"#, INCONCLUSIVE).await;
}

#[tokio::test]
async fn fault_37_an_answer_without_an_id_is_legal() {
    passed_on(200, r#"{ "code" : 0 , "result" : { } }"#, ANSWERED).await;
}

#[tokio::test]
async fn fault_38_codes_other_than_0_are_passed_on_and_logged_as_failures() {
    for code in [204, 40103, 40104, 10002, 10007] {
        let (proxy, answer) =
            passed_on(200, &format!(r#"{{"id":1,"code":{code}}}"#), ANSWERED).await;
        let line = line_of(&proxy, &answer);
        assert!(
            line.starts_with("[CRYPTO_AUTH_DIAG] event=call FAIL "),
            "{line}"
        );
        assert!(
            line.contains(&format!("response_status=200 code={code} outcome=answered")),
            "{line}"
        );
    }
}

#[tokio::test]
async fn fault_39_a_bad_signature_is_one_line_without_a_secret() {
    let body = r#"{"id":1,"method":"private/create-order","code":40101,"message":"UNAUTHORIZED"}"#;
    let (proxy, answer) = passed_on(401, body, ANSWERED).await;
    let calls = proxy
        .texts()
        .iter()
        .filter(|line| line.contains("event=call"))
        .count();
    assert_eq!(calls, 1);
    let line = line_of(&proxy, &answer);
    assert!(
        line.contains("response_status=401 code=40101 outcome=answered"),
        "{line}"
    );
}

#[tokio::test]
async fn fault_39_an_echo_of_the_request_is_scrubbed_before_it_is_passed_on() {
    let wire = Wire::start([Script::plain([Step::Request, Step::ReplyTo])]).await;
    let proxy = in_front_of(&wire).start().await;
    // The harness searches every answer for the key and the secret.
    let answer = place(&proxy).await;
    assert_told(&proxy, &answer, ANSWERED);
    let signature = wire.requests()[0].signature();
    assert!(
        !answer.text().contains(&signature),
        "the signature was passed on"
    );
    assert_eq!(
        answer.inner()["original"]["params"]["client_oid"],
        super::OID
    );
    assert!(
        line_of(&proxy, &answer).contains(" scrubbed "),
        "{}",
        line_of(&proxy, &answer)
    );
}

#[tokio::test]
async fn fault_40_a_refused_nonce_is_passed_on_and_not_sent_with_another() {
    let body = r#"{"id":1,"method":"private/create-order","code":40102,"message":"INVALID_NONCE"}"#;
    passed_on(400, body, ANSWERED).await;
}

#[tokio::test]
async fn fault_40_a_clock_that_is_off_stands_in_the_line_of_the_refused_call() {
    let proxy = TestProxy::builder()
        .exchange(|settings| settings.clock_offset_ms = 3_600_000)
        .start()
        .await;
    for _ in 0..3 {
        assert_eq!(place(&proxy).await.inner()["code"], 40102);
    }
    let answer = place(&proxy).await;
    assert_eq!(
        proxy.exchange().counts("private/create-order").received,
        4,
        "not sent again by itself"
    );
    let line = line_of(&proxy, &answer);
    assert!(
        line.contains("code=40102") && line.contains("skew_ms=+3"),
        "{line}"
    );
}
