//! One connection, from its first byte to its end, which does not take its last answer away.
//!
//! Closing a socket on bytes that were not read resets the connection, and the answer that was just written (a 401 or
//! 413 to a long body) goes with it. Guarantees: after the last answer what the caller still sends is read and thrown
//! away, for a bounded time and amount, until the caller has closed its side; not while the process is stopping.

use std::{
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{body::Body, response::Response};
use http::{HeaderValue, Request, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use super::{Shared, attentive::Attentive, listener::Stream};
use crate::http::{Peer, Refused};
use crate::places::Place;

/// A reader that takes no byte of an answer for this time is given up.
const WRITE_STALL: Duration = Duration::from_secs(10);

/// Serves a connection until it ends, or until we stop and its request is answered. One that becomes a stream ends here:
/// the gateway counts it from then on, and closes it when we stop. One whose place is needed ends without a word.
pub(super) async fn serve(stream: Stream, source: Peer, place: Arc<Place>, shared: &Arc<Shared>) {
    let requested = Arc::new(AtomicBool::new(false));
    let hung_up = Arc::new(AtomicBool::new(false));
    let stream = Attentive::new(stream, Arc::clone(&hung_up));
    let mut guarded = TimeoutStream::new(Lingering::new(stream, shared.stop.clone()));
    guarded.set_write_timeout(Some(WRITE_STALL));
    // Boxed, because a stream takes it along when this function has returned.
    let guarded: Pin<Box<_>> = Box::pin(guarded);
    let service = {
        let (requested, source) = (Arc::clone(&requested), source.clone());
        let (place, shared) = (Arc::clone(&place), Arc::clone(shared));
        service_fn(move |request: Request<Incoming>| {
            requested.store(true, Ordering::Relaxed);
            // It was sent behind another request, and its caller left before its turn: nothing is done for nobody.
            let left = hung_up.load(Ordering::Relaxed);
            let (source, place, shared) = (source.clone(), Arc::clone(&place), Arc::clone(&shared));
            async move {
                if left {
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
            ended = connection.as_mut() => break ended,
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

/// What the caller still sends is read for this time, and up to this much.
const LINGER: Duration = Duration::from_secs(1);
const MAX_DISCARDED: usize = 16 << 20;
/// Bytes that are thrown away at a time.
const CHUNK: usize = 16 << 10;

/// While bytes wait, a reader has to take so many in each such time: none may hold an answer for as long as it likes.
const PACE: usize = 256 << 10;
const PACE_TIME: Duration = Duration::from_secs(30);

/// A stream that gives slow readers up, and whose shutdown lingers.
struct Lingering<S> {
    stream: S,
    /// While bytes wait: what was taken, and until when more has to be.
    taken: usize,
    waits_until: Option<Pin<Box<Sleep>>>,
    stop: CancellationToken,
    discarded: usize,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Lingering<S> {
    fn new(stream: S, stop: CancellationToken) -> Self {
        Self {
            stream,
            taken: 0,
            waits_until: None,
            stop,
            discarded: 0,
            deadline: None,
        }
    }

    /// What a write came to; an error where the reader is too slow.
    fn at_pace(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.taken += bytes;
            if self.taken >= PACE {
                (self.taken, self.waits_until) = (0, None);
            }
        }
        if written.is_pending() {
            let taken = &mut self.taken;
            let until = self.waits_until.get_or_insert_with(|| {
                *taken = 0;
                Box::pin(sleep(PACE_TIME))
            });
            ready!(until.as_mut().poll(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        written
    }

    /// Reads on until the caller has closed, too much came, or the time is over.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut chunk = [0; CHUNK];
        loop {
            let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(LINGER)));
            if self.stop.is_cancelled()
                || self.discarded > MAX_DISCARDED
                || deadline.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(());
            }
            let mut buffer = ReadBuf::new(&mut chunk);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
            self.discarded += buffer.filled().len();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.at_pace(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.at_pace(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Asked for when nothing is left to be written.
        self.waits_until = None;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        ready!(self.poll_discard(cx));
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_a_byte_every_nine_seconds_is_given_up() {
        let (ours, mut theirs) = duplex(1024);
        let mut writer = Lingering::new(ours, CancellationToken::new());
        let reader = async {
            loop {
                sleep(Duration::from_secs(9)).await;
                let _ = theirs.read_u8().await;
            }
        };
        let answer = vec![0; 4 << 20];
        let written = tokio::select! {
            written = writer.write_all(&answer) => written,
            () = reader => Ok(()),
        };
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_keeps_the_pace_gets_all_however_long_it_takes() {
        let (ours, mut theirs) = duplex(1024);
        let mut writer = Lingering::new(ours, CancellationToken::new());
        let reader = async {
            let mut read = 0;
            let mut part = vec![0; 16 << 10];
            while read < 4 << 20 {
                sleep(Duration::from_secs(1)).await;
                read += theirs.read_exact(&mut part).await.unwrap();
            }
            read
        };
        let answer = vec![0; 4 << 20];
        let (written, read) = tokio::join!(writer.write_all(&answer), reader);
        assert!(written.is_ok() && read == answer.len());
    }
}
