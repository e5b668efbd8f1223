//! The one stack of layers, each with the reason for its height.
//!
//! From outside: the request id first, because every response carries it, also one after a panic; then the `Host` rule,
//! because a rebound name must open nothing, not even `/health`; then the net for panics. Everything else belongs to a
//! door.

use std::sync::Arc;

use axum::{Router, body::Body, response::Response};
use http::{HeaderName, HeaderValue, Request, header};
use tower::Service as _;
use tower_http::catch_panic::CatchPanicLayer;
use uuid::Uuid;

use super::{
    AppState, exchange_v1, host,
    refusal::Refusal,
    reply,
    request::{KnownCaller, Rid, source_of},
    router,
};
use crate::http::rejections::Refused;

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
        let routes = router::routes(&app).layer(CatchPanicLayer::custom(|_| after_panic()));
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
            // Places are for callers: nobody without a token keeps one by asking for something every minute.
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn serve(&self, request: Request<Body>) -> Response {
        if !host::is_served(
            request.headers(),
            request.uri(),
            &self.app.settings.allowed_hosts,
        ) {
            self.app.tally.count(&source_of(&request), Refused::Host);
            let path = request.uri().path();
            let of_the_exchange = path.starts_with(exchange_v1::PREFIX);
            let refused = || reply::refused(&Refusal::Misdirected);
            return if of_the_exchange {
                exchange_v1::misdirected(path)
            } else {
                refused()
            };
        }
        let Ok(response) = self.routes.clone().call(request).await;
        response
    }
}

/// For defects outside the endpoints, where no call can have been sent; the endpoints catch their own.
fn after_panic() -> Response {
    reply::json_response(
        500,
        br#"{"detail":"Internal error; the log names the place"}"#.to_vec(),
    )
}
