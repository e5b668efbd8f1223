//! A connection that is closed without taking its last answer away.
//!
//! Closing a socket on bytes that were not read resets the connection, and the answer that was just written (a 401 or
//! 413 to a long body) goes with it. Guarantees: after the last answer what the caller still sends is read and thrown
//! away, for a bounded time and amount, until the caller has closed its side; not while the process is stopping.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};
use tokio_util::sync::CancellationToken;

/// What the caller still sends is read for this time, and up to this much.
const LINGER: Duration = Duration::from_secs(1);
const MAX_DISCARDED: usize = 16 << 20;
/// Bytes that are thrown away at a time.
const CHUNK: usize = 16 << 10;

/// A stream whose shutdown lingers.
pub(super) struct Lingering<S> {
    stream: S,
    stop: CancellationToken,
    discarded: usize,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Lingering<S> {
    pub(super) fn new(stream: S, stop: CancellationToken) -> Self {
        Self {
            stream,
            stop,
            discarded: 0,
            deadline: None,
        }
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
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        ready!(self.poll_discard(cx));
        Poll::Ready(Ok(()))
    }
}
