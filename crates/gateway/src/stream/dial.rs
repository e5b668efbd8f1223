//! Name, TCP, TLS and handshake of an upstream socket.
//!
//! Guarantees: the same name service, the same choice of addresses and the same trust roots as for calls; no redirect is
//! followed; one deadline for all of it. Does not: send anything of ours; the login comes later.

use std::{net::SocketAddr, time::Duration};

use http::{HeaderValue, header};
use rustix::net::sockopt;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Error, client::IntoClientRequest, protocol::WebSocketConfig},
};

use super::{
    super::{
        failure::Failure,
        upstream::{self, ClientProblem, Resolver, Unresolved, connector},
    },
    Outgoing, Pipe, Settings, Side, StreamBase,
};
use crate::stream::websocket::Limits;

/// After our close frame the exchange has this time for its own; orders may depend on the end of the connection.
pub(super) const CLOSE_PATIENCE: Duration = Duration::from_millis(500);
/// Unacknowledged data of a peer that vanished is given up after this time.
const PEER_GONE_AFTER: Duration = Duration::from_secs(15);
/// Buffers of one socket: many sockets, small messages.
const READ_BUFFER: usize = 8 << 10;
const WRITE_BUFFER: usize = 8 << 10;
/// What a frame needs beside its payload.
const FRAME_OVERHEAD: usize = 1 << 10;

/// A connection of either kind.
pub(super) type Transport = Box<dyn Io>;

/// What a WebSocket can be spoken over.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl std::fmt::Debug for dyn Io {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Io")
    }
}

/// The way to the exchange's streams.
pub struct Dialer {
    settings: Settings,
    connector: Option<TlsConnector>,
    resolver: Resolver,
    connect_deadline: Duration,
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Dialer {
    /// Prepares to dial.
    ///
    /// # Errors
    /// [`ClientProblem`] where the trust roots cannot be read.
    pub fn new(
        settings: Settings,
        upstream: &upstream::Settings,
        resolver: Resolver,
    ) -> Result<Self, ClientProblem> {
        let encrypted = settings.base.as_ref().is_some_and(StreamBase::is_wss);
        let connector = encrypted.then(|| connector(upstream)).transpose()?;
        Ok(Self {
            settings,
            connector,
            resolver,
            connect_deadline: upstream.connect_deadline,
        })
    }

    /// How streams behave.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Opens a socket on which nothing was said yet.
    pub(super) async fn dial(&self, side: Side) -> Result<Pipe<Transport, Outgoing>, Failure> {
        let base = self.settings.base.as_ref().ok_or(Failure::Connect)?;
        let deadline = self.connect_deadline;
        let stream = timeout(deadline, self.connect(base, side))
            .await
            .map_err(|_| Failure::ConnectDeadline(deadline))??;
        let limits = Limits {
            frames: usize::MAX,
            bytes: usize::MAX,
            stall: self.settings.max_waiting.stall,
        };
        Ok(Pipe::new(stream, limits))
    }

    async fn connect(
        &self,
        base: &StreamBase,
        side: Side,
    ) -> Result<WebSocketStream<Transport>, Failure> {
        let found = self
            .resolver
            .addresses(base.host())
            .await
            .map_err(|unresolved| match unresolved {
                Unresolved::Nothing => Failure::Dns,
                Unresolved::Refused(address) => Failure::AddressRefused(address),
            })?;
        let mut connected = Err(Failure::Connect);
        for address in found {
            connected = TcpStream::connect(SocketAddr::new(address, base.port()))
                .await
                .map_err(|_| Failure::Connect);
            if connected.is_ok() {
                break;
            }
        }
        let stream = prepared(connected?);
        let transport: Transport = match &self.connector {
            Some(connector) => {
                let name = base.host().trim_matches(['[', ']']).to_owned();
                let name = ServerName::try_from(name).map_err(|_| Failure::Tls)?;
                Box::new(
                    connector
                        .connect(name, stream)
                        .await
                        .map_err(|_| Failure::Tls)?,
                )
            }
            None => Box::new(stream),
        };
        let mut request = base
            .url_of(side)
            .into_client_request()
            .map_err(|_| Failure::Connect)?;
        let agent = HeaderValue::from_static(concat!("crypto-proxy/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(header::USER_AGENT, agent);
        let config = config(
            self.settings.max_upstream_bytes,
            self.settings.max_frame_bytes,
        );
        let agreed = client_async_with_config(request, transport, Some(config)).await;
        agreed
            .map(|(stream, _)| stream)
            .map_err(|error| not_agreed(&error))
    }
}

/// The limits of one socket: what it may read in one message, and what it may have to write in one.
#[must_use]
pub fn config(max_read: usize, max_written: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(WRITE_BUFFER + max_written + FRAME_OVERHEAD)
        .max_message_size(Some(max_read))
        .max_frame_size(Some(max_read))
}

/// A peer that vanished is noticed; where the kernel knows no such option the exchange's heartbeats do it.
fn prepared(stream: TcpStream) -> TcpStream {
    let _ = stream.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(&stream, true);
    let _ = sockopt::set_tcp_keepidle(&stream, PEER_GONE_AFTER);
    let _ = sockopt::set_tcp_user_timeout(
        &stream,
        u32::try_from(PEER_GONE_AFTER.as_millis()).unwrap_or(u32::MAX),
    );
    stream
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library's errors; all others end the connection alike"
)]
fn not_agreed(error: &Error) -> Failure {
    match error {
        Error::Http(response) if response.status().is_redirection() => {
            Failure::Redirected(response.status().as_u16())
        }
        Error::Http(response) => Failure::NotUpgraded(response.status().as_u16()),
        _ => Failure::Connect,
    }
}
