//! The listener: accepts always, limits honestly, drains on request.
//!
//! Guarantees: a newcomer always gets a place; where strangers have taken all of theirs, the one that came first leaves
//! (`places.rs`). A connection that does not bring a request in time is closed, a kept one when it idles, and
//! one whose reader is too slow. Out of file descriptors the loop waits instead of spinning.
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
    task::{JoinSet, yield_now},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::http::{Front, Peer, Refused, Rejections};

mod caller_stream;
mod connection;
mod listener;

pub(crate) use listener::remove_stale_socket;
pub use listener::{BindProblem, Bound};
use listener::{Listener, Stream};

use crate::places::Places;

/// Of the strangers' places this part may change hands before everybody had a turn.
const AT_ONCE: usize = 8;
/// After an `accept` that failed (out of descriptors), the loop waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
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
    /// Connections at once: a quarter is for those whose caller is not known yet, the rest is shared by callers.
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
    places: Arc<Places>,
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
            places: Arc::new(Places::new(settings.max_connections)),
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
    let at_once = (shared.places.for_strangers() / AT_ONCE).max(1);
    let mut crowded = 0;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, source)) => {
                failing = false;
                crowded += usize::from(admit(stream, source, &shared));
                if crowded >= at_once {
                    // Whoever was let in reads its request before somebody else can close it. A turn for each newcomer would
                    // let them queue up to where the kernel drops those of callers, who then wait for a second.
                    crowded = 0;
                    yield_now().await;
                }
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

/// Gives a connection a place, and serves it; closes it where there is none. Whether another one had to leave.
fn admit(stream: Stream, source: Peer, shared: &Arc<Shared>) -> bool {
    let Some((place, left)) = shared.places.enter(&source) else {
        shared.rejections.count(&source, Refused::Crowded);
        return false;
    };
    let crowded = left.is_some();
    if let Some(left) = left {
        shared.rejections.count(&left, Refused::Crowded);
    }
    let task = Arc::clone(shared);
    drop(shared.connections.spawn(async move {
        connection::serve(stream, source, place, &task).await;
    }));
    crowded
}
