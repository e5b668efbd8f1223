//! The backend's shape of every answer: `{status, body, rid}` for calls, `{detail}` for what an endpoint refuses by itself,
//! before there is a call for the gateway.
//!
//! Guarantees: the exchange's JSON goes in byte for byte; our own envelopes carry the outcome and, for an order whose
//! outcome is unknown, how to find out. Every answer of an endpoint names its outcome in `X-Proxy-Outcome`. A refusal is
//! classified once, one value per row of the wire contract, and rendered by each endpoint; texts never echo the input.

use std::iter;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;

use super::{request::BodyError, waiting};
use catalogue::codes::DUPLICATE_CLIENT_OID;
use diagnosis::hint::HintReader;
use gateway::{
    Ended, Relayed,
    failure::{Failure, Refusal as GatewayRefusal},
    outcome::Outcome,
    upstream::{Reply, ReplyBody},
};
use protocol::{call::InvalidCall, wire};

const OUTCOME: HeaderName = HeaderName::from_static("x-proxy-outcome");
const CLIENT_OID: HeaderName = HeaderName::from_static("x-proxy-client-oid");
const REPLAYED: HeaderName = HeaderName::from_static("x-proxy-replayed");
const HINT: HeaderName = HeaderName::from_static("x-proxy-hint");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What became of a call.
pub(super) fn relayed(relayed: &mut Relayed) -> Response {
    let unread = relayed.unread.take();
    let (status, body) = match &relayed.result {
        Ok(reply) => (200, passed_on(reply)),
        Err(ended) => (ended.status(), envelope(ended, relayed)),
    };
    let mut response = match unread {
        Some(unread) => json_response(status, waiting::own(body.into(), unread)),
        None => json_response(status, body),
    };
    set_outcome(&mut response, relayed.outcome);
    set_names(&mut response, relayed);
    if matches!(
        relayed.result,
        Err(Ended::Refused(
            GatewayRefusal::AtCapacity { .. }
                | GatewayRefusal::Unread { .. }
                | GatewayRefusal::NonceAhead { .. }
                | GatewayRefusal::Stalled { .. }
                | GatewayRefusal::Draining
                | GatewayRefusal::Journal(_)
        ))
    ) {
        set_retry_after(&mut response, 1);
    }
    response
}

/// A refusal of the endpoint itself.
pub(super) fn refused(refusal: &Refusal) -> Response {
    let mut response = if let Refusal::Invalid(invalid) = refusal {
        let place: Vec<&str> = iter::once("body").chain(invalid.field).collect();
        detail_at(invalid.kind, &place, &invalid.message)
    } else {
        detail(refusal.status(), refusal.detail())
    };
    set_outcome(&mut response, Outcome::Refused);
    if let Refusal::Unread(_) = refusal {
        // The rest of the body still arrives, and nobody will read it.
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// An answer that is one text.
pub(super) fn detail(status: u16, text: &str) -> Response {
    json_response(status, json!({ "detail": text }).to_string().into_bytes())
}

/// An answer about one place of the request.
pub(super) fn detail_at(kind: &str, place: &[&str], message: &str) -> Response {
    let body = json!({ "detail": [{ "type": kind, "loc": place, "msg": message }] });
    json_response(422, body.to_string().into_bytes())
}

/// A JSON answer.
pub(super) fn json_response(status: u16, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// Names the outcome in the headers.
pub(super) fn set_outcome(response: &mut Response, outcome: Outcome) {
    response
        .headers_mut()
        .insert(OUTCOME, HeaderValue::from_static(outcome.word()));
}

/// Names the seconds after which the proxy is worth asking again.
pub(super) fn set_retry_after(response: &mut Response, seconds: u64) {
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
}

/// Names what likely stands behind a call that the exchange refused: the words of its hint in the log. For callers who are
/// known, because only they have calls. A good call asks nobody.
pub(super) fn set_hint(response: &mut Response, hints: &HintReader, rid: &str, relayed: &Relayed) {
    let is_bad = relayed
        .result
        .as_ref()
        .is_ok_and(|reply| reply.code() != Some(0));
    if !is_bad {
        return;
    }
    if let Some(hint) = hints.of(rid)
        && let Ok(words) = HeaderValue::try_from(hint.to_string())
    {
        response.headers_mut().insert(HINT, words);
    }
}

/// Names a cause that the request's own headers show, to whoever sent it: nothing else decides it.
pub(super) fn say_foreign_scheme(response: &mut Response) {
    let words = HeaderValue::from_static("CP-INVENTED-SCHEME; likely");
    response.headers_mut().insert(HINT, words);
}

/// Names the orders that may have to be looked for, and says whether the answer is that of an earlier call.
pub(super) fn set_names(response: &mut Response, relayed: &Relayed) {
    if relayed.is_replayed {
        response
            .headers_mut()
            .insert(REPLAYED, HeaderValue::from_static("true"));
    }
    if let Some(oid) = relayed
        .client_oid
        .as_deref()
        .and_then(|oid| HeaderValue::from_str(oid).ok())
    {
        response.headers_mut().insert(CLIENT_OID, oid);
    }
}

fn passed_on(reply: &Reply) -> Vec<u8> {
    let length = match &reply.body {
        ReplyBody::Json { bytes, .. } => bytes.len(),
        ReplyBody::Text { text, .. } => text.len() * 2,
    };
    let mut out = Vec::with_capacity(length + 48);
    out.extend_from_slice(b"{\"status\":");
    out.extend_from_slice(itoa::Buffer::new().format(reply.status).as_bytes());
    out.extend_from_slice(b",\"body\":");
    match &reply.body {
        ReplyBody::Json { bytes, .. } => out.extend_from_slice(bytes),
        ReplyBody::Text { text, .. } => wire::push_json_string(&mut out, text),
    }
    out.extend_from_slice(b",\"rid\":1}");
    out
}

fn envelope(ended: &Ended, relayed: &Relayed) -> Vec<u8> {
    let mut body = json!({ "error": error_text(ended), "outcome": relayed.outcome.word() });
    if let Some(body) = body.as_object_mut() {
        if let Ended::Refused(GatewayRefusal::NameUsed) = ended {
            body.insert("code".to_owned(), json!(DUPLICATE_CLIENT_OID));
        }
        body.extend(
            relayed
                .client_oid
                .as_ref()
                .map(|oid| ("client_oid".to_owned(), json!(oid))),
        );
        body.extend(
            relayed
                .find_out
                .map(|text| ("how_to_find_out".to_owned(), json!(text))),
        );
    }
    format!(
        "{{\"status\":{},\"body\":{body},\"rid\":1}}",
        ended.status()
    )
    .into_bytes()
}

fn error_text(ended: &Ended) -> String {
    match ended {
        Ended::Refused(refusal) => format!("Proxy refused: {refusal}"),
        Ended::Failed(Failure::Deadline(_) | Failure::ConnectDeadline(_)) => {
            "Crypto.com API timeout".to_owned()
        }
        Ended::Failed(Failure::Defect) => format!("Proxy error: {}", Failure::Defect),
        Ended::Failed(failure) => format!("Crypto.com API error: {failure}"),
    }
}

/// A request that no call could be made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No valid token; the same for wrong, empty, missing, repeated and oversized ones.
    Unauthorized,
    /// A `Host` that we do not serve.
    Misdirected,
    /// A browser's request from another site.
    CrossSite,
    /// The body could not be read.
    Unread(BodyError),
    /// The body is not what this endpoint takes.
    Invalid(Invalid),
}

/// Why a body is refused, in the shape that callers of the old proxy know (one entry of `detail`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Invalid {
    /// A stable word.
    pub(super) kind: &'static str,
    /// Where, below `body`.
    pub(super) field: Option<&'static str>,
    /// What is wrong, and what to send instead.
    pub(super) message: String,
}

impl Invalid {
    pub(super) fn body(kind: &'static str, message: &str) -> Self {
        Self {
            kind,
            field: None,
            message: message.to_owned(),
        }
    }

    pub(super) fn field(kind: &'static str, field: &'static str, message: &str) -> Self {
        Self {
            kind,
            field: Some(field),
            message: message.to_owned(),
        }
    }
}

impl From<InvalidCall> for Invalid {
    fn from(invalid: InvalidCall) -> Self {
        let message = invalid.to_string();
        match invalid {
            InvalidCall::Method => Self {
                kind: "method_grammar",
                field: Some("method"),
                message,
            },
            InvalidCall::Id => Self {
                kind: "id_grammar",
                field: Some("id"),
                message,
            },
            InvalidCall::Params(_) | InvalidCall::Ambiguous(_) => Self {
                kind: "params_not_signable",
                field: Some("params"),
                message,
            },
        }
    }
}

impl Refusal {
    /// The HTTP status.
    pub(super) const fn status(&self) -> u16 {
        match self {
            Self::Unauthorized => 401,
            Self::CrossSite => 403,
            Self::Unread(BodyError::TooSlow) => 408,
            Self::Unread(BodyError::TooLong) => 413,
            Self::Misdirected => 421,
            Self::Invalid(_) => 422,
            Self::Unread(BodyError::Broken) => 400,
        }
    }

    /// A stable word for records.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::Unauthorized => "token",
            Self::CrossSite => "origin",
            Self::Misdirected => "host",
            Self::Invalid(invalid) => invalid.kind,
            Self::Unread(error) => error.word(),
        }
    }

    /// The text of `detail`; an invalid body has a list in its place.
    pub(super) const fn detail(&self) -> &'static str {
        match self {
            Self::Unauthorized => "Invalid proxy token",
            Self::CrossSite => {
                "Requests with an Origin header are not served here: they come from a page in a browser; a program leaves Origin out"
            }
            Self::Unread(BodyError::TooSlow) => {
                "The body did not arrive in time (listener.body_deadline_ms)"
            }
            Self::Unread(BodyError::TooLong) => "The body is too long (listener.max_body_bytes)",
            Self::Misdirected => "This Host is not served; allowed_hosts names the ones that are",
            Self::Invalid(_) => "Invalid body",
            Self::Unread(BodyError::Broken) => "The body broke off",
        }
    }
}
