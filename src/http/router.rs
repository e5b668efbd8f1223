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

use super::{Doors, diag, exchange_v1, operations, private, reply, status_page, stream};
use gateway::outcome::Outcome;

/// Every route; the layers around them are in `layers`.
pub(super) fn routes(doors: &Arc<Doors>) -> Router {
    Router::new()
        .route(
            "/proxy/private",
            post(private::relay).fallback(wrong_verb_at_the_door),
        )
        .route("/exchange/v1/user", get(stream::user))
        .route("/exchange/v1/market", get(stream::market))
        .route("/exchange/v1/{*method}", any(exchange_v1::serve))
        .route("/health", get(operations::health))
        .route("/ready", get(operations::ready))
        .route("/", get(status_page::root))
        .route("/diag/crypto-auth", get(diag::known))
        .route("/diag/run", post(diag::run))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_verb)
        .with_state(Arc::clone(doors))
}

async fn not_found() -> Response {
    reply::json_response(404, br#"{"detail":"Not Found"}"#.to_vec())
}

async fn wrong_verb() -> Response {
    reply::json_response(405, br#"{"detail":"Method Not Allowed"}"#.to_vec())
}

async fn wrong_verb_at_the_door(
    State(doors): State<Arc<Doors>>,
    request: Request<Body>,
) -> Response {
    if let Some(refused) = private::refuse_browser(&doors, &request) {
        return refused;
    }
    let mut response = wrong_verb().await;
    response
        .headers_mut()
        .insert(header::ALLOW, header::HeaderValue::from_static("POST"));
    reply::set_outcome(&mut response, Outcome::Refused);
    response
}
