//! Answers in the exchange's shape.
//!
//! Guarantees: `{"id","method","code","result"}` or `{"id","method","code","message"}` in the documented order, the HTTP
//! status of `crates/catalogue/data/errors.json`, the `Date` of the stand-in's clock. 40101 and maintenance come bare,
//! without id and method, as they are reported from the field. Does not: decide what to answer.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, DATE},
};
use http_body_util::Full;
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use super::{authentication::ParsedCall, clock, fault::Canned, settings::Refusal};
use catalogue::codes::{self, Category};

/// An HTTP answer of the stand-in.
pub(super) type Reply = Response<Full<Bytes>>;

#[derive(Serialize)]
struct Envelope<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    code: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a Value>,
}

/// What a call came to, as the exchange would answer it. A result of `null` is left out.
pub(super) fn outcome(asked: &ParsedCall, outcome: &Result<Value, Refusal>, now_ms: i64) -> Reply {
    match outcome {
        Ok(result) => {
            let envelope = Envelope {
                id: RawValue::from_string(asked.id.clone()).ok(),
                method: Some(&asked.method),
                code: 0,
                message: None,
                result: Some(result).filter(|result| !result.is_null()),
            };
            json(StatusCode::OK, &envelope, now_ms)
        }
        Err(refusal) => refused(asked, *refusal, now_ms),
    }
}

/// A refusal or a scripted code.
pub(super) fn refused(asked: &ParsedCall, refusal: Refusal, now_ms: i64) -> Reply {
    let is_bare = matches!(refusal.code, 40101 | 9_010_001);
    let envelope = Envelope {
        id: RawValue::from_string(asked.id.clone())
            .ok()
            .filter(|_| !is_bare),
        method: Some(asked.method.as_str()).filter(|_| !is_bare),
        code: refusal.code,
        message: Some(message(refusal.code)),
        result: None,
    };
    let status = refusal
        .http_status
        .unwrap_or_else(|| http_status(refusal.code));
    json(
        StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST),
        &envelope,
        now_ms,
    )
}

/// The text of a code: as seen in the field where that is known, else the documented name.
pub(super) fn message(code: i64) -> &'static str {
    match code {
        40101 => "Authentication failure",
        40103 => "Illegal IP",
        _ => codes::find(code)
            .and_then(|info| info.name.as_deref())
            .unwrap_or("ERROR"),
    }
}

fn http_status(code: i64) -> u16 {
    let Some(info) = codes::find(code) else {
        return 400;
    };
    info.http_status.unwrap_or(match info.category {
        Category::Ok => 200,
        Category::Auth if code != 10007 => 401,
        Category::RateLimit => 429,
        Category::Indeterminate => 500,
        Category::Auth | Category::Request | Category::Business => 400,
    })
}

/// Any JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize, now_ms: i64) -> Reply {
    let body = serde_json::to_vec(body).unwrap_or_default();
    build(
        status,
        Some("application/json"),
        HeaderMap::new(),
        body.into(),
        now_ms,
    )
}

/// Any text.
pub(super) fn text(status: StatusCode, body: impl Into<Bytes>, now_ms: i64) -> Reply {
    build(
        status,
        Some("text/plain; charset=utf-8"),
        HeaderMap::new(),
        body.into(),
        now_ms,
    )
}

/// A scripted answer.
pub(super) fn canned(reply: &Canned, now_ms: i64) -> Reply {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = reply.headers.iter().filter_map(|(name, value)| {
        Some((
            HeaderName::try_from(name).ok()?,
            HeaderValue::try_from(value).ok()?,
        ))
    });
    build(
        status,
        reply.content_type.as_deref(),
        headers.collect(),
        reply.body.clone(),
        now_ms,
    )
}

/// `headers` win over the ones that are set anyway.
fn build(
    status: StatusCode,
    content_type: Option<&str>,
    headers: HeaderMap,
    body: Bytes,
    now_ms: i64,
) -> Reply {
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    let all = reply.headers_mut();
    if let Some(Ok(value)) = content_type.map(HeaderValue::try_from) {
        all.insert(CONTENT_TYPE, value);
    }
    if let Ok(value) = HeaderValue::try_from(clock::http_date(now_ms)) {
        all.insert(DATE, value);
    }
    all.extend(headers);
    reply
}
