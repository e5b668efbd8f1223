//! What the listener and the layers note on a request, for those further in.
//!
//! Guarantees: a request's id is made by us; one that a caller sends along is not looked at.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::body::Body;
use http::Request;
use uuid::Uuid;

use gateway::{access::Peer, clock::Clock};

/// The source of a request, as the listener noted it; one without is nobody's in particular.
pub(super) fn source_of(request: &Request<Body>) -> Peer {
    request
        .extensions()
        .get::<Peer>()
        .cloned()
        .unwrap_or(Peer::Unix { uid: None })
}

/// A request's id, made by us: one that a caller sends along is not trusted.
#[derive(Clone, Debug)]
pub(super) struct Rid(pub(super) Arc<str>);

/// The id of a request that came through the layers.
pub(super) fn request_id(request: &Request<Body>) -> Arc<str> {
    request
        .extensions()
        .get::<Rid>()
        .map_or_else(|| Arc::from(""), |rid| Arc::clone(&rid.0))
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
        Self {
            clock,
            next: AtomicU64::new(u64::from_be_bytes([a, b, c, d, e, f, g, h])),
            process: [high, low],
        }
    }

    pub(super) fn next(&self) -> Uuid {
        let [a, b, c, d, e, f, g, h] = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let [high, low] = self.process;
        uuid::Builder::from_unix_timestamp_millis(
            self.clock.now_ms(),
            &[high, low, a, b, c, d, e, f, g, h],
        )
        .into_uuid()
    }
}

/// Marks the answer to a caller whose token was valid: only such callers keep their connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownCaller;
