//! One connection, from its first byte to its end.

use std::{
    future::{Future as _, poll_fn},
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{body::Body, response::Response};
use http::{HeaderValue, Request, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{task::yield_now, time::sleep};
use tokio_io_timeout::TimeoutStream;

use super::{Shared, caller_stream::CallerStream, listener::Stream};
use crate::http::{Peer, Refused};
use crate::places::Place;

/// A reader that takes no byte of an answer for this time is given up.
const WRITE_STALL: Duration = Duration::from_secs(10);

/// Serves a connection until it ends, or until we stop and its request is answered. One that becomes a stream ends here:
/// the gateway counts it from then on, and closes it when we stop. One whose place is needed ends without a word.
pub(super) async fn serve(stream: Stream, source: Peer, place: Arc<Place>, shared: &Arc<Shared>) {
    let requested = Arc::new(AtomicBool::new(false));
    let hung_up = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicBool::new(false));
    let stream = CallerStream::new(stream, Arc::clone(&hung_up), shared.stop.clone());
    let mut guarded = TimeoutStream::new(stream);
    guarded.set_write_timeout(Some(WRITE_STALL));
    // Boxed, because a stream takes it along when this function has returned.
    let guarded: Pin<Box<_>> = Box::pin(guarded);
    let service = {
        let (requested, source) = (Arc::clone(&requested), source.clone());
        let (hung_up, served) = (Arc::clone(&hung_up), Arc::clone(&served));
        let (place, shared) = (Arc::clone(&place), Arc::clone(shared));
        service_fn(move |request: Request<Incoming>| {
            requested.store(true, Ordering::Relaxed);
            let hung_up = Arc::clone(&hung_up);
            let has_had_its_turn = served.swap(true, Ordering::Relaxed);
            let (source, place, shared) = (source.clone(), Arc::clone(&place), Arc::clone(&shared));
            async move {
                // Who sends many requests at once waits after each of them for the others' turns.
                if has_had_its_turn {
                    yield_now().await;
                }
                // It was sent behind another request, and its caller left before its turn: nothing is done for nobody.
                if hung_up.load(Ordering::Relaxed) {
                    return Err(io::Error::from(io::ErrorKind::BrokenPipe));
                }
                Ok(answer(request, source, place, shared).await)
            }
        })
    };
    let settings = &shared.settings;
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(settings.idle_deadline)
        .max_headers(settings.max_headers)
        .max_buf_size(settings.max_head_bytes.max(8192));
    let mut connection = pin!(
        builder
            .serve_connection(TokioIo::new(guarded), service)
            .with_upgrades()
    );
    let mut first_request = pin!(sleep(settings.first_request_deadline));
    let (mut stopping, mut guarded_first) = (false, true);
    let ended = loop {
        tokio::select! {
            biased;
            ended = poll_fn(|cx| {
                served.store(false, Ordering::Relaxed);
                connection.as_mut().poll(cx)
            }) => break ended,
            () = place.is_needed() => {
                if !place.is_callers() {
                    return;
                }
            }
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
        shared.rejections.count(&source, Refused::Framing);
    }
}

async fn answer(
    request: Request<Incoming>,
    source: Peer,
    place: Arc<Place>,
    shared: Arc<Shared>,
) -> Response {
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(source);
    if !place.is_known() {
        parts.extensions.insert(Arc::clone(&place));
    }
    let request = Request::from_parts(parts, Body::new(body));
    let mut response = shared.front.answer(request).await;
    if !place.is_callers() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}
