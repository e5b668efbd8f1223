//! Answers that say they are JSON and are not, or are more than JSON readers bear.

use super::{MALFORMED, Told, assert_told, in_front_of, place, told};
use crate::support::{
    Answer,
    wire::{Script, Step, Wire, reply},
};

/// The order meets this body, of type JSON; it was sent once.
async fn met_body(body: &[u8], expected: Told) -> Answer {
    let wire = Wire::start([Script::plain([
        Step::Request,
        Step::Write(reply::json(200, body)),
    ])])
    .await;
    let proxy = in_front_of(&wire).start().await;
    let answer = place(&proxy).await;
    assert_told(&proxy, &answer, expected);
    assert_eq!((wire.connections(), wire.begun()), (1, 1));
    answer
}

#[tokio::test]
async fn fault_36_malformed_json_is_unknown_and_not_passed_on() {
    for body in [
        &b"{\"code\":0,\"result\":{\"order_id\":\"leaked\""[..],
        b"{\"code\":0,}leaked",
        b"{'code':0,'x':'leaked'}",
        b"leaked",
        b"   ",
        b"{\"code\":0}{\"code\":0,\"x\":\"leaked\"}",
    ] {
        let answer = met_body(body, MALFORMED).await;
        assert!(!answer.text().contains("leaked"), "{}", answer.text());
    }
}

#[tokio::test]
async fn fault_42_invalid_utf8_a_byte_order_mark_and_nan_are_unknown() {
    for body in [
        &b"{\"code\":0,\"x\":\"\xff\xfe\"}"[..],
        b"\xef\xbb\xbf{\"code\":0}",
        b"{\"code\":0,\"x\":NaN}",
        b"{\"code\":-Infinity}",
    ] {
        met_body(body, MALFORMED).await;
    }
}

#[tokio::test]
async fn fault_42_duplicate_keys_are_passed_on_and_contradicting_codes_are_unknown() {
    let answered = told(200, "answered", "");
    let body = br#"{"code":0,"result":{"a":1,"a":2},"result":{},"code":0}"#;
    let answer = met_body(body, answered).await;
    assert!(
        answer
            .text()
            .contains(std::str::from_utf8(body).expect("ASCII")),
        "{}",
        answer.text()
    );
    met_body(
        br#"{"code":0,"code":306}"#,
        told(200, "unknown", "inconclusive_answer"),
    )
    .await;
}

#[tokio::test]
async fn fault_43_json_nested_100_000_deep_is_unknown_and_the_stack_is_safe() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let deep = format!(
            r#"{{"code":0,"x":{}1{}}}"#,
            open.repeat(100_000),
            close.repeat(100_000)
        );
        let answer = met_body(deep.as_bytes(), MALFORMED).await;
        assert!(
            answer.text().contains("nested too deeply"),
            "{}",
            answer.text()
        );
        met_body(open.repeat(100_000).as_bytes(), MALFORMED).await;
    }
}

#[tokio::test]
async fn fault_43_what_callers_can_parse_is_passed_on() {
    let body = format!(r#"{{"code":0,"x":{}{}}}"#, "[".repeat(100), "]".repeat(100));
    met_body(body.as_bytes(), told(200, "answered", "")).await;
}
