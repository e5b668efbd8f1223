//! The one stack of layers, each with the reason for its height, and the routes below it.
//!
//! From outside: the request id first, because every response carries it, also one after a panic; then the `Host` rule,
//! because a rebound name must open nothing, not even `/health`; then the net for panics. Everything else belongs to an
//! endpoint.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::State,
    response::Response,
    routing::{any, get, post},
};
use http::{HeaderName, HeaderValue, Request, header};
use tower::Service as _;
use tower_http::catch_panic::CatchPanicLayer;
use uuid::Uuid;

use super::{
    AppState, diag, exchange_v1, health, proxy_api,
    rejections::Refused,
    reply::{self, Refusal},
    request::{KnownCaller, Rid, is_served, source_of},
    status_page, stream,
};
use gateway::outcome::Outcome;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Every route, with the layers around them.
///
/// The layers are one function instead of a stack of boxed middleware, because every call pays for them.
#[derive(Debug)]
pub struct Front {
    app: Arc<AppState>,
    routes: Router,
}

impl Front {
    /// The endpoints, ready to serve.
    #[must_use]
    pub fn new(app: Arc<AppState>) -> Self {
        let routes = routes(&app).layer(CatchPanicLayer::custom(|_| after_panic()));
        Self { app, routes }
    }

    /// Answers one request.
    pub async fn answer(&self, mut request: Request<Body>) -> Response {
        let mut buffer = Uuid::encode_buffer();
        let text: &str = self
            .app
            .request_ids
            .next()
            .simple()
            .encode_lower(&mut buffer);
        let id = HeaderValue::from_str(text);
        request.extensions_mut().insert(Rid(Arc::from(text)));
        let mut response = self.serve(request).await;
        if let Ok(id) = id {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        if response.extensions().get::<KnownCaller>().is_none() {
            // Connections are kept for callers: without a token nobody keeps one by a request every minute.
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn serve(&self, request: Request<Body>) -> Response {
        if !is_served(
            request.headers(),
            request.uri(),
            &self.app.settings.allowed_hosts,
        ) {
            self.app
                .rejections
                .count(&source_of(&request), Refused::Host);
            let path = request.uri().path();
            return if path.starts_with(exchange_v1::PREFIX) {
                exchange_v1::misdirected(path)
            } else {
                reply::refused(&Refusal::Misdirected)
            };
        }
        let Ok(response) = self.routes.clone().call(request).await;
        response
    }
}

/// For defects outside the endpoints, where no call can have been sent; the endpoints catch their own.
fn after_panic() -> Response {
    reply::detail(500, "Internal error; the log names the place")
}

/// Every route, without the layers around them.
fn routes(app: &Arc<AppState>) -> Router {
    Router::new()
        .route(
            "/proxy/private",
            post(proxy_api::relay).fallback(wrong_verb_for_a_call),
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
    reply::detail(404, "Not Found")
}

async fn wrong_verb() -> Response {
    reply::detail(405, "Method Not Allowed")
}

async fn wrong_verb_for_a_call(
    State(app): State<Arc<AppState>>,
    request: Request<Body>,
) -> Response {
    if let Some(refused) = proxy_api::refuse_browser(&app, &request) {
        return refused;
    }
    let mut response = wrong_verb().await;
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static("POST"));
    reply::set_outcome(&mut response, Outcome::Refused);
    response
}
