//! The listener: accepts always, limits honestly, drains on request.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Where we listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A unix socket, mode 0660.
    Unix(PathBuf),
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
