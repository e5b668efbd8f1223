//! One WebSocket with what waits to be written to it.
//!
//! Guarantees: what waits is bounded in number and bytes, of one socket and of all together; a peer that takes nothing for
//! the stall limit is given up; reading and writing happen in one poll, so that neither starves the other and nothing is
//! lost when a caller stops polling. Does not: know what the texts mean.

use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep, sleep, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        error::ProtocolError,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

/// How much may wait, and how long a peer may take nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Frames.
    pub frames: usize,
    /// Bytes of all of them.
    pub bytes: usize,
    /// A peer that takes nothing for this time is given up.
    pub stall: Duration,
}

/// Bytes that may wait on all sockets together: about a hundred of the slowest clients have them, and it is a tenth of the
/// unit's `MemoryMax`.
pub const MAX_WAITING_OF_ALL: usize = 48 << 20;

/// What one caller, or all strangers together, may always have of it, whatever the others hold.
const ALWAYS: usize = 512 << 10;

/// The bytes that wait on all sockets together, and those of one caller; clones are the same counts. One caller leaves as
/// many free as it has, and so do all strangers together.
#[derive(Clone, Debug, Default)]
pub struct WaitingOfAll {
    all: Arc<AtomicUsize>,
    own: Arc<AtomicUsize>,
    /// Callers are those that an operator listed, so that this is bounded.
    callers: Arc<Mutex<HashMap<Arc<str>, Arc<AtomicUsize>>>>,
}

impl WaitingOfAll {
    /// The same, for a socket of this caller.
    #[must_use]
    pub fn of(&self, caller: &Arc<str>) -> Self {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let own = Arc::clone(callers.entry(Arc::clone(caller)).or_default());
        drop(callers);
        Self {
            own,
            ..self.clone()
        }
    }

    fn has_room_for(&self, bytes: usize) -> bool {
        let free = MAX_WAITING_OF_ALL.saturating_sub(self.all.load(Ordering::Relaxed));
        let own = self.own.load(Ordering::Relaxed).saturating_add(bytes);
        own <= free.max(ALWAYS)
    }

    fn add(&self, bytes: usize) {
        self.all.fetch_add(bytes, Ordering::Relaxed);
        self.own.fetch_add(bytes, Ordering::Relaxed);
    }

    fn take_away(&self, bytes: usize) {
        self.all.fetch_sub(bytes, Ordering::Relaxed);
        self.own.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Something that waits to be written.
pub trait Queued {
    /// Its length in bytes.
    fn size(&self) -> usize;

    /// The text, at the moment of writing; `None` if it is not to be written any more.
    fn into_text(self) -> Option<Utf8Bytes>;
}

impl Queued for Utf8Bytes {
    fn size(&self) -> usize {
        self.as_str().len()
    }

    fn into_text(self) -> Option<Utf8Bytes> {
        Some(self)
    }
}

/// More waits than the limits allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// What came from the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A text frame, or a binary one that is text: some clients send their JSON so.
    Text(Utf8Bytes),
    /// A close frame, with its code and reason where it had them.
    Closed(Option<(u16, String)>),
    /// The connection ended without one.
    Lost,
    /// It does not read what is written to it.
    Stalled,
    /// It broke the protocol; the code says how.
    Broken(u16),
}

/// A WebSocket, and what waits for it.
#[derive(Debug)]
pub struct WebSocket<S, W> {
    stream: WebSocketStream<S>,
    waiting: VecDeque<W>,
    bytes: usize,
    of_all: WaitingOfAll,
    limits: Limits,
    flushed: bool,
    wants_ping: bool,
    /// Something was not to be written any more.
    skipped: bool,
    stalled: Option<Pin<Box<Sleep>>>,
    heard: Instant,
}

enum Write {
    /// Nothing is left to write.
    All,
    /// The peer does not take more now.
    Blocked {
        moved: bool,
    },
    Lost,
}

impl<S: AsyncRead + AsyncWrite + Unpin, W: Queued> WebSocket<S, W> {
    /// Around an open socket, which is counted in `of_all`.
    #[must_use]
    pub fn new(stream: WebSocketStream<S>, limits: Limits, of_all: WaitingOfAll) -> Self {
        let (waiting, heard) = (VecDeque::new(), Instant::now());
        Self {
            stream,
            waiting,
            bytes: 0,
            of_all,
            limits,
            flushed: true,
            wants_ping: false,
            skipped: false,
            stalled: None,
            heard,
        }
    }

    /// Counts what waits here for this caller from now on.
    pub fn known(&mut self, caller: &Arc<str>) {
        let of_caller = self.of_all.of(caller);
        of_caller.add(self.bytes);
        std::mem::replace(&mut self.of_all, of_caller).take_away(self.bytes);
    }

    /// Frames that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether something may wait: on this socket nothing does, or all together have room. So it cannot be kept waiting by
    /// others once it has written what it had.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.waiting.is_empty() || self.of_all.has_room_for(0)
    }

    /// How long nothing was heard.
    #[must_use]
    pub fn silent_for(&self) -> Duration {
        self.heard.elapsed()
    }

    /// Lets something wait to be written; where nothing waits, a single thing may be longer than the limits.
    ///
    /// # Errors
    /// [`Overflow`]; nothing is kept of it.
    pub fn push(&mut self, item: W) -> Result<(), Overflow> {
        let bytes = self.bytes.saturating_add(item.size());
        if self.waiting.is_empty() {
            self.push_within_room(item);
            return Ok(());
        }
        if self.waiting.len() >= self.limits.frames
            || bytes > self.limits.bytes
            || !self.of_all.has_room_for(item.size())
        {
            return Err(Overflow);
        }
        self.push_within_room(item);
        Ok(())
    }

    /// The same, for callers that asked before whether there is room.
    pub fn push_within_room(&mut self, item: W) {
        let size = item.size();
        self.bytes = self.bytes.saturating_add(size);
        self.of_all.add(size);
        self.waiting.push_back(item);
    }

    /// Whether something was not to be written any more, since the last time this was asked.
    pub fn take_skipped(&mut self) -> bool {
        std::mem::take(&mut self.skipped)
    }

    /// Sends a ping with the next writing.
    pub fn ping(&mut self) {
        self.wants_ping = true;
    }

    /// Writes what can be written, and, where `reads`, reads the next frame. Cancel-safe.
    pub fn poll(&mut self, cx: &mut Context<'_>, reads: bool) -> Poll<Incoming> {
        match self.poll_write(cx) {
            Write::All => self.stalled = None,
            Write::Lost => return Poll::Ready(Incoming::Lost),
            Write::Blocked { moved } => {
                if moved {
                    self.stalled = None;
                }
                let limit = self.limits.stall;
                let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
                if stalled.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Incoming::Stalled);
                }
            }
        }
        if reads {
            self.poll_read(cx)
        } else {
            Poll::Pending
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Write {
        let mut moved = false;
        loop {
            match Pin::new(&mut self.stream).poll_ready(cx) {
                Poll::Pending => return Write::Blocked { moved },
                Poll::Ready(Err(_)) => return Write::Lost,
                Poll::Ready(Ok(())) => {}
            }
            let Some(message) = self.next_message() else {
                break;
            };
            moved = true;
            let Some(message) = message else { continue };
            self.flushed = false;
            if self.stream.start_send_unpin(message).is_err() {
                return Write::Lost;
            }
        }
        if self.flushed {
            return Write::All;
        }
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Pending => Write::Blocked { moved },
            Poll::Ready(Err(_)) => Write::Lost,
            Poll::Ready(Ok(())) => {
                self.flushed = true;
                Write::All
            }
        }
    }

    /// The next thing to write; within it nothing, where it is not to be written any more.
    fn next_message(&mut self) -> Option<Option<Message>> {
        if std::mem::take(&mut self.wants_ping) {
            return Some(Some(Message::Ping(Bytes::new())));
        }
        let item = self.waiting.pop_front()?;
        self.bytes = self.bytes.saturating_sub(item.size());
        self.of_all.take_away(item.size());
        let text = item.into_text();
        self.skipped |= text.is_none();
        Some(text.map(Message::Text))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        loop {
            let Poll::Ready(next) = Pin::new(&mut self.stream).poll_next(cx) else {
                return Poll::Pending;
            };
            self.heard = Instant::now();
            return Poll::Ready(match next {
                Some(Ok(Message::Text(text))) => Incoming::Text(text),
                Some(Ok(Message::Binary(bytes))) => {
                    Utf8Bytes::try_from(bytes).map_or(Incoming::Broken(1007), Incoming::Text)
                }
                Some(Ok(Message::Close(frame))) => Incoming::Closed(
                    frame.map(|frame| (frame.code.into(), frame.reason.to_string())),
                ),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Err(error)) => broken(&error),
                None => Incoming::Lost,
            });
        }
    }

    /// Writes what waits, a close frame, and waits for the other side's; all of it for no longer than `patience`.
    pub async fn close(mut self, frame: Option<(u16, String)>, patience: Duration) {
        let frame = frame.map(|(code, reason)| CloseFrame {
            code: CloseCode::from(code),
            reason: reason.into(),
        });
        let _ = timeout(patience, async {
            while let Some(message) = self.next_message() {
                if let Some(message) = message
                    && self.stream.feed(message).await.is_err()
                {
                    return;
                }
            }
            // Where the other side closed first this is an error, and the reading below sends the answer to it.
            let _ = self.stream.close(frame).await;
            while let Some(Ok(_)) = self.stream.next().await {}
        })
        .await;
    }
}

impl<S, W> Drop for WebSocket<S, W> {
    fn drop(&mut self) {
        self.of_all.take_away(self.bytes);
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library's errors; all others end the connection alike"
)]
fn broken(error: &Error) -> Incoming {
    match error {
        Error::Capacity(_) => Incoming::Broken(1009),
        Error::Utf8(_) => Incoming::Broken(1007),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Incoming::Lost,
        Error::Protocol(_) => Incoming::Broken(1002),
        _ => Incoming::Lost,
    }
}

/// Whether a close frame may carry this code (RFC 6455, 7.4, and the registry of IANA).
#[must_use]
pub const fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1013 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;

    async fn socket(of_all: &WaitingOfAll) -> WebSocket<DuplexStream, Utf8Bytes> {
        let stream = WebSocketStream::from_raw_socket(duplex(1).0, Role::Server, None).await;
        let limits = Limits {
            frames: 1024,
            bytes: 1 << 20,
            stall: Duration::from_secs(10),
        };
        WebSocket::new(stream, limits, of_all.clone())
    }

    #[tokio::test]
    async fn all_slow_readers_together_hold_no_more_than_there_is_and_a_quick_one_is_not_hurt() {
        let (of_all, frame) = (
            WaitingOfAll::default(),
            Utf8Bytes::from("x".repeat(128 << 10)),
        );
        let mut slow = Vec::new();
        for _ in 0..512 {
            let mut one = socket(&of_all).await;
            while one.push(frame.clone()).is_ok() {}
            slow.push(one);
        }
        let held: usize = slow.iter().map(|one| one.bytes).sum();
        assert_eq!(held, of_all.all.load(Ordering::Relaxed));
        // Each of them holds one frame at least, whatever the others hold.
        let half = MAX_WAITING_OF_ALL / 2;
        let most = half + slow.len() * frame.as_str().len();
        assert!((half..=most).contains(&held), "{held}");
        let mut quick = socket(&of_all).await;
        assert!(quick.has_room() && quick.push(frame.clone()).is_ok());
        assert!(quick.next_message().is_some() && quick.has_room());
        drop((slow, quick));
        assert_eq!(of_all.all.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn slow_readers_of_one_owner_leave_room_for_bursts_to_others() {
        let (of_all, frame) = (
            WaitingOfAll::default(),
            Utf8Bytes::from("x".repeat(128 << 10)),
        );
        let mut slow = Vec::new();
        for number in 0..512 {
            let mut one = socket(&of_all).await;
            assert!(one.push(frame.clone()).is_ok());
            if number >= 128 {
                one.known(&"greedy".into());
            }
            while one.push(frame.clone()).is_ok() {}
            slow.push(one);
        }
        for name in ["one", "another"] {
            let mut quick = socket(&of_all).await;
            quick.known(&name.into());
            for _ in 0..4 {
                assert!(quick.push(frame.clone()).is_ok(), "{name}");
            }
            assert!(quick.push(frame.clone()).is_err());
        }
        drop(slow);
        assert_eq!(of_all.all.load(Ordering::Relaxed), 0);
        let greedy = of_all.of(&"greedy".into());
        assert_eq!(greedy.own.load(Ordering::Relaxed), 0);
    }
}
