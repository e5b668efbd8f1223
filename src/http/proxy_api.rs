//! `POST /proxy/private`: the endpoint of backends that spoke to the old proxy.
//!
//! Guarantees: the token is checked before a byte of the body is read, the body's length and time before it is parsed,
//! and everything about the call before the gateway sees it; a record is open from the moment the caller is known.
//! The order of the checks is that of the wire contract.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{body::Body, extract::State, response::Response};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Request, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::{
    AppState,
    reply::{self, Invalid, Refusal},
    request::{KnownCaller, known, only, place_of, request_id, source_of},
};
use crate::http::rejections::Refused;
use gateway::{Relayed, auth::Caller, record::CallRecord};
use protocol::call::{Call, RequestId};

mod body;

pub(super) const TOKEN: &str = "x-proxy-token";

/// Serves one call.
pub(super) async fn relay(State(app): State<Arc<AppState>>, request: Request<Body>) -> Response {
    if let Some(refused) = refuse_browser(&app, &request) {
        return refused;
    }
    let Some(caller) = authenticate(&app, request.headers()) else {
        app.rejections.count(&source_of(&request), Refused::Token);
        return reply::refused(&Refusal::Unauthorized);
    };
    known(place_of(&request).as_ref(), &caller);
    let record = app
        .gateway
        .recorder()
        .open(request_id(&request), Arc::clone(&caller.name));
    let progress = record.progress();
    // A panic further on is the gateway's own to catch: there it knows the call's orders.
    let served = AssertUnwindSafe(serve(&app, &caller, record, request))
        .catch_unwind()
        .await;
    let mut response = served
        .unwrap_or_else(|_| reply::relayed(&Relayed::defect(progress.outcome_without_answer())));
    response.extensions_mut().insert(KnownCaller);
    response
}

/// A page of another site must not reach this endpoint through a browser on this network.
pub(super) fn refuse_browser(app: &AppState, request: &Request<Body>) -> Option<Response> {
    request.headers().contains_key(header::ORIGIN).then(|| {
        app.rejections.count(&source_of(request), Refused::Origin);
        reply::refused(&Refusal::CrossSite)
    })
}

async fn serve(
    app: &AppState,
    caller: &Caller,
    mut record: CallRecord,
    request: Request<Body>,
) -> Response {
    let source = source_of(&request);
    match read_call(app, request).await {
        Ok(call) => reply::relayed(&app.gateway.relay(record, caller, &source, call).await),
        Err(refusal) => {
            record.ended(refusal.status(), refusal.code());
            reply::refused(&refusal)
        }
    }
}

/// Exactly one token header of a length that we take, and one that we know.
pub(super) fn authenticate(app: &AppState, headers: &HeaderMap) -> Option<Arc<Caller>> {
    app.gateway
        .authenticator()
        .callers()
        .authenticate(token(headers)?.as_bytes())
}

/// What exactly one token header shows.
pub(super) fn token(headers: &HeaderMap) -> Option<&HeaderValue> {
    only(headers, TOKEN)
}

async fn read_call(app: &AppState, request: Request<Body>) -> Result<Call, Refusal> {
    let is_json = is_json(request.headers());
    let bytes = read_body(
        request,
        app.settings.max_body_bytes,
        app.settings.body_deadline,
    )
    .await?;
    if !is_json {
        let message = "Content-Type must be application/json";
        return Err(Refusal::Invalid(Invalid::body("content_type", message)));
    }
    let request = body::parse(&bytes).map_err(Refusal::Invalid)?;
    let dialect = app.gateway.settings().dialect;
    Call::parse(RequestId::BACKEND, &request.method, request.params, dialect)
        .map_err(|invalid| Refusal::Invalid(invalid.into()))
}

/// The whole body, within these limits.
pub(super) async fn read_body(
    request: Request<Body>,
    limit: usize,
    deadline: Duration,
) -> Result<Bytes, Refusal> {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if announced
        .is_some_and(|length: u64| usize::try_from(length).map_or(true, |length| length > limit))
    {
        return Err(Refusal::TooLong);
    }
    let collected = Limited::new(request.into_body(), limit).collect();
    match tokio::time::timeout(deadline, collected).await {
        Err(_) => Err(Refusal::TooSlow),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::TooLong),
        Ok(Err(_)) => Err(Refusal::Broken),
    }
}

/// Whether the body says that it is JSON.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .eq_ignore_ascii_case("application/json")
}
