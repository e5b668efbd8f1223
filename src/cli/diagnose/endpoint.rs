//! Where a running daemon may be found.
//!
//! Guarantees: unix sockets come first, because their folder belongs to the daemon, while any user may listen on a free
//! port; an address that means "every interface" is asked on loopback. Does not: look anywhere that the settings do not
//! name.

use std::{fmt, io, path::PathBuf, time::Duration};

use tokio::{
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_util::either::Either;
use url::Url;

use crate::server::{Address, from_this_machine};

/// A daemon on this machine takes a connection at once.
const CONNECT: Duration = Duration::from_secs(2);

/// Where a daemon may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DaemonEndpoint {
    /// Host and port; an IPv6 address in brackets.
    Tcp(String),
    /// A unix socket.
    Unix(PathBuf),
}

impl fmt::Display for DaemonEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(authority) => f.write_str(authority),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A connection of either kind.
pub(super) type Stream = Either<TcpStream, UnixStream>;

impl DaemonEndpoint {
    /// Connects.
    pub(super) async fn connect(&self) -> io::Result<Stream> {
        let connected = async {
            Ok(match self {
                Self::Tcp(authority) => Either::Left(TcpStream::connect(authority).await?),
                Self::Unix(path) => Either::Right(UnixStream::connect(path).await?),
            })
        };
        timeout(CONNECT, connected)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// What `Host` holds.
    pub(super) fn host(&self) -> &str {
        match self {
            Self::Tcp(authority) => authority,
            Self::Unix(_) => "localhost",
        }
    }
}

/// The endpoints of these addresses; one without a port of its own is none.
pub(super) fn of(listen: &[Address]) -> Vec<DaemonEndpoint> {
    let unix = listen.iter().filter_map(|address| match address {
        Address::Unix(path) => Some(DaemonEndpoint::Unix(path.clone())),
        Address::Tcp(_) => None,
    });
    let tcp = listen.iter().filter_map(|address| match address {
        Address::Tcp(address) if address.port() != 0 => {
            Some(DaemonEndpoint::Tcp(from_this_machine(*address).to_string()))
        }
        Address::Tcp(_) | Address::Unix(_) => None,
    });
    unix.chain(tcp).collect()
}

/// What `--url` names: `http://host:port` or `unix:/path`.
pub(super) fn parse(text: &str) -> Result<DaemonEndpoint, String> {
    let form = || "write http://127.0.0.1:9000 or unix:/run/crypto-proxy/example.sock".to_owned();
    if let Some(path) = text.strip_prefix("unix:") {
        return if path.starts_with('/') {
            Ok(DaemonEndpoint::Unix(path.into()))
        } else {
            Err(form())
        };
    }
    let url = Url::parse(text).map_err(|_| form())?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let nobody = url.username().is_empty() && url.password().is_none();
    match (url.host_str(), url.port_or_known_default()) {
        (Some(host), Some(port)) if url.scheme() == "http" && bare && nobody => {
            Ok(DaemonEndpoint::Tcp(format!("{host}:{port}")))
        }
        _ => Err(form()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_come_first_and_every_interface_means_loopback() {
        let tcp = |text: &str| Address::Tcp(text.parse().unwrap());
        let listen = [
            tcp("0.0.0.0:9000"),
            tcp("[::]:9001"),
            tcp("127.0.0.1:0"),
            Address::Unix("/run/x.sock".into()),
        ];
        let endpoints: Vec<String> = of(&listen).iter().map(ToString::to_string).collect();
        assert_eq!(
            endpoints,
            ["unix:/run/x.sock", "127.0.0.1:9000", "[::1]:9001"]
        );
    }

    #[test]
    fn a_url_is_plain_http_or_a_socket_without_anything_else() {
        assert_eq!(
            parse("http://[::1]:9000").unwrap().to_string(),
            "[::1]:9000"
        );
        assert_eq!(
            parse("http://host.docker.internal").unwrap().to_string(),
            "host.docker.internal:80"
        );
        assert_eq!(parse("unix:/run/x.sock").unwrap().host(), "localhost");
        for text in [
            "127.0.0.1:9000",
            "https://127.0.0.1",
            "http://a/b",
            "http://a?b",
            "http://user@a",
            "unix:x",
            "",
            "file:///x",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
