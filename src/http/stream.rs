//! The doors of the streams: `GET /exchange/v1/user` and `/exchange/v1/market` as WebSockets.
//!
//! Guarantees: from a browser's page or another host nothing is opened; sockets are counted, in total, by caller, and apart
//! while nobody knows whose they are, which on the market stream may be to their end; an upstream socket is opened for a known caller only. Source: the wire contract,
//! "Streams". Does not: decide what a frame may do; that is for the gateway.

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use http::{HeaderValue, Request, header};
use serde_json::json;
use tokio_tungstenite::tungstenite::handshake::server::create_response;

use super::{
    AppState,
    refusal::Refusal,
    reply,
    request::{KnownCaller, request_id, source_of},
};
use crate::http::{proxy_api, rejections::Refused};
use gateway::{access::Peer, auth::Caller, outcome::Outcome, stream::Side};

mod answer;
mod end;
mod forward;
mod socket;

use socket::Socket;

/// `GET /exchange/v1/user`.
pub(super) async fn user(State(app): State<Arc<AppState>>, request: Request<Body>) -> Response {
    open(&app, Side::User, request)
}

/// `GET /exchange/v1/market`.
pub(super) async fn market(State(app): State<Arc<AppState>>, request: Request<Body>) -> Response {
    open(&app, Side::Market, request)
}

fn open(app: &Arc<AppState>, side: Side, mut request: Request<Body>) -> Response {
    if let Some(refused) = proxy_api::refuse_browser(app, &request) {
        return refused;
    }
    let source = source_of(&request);
    let Ok(caller) = caller_of(app, &request) else {
        app.tally.count(&source, Refused::Token);
        return reply::refused(&Refusal::Unauthorized);
    };
    let visits = side == Side::Market && caller.is_none();
    if visits && let Some(refused) = refuse_visitor(app, &source) {
        return refused;
    }
    if app.gateway.streams().settings().base.is_none() {
        return refused(
            404,
            "there are no streams beside this upstream.base_url; upstream.stream_url names them",
        );
    }
    if app.gateway.is_draining() {
        return later(503, "the proxy is stopping");
    }
    let places = app.gateway.streams().slots();
    let Some(place) = (if visits {
        places.take_anonymous()
    } else {
        places.take()
    }) else {
        app.tally.count(&source, Refused::Connections);
        return later(
            503,
            "too many streams (streams.max_sockets; without a token a quarter of it)",
        );
    };
    let stranger = (side == Side::User && caller.is_none()).then(|| places.take_unauthenticated());
    let Ok(stranger) = stranger.map_or(Ok(None), |place| place.map(Some).ok_or(())) else {
        app.tally.count(&source, Refused::Connections);
        return later(503, "too many streams without a login");
    };
    let Some(mut agreed) = agree(&request) else {
        return refused(400, "this path is a WebSocket's (RFC 6455, version 13)");
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let socket = Socket::new(
        Arc::clone(app),
        side,
        request_id(&request),
        source,
        caller,
        (place, stranger),
    );
    drop(app.gateway.sockets().spawn(socket.run(upgrade)));
    agreed.extensions_mut().insert(KnownCaller);
    agreed
}

/// Refuses a market stream to somebody without a token, by the rule and the budget of public calls.
fn refuse_visitor(app: &AppState, source: &Peer) -> Option<Response> {
    if !app.exchange_v1.serves_public(source) {
        app.tally.count(source, Refused::PublicClosed);
        let detail =
            "market data is for the networks of public.sources, or for callers with a token";
        return Some(refused(403, detail));
    }
    if !app.exchange_v1.spend_public(source) {
        app.tally.count(source, Refused::PublicBudget);
        return Some(later(
            429,
            "too many public calls and market streams (public.calls_per_s)",
        ));
    }
    None
}

/// Who shows a token; nobody has to, but a wrong one opens nothing.
fn caller_of(app: &AppState, request: &Request<Body>) -> Result<Option<Arc<Caller>>, ()> {
    if !request.headers().contains_key(proxy_api::TOKEN) {
        return Ok(None);
    }
    proxy_api::authenticate(app, request.headers())
        .map(Some)
        .ok_or(())
}

fn agree(request: &Request<Body>) -> Option<Response> {
    let mut head = Request::new(());
    head.method_mut().clone_from(request.method());
    *head.version_mut() = request.version();
    head.headers_mut().clone_from(request.headers());
    create_response(&head)
        .ok()
        .map(|agreed| agreed.map(|()| Body::empty()))
}

fn refused(status: u16, detail: &str) -> Response {
    let mut response =
        reply::json_response(status, json!({ "detail": detail }).to_string().into_bytes());
    reply::set_outcome(&mut response, Outcome::Refused);
    response
}

fn later(status: u16, detail: &str) -> Response {
    let mut response = refused(status, detail);
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
