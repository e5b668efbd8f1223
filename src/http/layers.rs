//! The one stack of layers, each with the reason for its height.
//!
//! From outside: the request id first, because every response carries it, also one after a panic; then the `Host` rule,
//! because a rebound name must open nothing, not even `/health`; then the net for panics. Everything else belongs to a
//! door.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{Router, body::Body, response::Response};
use http::{HeaderName, HeaderValue, Request, header};
use tower::Service as _;
use tower_http::catch_panic::CatchPanicLayer;
use uuid::Uuid;

use super::{Doors, host, private::KnownCaller, refusal::Refusal, reply, router, tally::Refused};
use crate::gateway::clock::Clock;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Where a request came from; the listener puts it into the request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// An address; the port would make every connection a source of its own.
    Ip(IpAddr),
    /// A unix socket.
    Unix,
}

impl Source {
    /// The source of a request; a request without one came by a unix socket.
    pub(super) fn of(request: &Request<Body>) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or(Self::Unix)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix => f.write_str("unix-socket"),
        }
    }
}

/// A request's id, made by us: one that a caller sends along is not trusted.
#[derive(Clone, Debug)]
struct Rid(Arc<str>);

/// The id of a request that came through the layers.
pub(super) fn request_id(request: &Request<Body>) -> Arc<str> {
    request.extensions().get::<Rid>().map_or_else(|| Arc::from(""), |rid| Arc::clone(&rid.0))
}

/// Makes request ids: time-ordered (UUID version 7), unique, and not secret.
///
/// The random part is drawn once and counted up from, which saves a system call for each request.
#[derive(Debug)]
pub struct RequestIds {
    clock: Clock,
    next: AtomicU64,
    process: [u8; 2],
}

impl RequestIds {
    /// Ids with times of this clock.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let [high, low, rest @ ..] = *Uuid::new_v4().as_bytes();
        let [.., a, b, c, d, e, f, g, h] = rest;
        Self { clock, next: AtomicU64::new(u64::from_be_bytes([a, b, c, d, e, f, g, h])), process: [high, low] }
    }

    fn next(&self) -> Uuid {
        let [a, b, c, d, e, f, g, h] = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let [high, low] = self.process;
        uuid::Builder::from_unix_timestamp_millis(self.clock.now_ms(), &[high, low, a, b, c, d, e, f, g, h]).into_uuid()
    }
}

/// Every route, with the layers around them.
///
/// The layers are one function instead of a stack of boxed middleware, because every call pays for them.
#[derive(Debug)]
pub struct Front {
    doors: Arc<Doors>,
    routes: Router,
}

impl Front {
    /// The doors, ready to serve.
    #[must_use]
    pub fn new(doors: Arc<Doors>) -> Self {
        let routes = router::routes(&doors).layer(CatchPanicLayer::custom(|_| after_panic()));
        Self { doors, routes }
    }

    /// Answers one request.
    pub async fn answer(&self, mut request: Request<Body>) -> Response {
        let mut buffer = Uuid::encode_buffer();
        let text: &str = self.doors.request_ids.next().simple().encode_lower(&mut buffer);
        let id = HeaderValue::from_str(text);
        request.extensions_mut().insert(Rid(Arc::from(text)));
        let mut response = self.serve(request).await;
        if let Ok(id) = id {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        if response.extensions().get::<KnownCaller>().is_none() {
            // Places are for callers: nobody without a token keeps one by asking for something every minute.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn serve(&self, request: Request<Body>) -> Response {
        if !host::is_served(request.headers(), request.uri(), &self.doors.settings.allowed_hosts) {
            self.doors.tally.count(&Source::of(&request), Refused::Host);
            return reply::refused(&Refusal::Misdirected);
        }
        let Ok(response) = self.routes.clone().call(request).await;
        response
    }
}

/// For defects outside the doors, where no call can have been sent; the doors catch their own.
fn after_panic() -> Response {
    reply::json_response(500, br#"{"detail":"Internal error; the log names the place"}"#.to_vec())
}
