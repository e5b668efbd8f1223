//! `POST /proxy/private`: the endpoint of backends that spoke to the old proxy.
//!
//! Guarantees: the token is checked before a byte of the body is read, the body's length and time before it is parsed,
//! and everything about the call before the gateway sees it; a record is open from the moment the caller is known.
//! The order of the checks is that of the wire contract.

use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::{body::Body, extract::State, response::Response};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Request, header};

use super::{
    AppState,
    reply::{self, Invalid, Refusal},
    request::{
        KnownCaller, idempotency_key, is_json, known, only, place_of, read_body, request_id,
        source_of,
    },
    verdict::settle,
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
    let Some(caller) = authenticate(&app, &request).await else {
        return reply::refused(&Refusal::Unauthorized);
    };
    let record = app
        .gateway
        .recorder()
        .open(request_id(&request), Arc::clone(&caller.name));
    let progress = record.progress();
    // A panic further on is the gateway's own to catch: there it knows the call's orders.
    let served = AssertUnwindSafe(serve(&app, &caller, record, request))
        .catch_unwind()
        .await;
    let mut response = served.unwrap_or_else(|_| {
        reply::relayed(&mut Relayed::defect(progress.outcome_without_answer()))
    });
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
        Ok(call) => {
            let rid = Arc::clone(&record.report.rid);
            let mut relayed = app.gateway.relay(record, caller, &source, call).await;
            let mut response = reply::relayed(&mut relayed);
            reply::set_hint(&mut response, &app.hints, &rid, &relayed);
            response
        }
        Err(refusal) => {
            record.ended(refusal.status(), refusal.code());
            reply::refused(&refusal)
        }
    }
}

/// Whose token this is: exactly one header of a length that we take, and one that we know. What is wrong or missing is
/// counted. The verdict may have to wait.
pub(super) fn authenticate<'a>(
    app: &'a AppState,
    request: &Request<Body>,
) -> impl Future<Output = Option<Arc<Caller>>> + use<'a> {
    let callers = app.gateway.authenticator().callers();
    let caller = token(request.headers()).and_then(|token| callers.authenticate(token.as_bytes()));
    let (source, place) = (source_of(request), place_of(request));
    let was_shown = caller.is_some() || request.headers().contains_key(TOKEN);
    async move {
        let name = caller.as_ref().map(|caller| &caller.name);
        if name.is_none() {
            app.rejections.count(&source, Refused::Token);
        }
        if was_shown {
            settle(app, &source, place.as_ref(), name).await;
        }
        if let Some(caller) = &caller {
            known(app, &source, place.as_ref(), caller).await;
        }
        caller
    }
}

/// What exactly one token header shows.
pub(super) fn token(headers: &HeaderMap) -> Option<&HeaderValue> {
    only(headers, TOKEN)
}

async fn read_call(app: &AppState, request: Request<Body>) -> Result<Call, Refusal> {
    let is_json = is_json(request.headers());
    let key = idempotency_key(request.headers())
        .map(|key| key.map(str::to_owned))
        .map_err(|bad| Refusal::Invalid(Invalid::body("idempotency_key", &bad.to_string())));
    let bytes = read_body(
        request,
        app.settings.max_body_bytes,
        app.settings.body_deadline,
    )
    .await
    .map_err(Refusal::Unread)?;
    if !is_json {
        let message = "Content-Type must be application/json";
        return Err(Refusal::Invalid(Invalid::body("content_type", message)));
    }
    let request = body::parse(&bytes).map_err(Refusal::Invalid)?;
    let dialect = app.gateway.settings().dialect;
    let call = Call::parse(RequestId::BACKEND, &request.method, request.params, dialect)
        .map_err(|invalid| Refusal::Invalid(invalid.into()))?;
    Ok(call.under_key(key?.as_deref()))
}
