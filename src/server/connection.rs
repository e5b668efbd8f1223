//! One connection, from its first byte to its end.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{body::Body, response::Response};
use http::{HeaderName, HeaderValue, Request, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::sleep;
use tokio_io_timeout::TimeoutStream;

use super::{Settings, Shared, TOO_MANY, listener::Stream, request_id};
use crate::http::{Peer, Refused};
use crate::server::lingering_close::Lingering;

/// A reader that takes no byte of an answer for this time is given up.
const WRITE_STALL: Duration = Duration::from_secs(10);

/// Places in the reserve are few: a connection there must bring its request within this time.
const RESERVE_DEADLINE: Duration = Duration::from_secs(1);

/// Whether a connection has a full place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// It has.
    Normal,
    /// It is beyond the limit: `/health`, or a 503, and then closed.
    Reserve,
}

impl Mode {
    fn first_request_deadline(self, settings: &Settings) -> Duration {
        match self {
            Self::Normal => settings.first_request_deadline,
            Self::Reserve => settings.first_request_deadline.min(RESERVE_DEADLINE),
        }
    }
}

/// Serves a connection until it ends, or until we stop and its request is answered. One that becomes a stream ends here:
/// the gateway counts it from then on, and closes it when we stop.
pub(super) async fn serve(stream: Stream, source: Peer, mode: Mode, shared: &Arc<Shared>) {
    let requested = Arc::new(AtomicBool::new(false));
    let mut guarded = TimeoutStream::new(Lingering::new(stream, shared.stop.clone()));
    guarded.set_write_timeout(Some(WRITE_STALL));
    // Boxed, because a stream takes it along when this function has returned.
    let guarded: Pin<Box<_>> = Box::pin(guarded);
    let service = {
        let (requested, source, shared) =
            (Arc::clone(&requested), source.clone(), Arc::clone(shared));
        service_fn(move |request: Request<Incoming>| {
            requested.store(true, Ordering::Relaxed);
            answer(request, source.clone(), mode, Arc::clone(&shared))
        })
    };
    let settings = &shared.settings;
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(settings.idle_deadline)
        .max_headers(settings.max_headers)
        .max_buf_size(settings.max_head_bytes.max(8192))
        .keep_alive(mode == Mode::Normal);
    let mut connection = pin!(
        builder
            .serve_connection(TokioIo::new(guarded), service)
            .with_upgrades()
    );
    let mut first_request = pin!(sleep(mode.first_request_deadline(settings)));
    let (mut stopping, mut guarded_first) = (false, true);
    let ended = loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => break ended,
            () = first_request.as_mut(), if guarded_first => {
                if !requested.load(Ordering::Relaxed) {
                    return;
                }
                guarded_first = false;
            }
            () = shared.stop.cancelled(), if !stopping => {
                if !requested.load(Ordering::Relaxed) {
                    return; // hyper would wait for the rest of a first head that was begun
                }
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    if ended.is_err_and(|error| error.is_parse()) {
        shared.tally.count(&source, Refused::Framing);
    }
}

async fn answer(
    request: Request<Incoming>,
    source: Peer,
    mode: Mode,
    shared: Arc<Shared>,
) -> Result<Response, Infallible> {
    if mode == Mode::Reserve && request.uri().path() != "/health" {
        shared.tally.count(&source, Refused::Connections);
        return Ok(too_many_connections());
    }
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(source);
    Ok(shared
        .front
        .answer(Request::from_parts(parts, Body::new(body)))
        .await)
}

fn too_many_connections() -> Response {
    let mut response = Response::new(Body::from(TOO_MANY));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    headers.insert("x-proxy-outcome", HeaderValue::from_static("refused"));
    headers.extend(
        HeaderValue::try_from(request_id())
            .ok()
            .map(|id| (HeaderName::from_static("x-request-id"), id)),
    );
    response
}
