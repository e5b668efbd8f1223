//! The sockets that we listen on, TCP and unix alike.
//!
//! Guarantees: all addresses are bound, or none; a unix socket that a dead process left is replaced, one that somebody
//! listens on is not, and neither is a file of another kind; its mode is 0660 before anybody can connect. A TCP address
//! that the machine does not have yet (a slow boot) is listened on from now on, and said.

use std::{
    io::{self, Read, Write},
    net::{self, SocketAddr, UdpSocket},
    os::unix::{
        self,
        fs::{FileTypeExt, PermissionsExt, chown},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::net::sockopt::{set_ip_freebind, set_ipv6_freebind};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixSocket, UnixStream};
use tokio_util::either::Either;

use super::{Address, Settings, from_this_machine};
use gateway::access::{OVERFLOW_UID, Peer};

/// Connections that may wait on a socket to be accepted: what the kernel allows by default. One that finds no room is asked
/// again by its own kernel after a second, so that a thousand strangers who come at once would cost callers that much.
const BACKLOG: u32 = 4096;

/// What the kernel may hold of answers that one connection has not taken; by itself it would go to some megabytes.
const SEND_BUFFER: u32 = 256 << 10;

/// The unit's `RuntimeDirectory=`.
const RUNTIME: &str = "/run/crypto-proxy";

/// Pieces of an answer to `GET /health` that are read.
const READS: usize = 4;

/// Who listens where we would is asked for so long who it is.
const ASKED_FOR: Duration = Duration::from_secs(1);

/// Sockets that are bound and not yet served.
#[derive(Debug)]
pub struct Bound(Vec<Listener>);

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindProblem {
    /// A TCP address that is taken.
    #[error("{0}: cannot listen here; is another process (the old proxy?) using it?")]
    Taken(SocketAddr, #[source] io::Error),
    /// A TCP address that the machine does not have, and that the kernel will not wait for.
    #[error(
        "{0}: cannot listen here; this machine has no such address (`ip address` shows those it has)"
    )]
    NotAssigned(SocketAddr, #[source] io::Error),
    /// A TCP address, for another reason.
    #[error("{0}: cannot listen here")]
    Tcp(SocketAddr, #[source] io::Error),
    /// A unix socket.
    #[error("{0}: cannot listen on this socket")]
    Unix(PathBuf, #[source] io::Error),
    /// A unix socket that we may not give to the group.
    #[error(
        "{0}: cannot give this socket to listener.socket_group {1}: our user has to be in the group, and under the \
         shipped unit that takes the drop-in of docs/operations.md, \"A unix socket\""
    )]
    Group(PathBuf, String, #[source] io::Error),
    /// A group that does not exist.
    #[error("listener.socket_group: there is no group {0}")]
    NoSuchGroup(String),
}

#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        path: PathBuf,
    },
}

impl Bound {
    /// Binds every address.
    ///
    /// # Errors
    /// [`BindProblem`] for the first address that cannot be bound.
    pub async fn bind(settings: &Settings) -> Result<Self, BindProblem> {
        let mut listeners = Vec::new();
        for address in &settings.listen {
            listeners.push(match address {
                Address::Tcp(address) => Listener::Tcp(
                    bind_tcp(*address).map_err(|error| BindProblem::tcp(*address, error))?,
                ),
                Address::Unix(path) => bind_unix(path, settings.socket_group.as_deref()).await?,
            });
        }
        Ok(Self(listeners))
    }

    /// Where we listen now; a port 0 has become a real one.
    #[must_use]
    pub fn addresses(&self) -> Vec<Address> {
        let address = |listener: &Listener| match listener {
            Listener::Tcp(listener) => listener.local_addr().ok().map(Address::Tcp),
            Listener::Unix { path, .. } => Some(Address::Unix(path.clone())),
        };
        self.0.iter().filter_map(address).collect()
    }

    /// Whether this machine has the address now, so that a connection to it would not leave the machine.
    #[must_use]
    pub fn is_assigned(mut address: SocketAddr) -> bool {
        // The kernel is asked by a socket that sends nothing; only its "no such address" is an answer.
        address.set_port(0);
        !matches!(UdpSocket::bind(address), Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable)
    }

    /// What would keep a daemon from listening now, as far as it can be seen without listening. Where a daemon of ours
    /// listens already, that is the one that a start replaces.
    #[must_use]
    pub fn obstacles(settings: &Settings) -> Vec<BindProblem> {
        let mut found = Vec::new();
        for address in &settings.listen {
            let tried = match address {
                Address::Tcp(address) => socket_at(*address)
                    .map(drop)
                    .map_err(|error| BindProblem::tcp(*address, error)),
                Address::Unix(path) => {
                    let group = settings.socket_group.as_deref();
                    let group = group.map(group_id).transpose();
                    group.and_then(|_| {
                        look_at_path(path).map_err(|error| BindProblem::Unix(path.clone(), error))
                    })
                }
            };
            if let Err(problem) = tried
                && !(problem.is_about_use() && is_ours(address))
            {
                found.push(problem);
            }
        }
        found
    }

    pub(super) fn into_listeners(self) -> Vec<Listener> {
        self.0
    }
}

impl BindProblem {
    /// What to do.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Taken(..) => {
                "stop what listens there (`sudo ss -ltnp` names it), or change listen"
            }
            Self::NotAssigned(..) => "name an address of this machine, or 127.0.0.1",
            Self::Tcp(..) => "change listen",
            Self::Unix(..) => {
                "put it into a folder that is there and holds nothing else of that name"
            }
            Self::Group(..) | Self::NoSuchGroup(_) => "name a group of /etc/group, or remove it",
        }
    }

    /// The setting that it is about.
    #[must_use]
    pub const fn setting(&self) -> &'static str {
        match self {
            Self::Taken(..) | Self::NotAssigned(..) | Self::Tcp(..) | Self::Unix(..) => "listen",
            Self::Group(..) | Self::NoSuchGroup(_) => "listener.socket_group",
        }
    }

    /// Whether somebody listens there.
    fn is_about_use(&self) -> bool {
        match self {
            Self::Taken(..) => true,
            Self::Unix(_, error) => error.kind() == io::ErrorKind::AddrInUse,
            Self::NotAssigned(..) | Self::Tcp(..) | Self::Group(..) | Self::NoSuchGroup(_) => false,
        }
    }

    fn tcp(address: SocketAddr, error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::AddrInUse {
            return Self::Taken(address, error);
        }
        if error.kind() == io::ErrorKind::AddrNotAvailable {
            return Self::NotAssigned(address, error);
        }
        Self::Tcp(address, error)
    }
}

/// Binds with the options that tokio gives its listeners; beyond loopback also where the address is not there yet:
/// the unit may start before the network is up, and after ten starts in a minute it would stay down.
fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = socket_at(address)?.listen(BACKLOG)?;
    if !Bound::is_assigned(address) {
        tracing::warn!(
            "{address}: this machine does not have this address yet; callers reach us as soon as it does"
        );
    }
    Ok(listener)
}

/// Bound, and not listening: the kernel refuses it where another one listens.
fn socket_at(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    if !address.ip().to_canonical().is_loopback() {
        // A kernel that does not know the option says at the bind what is wrong.
        let _ = if address.is_ipv4() {
            set_ip_freebind(&socket, true)
        } else {
            set_ipv6_freebind(&socket, true)
        };
    }
    // Connections inherit it. Where it fails, the kernel's own bound holds.
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
    socket.bind(address)?;
    Ok(socket)
}

/// What keeps a socket from being made at a path. Nothing is left there or taken away.
fn look_at_path(path: &Path) -> io::Result<()> {
    let found = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return look_at_folder(path.parent().unwrap_or(path));
        }
        found => found?,
    };
    if !found.file_type().is_socket() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    match unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// systemd makes the unit's own folder at the start.
fn look_at_folder(folder: &Path) -> io::Result<()> {
    match std::fs::metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && folder == Path::new(RUNTIME) => {
            Ok(())
        }
        Ok(found) if !found.is_dir() => Err(io::ErrorKind::NotADirectory.into()),
        found => found.map(drop),
    }
}

/// Whether a daemon of ours listens there: by its name, and by the request id that each answer of ours has.
fn is_ours(address: &Address) -> bool {
    let answer = match address {
        Address::Tcp(address) if Bound::is_assigned(*address) => {
            let address = from_this_machine(*address);
            net::TcpStream::connect_timeout(&address, ASKED_FOR).and_then(|stream| {
                stream.set_read_timeout(Some(ASKED_FOR))?;
                health_of(stream)
            })
        }
        Address::Tcp(_) => return false,
        Address::Unix(path) => unix::net::UnixStream::connect(path).and_then(|stream| {
            stream.set_read_timeout(Some(ASKED_FOR))?;
            health_of(stream)
        }),
    };
    answer.is_ok_and(|answer| {
        let answer = answer.to_ascii_lowercase();
        answer.contains("\r\nx-request-id:") && answer.contains("\"service\":\"crypto-proxy\"")
    })
}

fn health_of(mut stream: impl Read + Write) -> io::Result<String> {
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    // What does not end stays short, and each of its reads is waited for once.
    for _ in 0..READS {
        let mut part = [0; 1024];
        let read = stream.read(&mut part)?;
        answer.extend(part.iter().take(read));
        if read == 0 {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Binds, sets owner and mode, and only then listens: until then the kernel refuses every connection.
async fn bind_unix(path: &Path, group: Option<&str>) -> Result<Listener, BindProblem> {
    let problem = |error| BindProblem::Unix(path.to_owned(), error);
    let id = group.map(group_id).transpose()?;
    remove_stale_socket(path).await.map_err(problem)?;
    let socket = UnixSocket::new_stream()
        .and_then(|socket| socket.bind(path).map(|()| socket))
        .map_err(problem)?;
    let listening = give(path, group.zip(id)).and_then(|()| {
        let ours = std::fs::set_permissions(path, PermissionsExt::from_mode(0o660));
        ours.and_then(|()| socket.listen(BACKLOG)).map_err(problem)
    });
    match listening {
        Ok(listener) => Ok(Listener::Unix {
            listener,
            path: path.to_owned(),
        }),
        Err(problem) => {
            let _ = std::fs::remove_file(path);
            Err(problem)
        }
    }
}

/// Gives a socket to a group, where there is one: the shipped unit lets nobody call chown, not even to change nothing.
fn give(path: &Path, group: Option<(&str, u32)>) -> Result<(), BindProblem> {
    let Some((name, id)) = group else {
        return Ok(());
    };
    chown(path, None, Some(id))
        .map_err(|error| BindProblem::Group(path.to_owned(), name.to_owned(), error))
}

/// Removes a socket that nobody listens on any more; everything else that is in the way stays there.
pub(crate) async fn remove_stale_socket(path: &Path) -> io::Result<()> {
    let found = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.file_type().is_socket() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        // Connected, not permitted, or its queue is full: somebody listens.
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// The number of a group, from `/etc/group` or as digits.
fn group_id(name: &str) -> Result<u32, BindProblem> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let mut rows = groups.lines().map(|row| row.split(':').collect::<Vec<_>>());
    let row = rows.find(|row| row.first() == Some(&name));
    row.and_then(|row| row.get(2)?.parse().ok())
        .ok_or_else(|| BindProblem::NoSuchGroup(name.to_owned()))
}

impl Listener {
    pub(super) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Either::Left(stream), Peer::Ip(peer.ip().to_canonical())))
            }
            Self::Unix { listener, .. } => {
                let stream = listener.accept().await?.0;
                // The kernel noted it at the connect; who hands the socket on later is not seen.
                let uid = stream
                    .peer_cred()
                    .ok()
                    .map(|peer| peer.uid())
                    .filter(|uid| *uid != OVERFLOW_UID);
                Ok((Either::Right(stream), Peer::Unix { uid }))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix { path, .. } = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A connection of either kind.
pub(super) type Stream = Either<TcpStream, UnixStream>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_taken_is_told_from_one_that_is_not_there() {
        let address = SocketAddr::from(([192, 0, 2, 1], 9000));
        let text = |kind: io::ErrorKind| BindProblem::tcp(address, kind.into()).to_string();
        assert!(
            text(io::ErrorKind::AddrInUse)
                .contains("192.0.2.1:9000: cannot listen here; is another process")
        );
        let not_there = text(io::ErrorKind::AddrNotAvailable);
        assert!(
            not_there.contains("has no such address") && !not_there.contains("another process"),
            "{not_there}"
        );
        assert_eq!(
            text(io::ErrorKind::PermissionDenied),
            "192.0.2.1:9000: cannot listen here"
        );
    }
}
