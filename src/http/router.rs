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
    AppState, diag, exchange_v1, health, orders, proxy_api,
    rejections::Refused,
    reply::{self, Refusal},
    request::{KnownCaller, Rid, is_plain_check, is_served, shows_foreign_scheme, source_of},
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
        ) && !is_plain_check(&request)
        {
            self.app
                .rejections
                .count(&source_of(&request), Refused::Host);
            return match exchange_v1::behind_the_base(request.uri().path()) {
                Some(method) => exchange_v1::misdirected(method),
                None => reply::refused(&Refusal::Misdirected),
            };
        }
        // Of such a request alone something is kept: a good call pays for a look at the names of its headers.
        let foreign = shows_foreign_scheme(request.headers()).then(|| source_of(&request));
        let Ok(mut response) = self.routes.clone().call(request).await;
        let is_refused = response.status().is_client_error()
            && response.extensions().get::<KnownCaller>().is_none();
        if let Some(source) = foreign
            && is_refused
        {
            self.app.rejections.count(&source, Refused::ForeignScheme);
            reply::say_foreign_scheme(&mut response);
        }
        response
    }
}

/// For defects outside the endpoints, where no call can have been sent; the endpoints catch their own.
fn after_panic() -> Response {
    reply::detail(500, "Internal error; the log names the place")
}

/// How the path of calls is written, the contract's way first: bases often have one slash more.
const CALLS: [&str; 3] = ["/proxy/private", "/proxy/private/", "//proxy/private"];
/// The same of the exchange-compatible API; a slash more at its end is the method's (`exchange_v1::behind_the_base`).
const BASES: [&str; 2] = ["/exchange/v1", "//exchange/v1"];
/// Where clients look for that API whose base URL lacks something, or names another version.
const WRONG_BASES: [&str; 5] = ["/private", "/public", "/v1", "/v2", "/exchange/v2"];

/// Every route, without the layers around them. Each way of writing a path stands here as it is: nothing is cleaned up
/// that somebody in front of us may have judged in another form.
fn routes(app: &Arc<AppState>) -> Router {
    let mut routes = Router::new()
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/", get(status_page::root))
        .route("/diag/crypto-auth", get(diag::known))
        .route("/diag/run", post(diag::run))
        .route("/orders/{name}", get(orders::of_name))
        .route("/user", any(exchange_v1::wrong_base))
        .route("/market", any(exchange_v1::wrong_base));
    for path in CALLS {
        let relayed = post(proxy_api::relay).fallback(wrong_verb_for_a_call);
        routes = routes.route(path, relayed);
    }
    for base in BASES {
        routes = routes.route(&format!("{base}/{{*method}}"), any(exchange_v1::serve));
        for end in ["", "/"] {
            routes = routes
                .route(&format!("{base}{end}/user"), get(stream::user))
                .route(&format!("{base}{end}/market"), get(stream::market));
        }
    }
    for base in WRONG_BASES {
        routes = routes.route(&format!("{base}/{{*method}}"), any(exchange_v1::wrong_base));
    }
    routes
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
