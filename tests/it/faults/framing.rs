//! Requests whose framing is wrong, too much, or never complete.

use std::time::{Duration, Instant};

use crypto_proxy::http::Refused;

use super::refused_so_far;
use crate::support::{
    Answer, TestProxy,
    downstream::{Downstream, post},
};

const BODY: &str = r#"{"method":"private/user-balance"}"#;

/// Writes these bytes and reads what comes until the proxy closes.
async fn exchange(proxy: &TestProxy, bytes: impl AsRef<[u8]>) -> Answer {
    let mut caller = Downstream::connect(proxy).await;
    caller.write(bytes).await;
    caller.answer().await
}

fn nothing_was_sent(proxy: &TestProxy) {
    assert_eq!(
        proxy.exchange().total().received,
        0,
        "something reached the exchange"
    );
    proxy.scan_lines();
}

#[tokio::test]
async fn fault_56_a_body_that_is_promised_and_not_sent_is_refused_at_the_body_deadline() {
    let deadline = Duration::from_millis(200);
    let proxy = TestProxy::builder()
        .plan(move |plan| plan.http.body_deadline = deadline)
        .start()
        .await;
    let started = Instant::now();
    let answer = exchange(&proxy, post(&proxy, "Content-Length: 33\r\n", &BODY[..10])).await;
    assert!(started.elapsed() >= deadline);
    assert_eq!((answer.status, &*answer.outcome()), (408, "refused"));
    proxy.check(&answer);
    let line = proxy
        .wait_line(&["response_status=408", "outcome=refused"])
        .await;
    assert!(line.text().contains("why=body_deadline"), "{}", line.text());
    nothing_was_sent(&proxy);
}

#[tokio::test]
async fn fault_57_a_body_beyond_the_limit_is_refused_before_it_is_read() {
    let proxy = TestProxy::start().await;
    for head in [
        "Content-Length: 1073741824\r\n",
        "Content-Length: 99999999999999999999\r\n",
    ] {
        let answer = exchange(&proxy, post(&proxy, head, "")).await;
        let expected = if head.contains("1073741824") {
            413
        } else {
            400
        };
        assert_eq!(answer.status, expected, "{head}");
    }
    let line = proxy
        .wait_line(&["response_status=413", "outcome=refused"])
        .await;
    assert!(line.text().contains("why=body_too_long"), "{}", line.text());
    nothing_was_sent(&proxy);
}

#[tokio::test]
async fn fault_57_a_body_without_a_length_is_read_to_the_limit_and_no_further() {
    let proxy = TestProxy::start().await;
    let mut caller = Downstream::connect(&proxy).await;
    caller
        .write(post(&proxy, "Transfer-Encoding: chunked\r\n", ""))
        .await;
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    for _ in 0..6 {
        caller.write(&chunk).await;
    }
    let answer = caller.answer().await;
    assert_eq!((answer.status, &*answer.outcome()), (413, "refused"));
    proxy.check(&answer);
    nothing_was_sent(&proxy);
}

#[tokio::test]
async fn fault_57_a_caller_that_sends_all_of_a_long_body_first_still_gets_its_413() {
    // As many libraries do: write everything, then read. A reset would take the answer away.
    let proxy = TestProxy::start().await;
    let body = "x".repeat(8_000_000);
    for _ in 0..20 {
        let answer = exchange(
            &proxy,
            post(
                &proxy,
                &format!("Content-Length: {}\r\n", body.len()),
                &body,
            ),
        )
        .await;
        assert_eq!(answer.status, 413);
        proxy.check(&answer);
    }
    nothing_was_sent(&proxy);
}

#[tokio::test]
async fn fault_58_many_or_long_headers_are_431() {
    let proxy = TestProxy::start().await;
    let many: String = (0..200)
        .map(|number| format!("x-{number}: 1\r\n"))
        .collect();
    let long = format!("x-long: {}\r\n", "x".repeat(64 << 10));
    for head in [many, long] {
        let answer = exchange(&proxy, post(&proxy, &head, "")).await;
        assert_eq!(answer.status, 431);
    }
    let long_target = format!(
        "GET /{} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "x".repeat(64 << 10)
    );
    let answer = exchange(&proxy, long_target).await;
    assert!(matches!(answer.status, 414 | 431), "{}", answer.status);
    proxy.settle().await;
    assert_eq!(refused_so_far(&proxy, Refused::Framing, "framing"), 3);
    nothing_was_sent(&proxy);
}

#[tokio::test]
async fn fault_59_framing_that_readers_disagree_about_is_refused() {
    let proxy = TestProxy::start().await;
    let cases = [
        (
            400,
            post(&proxy, "Content-Length: 33\r\nContent-Length: 34\r\n", BODY),
        ),
        (
            400,
            post(&proxy, "Content-Length: 33\r\nX-Folded: a\r\n b\r\n", BODY),
        ),
        (
            400,
            post(&proxy, "Content-Length: 33\r\nX-Nul: a\0b\r\n", BODY),
        ),
        (
            400,
            post(&proxy, "Content-Length: 33\r\nX-Return: a\rb\r\n", BODY),
        ),
        (
            400,
            post(&proxy, "Content-Length: 33\r\nX Space: a\r\n", BODY),
        ),
        (400, post(&proxy, "Content-Length: -33\r\n", BODY)),
        (400, post(&proxy, "Content-Length: 33, 34\r\n", BODY)),
        (400, post(&proxy, "Transfer-Encoding: gzip\r\n", BODY)),
        (
            400,
            post(&proxy, "Content-Length: 33\r\n", BODY).replace("HTTP/1.1", "HTTP/9.9"),
        ),
        (
            421,
            post(
                &proxy,
                "Host: 127.0.0.1\r\nContent-Length: 33\r\nConnection: close\r\n",
                BODY,
            ),
        ),
        (
            421,
            post(&proxy, "Content-Length: 33\r\nConnection: close\r\n", BODY)
                .replace("Host: 127.0.0.1\r\n", ""),
        ),
        (
            421,
            post(&proxy, "Content-Length: 33\r\nConnection: close\r\n", BODY)
                .replace("POST /", "POST http://127.0.0.1/"),
        ),
    ];
    for (status, bytes) in cases {
        let answer = exchange(&proxy, &bytes).await;
        assert_eq!(
            answer.status,
            status,
            "{}",
            bytes.replace(&proxy.canaries.token, "TOKEN")
        );
        if status == 421 {
            proxy.check(&answer);
        }
    }
    assert!(
        refused_so_far(&proxy, Refused::Framing, "framing") >= 8
            && refused_so_far(&proxy, Refused::Host, "host") == 3
    );
    nothing_was_sent(&proxy);
}

#[tokio::test]
async fn fault_59_an_http2_preface_is_no_request() {
    let proxy = TestProxy::start().await;
    let mut caller = Downstream::connect(&proxy).await;
    caller.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let (_, bytes) = caller.whatever_comes().await;
    assert!(
        bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 4"),
        "{}",
        String::from_utf8_lossy(&bytes)
    );
    nothing_was_sent(&proxy);
}

#[tokio::test]
async fn fault_59_both_lengths_and_bare_line_feeds_are_taken_once_and_nothing_is_smuggled() {
    // hyper lets the chunks win over the length and takes bare LF; no byte of the caller's goes on, so that both read
    // as one call at the exchange and the rest ends the connection.
    let proxy = TestProxy::start().await;
    let chunked = format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    let both = post(
        &proxy,
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n",
        &chunked,
    );
    let answer = exchange(&proxy, both).await;
    assert_eq!((answer.status, &*answer.outcome()), (200, "answered"));
    assert_eq!(proxy.exchange().total().received, 1);
    let bare =
        post(&proxy, "Content-Length: 33\r\nConnection: close\r\n", BODY).replace("\r\n", "\n");
    let answer = exchange(&proxy, bare).await;
    assert_eq!((answer.status, &*answer.outcome()), (200, "answered"));
    assert_eq!(proxy.exchange().total().received, 2);
    for received in proxy.exchange().received() {
        assert_eq!(
            received.json().expect("JSON")["method"],
            "private/user-balance"
        );
    }
}
