//! What systemd is told: ready, alive, stopping.

use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixDatagram},
    time::timeout,
};

use crate::support::{PATIENCE, Served, Starting};

/// The place where systemd would listen.
struct Manager {
    socket: UnixDatagram,
    directory: TempDir,
}

impl Manager {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        Self {
            socket: UnixDatagram::bind(directory.path().join("notify")).unwrap(),
            directory,
        }
    }

    /// The daemon, with a watchdog that wants to be fed every 600 ms.
    async fn start(&self) -> Served {
        let starting = Starting::new()
            .await
            .env("NOTIFY_SOCKET", self.directory.path().join("notify"));
        let starting = starting.env("CRYPTO_PROXY__LISTENER__MAX_CONNECTIONS", "16");
        starting
            .env(
                "WATCHDOG_USEC",
                Duration::from_millis(600).as_micros().to_string(),
            )
            .serve()
            .await
    }

    /// Waits for a message that says this; it is told how many came first.
    async fn wait(&self, word: &str) -> usize {
        for before in 0..1000 {
            let mut message = [0; 512];
            let length = timeout(PATIENCE, self.socket.recv(&mut message))
                .await
                .expect("a message in time")
                .unwrap();
            if std::str::from_utf8(&message[..length])
                .unwrap()
                .lines()
                .any(|line| line == word)
            {
                return before;
            }
        }
        panic!("no {word} among a thousand messages");
    }

    /// Throws away what was said up to now.
    fn forget(&self) {
        while self.socket.try_recv(&mut [0; 512]).is_ok() {}
    }
}

#[tokio::test]
async fn ready_comes_first_and_the_watchdog_is_fed_from_then_on() {
    let manager = Manager::new();
    let served = manager.start().await;
    assert_eq!(
        manager.wait("READY=1").await,
        0,
        "nothing is said before it is ready"
    );
    for _ in 0..3 {
        manager.wait("WATCHDOG=1").await;
    }
    served.process.signal(Signal::TERM);
    manager.wait("STOPPING=1").await;
    assert_eq!(served.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn a_full_house_is_not_taken_for_a_hung_one() {
    let manager = Manager::new();
    let served = manager.start().await;
    let mut held = Vec::new();
    for _ in 0..60 {
        held.push(TcpStream::connect(served.address).await.unwrap());
    }
    let mut told = Vec::new();
    let mut one_more = TcpStream::connect(served.address).await.unwrap();
    one_more
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    timeout(PATIENCE, one_more.read_to_end(&mut told))
        .await
        .expect("told at once")
        .unwrap();
    assert!(
        told.starts_with(b"HTTP/1.1 200 "),
        "whoever asks at once is let in: {}",
        String::from_utf8_lossy(&told)
    );
    manager.forget();
    for _ in 0..4 {
        manager.wait("WATCHDOG=1").await;
    }
    drop(held);
    served.process.signal(Signal::TERM);
    let (status, lines) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    assert!(
        !lines
            .iter()
            .any(|line| line.contains("does not answer its own probe")),
        "{lines:#?}"
    );
}

#[tokio::test]
async fn a_drain_longer_than_the_watchdog_is_not_cut_short() {
    let manager = Manager::new();
    let served = manager.start().await;
    let call = served.order_under_way("watched-1").await;
    served.process.signal(Signal::TERM);
    manager.wait("STOPPING=1").await;
    for _ in 0..4 {
        manager.wait("WATCHDOG=1").await;
    }
    served.exchange().release();
    assert_eq!(call.await.unwrap().expect("an answer").0, 200);
    let (status, lines) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    assert!(
        !lines
            .iter()
            .any(|line| line.contains("does not answer its own probe")),
        "{lines:#?}"
    );
}
