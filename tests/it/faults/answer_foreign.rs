//! Complete answers that are not the exchange's own: an edge's page, a redirect, another protocol, an encoding.

use super::{Told, in_front_of, met, place, told};
use crate::support::{
    Answer, TestProxy,
    wire::{
        Script, Step, Wire,
        reply::{self, typed, with_head},
    },
};

/// Stands in every page that must not be logged.
const PAGE: &str = "<html>Just a moment, invented ray 77\u{e9}</html>";
const PASSED_ON: Told = told(200, "unknown", "inconclusive_answer");

fn answer(bytes: impl Into<bytes::Bytes>) -> [Step; 2] {
    [Step::Request, Step::Write(bytes.into())]
}

/// The order meets an answer that is passed on as text; the connection is good and may be used again.
async fn passed_on(bytes: impl Into<bytes::Bytes>, status: u16, text: &str) -> (TestProxy, Answer) {
    let wire = Wire::start([Script::plain(answer(bytes))]).await;
    let proxy = in_front_of(&wire).start().await;
    let answer = place(&proxy).await;
    super::assert_told(&proxy, &answer, PASSED_ON);
    assert_eq!(
        (&answer.json()["status"], &answer.json()["body"]),
        (&status.into(), &text.into())
    );
    assert_eq!(wire.begun(), 1);
    let rid = answer.header("x-request-id").expect("a request id");
    let line = proxy.records_of(&rid)[0].text().to_owned();
    assert!(
        line.contains(&format!("response_status={status} outcome=unknown")),
        "{line}"
    );
    assert!(
        !proxy
            .texts()
            .iter()
            .any(|line| line.contains("invented ray")),
        "an answer was logged"
    );
    (proxy, answer)
}

#[tokio::test]
async fn fault_28_a_switch_of_protocols_is_unknown() {
    let switch =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    met(answer(switch), told(502, "unknown", "upgraded")).await;
}

#[tokio::test]
async fn fault_28_a_switch_without_an_upgrade_is_unknown() {
    met(
        answer("HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        told(502, "unknown", "upgraded"),
    )
    .await;
}

#[tokio::test]
async fn fault_29_redirects_are_not_followed_and_their_target_is_not_told() {
    for status in [300, 301, 302, 303, 304, 307, 308] {
        // Back to the same upstream: a redirect that is followed would be counted there.
        let head = "location: /exchange/v1/secret-place?sig=1\r\nrefresh: 0; url=secret-place\r\n";
        let redirect = with_head(
            status,
            &format!("{head}connection: close\r\n"),
            if status == 304 { "" } else { PAGE },
        );
        let (proxy, told_answer) = met(answer(redirect), told(502, "unknown", "redirected")).await;
        assert!(
            told_answer.text().contains(&format!("HTTP {status}")),
            "{}",
            told_answer.text()
        );
        assert!(
            !told_answer.head_and_body().contains("secret-place"),
            "{}",
            told_answer.head_and_body()
        );
        assert!(
            !proxy
                .texts()
                .iter()
                .any(|line| line.contains("secret-place")),
            "a target was logged"
        );
    }
}

#[tokio::test]
async fn fault_30_an_html_page_with_status_200_is_passed_on_as_text_and_unknown() {
    passed_on(typed(200, "text/html; charset=utf-8", PAGE), 200, PAGE).await;
    // Neither is JSON in a page's clothes an answer of the exchange.
    passed_on(
        typed(200, "text/html", r#"{"code":0}"#),
        200,
        r#"{"code":0}"#,
    )
    .await;
    passed_on(with_head(200, "", r#"{"code":0}"#), 200, r#"{"code":0}"#).await;
}

#[tokio::test]
async fn fault_31_an_html_page_with_status_403_is_passed_on_as_text_and_unknown() {
    passed_on(typed(403, "text/html", PAGE), 403, PAGE).await;
}

#[tokio::test]
async fn fault_34_html_or_empty_answers_with_5xx_are_passed_on_as_text_and_unknown() {
    for status in [500, 502, 503, 504, 520, 599] {
        passed_on(typed(status, "text/html", PAGE), status, PAGE).await;
        passed_on(with_head(status, "", ""), status, "").await;
    }
}

#[tokio::test]
async fn fault_35_an_empty_answer_is_unknown_whatever_its_type() {
    passed_on(with_head(200, "", ""), 200, "").await;
    passed_on(typed(200, "text/plain", ""), 200, "").await;
    passed_on("HTTP/1.1 204 No Content\r\n\r\n", 204, "").await;
    for head in [
        "content-type: application/json\r\n",
        "content-type: application/problem+json\r\nconnection: close\r\n",
    ] {
        let wire = Wire::start([Script::plain(answer(with_head(200, head, "")))]).await;
        let proxy = in_front_of(&wire).start().await;
        super::assert_told(
            &proxy,
            &place(&proxy).await,
            told(502, "unknown", "malformed"),
        );
        assert_eq!(wire.begun(), 1);
    }
}

#[tokio::test]
async fn fault_41_a_compressed_answer_is_not_decoded_and_unknown() {
    // 24 bytes of gzip; unpacked or not, nothing of it is looked at.
    let bomb = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0xed; 14]].concat();
    for encoding in ["gzip", "br", "deflate", "identity, gzip"] {
        let head = format!(
            "content-type: application/json\r\ncontent-encoding: {encoding}\r\nconnection: close\r\n"
        );
        let (proxy, _) = met(
            answer(with_head(200, &head, &bomb)),
            told(502, "unknown", "encoded"),
        )
        .await;
        drop(proxy);
    }
    let wire = Wire::start([Script::plain(answer(reply::good()))]).await;
    let proxy = in_front_of(&wire).start().await;
    place(&proxy).await;
    assert!(
        !wire.requests()[0]
            .head
            .to_ascii_lowercase()
            .contains("accept-encoding"),
        "none was asked for"
    );
}

#[tokio::test]
async fn fault_41_many_encodings_in_a_row_are_unknown_too() {
    let head = "content-type: application/json\r\ncontent-encoding: identity\r\ncontent-encoding: gzip\r\n";
    met(
        answer(with_head(
            200,
            &format!("{head}connection: close\r\n"),
            "{\"code\":0}",
        )),
        told(502, "unknown", "encoded"),
    )
    .await;
}
