//! What the exchange answers reaches the caller byte for byte, or not at all.

use sandbox::{Canned, Fault, WireStep};

use crate::support::{Answer, TestProxy, client, contract::READ, each};

const JSON_THAT_MUST_NOT_CHANGE: [&str; 9] = [
    r#"{"id":1,"method":"private/user-balance","code":0,"result":{"data":[]}}"#,
    r#"{"z":1,"code":0,"a":2,"Z":3}"#,
    " {\n\t\"code\" : 0 ,\r\n \"result\" : [ 1 , 2 ] } \n",
    r#"{"code":0,"n":[1.0,1.00,1e5,1E-7,-0,-0.0,50000.00,18446744073709551616,0.1000000000000000055511151231257827]}"#,
    r#"{"code":0,"s":"é 漢 😀 \u00e9 \ud83d\ude00 \/ / \u0000 \n"}"#,
    r#"{"code":0,"a":1,"a":2,"result":{"b":[],"b":{}}}"#,
    r#"{"code":0,"":"","status":1,"body":{"rid":2},"rid":3,"outcome":"refused"}"#,
    r#"{"code":"0","id":9223372036854775807}"#,
    r#"{"result":{"code":306},"code":0}"#,
];

fn envelope(status: u16, body: &str) -> String {
    format!(r#"{{"status":{status},"body":{body},"rid":1}}"#)
}

#[tokio::test]
async fn json_is_passed_on_byte_for_byte() {
    let proxy = TestProxy::start().await;
    each(JSON_THAT_MUST_NOT_CHANGE, async |body| {
        let answer = proxy.pass_on(Canned::json(200, body)).await;
        assert_eq!((answer.status, answer.text()), (200, &*envelope(200, body)));
        proxy.assert_outcome(&answer, "answered", None);
    })
    .await;
}

#[tokio::test]
async fn json_that_some_parsers_cannot_hold_is_passed_on_as_well() {
    let proxy = TestProxy::start().await;
    let rows = [
        r#"{"code":0,"n":1e400}"#,
        r#"{"code":0,"half":"\ud800"}"#,
        r#"{"\ud800":1,"code":0}"#,
    ];
    each(rows, async |body| {
        proxy
            .exchange()
            .script(READ, Fault::reply(Canned::json(200, body)));
        let request = client()
            .post(proxy.url("/proxy/private"))
            .header("x-proxy-token", &proxy.canaries.token);
        let request = request
            .header("content-type", "application/json")
            .body(r#"{"method":"private/user-balance"}"#);
        let answer = Answer::read(request.send().await.unwrap()).await;
        assert_eq!((answer.status, answer.text()), (200, &*envelope(200, body)));
        assert_eq!(answer.outcome(), "answered");
    })
    .await;
}

#[tokio::test]
async fn json_without_a_code_is_passed_on_and_is_unknown() {
    let proxy = TestProxy::start().await;
    let rows = [
        "[]",
        "null",
        "true",
        "7",
        "\"text\"",
        "{}",
        r#"{"result":{"code":0}}"#,
        r#"{"code":null}"#,
    ];
    each(rows, async |body| {
        let answer = proxy.pass_on(Canned::json(200, body)).await;
        assert_eq!((answer.status, answer.text()), (200, &*envelope(200, body)));
        proxy.assert_outcome(&answer, "unknown", Some("inconclusive_answer"));
    })
    .await;
}

#[tokio::test]
async fn every_http_status_of_the_exchange_is_passed_on_inside_a_200() {
    let proxy = TestProxy::start().await;
    let rows = [
        200, 201, 400, 401, 403, 404, 408, 418, 429, 500, 502, 503, 504, 520,
    ];
    each(rows, async |status| {
        let answer = proxy
            .pass_on(Canned::json(status, r#"{"code":40001}"#))
            .await;
        assert_eq!(
            (answer.status, answer.text()),
            (200, &*envelope(status, r#"{"code":40001}"#))
        );
        proxy.assert_outcome(&answer, "answered", None);
        assert!(
            proxy
                .record(&answer)
                .text()
                .contains(&format!(" response_status={status} code=40001 "))
        );
    })
    .await;
}

#[tokio::test]
async fn what_is_not_json_by_its_type_becomes_a_string() {
    let proxy = TestProxy::start().await;
    let html = "<html>\n<title>\"é\" \\ 😀</title>\t</html>";
    let cases = [
        (Canned::html(403, html), 403),
        (Canned::text(200, r#"{"code":0}"#), 200),
        (Canned::text(503, ""), 503),
        (
            Canned {
                content_type: None,
                ..Canned::json(200, r#"{"code":0}"#)
            },
            200,
        ),
        (Canned::new(200, "text/json-ish", "[]"), 200),
    ];
    for (canned, status) in cases {
        let expected = serde_json::to_string(std::str::from_utf8(&canned.body).unwrap()).unwrap();
        let answer = proxy.pass_on(canned).await;
        assert_eq!(
            (answer.status, answer.text()),
            (200, &*envelope(status, &expected))
        );
        proxy.assert_outcome(&answer, "unknown", Some("inconclusive_answer"));
    }
}

#[tokio::test]
async fn text_that_is_not_utf8_is_still_passed_on_as_a_string() {
    let proxy = TestProxy::start().await;
    let answer = proxy
        .pass_on(Canned::html(502, &b"bad \xff\xfe gateway"[..]))
        .await;
    assert_eq!(
        (answer.inner(), answer.outcome().as_str()),
        ("bad \u{fffd}\u{fffd} gateway".into(), "unknown")
    );
}

#[tokio::test]
async fn the_type_is_read_without_regard_to_case_and_parameters() {
    let proxy = TestProxy::start().await;
    let rows = [
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/problem+json",
    ];
    each(rows, async |kind| {
        let answer = proxy.pass_on(Canned::new(200, kind, r#"{"code":0}"#)).await;
        assert_eq!(answer.text(), envelope(200, r#"{"code":0}"#), "{kind}");
    })
    .await;
}

#[tokio::test]
async fn json_by_its_type_that_is_malformed_is_a_502_and_unknown() {
    let proxy = TestProxy::start().await;
    let deep = format!(
        "{{\"code\":0,\"a\":{}{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let malformed: [&[u8]; 9] = [
        b"",
        b"{\"code\":0",
        b"{\"code\":0}{}",
        b"{\"code\":0,\"n\":NaN}",
        b"\xef\xbb\xbf{\"code\":0}",
        b"{\"code\":0,\"s\":\"\xff\"}",
        b"{'code':0}",
        b"<html></html>",
        deep.as_bytes(),
    ];
    each(malformed, async |body| {
        let answer = proxy.pass_on(Canned::json(200, body.to_vec())).await;
        assert_eq!(answer.status, 502);
        assert!(
            answer.inner()["error"]
                .as_str()
                .unwrap()
                .starts_with("Crypto.com API error: the answer is ")
        );
        proxy.assert_outcome(&answer, "unknown", Some("malformed"));
    })
    .await;
    assert_eq!(proxy.exchange().count(READ), 9);
}

#[tokio::test]
async fn a_lost_connection_is_a_502_and_unknown_and_nothing_is_sent_again() {
    let proxy = TestProxy::start().await;
    let half = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 40\r\n\r\n{\"code\":0,";
    let faults = [
        Fault::cut_after(),
        Fault::reset_after(),
        Fault::wire([WireStep::Write(half.into())]).after(),
    ];
    for fault in faults {
        let answer = proxy.meet(fault).await;
        let expected = r#"{"status":502,"body":{"error":"Crypto.com API error: the connection was lost before a complete answer","outcome":"unknown"},"rid":1}"#;
        assert_eq!((answer.status, answer.text()), (502, expected));
        proxy.assert_outcome(&answer, "unknown", Some("lost"));
    }
    assert_eq!(proxy.exchange().counts(READ).executed, 3);
}

#[tokio::test]
async fn answers_up_to_the_limit_pass_and_longer_ones_do_not() {
    let proxy = TestProxy::builder()
        .plan(|plan| plan.upstream.max_reply_bytes = 1000)
        .start()
        .await;
    let body = |length: usize| format!(r#"{{"code":0,"s":"{}"}}"#, "x".repeat(length - 17));
    assert_eq!(
        proxy.pass_on(Canned::json(200, body(1000))).await.status,
        200
    );
    let too_large = proxy.pass_on(Canned::json(200, body(1001))).await;
    assert_eq!(too_large.status, 502);
    assert!(
        too_large
            .text()
            .contains("1000 bytes (upstream.max_reply_bytes)"),
        "{}",
        too_large.text()
    );
    proxy.assert_outcome(&too_large, "unknown", Some("too_large"));
    assert_eq!(proxy.meet(chunked(&body(1000))).await.status, 200);
    proxy.assert_outcome(
        &proxy.meet(chunked(&body(1001))).await,
        "unknown",
        Some("too_large"),
    );
}

/// The body in chunks of 100 bytes, without a length.
fn chunked(body: &str) -> Fault {
    let mut wire =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
            .to_owned();
    for chunk in body.as_bytes().chunks(100) {
        wire += &format!(
            "{:x}\r\n{}\r\n",
            chunk.len(),
            std::str::from_utf8(chunk).unwrap()
        );
    }
    Fault::wire([WireStep::Write((wire + "0\r\n\r\n").into())])
}

#[tokio::test]
async fn a_compressed_answer_that_nobody_asked_for_is_a_502_and_unknown() {
    let proxy = TestProxy::start().await;
    for encoding in ["gzip", "br", "deflate", "gzip, identity"] {
        let canned =
            Canned::json(200, &b"\x1f\x8b\x08\x00"[..]).header("content-encoding", encoding);
        let answer = proxy.pass_on(canned).await;
        assert_eq!(answer.status, 502, "{encoding}");
        proxy.assert_outcome(&answer, "unknown", Some("encoded"));
    }
    let plain = Canned::json(200, r#"{"code":0}"#).header("content-encoding", "identity");
    assert_eq!(
        proxy.pass_on(plain).await.text(),
        envelope(200, r#"{"code":0}"#)
    );
}

#[tokio::test]
async fn no_header_of_the_exchange_reaches_the_caller() {
    let proxy = TestProxy::start().await;
    let canned = Canned::json(200, r#"{"code":0}"#)
        .header("set-cookie", "a=b")
        .header("x-upstream", "c");
    let answer = proxy
        .pass_on(
            canned
                .header("x-proxy-outcome", "refused")
                .header("retry-after", "9"),
        )
        .await;
    assert_eq!(answer.header("retry-after"), None);
    assert_eq!(answer.headers.get_all("x-proxy-outcome").iter().count(), 1);
    proxy.assert_outcome(&answer, "answered", None);
}
