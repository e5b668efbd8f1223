//! The routes.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::State,
    middleware::{self, Next},
    response::Response,
    routing::{get, post},
};
use http::{Request, header};

use super::{Doors, Refused, Source, layers, operations, private, refusal::Refusal, reply};
use crate::gateway::outcome::Outcome;

/// Every route, with the layers around them.
pub fn router(doors: Arc<Doors>) -> Router {
    let door = post(private::relay).fallback(wrong_verb_at_the_door);
    let api = Router::new()
        .route("/proxy/private", door)
        .route_layer(middleware::from_fn_with_state(Arc::clone(&doors), refuse_browsers));
    let routes = api
        .route("/health", get(operations::health))
        .route("/ready", get(operations::ready))
        .route("/", get(operations::root))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_verb)
        .with_state(Arc::clone(&doors));
    layers::wrap(routes, &doors)
}

/// A page of another site must not reach a door through a browser on this network.
async fn refuse_browsers(State(doors): State<Arc<Doors>>, request: Request<Body>, next: Next) -> Response {
    if request.headers().contains_key(header::ORIGIN) {
        doors.tally.count(&Source::of(&request), Refused::Origin);
        return reply::refused(&Refusal::CrossSite);
    }
    next.run(request).await
}

async fn not_found() -> Response {
    reply::json_response(404, br#"{"detail":"Not Found"}"#.to_vec())
}

async fn wrong_verb() -> Response {
    reply::json_response(405, br#"{"detail":"Method Not Allowed"}"#.to_vec())
}

async fn wrong_verb_at_the_door() -> Response {
    let mut response = wrong_verb().await;
    response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("POST"));
    reply::set_outcome(&mut response, Outcome::Refused);
    response
}
