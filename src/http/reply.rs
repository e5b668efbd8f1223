//! The backend's shape of every answer: `{status, body, rid}` for calls, `{detail}` for refusals of the door.
//!
//! Guarantees: the exchange's JSON goes in byte for byte; our own envelopes carry the outcome and, for an order whose
//! outcome is unknown, how to find out. Every answer of a door names its outcome in `X-Proxy-Outcome`.

use axum::{body::Body, response::Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;

use super::refusal::{Invalid, Refusal};
use gateway::{
    Ended, Relayed,
    failure::{Failure, Refusal as GatewayRefusal},
    outcome::Outcome,
    upstream::{Reply, ReplyBody},
};
use protocol::wire;

const OUTCOME: HeaderName = HeaderName::from_static("x-proxy-outcome");
const CLIENT_OID: HeaderName = HeaderName::from_static("x-proxy-client-oid");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Seconds after which an overloaded or stopping proxy is worth asking again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// What became of a call.
pub(super) fn relayed(relayed: &Relayed) -> Response {
    let (status, body) = match &relayed.result {
        Ok(reply) => (200, passed_on(reply)),
        Err(ended) => (ended.status(), envelope(ended, relayed)),
    };
    let mut response = json_response(status, body);
    set_outcome(&mut response, relayed.outcome);
    set_client_oid(&mut response, relayed);
    let headers = response.headers_mut();
    if matches!(
        relayed.result,
        Err(Ended::Refused(
            GatewayRefusal::AtCapacity { .. } | GatewayRefusal::Draining
        ))
    ) {
        headers.insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    response
}

/// A refusal of the door itself.
pub(super) fn refused(refusal: &Refusal) -> Response {
    let body = if let Refusal::Invalid(invalid) = refusal {
        detail_list(invalid)
    } else {
        json!({ "detail": refusal.detail() }).to_string()
    };
    let mut response = json_response(refusal.status(), body.into_bytes());
    set_outcome(&mut response, Outcome::Refused);
    if matches!(
        refusal,
        Refusal::TooSlow | Refusal::TooLong | Refusal::Broken
    ) {
        // The rest of the body is on its way and nobody will read it.
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A JSON answer.
pub(super) fn json_response(status: u16, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
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

/// Names the orders that may have to be looked for.
pub(super) fn set_client_oid(response: &mut Response, relayed: &Relayed) {
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

fn detail_list(invalid: &Invalid) -> String {
    let location: Vec<&str> = std::iter::once("body").chain(invalid.field).collect();
    json!({ "detail": [{ "type": invalid.kind, "loc": location, "msg": invalid.message }] })
        .to_string()
}
