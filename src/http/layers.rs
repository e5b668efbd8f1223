//! The one stack of layers, each with the reason for its height.
//!
//! From outside: the request id first, because every response carries it, also one after a panic; then the net for
//! panics; then the `Host` rule, because a rebound name must open nothing, not even `/health`. Everything else belongs
//! to a door.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Router,
    body::Body,
    extract::State,
    middleware::{self, Next},
    response::Response,
};
use http::{HeaderName, HeaderValue, Request};
use tower_http::catch_panic::CatchPanicLayer;
use uuid::Uuid;

use super::{Doors, host, refusal::Refusal, reply, tally::Refused};
use crate::gateway::{clock::Clock, outcome::Outcome, pipeline::Relayed};

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

/// Puts the layers around the routes.
pub(super) fn wrap(routes: Router, doors: &Arc<Doors>) -> Router {
    routes
        .layer(middleware::from_fn_with_state(Arc::clone(doors), demand_host))
        .layer(CatchPanicLayer::custom(|_| after_panic()))
        .layer(middleware::from_fn_with_state(Arc::clone(doors), name_request))
}

async fn name_request(State(doors): State<Arc<Doors>>, mut request: Request<Body>, next: Next) -> Response {
    let mut buffer = Uuid::encode_buffer();
    let text: &str = doors.request_ids.next().simple().encode_lower(&mut buffer);
    let value = HeaderValue::from_str(text);
    request.extensions_mut().insert(Rid(Arc::from(text)));
    let mut response = next.run(request).await;
    if let Ok(value) = value {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

async fn demand_host(State(doors): State<Arc<Doors>>, request: Request<Body>, next: Next) -> Response {
    if host::is_served(request.headers(), request.uri(), &doors.settings.allowed_hosts) {
        return next.run(request).await;
    }
    doors.tally.count(&Source::of(&request), Refused::Host);
    reply::refused(&Refusal::Misdirected)
}

/// For defects outside the doors; the doors catch their own, because they know the phase.
fn after_panic() -> Response {
    reply::relayed(&Relayed::defect(Outcome::Unknown))
}
