//! The listener: accepts always, limits honestly, drains on request.
//!
//! Guarantees: beyond `max_connections` a connection still gets an answer: a small reserve serves `/health`, and
//! everything else a 503. A connection that does not bring a request in time is closed, a kept one when it idles, and
//! one whose reader stalls when it takes no bytes. Out of file descriptors the loop waits instead of spinning.
//! Does not: cancel a call; on the signal to stop it finishes what was sent. Why not `axum::serve`: it sets no header
//! timer, so that idle and slow connections would stay for ever (tested).

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
    task::JoinSet,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::http::{Front, Peer, Refused, Rejections};

mod attentive;
mod connection;
mod listener;

use connection::Mode;
pub use listener::{BindProblem, Bound};
use listener::{Listener, Stream};

/// Connections beyond the limit that are still answered properly, so that `/health` is.
const RESERVE: usize = 32;
/// After an `accept` that failed (out of descriptors), the loop waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What a connection beyond the limit is told.
const TOO_MANY: &str = r#"{"detail":"too many connections"}"#;

/// A connection that is rejected has this time to bring its request and to take the answer.
const REJECT_DEADLINE: Duration = Duration::from_secs(1);
/// Connections that may take that time at once; further ones are told and closed without it.
const REJECTED_SLOWLY: usize = 256;

/// Where we listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A unix socket, mode 0660.
    Unix(PathBuf),
}

impl Address {
    /// Whether nobody beyond this machine can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

/// Where a program on this machine reaches a listener: an address that means "every interface" is asked on loopback.
#[must_use]
pub fn from_this_machine(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    address
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How the listener behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where we listen.
    pub listen: Vec<Address>,
    /// The group that may connect to unix sockets; `None` leaves the process's own.
    pub socket_group: Option<String>,
    /// Connections at once; further ones get a 503.
    pub max_connections: usize,
    /// The first request of a connection must be complete in its head after this time.
    pub first_request_deadline: Duration,
    /// A kept connection is closed when no further request head came for this time; above the callers' pool idle time.
    pub idle_deadline: Duration,
    /// Headers in one request.
    pub max_headers: usize,
    /// Bytes of a request's head.
    pub max_head_bytes: usize,
    /// After the signal to stop, calls under way have this time to end.
    pub drain_deadline: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: vec![Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 9000)))],
            socket_group: None,
            max_connections: 1024,
            first_request_deadline: Duration::from_secs(10),
            idle_deadline: Duration::from_secs(75),
            max_headers: 64,
            max_head_bytes: 16 << 10,
            drain_deadline: Duration::from_secs(13),
        }
    }
}

/// What every accept loop and connection shares.
struct Shared {
    settings: Settings,
    front: Front,
    rejections: Arc<Rejections>,
    room: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
    rejected_slowly: Arc<Semaphore>,
    stop: CancellationToken,
    connections: TaskTracker,
}

impl Bound {
    /// Serves `front` on every address until `stop`, then lets the open connections finish their requests.
    ///
    /// Returns when the last connection has ended; whoever wants a limit on that puts one around it.
    pub async fn serve(
        self,
        settings: Settings,
        front: Front,
        rejections: Arc<Rejections>,
        stop: CancellationToken,
    ) {
        let shared = Arc::new(Shared {
            room: Arc::new(Semaphore::new(settings.max_connections)),
            reserve: Arc::new(Semaphore::new(RESERVE)),
            rejected_slowly: Arc::new(Semaphore::new(REJECTED_SLOWLY)),
            connections: TaskTracker::new(),
            settings,
            front,
            rejections,
            stop,
        });
        let mut loops = JoinSet::new();
        for listener in self.into_listeners() {
            loops.spawn(accept_loop(listener, Arc::clone(&shared)));
        }
        while loops.join_next().await.is_some() {}
        shared.connections.close();
        shared.connections.wait().await;
    }
}

async fn accept_loop(listener: Listener, shared: Arc<Shared>) {
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, source)) => {
                failing = false;
                admit(stream, source, &shared);
            }
            // The caller left before we took the connection; the next one has nothing to do with it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if !failing {
                    tracing::error!(%error, "no connection can be accepted; is LimitNOFILE too small?");
                }
                failing = true;
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Gives a connection a slot, one in the reserve, or a 503.
fn admit(stream: Stream, source: Peer, shared: &Arc<Shared>) {
    let normal = Arc::clone(&shared.room)
        .try_acquire_owned()
        .map(|place| (place, Mode::Normal));
    let place = normal.or_else(|_| {
        Arc::clone(&shared.reserve)
            .try_acquire_owned()
            .map(|place| (place, Mode::Reserve))
    });
    let task = Arc::clone(shared);
    match place {
        Ok((place, mode)) => drop(shared.connections.spawn(async move {
            connection::serve(stream, source, mode, &task).await;
            drop(place);
        })),
        Err(_) => {
            shared.rejections.count(&source, Refused::Connections);
            drop(shared.connections.spawn(async move {
                let patience = task.rejected_slowly.try_acquire();
                let answer = reject_connection(stream, patience.is_ok());
                let _ = tokio::time::timeout(REJECT_DEADLINE, answer).await;
            }));
        }
    }
}

/// Says why, and closes. HTTP clients take an answer that comes before their request for an error, and closing on
/// unread bytes resets the connection and the answer with it: where there is `patience`, the request is read first.
async fn reject_connection(mut stream: Stream, patience: bool) -> io::Result<()> {
    let mut request = [0; 4096];
    if patience && stream.read(&mut request).await? == 0 {
        return Ok(());
    }
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\nretry-after: 1\r\n\
         x-proxy-outcome: refused\r\nx-request-id: {}\r\nconnection: close\r\n\r\n{TOO_MANY}",
        TOO_MANY.len(),
        request_id(),
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    while patience && stream.read(&mut request).await? > 0 {}
    Ok(())
}

/// For the answers that are given here: they never come through the routes, which name all others.
fn request_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}
