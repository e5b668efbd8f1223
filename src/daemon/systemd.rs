//! What systemd is told: ready, stopping, and that the accept loop lives.
//!
//! Guarantees: outside systemd every call is a no-op; the watchdog is fed only after a connection to our own listener
//! was accepted and `/health` answered on it, so that a hung loop is restarted. Does not: change the environment.

use std::{net::IpAddr, time::Duration};

use sd_notify::NotifyState;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::{interval, timeout},
};

use super::server::Address;

/// The listener must answer its own probe within this time.
const PROBE_DEADLINE: Duration = Duration::from_secs(2);

/// Says that credentials are loaded and the listener is bound.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Says that we are draining.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("finishing calls that were sent")]);
}

/// Feeds the watchdog for as long as the accept loop answers; returns at once where systemd asks for none.
pub async fn feed_watchdog(address: Address) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut ticks = interval(limit / 3);
    loop {
        ticks.tick().await;
        if matches!(timeout(PROBE_DEADLINE, probe(&address)).await, Ok(Ok(()))) {
            tell(&[NotifyState::Watchdog]);
        } else {
            tracing::error!("the listener does not answer its own probe; systemd will restart this process");
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd could not be told about our state");
    }
}

/// Asks our own listener for `/health`.
///
/// # Errors
/// Anything but an answer with status 200.
pub async fn probe(address: &Address) -> std::io::Result<()> {
    match address {
        Address::Tcp(address) => {
            let mut address = *address;
            if address.ip().is_unspecified() {
                address.set_ip(if address.is_ipv4() {
                    IpAddr::from([127, 0, 0, 1])
                } else {
                    IpAddr::from([0_u16, 0, 0, 0, 0, 0, 0, 1])
                });
            }
            health(TcpStream::connect(address).await?).await
        }
        Address::Unix(path) => health(UnixStream::connect(path).await?).await,
    }
}

async fn health(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    if answer.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err(std::io::ErrorKind::InvalidData.into()) }
}
