//! A scripted upstream below HTTP: what each connection reads, writes, withholds and breaks, and what it was sent.
//!
//! Guarantees: every byte that arrives is kept, and counted as whole requests and begun ones; connections take the
//! scripts in the order in which they come, and the last script serves all further ones; after its script a connection
//! reads on to the end, so that a request sent once too often is seen. Does not: understand a request.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Notify, watch},
    task::JoinSet,
};

use super::PATIENCE;

pub(crate) mod received;
pub(crate) mod reply;

pub(crate) use received::{Received, Request};

/// One step of a connection.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Reads one more request to the end of its head.
    Head,
    /// Reads one more whole request.
    Request,
    /// Reads until this many bytes have come, from the connection's beginning.
    Bytes(usize),
    /// Writes.
    Write(Bytes),
    /// Writes these bytes over and over, this many times, or until the other side gives up.
    Flood(Bytes, usize),
    /// Writes one byte, waits, and so on: the pace of a peer, not of a test.
    Trickle(Bytes, Duration),
    /// Waits for the test, without reading.
    Await(Arc<Notify>),
    /// Reads until the other side closes.
    Drain,
    /// Refuses the last request and repeats it, as the exchange may do in `original`.
    ReplyTo,
    /// Says that it will write no more.
    Fin,
    /// Ends the connection in order for TCP, and without a farewell for TLS.
    Drop,
    /// Ends the connection by a TCP reset.
    Reset,
}

/// What one connection does.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    tls: Option<Arc<ServerConfig>>,
    steps: Vec<Step>,
}

impl Script {
    pub(crate) fn plain(steps: impl Into<Vec<Step>>) -> Self {
        Self {
            tls: None,
            steps: steps.into(),
        }
    }

    /// After a TLS handshake; without one the connection ends, having received no request.
    pub(crate) fn tls(config: &Arc<ServerConfig>, steps: impl Into<Vec<Step>>) -> Self {
        Self {
            tls: Some(Arc::clone(config)),
            steps: steps.into(),
        }
    }
}

/// A running scripted upstream.
#[derive(Debug)]
pub(crate) struct Wire {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    scripts: Vec<Script>,
    connections: Mutex<Vec<Connection>>,
    changed: watch::Sender<()>,
    next: AtomicUsize,
}

#[derive(Debug, Default)]
struct Connection {
    received: Vec<u8>,
    written: usize,
    ended: bool,
}

impl Wire {
    /// Connections take these scripts in turn.
    pub(crate) async fn start(scripts: impl Into<Vec<Script>>) -> Self {
        Self::on(
            TcpListener::bind("127.0.0.1:0").await.expect("a free port"),
            scripts,
        )
    }

    /// The same with small kernel buffers, so that a peer that does not read is felt early.
    pub(crate) async fn start_narrow(scripts: impl Into<Vec<Script>>) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        socket
            .set_send_buffer_size(64 << 10)
            .expect("a small buffer");
        socket
            .bind(([127, 0, 0, 1], 0).into())
            .expect("a free port");
        Self::on(socket.listen(64).expect("a listener"), scripts)
    }

    pub(crate) fn on(listener: TcpListener, scripts: impl Into<Vec<Script>>) -> Self {
        let address = listener.local_addr().expect("a bound address");
        let shared = Arc::new(Shared {
            scripts: scripts.into(),
            connections: Mutex::default(),
            changed: watch::Sender::new(()),
            next: AtomicUsize::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        Self {
            address,
            shared,
            _tasks: tasks,
        }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL for plain HTTP.
    pub(crate) fn base(&self) -> String {
        format!("http://{}/exchange/v1", self.address)
    }

    /// The base URL for TLS, by name.
    pub(crate) fn tls_base(&self) -> String {
        format!("https://localhost:{}/exchange/v1", self.address.port())
    }

    /// What came so far, by connection.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared
            .lock()
            .iter()
            .map(|connection| Received::parse(&connection.received))
            .collect()
    }

    /// Every request that came whole, in the order of connections.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.received()
            .into_iter()
            .flat_map(|received| received.requests)
            .collect()
    }

    /// Requests of which at least a byte came.
    pub(crate) fn begun(&self) -> usize {
        self.received().iter().map(Received::begun).sum()
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.lock().len()
    }

    /// Bytes that a connection could write.
    pub(crate) fn written(&self, connection: usize) -> usize {
        self.shared.lock()[connection].written
    }

    /// Waits until a connection was ended, by either side.
    pub(crate) async fn ended(&self, connection: usize) {
        self.until(|all| {
            all.get(connection)
                .is_some_and(|connection| connection.ended)
        })
        .await;
    }

    /// Waits until this many requests came whole.
    pub(crate) async fn have_come(&self, count: usize) {
        let whole = |all: &[Connection]| {
            all.iter()
                .map(|one| Received::parse(&one.received).requests.len())
                .sum()
        };
        self.until(|all| count <= whole(all)).await;
    }

    async fn until(&self, wanted: impl Fn(&[Connection]) -> bool) {
        let mut changes = self.shared.changed.subscribe();
        let wait = async {
            while !wanted(&self.shared.lock()) {
                changes.changed().await.expect("the wire lives");
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        waited.unwrap_or_else(|_| panic!("waited in vain; received: {:?}", self.received()));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, index: usize, change: impl FnOnce(&mut Connection)) {
        change(&mut self.lock()[index]);
        let _ = self.changed.send(());
    }

    fn script(&self, index: usize) -> Script {
        self.scripts
            .get(index)
            .or(self.scripts.last())
            .expect("at least one script")
            .clone()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut tasks = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let index = shared.next.fetch_add(1, Ordering::Relaxed);
        shared.lock().push(Connection::default());
        tasks.spawn(serve(stream, index, Arc::clone(&shared)));
    }
}

async fn serve(stream: TcpStream, index: usize, shared: Arc<Shared>) {
    let script = shared.script(index);
    stream.set_nodelay(true).expect("a TCP socket");
    if script.steps.iter().any(|step| matches!(step, Step::Reset)) {
        stream.set_zero_linger().expect("a TCP socket");
    }
    match script.tls {
        None => {
            Play {
                stream,
                index,
                shared: &shared,
                asked: 0,
            }
            .play(script.steps)
            .await
        }
        Some(config) => {
            if let Ok(stream) = tokio_rustls::TlsAcceptor::from(config).accept(stream).await {
                Play {
                    stream,
                    index,
                    shared: &shared,
                    asked: 0,
                }
                .play(script.steps)
                .await;
            }
        }
    }
    shared.note(index, |connection| connection.ended = true);
}

struct Play<'a, S> {
    stream: S,
    index: usize,
    shared: &'a Shared,
    /// Whole requests that the script has asked for so far.
    asked: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Play<'_, S> {
    /// Ends early where the other side did.
    async fn play(mut self, steps: Vec<Step>) {
        for step in steps {
            if matches!(step, Step::Drop | Step::Reset) || self.step(step).await.is_none() {
                return;
            }
        }
        let _ = self.step(Step::Drain).await;
    }

    async fn step(&mut self, step: Step) -> Option<()> {
        match step {
            Step::Head => {
                self.read_until(|received, asked| received.heads() > asked)
                    .await
            }
            Step::Request => {
                self.asked += 1;
                self.read_until(|received, asked| received.requests.len() >= asked)
                    .await
            }
            Step::Bytes(count) => self.read_until(|received, _| received.bytes >= count).await,
            Step::Drain => self.read_until(|_, _| false).await,
            Step::Write(bytes) => self.write(&bytes).await,
            Step::Flood(bytes, times) => {
                for _ in 0..times {
                    self.write(&bytes).await?;
                }
                Some(())
            }
            Step::Trickle(bytes, pace) => {
                let mut ticks = tokio::time::interval(pace);
                for byte in bytes {
                    ticks.tick().await;
                    self.write(&[byte]).await?;
                }
                Some(())
            }
            Step::Await(notify) => {
                notify.notified().await;
                Some(())
            }
            Step::ReplyTo => {
                let received = Received::parse(&self.shared.lock()[self.index].received);
                self.write(&reply::echo(&received.requests.last()?.body))
                    .await
            }
            Step::Fin => self.stream.shutdown().await.ok(),
            Step::Drop | Step::Reset => None,
        }
    }

    async fn read_until(&mut self, enough: impl Fn(&Received, usize) -> bool) -> Option<()> {
        let mut buffer = vec![0; 16 << 10];
        while !enough(
            &Received::parse(&self.shared.lock()[self.index].received),
            self.asked,
        ) {
            let count = self
                .stream
                .read(&mut buffer)
                .await
                .ok()
                .filter(|count| *count > 0)?;
            self.shared.note(self.index, |connection| {
                connection.received.extend_from_slice(&buffer[..count])
            });
        }
        Some(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Option<()> {
        self.stream.write_all(bytes).await.ok()?;
        self.stream.flush().await.ok()?;
        self.shared
            .note(self.index, |connection| connection.written += bytes.len());
        Some(())
    }
}
