//! The routes.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::State,
    response::Response,
    routing::{any, get, post},
};
use http::{Request, header};

use super::{AppState, diag, exchange_v1, reply, status_page, stream};
use crate::http::{health, proxy_api};
use gateway::outcome::Outcome;

/// Every route; the layers around them are in `layers`.
pub(super) fn routes(app: &Arc<AppState>) -> Router {
    Router::new()
        .route(
            "/proxy/private",
            post(proxy_api::relay).fallback(wrong_verb_at_the_door),
        )
        .route("/exchange/v1/user", get(stream::user))
        .route("/exchange/v1/market", get(stream::market))
        .route("/exchange/v1/{*method}", any(exchange_v1::serve))
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/", get(status_page::root))
        .route("/diag/crypto-auth", get(diag::known))
        .route("/diag/run", post(diag::run))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_verb)
        .with_state(Arc::clone(app))
}

async fn not_found() -> Response {
    reply::json_response(404, br#"{"detail":"Not Found"}"#.to_vec())
}

async fn wrong_verb() -> Response {
    reply::json_response(405, br#"{"detail":"Method Not Allowed"}"#.to_vec())
}

async fn wrong_verb_at_the_door(
    State(app): State<Arc<AppState>>,
    request: Request<Body>,
) -> Response {
    if let Some(refused) = proxy_api::refuse_browser(&app, &request) {
        return refused;
    }
    let mut response = wrong_verb().await;
    response
        .headers_mut()
        .insert(header::ALLOW, header::HeaderValue::from_static("POST"));
    reply::set_outcome(&mut response, Outcome::Refused);
    response
}
