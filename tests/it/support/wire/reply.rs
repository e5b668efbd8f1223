//! Bytes that a scripted upstream answers with.

use bytes::Bytes;

/// A good answer, keep-alive.
pub(crate) fn good() -> Bytes {
    json(
        200,
        r#"{"id":1,"method":"private/create-order","code":0,"result":{"order_id":"17"}}"#,
    )
}

/// A good answer that can be told from others.
pub(crate) fn good_numbered(number: usize) -> Bytes {
    json(
        200,
        format!(r#"{{"id":1,"code":0,"result":{{"order_id":"{number}"}}}}"#),
    )
}

/// A complete answer of type JSON.
pub(crate) fn json(status: u16, body: impl AsRef<[u8]>) -> Bytes {
    typed(status, "application/json", body)
}

/// A complete answer of any type.
pub(crate) fn typed(status: u16, content_type: &str, body: impl AsRef<[u8]>) -> Bytes {
    with_head(status, &format!("content-type: {content_type}\r\n"), body)
}

/// A complete answer; `head` holds whole header lines.
pub(crate) fn with_head(status: u16, head: &str, body: impl AsRef<[u8]>) -> Bytes {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status} Invented\r\n{head}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat().into()
}

/// An answer of type JSON whose body is given as chunks, framing and all.
pub(crate) fn chunked(chunks: &str) -> Bytes {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{chunks}").into()
}

/// A refusal that repeats the request, as JSON and as a string.
pub(crate) fn echo(request: &[u8]) -> Bytes {
    let text = String::from_utf8_lossy(request);
    let quoted = serde_json::to_string(&*text).expect("a string");
    json(
        401,
        format!(r#"{{"id":1,"code":40101,"original":{text},"again":{quoted}}}"#),
    )
}
