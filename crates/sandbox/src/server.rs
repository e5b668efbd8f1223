//! Listening: an accept loop of our own, because a stand-in must be able to cut a connection without a byte.
//!
//! Guarantees: HTTP/1.1 with keep-alive; a request that was read is handled to its end though its caller hangs up;
//! dropping the `Running` closes the listener and every connection.
//! Does not: TLS; a test that needs it stands a terminator in front.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    FakeExchange,
    fault::WireStep,
    handling::{self, Answer, BASE_PATH},
    lock,
    reply::Reply,
    stream::Opening,
};

/// How long accepting rests after an error, such as no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// A stand-in that serves at an address, until this is dropped.
pub struct Running {
    exchange: FakeExchange,
    addr: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Running {
    pub(super) fn start(exchange: FakeExchange, listener: TcpListener) -> io::Result<Self> {
        let addr = listener.local_addr()?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let host = Host {
            exchange: exchange.clone(),
            stop: stop.clone(),
            tasks: tasks.clone(),
        };
        tasks.spawn(host.accept(listener));
        Ok(Self {
            exchange,
            addr,
            stop,
            tasks,
        })
    }

    /// The exchange that is served.
    #[must_use]
    pub fn exchange(&self) -> &FakeExchange {
        &self.exchange
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What a client puts before `/{method}`: `http://127.0.0.1:PORT/exchange/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        self.url(BASE_PATH.trim_end_matches('/'))
    }

    /// The URL of a path, such as `/ip` or `/sandbox/script`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Closes everything, and resolves when it is closed.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

/// What the accept loop and its connections share.
#[derive(Clone)]
struct Host {
    exchange: FakeExchange,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Why hyper is made to give a connection up.
#[derive(Debug, thiserror::Error)]
#[error("cut short by script")]
struct CutShort;

/// What a connection still has to do when hyper is done with it.
enum Rest {
    /// Bare steps, after it was cut.
    Steps(Vec<WireStep>, watch::Receiver<()>),
    /// A stream.
    Stream(Box<Opening>),
}

type Slot = Arc<Mutex<Option<Rest>>>;

impl Host {
    async fn accept(self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let host = self.clone();
                    self.tasks.spawn(async move {
                        let stop = host.stop.clone();
                        stop.run_until_cancelled(host.connection(stream, peer))
                            .await;
                    });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    async fn connection(self, stream: TcpStream, peer: SocketAddr) {
        let _ = stream.set_nodelay(true);
        let rest = Slot::default();
        let slot = Arc::clone(&rest);
        let service =
            service_fn(move |request| self.clone().respond(peer, request, Arc::clone(&slot)));
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .serve_connection(TokioIo::new(stream), service);
        let _ = (&mut connection).await;
        let rest = lock(&rest).take();
        let parts = connection.into_parts();
        match rest {
            None => {}
            Some(Rest::Steps(steps, released)) => {
                play(parts.io.into_inner(), steps, released).await
            }
            Some(Rest::Stream(opening)) => {
                opening.serve(parts.io.into_inner(), parts.read_buf).await
            }
        }
    }

    /// Boxed, because only a connection whose futures may be moved gives its stream back.
    fn respond(
        self,
        peer: SocketAddr,
        request: hyper::Request<Incoming>,
        slot: Slot,
    ) -> Pin<Box<dyn Future<Output = Result<Reply, CutShort>> + Send>> {
        Box::pin(async move {
            let stop = self.stop.clone();
            let handling = handling::handle(self.exchange, peer, request);
            let task = self
                .tasks
                .spawn(async move { stop.run_until_cancelled(handling).await });
            match task.await {
                Ok(Some(Answer::Http(reply))) => Ok(reply),
                Ok(Some(Answer::Wire(steps, released))) => {
                    *lock(&slot) = Some(Rest::Steps(steps, released));
                    Err(CutShort)
                }
                Ok(Some(Answer::Stream(reply, opening))) => {
                    *lock(&slot) = Some(Rest::Stream(opening));
                    Ok(reply)
                }
                Ok(None) | Err(_) => Err(CutShort),
            }
        })
    }
}

/// Carries out bare steps, then closes the connection.
async fn play(mut stream: TcpStream, steps: Vec<WireStep>, mut released: watch::Receiver<()>) {
    for step in steps {
        match step {
            WireStep::Write(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            WireStep::Pause(time) => tokio::time::sleep(time).await,
            WireStep::Hang => {
                let _ = released.changed().await;
            }
            WireStep::Reset => {
                let _ = stream.set_zero_linger();
                return;
            }
        }
    }
    let _ = stream.shutdown().await;
}
