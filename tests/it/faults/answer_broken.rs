//! Answers whose framing breaks: cut, endless, misframed, or in no kind of HTTP.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Notify;

use super::{
    DEADLINE, LOST, TIMED_OUT, Told, assert_told, huge_order, in_front_of, met, place, recovers,
    told,
};
use crate::support::wire::{
    Script, Step, Wire,
    reply::{self, chunked},
};

const GOOD: &str = r#"{"id":1,"code":0,"result":{"order_id":"17"}}"#;
const TOO_LARGE: Told = told(502, "unknown", "too_large");

/// A head that announces `length` bytes of JSON.
fn head(length: usize) -> Bytes {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n")
        .into()
}

fn answer(bytes: impl Into<Bytes>) -> [Step; 2] {
    [Step::Request, Step::Write(bytes.into())]
}

fn then_end(bytes: impl Into<Bytes>) -> [Step; 3] {
    [Step::Request, Step::Write(bytes.into()), Step::Fin]
}

#[tokio::test]
async fn fault_14_end_without_a_reply_is_unknown_and_sent_once() {
    met([Step::Request, Step::Fin], LOST).await;
}

#[tokio::test]
async fn fault_19_a_head_that_dribbles_is_unknown_at_the_total_deadline() {
    // Each byte comes long before a timeout between bytes would strike.
    met(
        [Step::Request, Step::Trickle(reply::good(), DEADLINE / 20)],
        TIMED_OUT,
    )
    .await;
}

#[tokio::test]
async fn fault_20_a_body_that_stalls_or_dribbles_is_unknown_at_the_total_deadline() {
    let (half, rest) = GOOD.split_at(20);
    let begun: Bytes = [&head(GOOD.len())[..], half.as_bytes()].concat().into();
    met(answer(begun.clone()), TIMED_OUT).await;
    met(
        [
            Step::Request,
            Step::Write(begun),
            Step::Trickle(rest.to_owned().into(), DEADLINE / 10),
        ],
        TIMED_OUT,
    )
    .await;
    met(answer(chunked("a\r\n{\"code\":0,\r\n")), TIMED_OUT).await;
}

#[tokio::test]
async fn fault_21_a_body_shorter_than_announced_is_never_passed_on() {
    // What came would even be valid JSON with a good code.
    let short: Bytes = [&head(GOOD.len() + 10)[..], GOOD.as_bytes()]
        .concat()
        .into();
    let (_, told) = met(then_end(short.clone()), LOST).await;
    assert!(!told.text().contains("order_id"), "{}", told.text());
    met([Step::Request, Step::Write(short), Step::Reset], LOST).await;
}

#[tokio::test]
async fn fault_22_bytes_after_the_answer_are_not_read_and_the_connection_is_not_used_again() {
    let long: Bytes = [&head(GOOD.len())[..], GOOD.as_bytes(), b"trailing bytes"]
        .concat()
        .into();
    let good = Script::plain(answer(reply::good()));
    let wire = Wire::start([Script::plain(answer(long)), good]).await;
    let proxy = in_front_of(&wire).start().await;
    let answer = place(&proxy).await;
    assert_told(&proxy, &answer, told(200, "answered", ""));
    assert_eq!(
        answer.text(),
        format!(r#"{{"status":200,"body":{GOOD},"rid":1}}"#)
    );
    recovers(&proxy, &wire).await;
}

#[tokio::test]
async fn fault_23_bad_chunk_sizes_are_unknown() {
    for chunks in [
        "xyz\r\n{}\r\n0\r\n\r\n",
        "-1\r\n{}\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\n{}\r\n",
        "2\r\n{}garbage",
    ] {
        met(answer(chunked(chunks)), told(502, "unknown", "framing")).await;
    }
}

#[tokio::test]
async fn fault_24_chunks_without_the_last_one_are_unknown() {
    let whole = format!("{:x}\r\n{GOOD}\r\n", GOOD.len());
    let (_, told) = met(then_end(chunked(&whole)), LOST).await;
    assert!(!told.text().contains("order_id"), "{}", told.text());
}

#[tokio::test]
async fn fault_25_an_answer_of_ten_mebibytes_is_given_up_at_the_announcement() {
    let flood = Step::Flood(vec![b' '; 64 << 10].into(), 160);
    let (_, answer) = met(
        [Step::Request, Step::Write(head(10 << 20)), flood],
        TOO_LARGE,
    )
    .await;
    assert!(
        answer.text().contains("upstream.max_reply_bytes"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn fault_25_an_answer_without_a_length_is_read_to_the_limit_and_no_further() {
    // Endless for the test's purposes; what the kernels of both sides hold is far below the bound.
    let chunk: Bytes = format!("10000\r\n{}\r\n", " ".repeat(0x10000)).into();
    let endless = [
        Step::Request,
        Step::Write(chunked("")),
        Step::Flood(chunk, 4096),
    ];
    let wire =
        Wire::start_narrow([Script::plain(endless), Script::plain(answer(reply::good()))]).await;
    let proxy = in_front_of(&wire).start().await;
    assert_told(&proxy, &place(&proxy).await, TOO_LARGE);
    wire.ended(0).await;
    assert!(
        wire.written(0) < 16 << 20,
        "took {} bytes of 256 MiB",
        wire.written(0)
    );
    recovers(&proxy, &wire).await;
}

#[tokio::test]
async fn fault_25_the_limit_itself_still_passes() {
    let text = format!(r#"{{"code":0,"pad":"{}"}}"#, "x".repeat((1 << 20) - 19));
    for (length, outcome) in [(1 << 20, "answered"), ((1 << 20) + 1, "unknown")] {
        let text = format!("{text}{}", " ".repeat(length - text.len()));
        let chunked = chunked(&format!("{:x}\r\n{text}\r\n0\r\n\r\n", text.len()));
        for bytes in [reply::json(200, &text), chunked] {
            let wire = Wire::start([Script::plain(answer(bytes))]).await;
            let proxy = in_front_of(&wire).start().await;
            assert_eq!(place(&proxy).await.outcome(), outcome, "{length}");
        }
    }
}

#[tokio::test]
async fn fault_26_endless_heads_are_unknown() {
    let many: String = (0..500)
        .map(|number| format!("x-{number}: 1\r\n"))
        .collect();
    let too_large = told(502, "unknown", "head_too_large");
    let (_, says) = met(answer(reply::with_head(200, &many, GOOD)), too_large).await;
    assert!(
        says.text().contains("more than 100 headers"),
        "{}",
        says.text()
    );
    let long = format!("x-long: {}\r\n", "x".repeat(1 << 20));
    met(answer(reply::with_head(200, &long, GOOD)), too_large).await;
}

#[tokio::test]
async fn fault_26_an_answer_that_is_no_http_is_unknown() {
    for bytes in [
        "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        "SSH-2.0-invented\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "{\"code\":0}\r\n\r\n",
    ] {
        met(answer(bytes), told(502, "unknown", "not_http")).await;
    }
}

#[tokio::test]
async fn fault_27_interim_answers_are_skipped() {
    let interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    let wire = Wire::start([Script::plain(answer(
        [&interim[..], &reply::good()].concat(),
    ))])
    .await;
    let proxy = in_front_of(&wire).start().await;
    let told_answer = place(&proxy).await;
    assert_told(&proxy, &told_answer, told(200, "answered", ""));
    assert_eq!(told_answer.inner()["result"]["order_id"], "17");
    assert_eq!(wire.begun(), 1);
}

#[tokio::test]
async fn fault_27_an_interim_answer_alone_is_unknown() {
    met(answer("HTTP/1.1 100 Continue\r\n\r\n"), TIMED_OUT).await;
    met(then_end("HTTP/1.1 103 Early Hints\r\n\r\n"), LOST).await;
}

#[tokio::test]
async fn fault_44_a_reply_before_the_request_was_read_is_used_and_the_order_sent_once() {
    let early = [
        Step::Head,
        Step::Write(reply::with_head(
            200,
            "content-type: application/json\r\nconnection: close\r\n",
            GOOD,
        )),
        Step::Fin,
    ];
    let wire = Wire::start([Script::plain(early), Script::plain(answer(reply::good()))]).await;
    let proxy = in_front_of(&wire).start().await;
    assert_told(&proxy, &place(&proxy).await, told(200, "answered", ""));
    wire.ended(0).await;
    recovers(&proxy, &wire).await;
}

#[tokio::test]
async fn fault_44_a_connection_whose_request_was_never_read_is_not_used_again() {
    // A keep-alive answer in the middle of the request, from a peer that then reads nothing more.
    let shut = Arc::new(Notify::new());
    let early = [
        Step::Bytes(1),
        Step::Write(reply::good()),
        Step::Await(Arc::clone(&shut)),
    ];
    let wire =
        Wire::start_narrow([Script::plain(early), Script::plain(answer(reply::good()))]).await;
    let proxy = in_front_of(&wire)
        .plan(|plan| plan.http.max_body_bytes = 32 << 20)
        .start()
        .await;
    let told_answer = proxy.call("private/create-order", huge_order()).await;
    assert_told(&proxy, &told_answer, told(200, "answered", ""));
    recovers(&proxy, &wire).await;
    assert_eq!(wire.received()[0].begun(), 1);
}
