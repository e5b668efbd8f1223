//! Connections to the exchange, for calls, streams and probes alike: name, TCP, TLS.
//!
//! Guarantees: one resolver with one choice of address family ([`Resolver`]); one set of trust roots; one deadline for name,
//! TCP and TLS together; one set of words for what failed. Streams and probes are dialled here. The HTTP client dials by
//! itself, because it takes no open connection; it is given the same parts, and its errors are translated here. Does not:
//! send anything beyond the handshake.

use std::{
    error::Error,
    fmt,
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::net::sockopt;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use url::Url;

use crate::{failure::Failure, outcome::Progress};

mod resolver;
mod roots;
mod untrusted;

pub use resolver::{Lookup, Resolver, Routes, Unresolved, is_over_ipv6, is_public};
use roots::tls_config_of_a_probe;
pub use roots::{RootsProblem, check_roots};
pub(crate) use roots::{tls_config, tls_config_without_roots};

/// Unacknowledged data and idle connections of a peer that vanished are given up after this time.
pub(crate) const PEER_GONE_AFTER: Duration = Duration::from_secs(15);

/// What we call ourselves, over REST and on streams.
pub(crate) const USER_AGENT: &str = concat!("crypto-proxy/", env!("CARGO_PKG_VERSION"));

/// A connection of either kind.
pub(crate) type Connection = Box<dyn Io>;

/// What HTTP and WebSockets can be spoken over.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl fmt::Debug for dyn Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Io")
    }
}

/// Opens connections to the host of one URL.
pub struct Connector {
    host: String,
    port: u16,
    tls: Option<TlsConnector>,
    resolver: Resolver,
    deadline: Duration,
}

impl Connector {
    /// Prepares connections to the host of this URL, encrypted where its scheme says so (`https`, `wss`). `deadline` is for
    /// name, TCP and TLS together; `ca_file` holds the trust roots as PEM, by default the system's bundle.
    ///
    /// # Errors
    /// [`RootsProblem`] where the trust roots cannot be read.
    pub fn new(
        url: &Url,
        deadline: Duration,
        ca_file: Option<&Path>,
        resolver: Resolver,
    ) -> Result<Self, RootsProblem> {
        let tls = is_encrypted(url).then(|| tls_config(ca_file)).transpose()?;
        Ok(Self::with_tls(tls, url, deadline, resolver))
    }

    /// The same, to measure with: what is wrong with a certificate is said in words, and who signed it.
    ///
    /// # Errors
    /// [`RootsProblem`] where the trust roots cannot be read.
    pub fn to_measure(
        url: &Url,
        deadline: Duration,
        ca_file: Option<&Path>,
        resolver: Resolver,
    ) -> Result<Self, RootsProblem> {
        let tls = is_encrypted(url).then(|| tls_config_of_a_probe(ca_file));
        Ok(Self::with_tls(tls.transpose()?, url, deadline, resolver))
    }

    fn with_tls(
        tls: Option<ClientConfig>,
        url: &Url,
        deadline: Duration,
        resolver: Resolver,
    ) -> Self {
        Self {
            host: url.host_str().unwrap_or_default().to_owned(),
            port: url.port_or_known_default().unwrap_or(443),
            tls: tls.map(|tls| TlsConnector::from(Arc::new(tls))),
            resolver,
            deadline,
        }
    }

    /// For name, TCP and TLS together, and for what is agreed on right after them.
    pub(crate) const fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Opens a connection, to the address that is returned; its caller keeps the deadline.
    pub(crate) async fn connect(&self) -> Result<(Connection, IpAddr), Failure> {
        let end = Instant::now() + self.deadline;
        let addresses = self.resolver.addresses(&self.host).await?;
        let dialled = self.dial(&addresses, end).await;
        let (stream, peer) = dialled.map_err(|_| Failure::Connect)?;
        prepare(&stream);
        let connection: Connection = match &self.tls {
            Some(tls) => {
                let shaken = self.shake_hands(tls, stream).await;
                Box::new(shaken.map_err(|_| Failure::Tls)?)
            }
            None => Box::new(stream),
        };
        Ok((connection, peer))
    }

    /// The first address that takes a connection; else why each of them did not.
    async fn dial(
        &self,
        addresses: &[IpAddr],
        end: Instant,
    ) -> Result<(TcpStream, IpAddr), Vec<NotDialled>> {
        let mut failed = Vec::new();
        for address in addresses {
            let left = end.saturating_duration_since(Instant::now());
            let dialling = TcpStream::connect(SocketAddr::new(*address, self.port));
            let why = match timeout(left, dialling).await {
                Ok(Ok(stream)) => return Ok((stream, *address)),
                Ok(Err(error)) => untrusted::words(&error),
                Err(_) if left.is_zero() => "not tried: no time was left".to_owned(),
                Err(_) => format!("no answer within {} ms", left.as_millis()),
            };
            failed.push(NotDialled {
                address: *address,
                why,
            });
        }
        Err(failed)
    }

    async fn shake_hands(
        &self,
        tls: &TlsConnector,
        stream: TcpStream,
    ) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let name = self.host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        tls.connect(name, stream).await
    }

    /// Measures name, TCP and TLS apart, for probes; the HTTP client does not tell them apart. The connection is dropped.
    pub async fn measure(&self) -> Steps {
        let end = Instant::now() + self.deadline;
        let left = || end.saturating_duration_since(Instant::now());
        let name = timed(timeout(left(), self.resolver.addresses(&self.host))).await;
        let name = Step {
            took: name.took,
            result: match name.result {
                Ok(found) => found.map_err(Some),
                Err(_) => Err(None),
            },
        };
        let mut steps = Steps {
            name,
            tcp: None,
            tls: None,
        };
        let Ok(addresses) = &steps.name.result else {
            return steps;
        };
        let Step { result, took } = timed(self.dial(addresses, end)).await;
        let (stream, result) = match result {
            Ok((stream, address)) => (Some(stream), Ok(address)),
            Err(failed) => (None, Err(failed)),
        };
        steps.tcp = Some(Step { result, took });
        if let (Some(stream), Some(tls)) = (stream, &self.tls) {
            let patience = left();
            let shaken = timed(timeout(patience, self.shake_hands(tls, stream))).await;
            let result = match shaken.result {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(untrusted::why(&error)),
                Err(_) => Err(format!("no answer within {} ms", patience.as_millis())),
            };
            steps.tls = Some(Step {
                result,
                took: shaken.took,
            });
        }
        steps
    }
}

fn is_encrypted(url: &Url) -> bool {
    matches!(url.scheme(), "https" | "wss")
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// An address that took no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotDialled {
    /// The address.
    pub address: IpAddr,
    /// What the system said.
    pub why: String,
}

impl fmt::Display for NotDialled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.address, self.why)
    }
}

/// What one step came to, and how long it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<T> {
    /// What it came to.
    pub result: T,
    /// How long it took.
    pub took: Duration,
}

/// The steps of a connection, as far as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steps {
    /// The addresses that would be connected to; `None` within the result: not within the deadline.
    pub name: Step<Result<Vec<IpAddr>, Option<Unresolved>>>,
    /// The address that was connected to, or why none was.
    pub tcp: Option<Step<Result<IpAddr, Vec<NotDialled>>>>,
    /// Whether a verified TLS session was made, or in words why not; `None` where it did not come to it, or nothing is
    /// encrypted. A name in it is the other side's word, and not cleaned.
    pub tls: Option<Step<Result<(), String>>>,
}

async fn timed<T>(work: impl Future<Output = T>) -> Step<T> {
    let began = Instant::now();
    let result = work.await;
    Step {
        result,
        took: began.elapsed(),
    }
}

/// Lets a peer that vanished be noticed. Where the kernel knows no such option the exchange's heartbeats do it.
fn prepare(stream: &TcpStream) {
    let gone_after_ms = u32::try_from(PEER_GONE_AFTER.as_millis()).unwrap_or(u32::MAX);
    let _ = stream.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, PEER_GONE_AFTER);
    let _ = sockopt::set_tcp_user_timeout(stream, gone_after_ms);
}

impl From<Unresolved> for Failure {
    fn from(unresolved: Unresolved) -> Self {
        match unresolved {
            Unresolved::Nothing | Unresolved::Failed(_) => Self::Dns,
            Unresolved::Refused(address) => Self::AddressRefused(address),
        }
    }
}

/// What kept the HTTP client from returning a response.
///
/// Judged by type and by the phase, never by message text. Once the signed bytes were handed to a connection every error is
/// `Lost`, whatever the client calls it. No text of the client's goes on: it prints URLs.
pub(crate) fn failure_of_client(
    error: &reqwest::Error,
    progress: &Progress,
    deadline: Duration,
) -> Failure {
    if progress.may_have_been_sent() {
        return why_unread(error);
    }
    if progress.has_ended() {
        return Failure::TooLate;
    }
    if let Some(unresolved) = find::<Unresolved>(error) {
        return unresolved.clone().into();
    }
    if error.is_timeout() {
        return Failure::ConnectDeadline(deadline);
    }
    if find::<rustls::Error>(error).is_some() {
        return Failure::Tls;
    }
    Failure::Connect
}

/// Why an answer could not be read to its end.
pub(crate) fn why_unread(error: &reqwest::Error) -> Failure {
    if find::<rustls::Error>(error).is_some() {
        return Failure::Lost;
    }
    if let Some(error) = find::<hyper::Error>(error) {
        if error.is_parse_too_large() {
            return Failure::HeadTooLarge;
        }
        if error.is_parse() {
            return Failure::NotHttp;
        }
    }
    // hyper's words for chunks that are none.
    let broken = [ErrorKind::InvalidInput, ErrorKind::InvalidData];
    if find::<io::Error>(error).is_some_and(|error| broken.contains(&error.kind())) {
        return Failure::Framing;
    }
    Failure::Lost
}

/// The first error of this type in the chain, also inside `std::io::Error`s, which hide theirs.
fn find<'e, T: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if let Some(found) = inner.and_then(|inner| find::<T>(inner)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}
