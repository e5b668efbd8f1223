//! What systemd is told: ready, stopping, and that the accept loop lives.
//!
//! Guarantees: outside systemd every call is a no-op; the watchdog is fed only after a connection to our own listener
//! was accepted and answered, so that a hung loop is restarted, and a full or a stopping one is not. An address that the
//! machine does not have is not probed: the probe would leave the machine. Does not: change the environment.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use sd_notify::NotifyState;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::{interval, timeout},
};

use super::server::{Address, Bound, from_this_machine};

/// The listener must answer its own probe within this time.
const PROBE_DEADLINE: Duration = Duration::from_secs(2);

/// Whether [`stopping`] was said; there is one process, and one systemd that is told about it.
static STOPPING: AtomicBool = AtomicBool::new(false);

/// Says that credentials are loaded and the listener is bound.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Says that we are draining.
pub fn stopping() {
    STOPPING.store(true, Ordering::Relaxed);
    tell(&[
        NotifyState::Stopping,
        NotifyState::Status("finishing calls that were sent"),
    ]);
}

/// Feeds the watchdog for as long as the accept loop answers; returns at once where systemd asks for none.
pub async fn feed_watchdog(address: Address) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut ticks = interval(limit / 3);
    loop {
        ticks.tick().await;
        // Stopping, the listener is closed on purpose; that this task still runs is all there is to prove.
        if STOPPING.load(Ordering::Relaxed)
            || answers(&address).await
            || STOPPING.load(Ordering::Relaxed)
        {
            tell(&[NotifyState::Watchdog]);
        } else {
            tracing::error!(
                "the listener does not answer its own probe; systemd will restart this process"
            );
        }
    }
}

/// Whether the listener answers in time. Two failures count as alive, because a restart would mend neither and cut the
/// calls under way: an address that the machine does not have (yet, or any more), and no descriptor for the probe.
pub async fn answers(address: &Address) -> bool {
    let nowhere = matches!(address, Address::Tcp(address) if !Bound::is_assigned(*address));
    nowhere
        || timeout(PROBE_DEADLINE, probe(address))
            .await
            .is_ok_and(|probed| is_alive(&probed))
}

fn is_alive(probed: &std::io::Result<()>) -> bool {
    let out_of_descriptors = |error: &std::io::Error| {
        [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE]
            .map(|errno| Some(errno.raw_os_error()))
            .contains(&error.raw_os_error())
    };
    probed.as_ref().map_or_else(out_of_descriptors, |()| true)
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd could not be told about our state");
    }
}

/// Asks our own listener for `/health`. That there are too many connections is an answer too: the loop lives, and a
/// restart would only cut the calls that are under way.
///
/// # Errors
/// Anything but an answer with status 200 or 503.
pub async fn probe(address: &Address) -> std::io::Result<()> {
    match address {
        Address::Tcp(address) => {
            let address = from_this_machine(*address);
            health(TcpStream::connect(address).await?).await
        }
        Address::Unix(path) => health(UnixStream::connect(path).await?).await,
    }
}

async fn health(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    stream
        .write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await?;
    let mut answer = [0; 13];
    stream.read_exact(&mut answer).await?;
    let lives = matches!(&answer, b"HTTP/1.1 200 " | b"HTTP/1.1 503 ");
    if lives {
        Ok(())
    } else {
        Err(std::io::ErrorKind::InvalidData.into())
    }
}
