//! One request on one connection.
//!
//! Guarantees: the token goes out on this connection alone; the answer is bounded; nothing is followed, kept or retried.

use anyhow::Context;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use zeroize::Zeroizing;

use super::endpoint::{DaemonEndpoint, Stream};

/// A full diagnosis is some 10 KiB.
const MAX_ANSWER: usize = 4 << 20;

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

/// Asks, and reads the whole answer.
pub(super) async fn post(
    stream: Stream,
    endpoint: &DaemonEndpoint,
    target: &str,
    token: &HeaderValue,
) -> anyhow::Result<Answer> {
    let request = Request::post(target)
        .header(header::HOST, endpoint.host())
        .header("x-proxy-token", token);
    exchange(
        stream,
        request
            .header(header::CONTENT_LENGTH, 0)
            .body(Empty::new())?,
    )
    .await
}

/// Asks for the status page that stands still, as a browser does.
pub(super) async fn page(
    stream: Stream,
    endpoint: &DaemonEndpoint,
    token: &HeaderValue,
) -> anyhow::Result<Answer> {
    let pair = Zeroizing::new([b"diagnose:", token.as_bytes()].concat());
    let value = Zeroizing::new(format!("Basic {}", STANDARD.encode(&*pair)));
    let mut value = HeaderValue::from_str(&value)?;
    value.set_sensitive(true);
    let request = Request::get("/?copy")
        .header(header::HOST, endpoint.host())
        .header(header::ACCEPT, "text/html");
    exchange(
        stream,
        request
            .header(header::AUTHORIZATION, value)
            .body(Empty::new())?,
    )
    .await
}

async fn exchange(stream: Stream, request: Request<Empty<Bytes>>) -> anyhow::Result<Answer> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await;
    let body = body
        .map_err(|error| anyhow::anyhow!("{error}"))
        .context("the answer broke off")?
        .to_bytes();
    connection.abort();
    Ok(Answer { status, body })
}
