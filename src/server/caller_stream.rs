//! The stream of a caller: it notices hanging up, gives slow readers up, and lingers at its end.
//!
//! hyper looks for a caller's end only while no further request waits in its buffer. So a request behind another one
//! would be served after its caller has gone; each write looks, at the cost of one atomic load.
//!
//! Closing a socket on bytes that were not read resets the connection, and the answer that was just written (a 401 or
//! 413 to a long body) goes with it. Guarantees: after the last answer what the caller still sends is read and thrown
//! away, for a bounded time and amount, until the caller has closed its side; not while the process is stopping.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready},
    time::{Sleep, sleep},
};
use tokio_util::{either::Either, sync::CancellationToken};

use super::listener::Stream;

/// Whether the other end of a stream is closed, as far as can be told without reading.
pub(super) trait HangUp {
    fn is_hung_up(&self) -> bool;
}

impl HangUp for Stream {
    fn is_hung_up(&self) -> bool {
        match self {
            Either::Left(tcp) => is_closed(
                &tcp.try_io(Interest::READABLE, || Ok(())),
                tcp.ready(Interest::READABLE),
            ),
            Either::Right(unix) => is_closed(
                &unix.try_io(Interest::READABLE, || Ok(())),
                unix.ready(Interest::READABLE),
            ),
        }
    }
}

/// `readable` is asked first, because only `ready` tells an end from bytes, and it is dear where there is neither.
fn is_closed(readable: &io::Result<()>, ready: impl Future<Output = io::Result<Ready>>) -> bool {
    let ends = |ready: io::Result<Ready>| ready.is_ok_and(Ready::is_read_closed);
    readable.is_ok() && ready.now_or_never().is_some_and(ends)
}

/// What the caller still sends is read for this time, and up to this much.
const LINGER: Duration = Duration::from_secs(1);
const MAX_DISCARDED: usize = 16 << 20;
/// Bytes that are thrown away at a time.
const CHUNK: usize = 16 << 10;

/// While bytes wait, a reader has to take so many in each such time: none may hold an answer for as long as it likes.
const PACE: usize = 256 << 10;
const PACE_TIME: Duration = Duration::from_secs(30);

/// The stream.
pub(super) struct CallerStream<S> {
    stream: S,
    hung_up: Arc<AtomicBool>,
    /// While bytes wait: what was taken, and until when more has to be.
    taken: usize,
    waits_until: Option<Pin<Box<Sleep>>>,
    stop: CancellationToken,
    discarded: usize,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + HangUp + Unpin> CallerStream<S> {
    /// Sets `hung_up` once the caller's end is seen. Does not linger after `stop`.
    pub(super) fn new(stream: S, hung_up: Arc<AtomicBool>, stop: CancellationToken) -> Self {
        Self {
            stream,
            hung_up,
            taken: 0,
            waits_until: None,
            stop,
            discarded: 0,
            deadline: None,
        }
    }

    fn look(&self) {
        if self.stream.is_hung_up() {
            self.hung_up.store(true, Ordering::Relaxed);
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

impl<S: AsyncRead + Unpin> AsyncRead for CallerStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + HangUp + Unpin> AsyncWrite for CallerStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.look();
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.at_pace(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.look();
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    impl HangUp for DuplexStream {
        fn is_hung_up(&self) -> bool {
            false
        }
    }

    fn stream(ours: DuplexStream) -> CallerStream<DuplexStream> {
        CallerStream::new(ours, Arc::default(), CancellationToken::new())
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_a_byte_every_nine_seconds_is_given_up() {
        let (ours, mut theirs) = duplex(1024);
        let mut writer = stream(ours);
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
        let mut writer = stream(ours);
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
