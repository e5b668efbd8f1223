//! A stream that notices, when an answer is written, that its caller has hung up.
//!
//! hyper looks for a caller's end only while no further request waits in its buffer. Without this, a request that was
//! sent behind another one would be served after its caller has gone. Costs one atomic load for each write.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio_util::either::Either;

use super::listener::Stream;

/// The stream.
pub(super) struct Attentive {
    stream: Stream,
    hung_up: Arc<AtomicBool>,
}

impl Attentive {
    /// Sets `hung_up` once the caller's end is seen.
    pub(super) const fn new(stream: Stream, hung_up: Arc<AtomicBool>) -> Self {
        Self { stream, hung_up }
    }

    fn look(&self) {
        let readable = |ready: io::Result<Ready>| ready.is_ok_and(Ready::is_read_closed);
        // Asked first, because only the second question tells an end from bytes, and it is dear where there is neither.
        let closed = match &self.stream {
            Either::Left(tcp) => {
                tcp.try_io(Interest::READABLE, || Ok(())).is_ok()
                    && tcp
                        .ready(Interest::READABLE)
                        .now_or_never()
                        .is_some_and(readable)
            }
            Either::Right(unix) => {
                unix.try_io(Interest::READABLE, || Ok(())).is_ok()
                    && unix
                        .ready(Interest::READABLE)
                        .now_or_never()
                        .is_some_and(readable)
            }
        };
        if closed {
            self.hung_up.store(true, Ordering::Relaxed);
        }
    }
}

impl AsyncRead for Attentive {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Attentive {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.look();
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.look();
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
