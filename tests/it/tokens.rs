//! 401: one answer for every token that is not ours, before a byte of the body is looked at.

use crate::support::{Answer, TestProxy, client, contract::READ};

const REFUSED: &str = r#"{"detail":"Invalid proxy token"}"#;
const HEAD: &str =
    "POST /proxy/private HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n";

async fn with_tokens(proxy: &TestProxy, tokens: &[&[u8]]) -> Answer {
    let mut request = client()
        .post(proxy.url("/proxy/private"))
        .header("content-type", "application/json");
    for token in tokens {
        request = request.header(
            "x-proxy-token",
            http::HeaderValue::from_bytes(token).unwrap(),
        );
    }
    proxy
        .send(request.body(r#"{"method":"private/user-balance"}"#))
        .await
}

#[tokio::test]
async fn every_wrong_token_gets_the_same_401_and_no_record() {
    let proxy = TestProxy::start().await;
    let token = proxy.canaries.token.as_bytes();
    let long = "x".repeat(8000);
    let cases: [&[&[u8]]; 12] = [
        &[],
        &[b""],
        &[b"wrong-token-marker"],
        &[&token[..token.len() - 1]],
        &[&token[1..]],
        &[&[token, b"x"].concat()],
        &[&token.to_ascii_uppercase()],
        &[&[b"\"", token, b"\""].concat()],
        &[b"caf\xe9 \xff"],
        &[long.as_bytes()],
        &[token, token],
        &[b"wrong-token-marker", token],
    ];
    for (place, tokens) in cases.iter().enumerate() {
        let answer = with_tokens(&proxy, tokens).await;
        let seen = (answer.status, answer.text(), answer.outcome());
        assert_eq!(seen, (401, REFUSED, "refused".to_owned()), "case {place}");
        assert_eq!(
            answer.headers.len(),
            6,
            "case {place}: {:?}",
            answer.headers
        );
    }
    assert_eq!(
        (
            proxy.told_refusals("status=401 why=token"),
            proxy.upstream_requests()
        ),
        (12, 0)
    );
    assert!(
        proxy
            .texts()
            .iter()
            .all(|line| !line.contains("event=call") && !line.contains("wrong-token-marker"))
    );
    assert_eq!(with_tokens(&proxy, &[token]).await.status, 200);
}

#[tokio::test]
async fn the_token_is_checked_before_the_body_arrives() {
    let proxy = TestProxy::builder()
        .plan(|plan| plan.http.body_deadline = crate::support::PATIENCE * 10)
        .start()
        .await;
    let answer = proxy
        .send_raw(&format!("{HEAD}content-length: 100\r\n\r\n"))
        .await;
    assert_eq!((answer.status, answer.text()), (401, REFUSED));
    let answer = proxy
        .send_raw(&format!(
            "{HEAD}x-proxy-token: wrong\r\ntransfer-encoding: chunked\r\n\r\n"
        ))
        .await;
    assert_eq!((answer.status, answer.text()), (401, REFUSED));
}

#[tokio::test]
async fn the_token_is_checked_before_length_type_and_content_of_the_body() {
    let proxy = TestProxy::start().await;
    for rest in [
        "content-length: 99999999999\r\n\r\n",
        "content-length: 7\r\n\r\nnonsens",
        "\r\n",
    ] {
        let answer = proxy.send_raw(&format!("{HEAD}{rest}")).await;
        assert_eq!((answer.status, answer.text()), (401, REFUSED), "{rest:?}");
    }
    let request = client()
        .post(proxy.url("/proxy/private"))
        .header("content-type", "text/plain");
    assert_eq!(proxy.send(request.body("x")).await.text(), REFUSED);
}

#[tokio::test]
async fn a_token_beyond_the_head_limit_is_refused_by_the_framing_without_a_record() {
    let proxy = TestProxy::start().await;
    let mut raw = proxy.raw().await;
    // Just over the limit of the head: all of it is read, so that the answer is not lost in a reset.
    raw.write(format!("{HEAD}x-proxy-token: {}", "x".repeat(16 << 10)).as_bytes())
        .await;
    let answer = raw.answer().await;
    assert_eq!((answer.status, answer.body.len()), (431, 0));
    drop(raw);
    let mut raw = proxy.raw().await;
    raw.write(format!("{HEAD}x-proxy-token: {}\r\n\r\n", "x".repeat(1 << 20)).as_bytes())
        .await;
    while !raw.is_closed().await {}
    drop(raw);
    proxy.settle().await;
    assert!(
        proxy
            .texts()
            .iter()
            .all(|line| !line.contains("event=call")),
        "{:?}",
        proxy.texts()
    );
    assert_eq!(
        (
            proxy.told_refusals("status=400 why=framing"),
            proxy.upstream_requests()
        ),
        (2, 0)
    );
    assert_eq!(proxy.call_text(READ, "{}").await.status, 200);
}

/// Programs that were written for a scheme that exists nowhere, or that show the exchange's key to the proxy.
#[tokio::test]
async fn headers_of_a_scheme_that_is_none_are_named_by_answer_and_line_and_never_shown() {
    let proxy = TestProxy::start().await;
    let read = r#"{"method":"private/user-balance","params":{}}"#;
    let doors = [
        "/proxy/private",
        "/exchange/v1/private/user-balance",
        "/exchange/v2/private/user-balance",
        "/diag/run",
        "/private/user-balance",
    ];
    // Its answer as (status, hint, body).
    let ask = async |path: &str, name: &str, value: &str| {
        let request = client().post(proxy.url(path)).body(read);
        let request = request.header("content-type", "application/json");
        let answer = request.header(name, value).send().await.unwrap();
        let hint = answer.headers().get("x-proxy-hint").cloned();
        let hint = hint.map(|hint| hint.to_str().unwrap().to_owned());
        (answer.status().as_u16(), hint, answer.text().await.unwrap())
    };
    for path in doors {
        for name in ["X-CAPI-KEY", "x-capi-signature", "X-CAPI-TIMESTAMP"] {
            let (status, hint, body) = ask(path, name, &proxy.canaries.key).await;
            assert_eq!(
                hint.as_deref(),
                Some("CP-INVENTED-SCHEME; likely"),
                "{path} {name}"
            );
            assert!(status >= 400, "{path} {name}");
            proxy.canaries.assert_absent(&body, "an answer");
        }
        assert_eq!(ask(path, "x-cap", "invented").await.1, None, "{path}");
    }
    proxy.scan_lines();
    let counted = proxy.told_refusals("status=4xx why=foreign_scheme");
    assert_eq!(counted, 15);
    // A caller whose token is right is served, whatever else it shows.
    let request = client().post(proxy.url("/proxy/private")).body(read);
    let request = request
        .header("content-type", "application/json")
        .header("x-proxy-token", &proxy.canaries.token)
        .header("x-capi-key", &proxy.canaries.key);
    let answer = proxy.send(request).await;
    assert_eq!(
        (answer.status, answer.headers.get("x-proxy-hint")),
        (200, None)
    );
    assert_eq!(proxy.told_refusals("status=4xx why=foreign_scheme"), 15);
}
