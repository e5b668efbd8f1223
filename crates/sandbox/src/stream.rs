//! The streams: `/exchange/v1/user` and `/exchange/v1/market` as WebSockets.
//!
//! Guarantees: a login is verified by the stand-in's own signature code; every text frame is entered in the journal (verb
//! `WS`) before anything is done about it, and meets the faults that are scripted for its method; what happens on the
//! account is told to every subscriber in the order in which it happened; a socket that asked for it has its own open
//! orders cancelled when it ends, however it ends. A reader that does not keep up is cut off, nothing waits for it.
//! Does not: move prices: a market channel gives one snapshot and then what is published by hand.

mod channel;
mod frame;
mod socket;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, StatusCode, request::Parts};
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Utf8Bytes,
        handshake::server::create_response,
        protocol::{Role, WebSocketConfig},
    },
};
use tokio_util::sync::CancellationToken;

use self::{channel::Channel, frame::push, socket::Socket};
use super::{
    FakeExchange,
    account::{Account, Change},
    lock,
    reply::{self, Reply},
};

/// Frames that may wait for a reader; beyond it the socket is cut off.
const MAX_WAITING: usize = 10_000;

/// The longest frame that is taken, in bytes.
const MAX_FRAME: usize = 1 << 20;
const READ_BUFFER: usize = 4 << 10;

/// Which of the two streams a socket is on.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// `/exchange/v1/user`: the account, after a login.
    User,
    /// `/exchange/v1/market`: prices, for everybody.
    Market,
}

impl Side {
    /// The stream that a path below the base names.
    pub(super) fn of(target: &str) -> Option<Self> {
        match target {
            "user" => Some(Self::User),
            "market" => Some(Self::Market),
            _ => None,
        }
    }
}

/// What is known of an open socket.
#[derive(Clone, Debug, Serialize)]
pub struct OpenStream {
    /// Counted up from 1.
    pub id: u64,
    /// Which stream.
    pub side: Side,
    /// The key that logged in.
    pub api_key: Option<String>,
    /// What it is subscribed to.
    pub channels: BTreeSet<String>,
    /// Whether its orders are cancelled when it ends.
    pub cancels_on_disconnect: bool,
    /// Text frames that came from it.
    pub frames: u64,
}

/// What a socket is told to do.
#[derive(Debug)]
pub(super) enum Instruction {
    Send(Utf8Bytes),
    Heartbeat,
    Close(u16, String),
    /// Reads nothing more, and answers nothing, until released.
    Stall,
}

/// The open sockets.
pub(super) struct Streams {
    next: AtomicU64,
    pub(super) open: Mutex<BTreeMap<u64, OpenSocket>>,
    pub(super) changed: watch::Sender<()>,
}

/// An open socket, as the exchange knows it.
pub(super) struct OpenSocket {
    /// Without its channels, which `see` adds.
    pub(super) seen: OpenStream,
    channels: BTreeMap<String, Channel>,
    tell: mpsc::Sender<Instruction>,
    pub(super) cut: CancellationToken,
    /// The orders that were placed through it.
    pub(super) orders: Vec<u64>,
}

impl Streams {
    pub(super) fn new() -> Self {
        Self {
            next: AtomicU64::new(1),
            open: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }

    fn enter(&self, side: Side) -> (u64, mpsc::Receiver<Instruction>, CancellationToken) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let ((tell, told), cut) = (mpsc::channel(MAX_WAITING), CancellationToken::new());
        let seen = OpenStream {
            id,
            side,
            api_key: None,
            channels: BTreeSet::new(),
            cancels_on_disconnect: false,
            frames: 0,
        };
        let entry = OpenSocket {
            seen,
            channels: BTreeMap::new(),
            tell,
            cut: cut.clone(),
            orders: Vec::new(),
        };
        lock(&self.open).insert(id, entry);
        self.changed.send_replace(());
        (id, told, cut)
    }

    pub(super) fn leave(&self, id: u64) -> Option<OpenSocket> {
        let entry = lock(&self.open).remove(&id);
        self.changed.send_replace(());
        entry
    }

    fn with<T>(&self, id: u64, change: impl FnOnce(&mut OpenSocket) -> T) -> Option<T> {
        let done = lock(&self.open).get_mut(&id).map(change);
        self.changed.send_replace(());
        done
    }

    pub(super) fn tell_all(&self, side: Option<Side>, told: impl Fn() -> Instruction) {
        for entry in lock(&self.open)
            .values()
            .filter(|entry| side.is_none_or(|side| entry.seen.side == side))
        {
            entry.tell(told());
        }
    }

    /// Sends this to every socket that is subscribed to the channel; the number of them.
    pub(super) fn push(&self, channel: &str, data: &Value) -> usize {
        let mut told = 0;
        for entry in lock(&self.open).values() {
            if let Some(known) = entry.channels.get(channel) {
                entry.tell(Instruction::Send(push("-1", channel, known, data)));
                told += 1;
            }
        }
        told
    }

    /// Tells what happened on the account to every subscriber.
    pub(super) fn publish(&self, changes: &[Change], account: &Account, now_ms: i64) {
        for entry in lock(&self.open).values() {
            for (name, channel) in &entry.channels {
                for data in channel.updates(changes, account, now_ms) {
                    entry.tell(Instruction::Send(push("-1", name, channel, &data)));
                }
            }
        }
    }
}

impl OpenSocket {
    /// What is known of it now.
    pub(super) fn see(&self) -> OpenStream {
        OpenStream {
            channels: self.channels.keys().cloned().collect(),
            ..self.seen.clone()
        }
    }

    fn tell(&self, told: Instruction) {
        if self.tell.try_send(told).is_err() {
            self.cut.cancel();
        }
    }
}

/// A socket's place on the list; it leaves however the socket ends.
struct Registration {
    exchange: FakeExchange,
    id: u64,
}

impl Registration {
    fn with<T>(&self, change: impl FnOnce(&mut OpenSocket) -> T) -> Option<T> {
        self.exchange.state.streams.with(self.id, change)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.exchange.lost(self.id);
    }
}

/// A socket that was agreed on; it serves once the answer to its request is out.
pub(super) struct Opening {
    exchange: FakeExchange,
    side: Side,
    peer: SocketAddr,
    address: IpAddr,
}

impl Opening {
    /// Agrees to a request for a stream, or not; and the answer.
    pub(super) fn agree(
        exchange: &FakeExchange,
        side: Side,
        head: &Parts,
        peer: SocketAddr,
        address: IpAddr,
    ) -> (Option<Box<Self>>, Reply) {
        let mut request = Request::new(());
        *request.method_mut() = head.method.clone();
        *request.version_mut() = head.version;
        *request.headers_mut() = head.headers.clone();
        match create_response(&request) {
            Ok(agreed) => {
                let opening = Self {
                    exchange: exchange.clone(),
                    side,
                    peer,
                    address,
                };
                (
                    Some(Box::new(opening)),
                    agreed.map(|()| Full::new(Bytes::new())),
                )
            }
            Err(problem) => (
                None,
                reply::text(
                    StatusCode::BAD_REQUEST,
                    format!("{problem}\n"),
                    exchange.now_ms(),
                ),
            ),
        }
    }

    /// Serves the socket to its end.
    pub(super) async fn serve(self, stream: TcpStream, read_already: Bytes) {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(MAX_FRAME))
            .max_frame_size(Some(MAX_FRAME));
        let stream = WebSocketStream::from_partially_read(
            stream,
            read_already.to_vec(),
            Role::Server,
            Some(config),
        )
        .await;
        Socket::serve(self, stream).await;
    }
}
