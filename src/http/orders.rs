//! `GET /orders/{name}`: what became of a caller's own order.
//!
//! Guarantees: the token is checked first, as for calls; a name of another caller's and one that nobody used get the same
//! answer. Nothing is sent to the exchange, and there is no record: this is no call. Answers are not to be stored.

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use http::{HeaderValue, Request, header};
use percent::decode;
use serde_json::json;

use super::{
    AppState, proxy_api,
    reply::{self, Refusal},
    request::{KnownCaller, source_of},
};
use crate::orders::Order;
use gateway::{access::Peer, auth::Caller, failure};

mod percent;

/// Attempts of one answer.
const MOST: usize = 100;
/// The path before the name.
const BEFORE: &str = "/orders/";

/// Tells what is known of a name.
pub(super) async fn of_name(State(app): State<Arc<AppState>>, request: Request<Body>) -> Response {
    if let Some(refused) = proxy_api::refuse_browser(&app, &request) {
        return refused;
    }
    let Some(caller) = proxy_api::authenticate(&app, &request).await else {
        return reply::refused(&Refusal::Unauthorized);
    };
    let uri = request.uri();
    let name = match uri.query() {
        None => uri.path().strip_prefix(BEFORE).and_then(decode),
        Some(_) => None,
    };
    let mut response = match name {
        Some(name) => told(&app, &caller, &source_of(&request), &name).await,
        None => reply::detail_at("path", &["path", "name"], NOT_A_NAME),
    };
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(KnownCaller);
    response
}

const NOT_A_NAME: &str =
    "write the name percent-encoded, and nothing after it: `?` is %3F, `/` is %2F, and `%` is %25";

async fn told(app: &AppState, caller: &Caller, source: &Peer, name: &str) -> Response {
    let entries = match app.gateway.orders_of(caller, source, name, MOST).await {
        Ok(entries) => entries,
        Err(failure::Refusal::Journal(away)) => {
            let why = format!("The order journal does not answer: {away}");
            return try_again(reply::detail(503, &why));
        }
        Err(refusal @ failure::Refusal::Denied(_)) => {
            return reply::detail(refusal.status(), &refusal.to_string());
        }
        Err(_) => {
            let why = "Too many ask about orders at once; ask again shortly";
            return try_again(reply::detail(503, why));
        }
    };
    if entries.is_empty() {
        return reply::detail(404, "No order of yours has this name");
    }
    let attempts: Vec<_> = entries.iter().map(Order::for_its_caller).collect();
    let body = json!({ "name": name, "attempts": attempts });
    reply::json_response(200, body.to_string().into_bytes())
}

fn try_again(mut response: Response) -> Response {
    reply::set_retry_after(&mut response, 1);
    response
}
